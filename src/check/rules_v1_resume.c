// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about resuming through the migration region: an image that was saved is taken, by
 * whichever way its bytes come, and the device is what it was then. What must not be taken
 * is in rules_v1_refuse.c.
 */

#include "check/v1_trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* ---- the usual way ---------------------------------------------------------------- */

static int accepts(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	struct vfm_v1_state now;
	struct vfm_err err;
	int ret = vfm_trial_v1_save(t, &image);

	if (!ret)
		ret = vfm_trial_v1_resuming(t);
	if (ret)
		return ret;
	if (vfm_v1_resume(t, &image, &err))
		return vfm_trial_fail(t,
				      "%zu bytes in %zu chunks were saved, and refused when they "
				      "were loaded in the same way: %s",
				      image.size, image.nr_chunks, err.msg);
	ret = vfm_trial_v1_state(t, &now);
	if (!ret && vfm_v1_bits(now) != VFM_V1_RUNNING)
		ret = vfm_trial_fail(t,
				     "an image was loaded, 1 was written and taken; then "
				     "device_state read 0x%x",
				     now.word);
	return ret;
}

static int save_load_save(struct vfm_trial *t, const void *user, struct vfm_v1_pair *pair)
{
	int ret = vfm_trial_v1_save(t, &pair->first);

	(void)user;
	pair->how = "saved, loaded and saved";
	if (!ret)
		ret = vfm_trial_v1_load(t, &pair->first);
	return ret ? ret : vfm_trial_v1_save(t, &pair->second);
}

static int round_trip(struct vfm_trial *t)
{
	return vfm_trial_v1_equal(t, save_load_save, NULL);
}

/* A device whose state is another than after a reset. */
static int save_changed(struct vfm_trial *t, struct vfm_v1_image *image)
{
	vfm_auto_image struct vfm_v1_image fresh = { NULL };
	struct vfm_err err;
	int ret = vfm_trial_v1_fresh(t);

	if (!ret)
		ret = vfm_trial_v1_save(t, &fresh);
	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);
	for (int i = 0; !ret && i < 3; i++)
		if (t->opts->exercise->change(t->exercise, t->dev, &err))
			ret = vfm_trial_blocked(t, &err);
	if (!ret)
		ret = vfm_trial_v1_save(t, image);
	if (!ret && fresh.size == image->size && !memcmp(fresh.data, image->data, fresh.size))
		ret = vfm_trial_skip(t, "could not be tried: its change is not in the image");
	return ret;
}

static int change_load_save(struct vfm_trial *t, const void *user, struct vfm_v1_pair *pair)
{
	int ret = save_changed(t, &pair->first);

	(void)user;
	pair->how = "changed, saved, reset, loaded and saved";
	if (!ret)
		ret = vfm_trial_v1_load(t, &pair->first);
	return ret ? ret : vfm_trial_v1_save(t, &pair->second);
}

static int applied(struct vfm_trial *t)
{
	return vfm_trial_v1_equal(t, change_load_save, NULL);
}

static int data_offset(struct vfm_trial *t)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), offset;
	const struct vfm_region *region = &t->described;
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_RESUMING);

	if (!ret)
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &offset);
	if (ret)
		return ret;
	if (offset < VFM_V1_REGISTERS_END || offset >= region->size)
		return vfm_trial_fail(t,
				      "in RESUMING data_offset reads 0x%" PRIx64
				      "; it must lie from 0x%x on and in the 0x%" PRIx64
				      " bytes of the region",
				      offset, VFM_V1_REGISTERS_END, region->size);
	for (uint32_t i = 0; i < region->nr_areas; i++)
		if (offset % page && offset - region->areas[i].offset < region->areas[i].size)
			return vfm_trial_fail(t,
					      "in RESUMING data_offset reads 0x%" PRIx64
					      ", which can be mapped and is no start of a page",
					      offset);
	return 0;
}

/* ---- other ways for the same bytes ---------------------------------------------------- */

