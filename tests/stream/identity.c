// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Who a device is: asked, written, read and compared. */

#include "forge.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>

#include "device/device.h"

/* ---- a device that answers as told ---------------------------------------- */

/** struct mute - @fails: what the call of that name returns instead of an answer */
struct mute {
	struct vfm_device dev;
	uint8_t config[256];
	struct vfm_device_info info;
	struct vfm_compat compat;
	struct {
		int info, region, read, migration, data_size, compat;
	} fails;
	int bad_region;
};

static struct mute *mute_of(struct vfm_device *dev)
{
	return (struct mute *)(void *)dev;
}

static int fail_or(int code, struct vfm_err *err)
{
	return code ? vfm_fail(err, code, "told to fail") : 0;
}

static void mute_close(struct vfm_device *dev)
{
	(void)dev;
}

static int mute_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	*info = mute_of(dev)->info;
	return fail_or(mute_of(dev)->fails.info, err);
}

static int mute_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			   struct vfm_err *err)
{
	struct mute *m = mute_of(dev);

	if (m->bad_region < 0 || (int)index == m->bad_region)
		if (m->fails.region)
			return fail_or(m->fails.region, err);
	*region = (struct vfm_region){ .index = index, .size = 0x1000 * (index + 1), .fd = -1 };
	return 0;
}

static int mute_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			    size_t len, struct vfm_err *err)
{
	struct mute *m = mute_of(dev);

	assert_int_equal(index, VFM_PCI_CONFIG);
	assert_true(len == 4 && offset % 4 == 0 && offset + len <= sizeof(m->config));
	memcpy(buf, m->config + offset, len);
	return fail_or(m->fails.read, err);
}

static int mute_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	*migration = 7;
	return fail_or(mute_of(dev)->fails.migration, err);
}

static int mute_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	*bytes = 12345;
	return fail_or(mute_of(dev)->fails.data_size, err);
}

static int mute_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	*compat = mute_of(dev)->compat;
	return fail_or(mute_of(dev)->fails.compat, err);
}

static const struct vfm_device_ops mute_ops = {
	.close = mute_close,
	.get_info = mute_get_info,
	.get_region = mute_get_region,
	.read_region = mute_read_region,
	.get_migration = mute_get_migration,
	.get_data_size = mute_get_data_size,
	.get_compat = mute_get_compat,
};

static struct mute *new_mute(void)
{
	static const uint8_t ids[] = { 0xf4, 0x1a, 0x41, 0x10, 0, 0, 0, 0, 0x03, 0x01, 0x02, 0xff };
	static const uint8_t subsystem[] = { 0x28, 0x10, 0x02, 0x00 };
	struct mute *m = calloc(1, sizeof(*m));

	assert_int_equal(vfm_device_init(&m->dev, &mute_ops, "test:mute", NULL), 0);
	memcpy(m->config, ids, sizeof(ids));
	memcpy(m->config + 0x2c, subsystem, sizeof(subsystem));
	m->info = (struct vfm_device_info){ VFM_DEVICE_PCI | VFM_DEVICE_RESET, 10, 5 };
	m->compat = (struct vfm_compat){ "vfmig,mute", 3, 2, "state=4K" };
	m->bad_region = -1;
	return m;
}

static void a_whole_identity(void **state)
{
	struct mute *m = new_mute();
	struct vfm_identity id;

	(void)state;
	assert_int_equal(vfm_identity_get(&id, &m->dev, NULL), 0);
	assert_int_equal(id.vendor, 0x1af4);
	assert_int_equal(id.device, 0x1041);
	assert_int_equal(id.revision, 0x03);
	assert_int_equal(id.class_code, 0xff0201);
	assert_int_equal(id.subvendor, 0x1028);
	assert_int_equal(id.subdevice, 0x0002);
	assert_int_equal(id.migration, 7);
	assert_int_equal(id.data_size, 12345);
	/* The tenth belongs to the way to the device. */
	assert_int_equal(id.nr_regions, 9);
	assert_int_equal(id.region_size[8], 0x9000);
	assert_true(id.has_compat);
	assert_string_equal(id.compat.model, "vfmig,mute");
	vfm_device_close(&m->dev);
}

