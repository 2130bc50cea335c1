// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A driver that breaks its contract: answers that are neither 0 nor an errno
 * value, sizes that wrap, records of absurd lengths, no private data. The user of
 * the device gets an error that says so, and a device that stands where it should.
 */

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include <vfmig/vfmig.h>

/* What each callback answers. */
static struct {
	int open, describe, read, write, reset, arc, load, load_end, pending, data_size;
	int process;
	ssize_t save;
	uint64_t size;
	unsigned int closed;
} answer;

static int bad_open(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	(void)host;
	(void)params;
	(void)err;
	*priv = NULL;
	return answer.open;
}

static void bad_close(void *priv)
{
	assert_null(priv);
	answer.closed++;
}

static int bad_describe(void *priv, struct vfm_description *desc, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	desc->nr_regions = 1;
	desc->regions[0].size = 4096;
	desc->regions[0].flags = VFM_REGION_READ | VFM_REGION_WRITE;
	return answer.describe;
}

static int bad_read(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
		    struct vfm_err *err)
{
	(void)priv;
	(void)index;
	(void)offset;
	(void)err;
	memset(buf, 0, len);
	return answer.read;
}

static int bad_write(void *priv, uint32_t index, uint64_t offset, const void *buf, size_t len,
		     struct vfm_err *err)
{
	(void)priv;
	(void)index;
	(void)offset;
	(void)buf;
	(void)len;
	(void)err;
	return answer.write;
}

static int bad_reset(void *priv, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	return answer.reset;
}

static int bad_arc(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	(void)priv;
	(void)from;
	(void)to;
	(void)err;
	return answer.arc;
}

static ssize_t bad_save(void *priv, void *buf, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	memset(buf, 1, 16);
	return answer.save;
}

static int bad_load(void *priv, const void *buf, size_t len, struct vfm_err *err)
{
	(void)priv;
	(void)buf;
	(void)len;
	(void)err;
	return answer.load;
}

static int bad_load_end(void *priv, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	return answer.load_end;
}

static int bad_pending(void *priv, struct vfm_precopy_info *info, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	info->initial_bytes = answer.size;
	info->dirty_bytes = answer.size;
	return answer.pending;
}

static int bad_data_size(void *priv, uint64_t *bytes, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	*bytes = answer.size;
	return answer.data_size;
}

static int bad_process(void *priv, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	return answer.process;
}

static const struct vfm_driver bad_driver = {
	VFM_DRIVER_INIT,
	.model = "vfmig,bad",
	.version = 1,
	.min_version = 1,
	.migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY,
	.record_max = 1, /* so that the framing is many times the data */
	.open = bad_open,
	.close = bad_close,
	.describe = bad_describe,
	.read_region = bad_read,
	.write_region = bad_write,
	.reset = bad_reset,
	.arc = bad_arc,
	.save = bad_save,
	.load = bad_load,
	.load_end = bad_load_end,
	.pending = bad_pending,
	.data_size = bad_data_size,
	.process = bad_process,
};

static struct vfm_device *open_bad(void)
{
	struct vfm_device *dev;

	memset(&answer, 0, sizeof(answer));
	assert_int_equal(vfm_device_from_driver(&dev, &bad_driver, NULL, NULL), 0);
	return dev;
}

static enum vfm_state state_of(struct vfm_device *dev)
{
	enum vfm_state state;

	assert_int_equal(vfm_device_get_state(dev, &state, NULL), 0);
	return state;
}