/*
 * struct way - how the bytes of a transaction come to their place
 * @put: all @len bytes of one, to @offset of the region
 * @parts: transactions that one of the source is cut into
 * @may_refuse: the device need not take that
 * @map: for @put
 */
struct way {
	const char *how;
	int (*put)(struct vfm_trial *t, const struct vfm_v1_map *map, uint64_t offset,
		   const uint8_t *data, size_t len, struct vfm_err *err);
	size_t parts;
	bool may_refuse;
	const struct vfm_v1_map *map;
};

static int put_mapped(struct vfm_trial *t, const struct vfm_v1_map *map, uint64_t offset,
		      const uint8_t *data, size_t len, struct vfm_err *err)
{
	int ret = 0;
	size_t n;

	for (size_t at = 0; !ret && at < len; at += n) {
		uint8_t *mem;

		n = len - at;
		mem = vfm_v1_mapped(map, offset + at, &n);
		if (mem)
			memcpy(mem, data + at, n);
		else
			ret = vfm_v1_write(t, offset + at, data + at, n, err);
	}
	return ret;
}

/* Of each transaction so much comes in small pieces. */
#define NARROW_MAX ((size_t)512)

static int put_narrow(struct vfm_trial *t, const struct vfm_v1_map *map, uint64_t offset,
		      const uint8_t *data, size_t len, struct vfm_err *err)
{
	size_t narrow = VFM_MIN(len, NARROW_MAX), width = 8;
	int ret = 0;

	(void)map;
	for (size_t at = 0; !ret && at < narrow; at += width) {
		width = (size_t)8 >> (at * 4 / NARROW_MAX); /* 8, 4, 2, 1 */
		while (width > narrow - at)
			width /= 2;
		ret = vfm_v1_write(t, offset + at, data + at, width, err);
	}
	if (!ret && len > narrow)
		ret = vfm_v1_write(t, offset + narrow, data + narrow, len - narrow, err);
	return ret;
}

static int put_whole(struct vfm_trial *t, const struct vfm_v1_map *map, uint64_t offset,
		     const uint8_t *data, size_t len, struct vfm_err *err)
{
	(void)map;
	return vfm_v1_write(t, offset, data, len, err);
}

static int give(struct vfm_trial *t, const struct way *way, const uint8_t *data, size_t len,
		struct vfm_err *err)
{
	uint64_t offset;
	int ret = vfm_v1_get(t, VFM_V1_DATA_OFFSET, &offset, err);

	if (!ret)
		ret = way->put(t, way->map, offset, data, len, err);
	return ret ? ret : vfm_v1_put(t, VFM_V1_DATA_SIZE, len, err);
}

static int resume_by(struct vfm_trial *t, const struct way *way, const struct vfm_v1_image *image,
		     struct vfm_err *err)
{
	size_t at = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < image->nr_chunks; i++) {
		size_t end = at + image->chunks[i], n;

		for (size_t part = way->parts; !ret && at < end; part--, at += n) {
			n = (end - at) / VFM_MAX(part, (size_t)1);
			n = n ? n : end - at;
			ret = give(t, way, image->data + at, n, err);
		}
	}
	return ret ? ret : vfm_v1_set_state(t, VFM_V1_STATE_RUNNING, err);
}

/* What is loaded in the usual way and by that other one must be the same device. */
static int load_both_ways(struct vfm_trial *t, const void *user, struct vfm_v1_pair *pair)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	const struct way *way = user;
	struct vfm_err err;
	int ret = vfm_trial_v1_save(t, &image);

	pair->how = way->how;
	if (!ret)
		ret = vfm_trial_v1_load(t, &image);
	if (!ret)
		ret = vfm_trial_v1_save(t, &pair->first);
	if (!ret)
		ret = vfm_trial_v1_resuming(t);
	if (ret)
		return ret;
	if (!resume_by(t, way, &image, &err))
		return vfm_trial_v1_save(t, &pair->second);
	pair->nothing = true;
	return way->may_refuse ? 0
			       : vfm_trial_fail(t,
						"an image of %zu bytes is taken when it is written "
						"whole, and refused when it was %s: %s",
						image.size, way->how, err.msg);
}