static void what_cannot_be_told_is_left_out(void **state)
{
	struct mute *m = new_mute();
	struct vfm_err err = { .code = 77 };
	struct vfm_identity id;

	(void)state;
	m->fails.region = m->fails.read = m->fails.migration = -ENOTTY;
	m->fails.data_size = m->fails.compat = -ENOTTY;
	assert_int_equal(vfm_identity_get(&id, &m->dev, &err), 0);
	assert_int_equal(err.code, 77);
	assert_int_equal(id.vendor, 0xffff);
	assert_int_equal(id.class_code, 0xffffffff);
	assert_int_equal(id.revision, 0xff);
	assert_int_equal(id.migration, 0);
	assert_int_equal(id.data_size, 0);
	assert_int_equal(id.nr_regions, 9);
	assert_int_equal(id.region_size[0], 0);
	assert_false(id.has_compat);
	assert_string_equal(id.compat.model, "");
	m->fails.info = -ENOTTY;
	assert_int_equal(vfm_identity_get(&id, &m->dev, &err), 0);
	assert_int_equal(id.nr_regions, 0);
	vfm_device_close(&m->dev);
}

/* An index that is counted but not there, and a device that has no PCI regions. */
static void odd_regions(void **state)
{
	struct mute *m = new_mute();
	struct vfm_identity id;

	(void)state;
	m->bad_region = VFM_PCI_VGA;
	m->fails.region = -EINVAL;
	assert_int_equal(vfm_identity_get(&id, &m->dev, NULL), 0);
	assert_int_equal(id.region_size[VFM_PCI_VGA], 0);
	assert_int_equal(id.region_size[VFM_PCI_CONFIG], 0x8000);
	m->info = (struct vfm_device_info){ 0, 1000, 0 };
	m->fails.region = 0;
	assert_int_equal(vfm_identity_get(&id, &m->dev, NULL), 0);
	assert_int_equal(id.nr_regions, VFM_IDENTITY_REGIONS);
	assert_int_equal(id.vendor, 0xffff);
	vfm_device_close(&m->dev);
}

static void other_failures_are_told(void **state)
{
	struct mute *m = new_mute();
	int *fails[] = { &m->fails.info,      &m->fails.region,	   &m->fails.read,
			 &m->fails.migration, &m->fails.data_size, &m->fails.compat };
	struct vfm_identity id = { .vendor = 5 };
	struct vfm_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(fails) / sizeof(fails[0]); i++) {
		*fails[i] = -ECONNRESET;
		assert_int_equal(vfm_identity_get(&id, &m->dev, &err), -ECONNRESET);
		assert_int_equal(err.code, -ECONNRESET);
		assert_non_null(strstr(err.msg, "told to fail"));
		assert_int_equal(vfm_identity_get(&id, &m->dev, NULL), -ECONNRESET);
		*fails[i] = 0;
	}
	strcpy(m->compat.params, "\033[2J");
	assert_int_equal(vfm_identity_get(&id, &m->dev, &err), -EBADMSG);
	assert_int_equal(id.vendor, 5);
	vfm_device_close(&m->dev);
}

/* ---- as a record ---------------------------------------------------------- */

static struct vfm_identity sample(void)
{
	return (struct vfm_identity){
		.vendor = 0x1af4,
		.device = 0x1041,
		.subvendor = 0x1028,
		.subdevice = 2,
		.class_code = 0xff0201,
		.revision = 3,
		.migration = 7,
		.nr_regions = 3,
		.region_size = { 0x1000, 0, UINT64_C(0x8000000000) },
		.has_compat = true,
		.compat = { "vfmig,mute", 3, 2, "state=4K" },
		.data_size = 12345,
	};
}