/* An image of one record, as a driver that keeps its word makes it. */
static size_t make_image(uint8_t *image, size_t room)
{
	struct vfm_device *dev = open_bad();
	ssize_t n;
	size_t len = 0;

	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
	answer.save = 1;
	for (int i = 0; i < 60; i++) {
		n = vfm_device_read_data(dev, image + len, 1, NULL);
		assert_int_equal(n, 1);
		len++;
	}
	answer.save = 0;
	while ((n = vfm_device_read_data(dev, image + len, room - len, NULL)) > 0)
		len += (size_t)n;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	while ((n = vfm_device_read_data(dev, image + len, room - len, NULL)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	vfm_device_close(dev);
	return len;
}

static int do_read(struct vfm_device *dev, struct vfm_err *err)
{
	uint32_t value;

	return vfm_device_read_region(dev, 0, 0, &value, sizeof(value), err);
}

static int do_write(struct vfm_device *dev, struct vfm_err *err)
{
	return vfm_device_write_region(dev, 0, 0, "abcd", 4, err);
}

static int do_arc(struct vfm_device *dev, struct vfm_err *err)
{
	return vfm_device_set_state(dev, VFM_STATE_STOP, err);
}

static int do_load(struct vfm_device *dev, struct vfm_err *err)
{
	uint8_t image[4096];
	int was = answer.load;
	size_t len;

	vfm_device_close(dev);
	len = make_image(image, sizeof(image));
	dev = open_bad();
	answer.load = was;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	was = vfm_device_write_data(dev, image, len, err);
	vfm_device_close(dev);
	return was;
}

static int do_load_end(struct vfm_device *dev, struct vfm_err *err)
{
	uint8_t image[4096];
	int was = answer.load_end;
	size_t len;

	vfm_device_close(dev);
	len = make_image(image, sizeof(image));
	dev = open_bad();
	answer.load_end = was;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(vfm_device_write_data(dev, image, len, NULL), 0);
	was = vfm_device_set_state(dev, VFM_STATE_STOP, err);
	assert_int_equal(state_of(dev), VFM_STATE_ERROR);
	vfm_device_close(dev);
	return was;
}

static int do_pending(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_precopy_info info;

	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
	return vfm_device_get_precopy_info(dev, &info, err);
}

static int do_data_size(struct vfm_device *dev, struct vfm_err *err)
{
	uint64_t bytes;

	return vfm_device_get_data_size(dev, &bytes, err);
}

static const struct {
	const char *name;
	int *answer;
	int (*run)(struct vfm_device *dev, struct vfm_err *err);
	bool closes; /* run() has closed the device */
} calls[] = {
	{ "read", &answer.read, do_read, false },
	{ "write", &answer.write, do_write, false },
	{ "reset", &answer.reset, vfm_device_reset, false },
	{ "arc", &answer.arc, do_arc, false },
	{ "load", &answer.load, do_load, true },
	{ "load_end", &answer.load_end, do_load_end, true },
	{ "pending", &answer.pending, do_pending, false },
	{ "data_size", &answer.data_size, do_data_size, false },
	{ "process", &answer.process, vfm_device_process, false },
};

static void answers_that_are_no_answers_are_errors(void **unused)
{
	static const int values[] = { 1, 60, 100000, INT_MAX, -4096, -100000, INT_MIN };

	(void)unused;
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			struct vfm_device *dev = open_bad();
			struct vfm_err err = { .msg = "" };
			int ret;

			*calls[c].answer = values[v];
			ret = calls[c].run(dev, &err);
			if (ret != -EIO || !strstr(err.msg, "driver answered"))
				fail_msg("%s answers %d: %d, %s", calls[c].name, values[v], ret,
					 err.msg);
			if (!calls[c].closes)
				vfm_device_close(dev);
		}
	}
}

static void an_arc_of_which_nobody_knows_leads_to_error(void **unused)
{
	struct vfm_device *dev = open_bad();

	(void)unused;
	answer.arc = 1;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), -EIO);
	assert_int_equal(state_of(dev), VFM_STATE_ERROR);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
	vfm_device_close(dev);
}

static void a_failure_without_a_text_gets_one(void **unused)
{
	struct vfm_device *dev = open_bad();
	struct vfm_err err;

	(void)unused;
	answer.arc = -EBUSY;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EBUSY);
	assert_non_null(strstr(err.msg, strerror(EBUSY)));
	vfm_device_close(dev);
}

static void records_of_absurd_lengths_are_refused(void **unused)
{
	static const ssize_t lengths[] = { 2, 1 << 20, SSIZE_MAX, -4096, -100000, PTRDIFF_MIN };

	(void)unused;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct vfm_device *dev = open_bad();
		struct vfm_err err = { .msg = "" };
		uint8_t buf[4096];
		ssize_t n;

		answer.save = lengths[i];
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
		do {
			n = vfm_device_read_data(dev, buf, sizeof(buf), &err);
		} while (n > 0);
		assert_int_equal(n, -EIO);
		assert_non_null(strstr(err.msg, "driver"));
		vfm_device_close(dev);
	}
}

/* Framing is added to what a driver says; the sum of nonsense must not look like little. */
static void sizes_do_not_wrap(void **unused)
{
	static const uint64_t sizes[] = { UINT64_C(1) << 50, UINT64_C(1) << 58,	  UINT64_C(1) << 59,
					  UINT64_MAX / 33,   UINT64_MAX / 33 + 1, UINT64_MAX / 2,
					  UINT64_MAX - 4096, UINT64_MAX };
	struct vfm_device *dev = open_bad();

	(void)unused;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vfm_precopy_info info;
		uint64_t bytes;

		answer.size = sizes[i];
		assert_int_equal(vfm_device_get_data_size(dev, &bytes, NULL), 0);
		assert_true(bytes >= UINT64_C(1) << 50);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
		assert_true(info.initial_bytes >= UINT64_C(1) << 50);
		assert_true(info.dirty_bytes >= UINT64_C(1) << 50);
	}
	vfm_device_close(dev);
}

static void each_open_that_succeeded_is_closed_once(void **unused)
{
	struct vfm_device *dev = open_bad(); /* whose private data is NULL */
	struct vfm_err err;

	(void)unused;
	vfm_device_close(dev);
	assert_int_equal(answer.closed, 1);

	answer.closed = 0;
	answer.describe = -EINVAL;
	assert_int_equal(vfm_device_from_driver(&dev, &bad_driver, NULL, &err), -EINVAL);
	assert_int_equal(answer.closed, 1);

	answer.closed = 0;
	answer.open = 7;
	assert_int_equal(vfm_device_from_driver(&dev, &bad_driver, NULL, &err), -EIO);
	assert_int_equal(answer.closed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_are_no_answers_are_errors),
		cmocka_unit_test(an_arc_of_which_nobody_knows_leads_to_error),
		cmocka_unit_test(a_failure_without_a_text_gets_one),
		cmocka_unit_test(records_of_absurd_lengths_are_refused),
		cmocka_unit_test(sizes_do_not_wrap),
		cmocka_unit_test(each_open_that_succeeded_is_closed_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