static int mapped(struct vfm_trial *t)
{
	vfm_auto_map struct vfm_v1_map map = { .region.fd = -1 };
	const struct way way = { "loaded through the mapping", put_mapped, 1, false, &map };
	int ret = vfm_trial_v1_map(t, &map);

	return ret ? ret : vfm_trial_v1_equal(t, load_both_ways, &way);
}

static int in_any_width(struct vfm_trial *t)
{
	static const struct way way = { "loaded by writes of 8, 4, 2 and 1 bytes", put_narrow, 1,
					false, NULL };

	return vfm_trial_v1_equal(t, load_both_ways, &way);
}

static int cut(struct vfm_trial *t)
{
	static const struct way way = { "loaded with each chunk cut into three", put_whole, 3, true,
					NULL };

	return vfm_trial_v1_equal(t, load_both_ways, &way);
}

const struct vfm_rule vfm_rules_v1_resume[] = {
	{
		.is = { .name = "v1.resume.accepts",
			.title = "an image that was saved is taken",
			.source = VFM_V1_CITE_RESUMING
			"data_offset, data, data_size for each transaction of the "
			"source, then RUNNING",
			.text = "In the order and in the sizes in which it was read. The device is "
				"reset before, takes all transactions and the write of 1, and runs "
				"then. A mapped section is written by writes of the region, "
				"too.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = accepts,
	},
	{
		.is = { .name = "v1.resume.round-trip",
			.title = "what is saved, loaded and saved is the same",
			.source = VFM_V1_CITE_RESUMING
			"c. the driver applies the data to the state of the device",
			.text = "A device that changes by itself while it runs is not judged. For "
				"others a difference comes from the load.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = round_trip,
	},
	{
		.is = { .name = "v1.resume.applied",
			.title = "a load brings back a state that is not that of a reset",
			.source = VFM_V1_CITE_RESUMING
			"c. the driver applies the data to the state of the device",
			.text = "The state of the device is changed, it is saved, reset, loaded, "
				"and saved again. A device that checks an image and then forgets "
				"it comes through all other rules.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET | VFM_NEED_CHANGE,
		.run = applied,
	},
	{
		.is = { .name = "v1.resume.data-offset",
			.title = "in RESUMING data_offset leads to the data section",
			.source = VFM_V1_CITE_RESUMING
			"a. data_offset is where the user writes data; " VFM_V1_CITE_LAYOUT
			"it is never 0, and page aligned if mapped",
			.text = "Users write there without a look at the number: 0 would be "
				"device_state.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = data_offset,
	},
	{
		.is = { .name = "v1.resume.mapped",
			.title = "an image can be loaded through the mapping",
			.source = VFM_V1_CITE_LAYOUT
			"the data section can be trapped, mapped or partitioned",
			.text = "Each part of a transaction that lies in an area is put into the "
				"mapping, the rest is written; data_size says that it is there. "
				"The device must be the same as after a load by writes alone.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = mapped,
	},
	{
		.is = { .name = "v1.resume.in-any-width",
			.title = "the data can be written in pieces of 8, 4, 2 and 1 bytes",
			.source = VFM_V1_CITE_QEMU
			"writes a section that is not mapped in such units",
			.text = "The native width is demanded of registers alone. The start of "
				"each transaction is written in small pieces, the rest at once.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = in_any_width,
	},
	{
		.is = { .name = "v1.resume.cut",
			.title = "transactions of another size are refused, or do no harm",
			.source = "the thread, last paragraph: data should be of the same "
				  "transaction size as at the source",
			.text = "Each chunk is written as three. Users in the field do that when a "
				"chunk does not fit their destination. To refuse it is right; to "
				"take it and be another device than after a load with the sizes "
				"of the source is not.\n",
			.severity = VFM_SEVERITY_NOTE },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = cut,
	},
};
const size_t vfm_nr_rules_v1_resume = VFM_ARRAY_SIZE(vfm_rules_v1_resume);