static void write_and_read(const struct vfm_identity *id, struct vfm_identity *got, int parsed)
{
	struct vfm_stream_record record;
	struct vfm_stream_writer *w;
	struct vfm_stream_reader *r;
	int fd = stream_file("", 0);

	assert_int_equal(vfm_stream_writer_new(&w, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, id, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(vfm_stream_reader_new(&r, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(vfm_stream_parse_identity(got, &record, NULL), parsed);
	vfm_stream_reader_free(r);
	vfm_stream_writer_free(w);
	close(fd);
}

static void written_is_read(void **state)
{
	struct vfm_identity id = sample(), got;

	(void)state;
	memset(&got, 0xee, sizeof(got));
	write_and_read(&id, &got, 0);
	assert_int_equal(got.class_code, id.class_code);
	assert_int_equal(got.revision, id.revision);
	assert_int_equal(got.subvendor, id.subvendor);
	assert_int_equal(got.subdevice, id.subdevice);
	assert_int_equal(got.migration, id.migration);
	assert_int_equal(got.data_size, id.data_size);
	assert_int_equal(got.nr_regions, id.nr_regions);
	assert_memory_equal(got.region_size, id.region_size, sizeof(id.region_size));
	assert_memory_equal(&got.compat, &id.compat, sizeof(id.compat));
	assert_int_equal(vfm_identity_check(&id, &got, NULL), 0);
	/* The longest that there is. */
	id.nr_regions = VFM_IDENTITY_REGIONS;
	memset(id.compat.model, 'm', sizeof(id.compat.model) - 1);
	memset(id.compat.params, 'p', sizeof(id.compat.params) - 1);
	write_and_read(&id, &got, 0);
	assert_memory_equal(&got.compat, &id.compat, sizeof(id.compat));
	id.has_compat = false;
	write_and_read(&id, &got, 0);
	assert_false(got.has_compat);
	assert_string_equal(got.compat.params, "");
}

static void texts_that_are_none_are_not_written(void **state)
{
	struct vfm_identity rows[4] = { sample(), sample(), sample(), sample() };
	struct vfm_stream_writer *w;
	int fd = stream_file("", 0);

	(void)state;
	memset(rows[0].compat.model, 'x', sizeof(rows[0].compat.model));
	memset(rows[1].compat.params, 'x', sizeof(rows[1].compat.params));
	strcpy(rows[2].compat.params, "a\nb");
	rows[3].nr_regions = VFM_IDENTITY_REGIONS + 1;
	assert_int_equal(vfm_stream_writer_new(&w, fd, NULL, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(vfm_stream_write_identity(w, 0, &rows[i], NULL), -EINVAL);
	assert_int_equal(vfm_stream_written(w), 32);
	vfm_stream_writer_free(w);
	close(fd);
}

/* The bytes of sample(), by the document. */
static size_t sample_bytes(uint8_t *out)
{
	static const char compat[] = "\3\0\0\0\2\0\0\0\12\0vfmig,mute\10\0state=4K";
	struct forge f = { 0 };
	size_t len;

	forge_int(&f, 1, 2);
	forge_int(&f, 1, 2);
	forge_int(&f, 0x1af4, 2);
	forge_int(&f, 0x1041, 2);
	forge_int(&f, 0x1028, 2);
	forge_int(&f, 2, 2);
	forge_int(&f, 0xff0201, 4);
	forge_int(&f, 3, 4);
	forge_int(&f, 7, 8);
	forge_int(&f, 12345, 8);
	forge_int(&f, 3, 4);
	forge_int(&f, 0x1000, 8);
	forge_int(&f, 0, 8);
	forge_int(&f, UINT64_C(0x8000000000), 8);
	forge_bytes(&f, compat, sizeof(compat) - 1);
	len = f.len;
	memcpy(out, f.data, len);
	free(f.data);
	return len;
}

static int parse(const void *data, size_t size, struct vfm_err *err)
{
	struct vfm_stream_record record = {
		.type = VFM_STREAM_IDENTITY, .data = data, .size = size, .offset = 32
	};
	struct vfm_identity id = sample(), got = { 0 };
	int ret = vfm_stream_parse_identity(&got, &record, err);

	if (!ret)
		assert_int_equal(vfm_identity_check(&id, &got, NULL), 0);
	else
		assert_int_equal(got.vendor, 0);
	return ret;
}

static void every_cut_of_an_identity(void **state)
{
	uint8_t bytes[256], *exact;
	struct vfm_err err;
	size_t len = sample_bytes(bytes);

	(void)state;
	assert_int_equal(parse(bytes, len, &err), 0);
	for (size_t cut = 0; cut < len; cut++) {
		exact = malloc(cut); /* so that a read beyond it is seen */
		memcpy(exact, bytes, cut);
		assert_int_equal(parse(exact, cut, &err), -EBADMSG);
		free(exact);
	}
	assert_int_equal(parse(bytes, len + 1, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "something follows its last field"));
}

static void later_layouts_are_read(void **state)
{
	uint8_t bytes[256] = { 0 };
	size_t len = sample_bytes(bytes);

	(void)state;
	bytes[0] = 2;
	assert_int_equal(parse(bytes, len, NULL), 0);
	assert_int_equal(parse(bytes, len + 50, NULL), 0);
	bytes[2] |= 2;
	assert_int_equal(parse(bytes, len + 50, NULL), 0);
	assert_int_equal(parse(bytes, len - 1, NULL), -EBADMSG);
}

static void wrong_fields_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *text;
	} rows[] = {
		{ 0, 0, "no layout version" },	    { 2, 5, "unknown flags" },
		{ 3, 0x80, "unknown flags" },	    { 17, 1, "reserved field" },
		{ 19, 1, "reserved field" },	    { 36, 17, "too many regions" },
		{ 39, 0x80, "too many regions" },   { 72, 64, "the model is too long" },
		{ 73, 1, "the model is too long" }, { 75, 0, "not plain text" },
		{ 75, 0x1b, "not plain text" },	    { 75, 0xc3, "not plain text" },
		{ 84, 7, "something follows" },	    { 84, 9, "ends within a field" },
		{ 85, 2, "parameters are too" },    { 93, 0x7f, "the parameters are" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vfm_err err = { 0 };
		uint8_t bytes[256];
		size_t len = sample_bytes(bytes);

		bytes[rows[i].at] = rows[i].value;
		if (parse(bytes, len, &err) != -EBADMSG || !strstr(err.msg, rows[i].text))
			fail_msg("row %zu: \"%s\"", i, err.msg);
	}
}

/* ---- compared ------------------------------------------------------------- */

static void alike(void **state)
{
	struct vfm_identity ours = sample(), theirs = sample();

	(void)state;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), 0);
	/* What may differ. */
	theirs.data_size = 1;
	theirs.migration = VFM_MIGRATION_STOP_COPY;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), 0);
	assert_int_equal(vfm_identity_check(&theirs, &ours, NULL), 0);
	theirs.migration = 0;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), 0);
	/* A region without size is as good as none. */
	theirs.nr_regions = 16;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), 0);
	/* Parameters that the destination looks at itself, whatever the source would do. */
	strcpy(theirs.compat.params, "z=26");
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), -ENOTUNIQ);
	theirs.compat.judges_params = true;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), -ENOTUNIQ);
	ours.compat.judges_params = true;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), 0);
	ours.compat.judges_params = false;
	theirs = sample();
	theirs.migration = 0;
	/* What only one can tell is no difference. */
	theirs.has_compat = false;
	theirs.compat.version = 99;
	assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), 0);
	assert_int_equal(vfm_identity_check(&theirs, &ours, NULL), -ENOTUNIQ);
}

#define ROW(field, our_value, their_value, text)                                                   \
	do {                                                                                       \
		struct vfm_identity ours = sample(), theirs = sample();                            \
		struct vfm_err err = { 0 };                                                        \
                                                                                                   \
		ours.field = our_value;                                                            \
		theirs.field = their_value;                                                        \
		assert_int_equal(vfm_identity_check(&ours, &theirs, &err), -ENOTUNIQ);             \
		if (!strstr(err.msg, text))                                                        \
			fail_msg("\"%s\" instead of \"%s\"", err.msg, text);                       \
		assert_int_equal(vfm_identity_check(&ours, &theirs, NULL), -ENOTUNIQ);             \
	} while (0)

static void different(void **state)
{
	(void)state;
	ROW(vendor, 1, 2, "image is of a device with PCI vendor 0x2, this one has 0x1");
	ROW(device, 1, 2, "PCI device 0x2");
	ROW(subvendor, 1, 2, "PCI subsystem vendor 0x2");
	ROW(subdevice, 1, 2, "PCI subsystem device 0x2");
	ROW(class_code, 1, 2, "PCI class 0x2");
	ROW(revision, 1, 2, "PCI revision 0x2");
	ROW(vendor, 0xffff, 2, "this one has 0xffff");
	ROW(region_size[1], 4096, 0, "with 0 bytes in region 1, this one has 4096");
	ROW(region_size[2], 0, 8192, "with 8192 bytes in region 2, this one has 0");
	ROW(nr_regions, 2, 3, "with 549755813888 bytes in region 2, this one has 0");
	ROW(compat.model[0], 'a', 'b', "model \"bfmig,mute\", this one has \"afmig,mute\"");
	ROW(compat.params[0], 'a', 'b', "parameters \"btate=4K\", this one has \"atate=4K\"");
	ROW(compat.version, 3, 4, "has version 4, this device reads 2 to 3");
	ROW(compat.version, 3, 1, "has version 1, this device reads 2 to 3");
	ROW(migration, 0, 7, "needs a device that migrates, this one has migration flags 0x0");
	ROW(migration, 6, 7, "migration flags 0x6");
}

static void versions_within_the_range(void **state)
{
	struct vfm_identity ours = sample(), theirs = sample();

	(void)state;
	for (uint32_t version = 0; version < 10; version++) {
		int ret;

		ours.compat.min_version = 3;
		ours.compat.version = 6;
		theirs.compat.version = version;
		ret = vfm_identity_check(&ours, &theirs, NULL);
		assert_int_equal(ret, version >= 3 && version <= 6 ? 0 : -ENOTUNIQ);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_identity),
		cmocka_unit_test(what_cannot_be_told_is_left_out),
		cmocka_unit_test(odd_regions),
		cmocka_unit_test(other_failures_are_told),
		cmocka_unit_test(written_is_read),
		cmocka_unit_test(texts_that_are_none_are_not_written),
		cmocka_unit_test(every_cut_of_an_identity),
		cmocka_unit_test(later_layouts_are_read),
		cmocka_unit_test(wrong_fields_are_refused),
		cmocka_unit_test(alike),
		cmocka_unit_test(different),
		cmocka_unit_test(versions_within_the_range),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
