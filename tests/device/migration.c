// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The framework's state machine and data sessions: every path with every arc
 * failing once, what is legal in which state, the ends of the stream, accounting,
 * and images that are cut, damaged, foreign or segmented in any way.
 */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/vfmig.h>

#include "protocol/v2.h"
#include "toy.h"

static struct vfm_device *open_toy_with(uint64_t migration)
{
	static struct vfm_driver driver;
	struct vfm_device *dev;
	struct vfm_err err;

	driver = toy_driver;
	driver.migration = migration;
	assert_int_equal(vfm_device_from_driver(&dev, &driver, NULL, &err), 0);
	return dev;
}

static struct vfm_device *open_toy(void)
{
	return open_toy_with(toy_driver.migration);
}

static enum vfm_state state_of(struct vfm_device *dev)
{
	enum vfm_state state;

	assert_int_equal(vfm_device_get_state(dev, &state, NULL), 0);
	return state;
}

/* Read until the end of what there is, in pieces of @piece; returns the length. */
static size_t read_all(struct vfm_device *dev, uint8_t *image, size_t room, size_t piece,
		       ssize_t *end)
{
	size_t got = 0;
	ssize_t n;

	for (;;) {
		size_t want = piece < room - got ? piece : room - got;

		n = vfm_device_read_data(dev, image + got, want, NULL);
		if (n <= 0)
			break;
		got += (size_t)n;
		assert_true(got < room);
	}
	if (end)
		*end = n;
	return got;
}

static size_t save_image(uint8_t *image, size_t room, size_t piece)
{
	struct vfm_device *dev = open_toy();
	ssize_t end;
	size_t len;

	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	len = read_all(dev, image, room, piece, &end);
	assert_int_equal(end, 0);
	assert_int_equal(vfm_device_read_data(dev, image + len, 1, NULL), 0);
	vfm_device_close(dev);
	return len;
}

static int write_all(struct vfm_device *dev, const uint8_t *image, size_t len, size_t piece,
		     struct vfm_err *err)
{
	for (size_t at = 0; at < len; at += piece) {
		size_t n = piece < len - at ? piece : len - at;
		int ret = vfm_device_write_data(dev, image + at, n, err);

		if (ret)
			return ret;
	}
	return 0;
}

/* Every pair of states in every feature set, and every arc of the path failing in turn. */
static void walk_with_failures(uint64_t migration, enum vfm_state from, enum vfm_state to,
			       int failure)
{
	struct vfm_device *dev = open_toy_with(migration);
	struct toy *toy = toy_last;
	enum vfm_state next = from;
	struct vfm_err err;
	int possible;

	toy->loaded = 0xff;
	assert_int_equal(vfm_device_set_state(dev, from, NULL), 0);
	possible = vfm_next_state(migration, from, to, &next);
	toy->fail_arc = failure;
	if (possible) {
		assert_int_equal(vfm_device_set_state(dev, to, &err), -EINVAL);
		assert_int_equal(state_of(dev), from);
	} else if (from == to) {
		assert_int_equal(vfm_device_set_state(dev, to, &err), 0);
	} else if (from == VFM_STATE_RESUMING) {
		/* The empty image is refused before the driver is asked. */
		assert_int_equal(vfm_device_set_state(dev, to, &err), -EBADMSG);
		assert_int_equal(state_of(dev), from);
	} else {
		assert_int_equal(vfm_device_set_state(dev, to, &err), failure);
		assert_int_equal(state_of(dev), failure == -EIO ? VFM_STATE_ERROR : from);
		assert_non_null(strstr(err.msg, vfm_state_name(to)));
		toy->fail_arc = 0;
		if (failure == -EIO) {
			assert_int_equal(vfm_device_set_state(dev, to, &err), -EIO);
			assert_int_equal(vfm_device_reset(dev, NULL), 0);
			assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
		} else {
			assert_int_equal(vfm_device_set_state(dev, to, NULL), 0);
			assert_int_equal(state_of(dev), to);
		}
	}
	vfm_device_close(dev);
}

static void every_path_and_failure(void **unused)
{
	static const uint64_t sets[] = { 1, 3, 5, 7 };

	(void)unused;
	for (size_t i = 0; i < 4; i++)
		for (int from = 1; from < VFM_NR_STATES; from++)
			for (int to = 0; to <= VFM_NR_STATES + 1; to++)
				if (vfm_state_exists(sets[i], (enum vfm_state)from)) {
					walk_with_failures(sets[i], (enum vfm_state)from,
							   (enum vfm_state)to, -EBUSY);
					walk_with_failures(sets[i], (enum vfm_state)from,
							   (enum vfm_state)to, -EIO);
				}
}

/* PRE_COPY->RESUMING takes four arcs; each of them fails once, the rest are not walked. */
static void failure_inside_a_path_keeps_the_last_completed_step(void **unused)
{
	static const enum vfm_state steps[] = { VFM_STATE_PRE_COPY, VFM_STATE_RUNNING,
						VFM_STATE_RUNNING_P2P, VFM_STATE_STOP,
						VFM_STATE_RESUMING };
	struct vfm_err err;

	(void)unused;
	for (unsigned int good = 0; good < 4; good++) {
		struct vfm_device *dev = open_toy();
		char arc[64];

		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
		toy_last->fail_arc = -EBUSY;
		toy_last->good_arcs = good;
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, &err), -EBUSY);
		assert_int_equal(state_of(dev), steps[good]);
		snprintf(arc, sizeof(arc), "arc %s->%s", vfm_state_name(steps[good]),
			 vfm_state_name(steps[good + 1]));
		assert_non_null(strstr(err.msg, arc));
		toy_last->fail_arc = 0;
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
		vfm_device_close(dev);
	}
}

static void data_calls_are_legal_in_their_states_only(void **unused)
{
	static const enum vfm_state states[] = { VFM_STATE_STOP,	VFM_STATE_RUNNING,
						 VFM_STATE_STOP_COPY,	VFM_STATE_RESUMING,
						 VFM_STATE_RUNNING_P2P, VFM_STATE_PRE_COPY,
						 VFM_STATE_PRE_COPY_P2P };
	struct vfm_precopy_info info;
	uint64_t size;
	uint8_t buf[64];

	(void)unused;
	for (size_t i = 0; i < 7; i++) {
		struct vfm_device *dev = open_toy();
		bool saving = vfm_state_is_saving(states[i]);
		bool loading = states[i] == VFM_STATE_RESUMING;
		struct vfm_err err;

		assert_int_equal(vfm_device_set_state(dev, states[i], NULL), 0);
		assert_int_equal(vfm_device_read_data(dev, buf, 64, &err), saving ? 64 : -EINVAL);
		if (!saving)
			assert_non_null(strstr(err.msg, vfm_state_name(states[i])));
		assert_int_equal(vfm_device_write_data(dev, buf, 0, NULL), loading ? 0 : -EINVAL);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL),
				 vfm_state_is_precopy(states[i]) ? 0 : -EINVAL);
		assert_int_equal(vfm_device_get_data_size(dev, &size, NULL), 0);
		assert_true(size > 0);
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
		assert_int_equal(vfm_device_read_data(dev, buf, 64, NULL), -EINVAL);
		vfm_device_close(dev);
	}
}

static void image_does_not_depend_on_read_sizes(void **unused)
{
	static const size_t pieces[] = { 1, 2, 7, 23, 24, 25, 280, 281, 282, 600, 616, 617, 4000 };
	uint8_t first[8192], other[8192];
	size_t len = save_image(first, sizeof(first), 8000);

	(void)unused;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		assert_int_equal(save_image(other, sizeof(other), pieces[i]), len);
		assert_memory_equal(first, other, len);
	}
}

static void image_loads_in_any_segmentation(void **unused)
{
	static const size_t pieces[] = { 1, 2, 7, 23, 24, 25, 280, 281, 282, 600, 616, 617, 4000 };
	uint8_t image[8192], state[TOY_PAGES * TOY_PAGE];
	size_t len = save_image(image, sizeof(image), 8000);

	(void)unused;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct vfm_device *dev = open_toy();

		memcpy(state, toy_last->state, sizeof(state));
		memset(toy_last->state, 0, sizeof(state));
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
		assert_int_equal(write_all(dev, image, len, pieces[i], NULL), 0);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
		assert_memory_equal(state, toy_last->state, sizeof(state));
		vfm_device_close(dev);
	}
}

static void refused_on_the_way_to(struct vfm_device *dev, const uint8_t *image, size_t len)
{
	struct vfm_err err = { .code = 0 };
	int ret = vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL);

	assert_int_equal(ret, 0);
	ret = write_all(dev, image, len, 100, &err);
	if (ret)
		assert_int_not_equal(vfm_device_write_data(dev, "x", 1, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EBADMSG);
	assert_int_equal(state_of(dev), VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
}

static void truncated_image_is_noticed_at_every_byte(void **unused)
{
	uint8_t image[8192];
	size_t len = save_image(image, sizeof(image), 8000);
	struct vfm_device *dev = open_toy();

	(void)unused;
	for (size_t cut = 0; cut < len; cut++)
		refused_on_the_way_to(dev, image, cut);
	refused_on_the_way_to(dev, image, len + 1);
	vfm_device_close(dev);
}

static void flipped_bit_is_noticed_everywhere(void **unused)
{
	uint8_t image[8192];
	size_t len = save_image(image, sizeof(image), 8000);
	struct vfm_device *dev = open_toy();

	(void)unused;
	for (size_t bit = 0; bit < len * 8; bit += bit < 8000 ? 1 : 37) {
		image[bit / 8] ^= (uint8_t)(1u << bit % 8);
		refused_on_the_way_to(dev, image, len);
		image[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	vfm_device_close(dev);
}

static void other_models_and_versions_are_refused_at_once(void **unused)
{
	static const struct {
		const char *model;
		uint32_t version, min_version;
		int result;
		const char *text;
	} rows[] = {
		{ "vfmig,toy", 3, 3, 0, "" },
		{ "vfmig,toy", 9, 1, 0, "" },
		{ "vfmig,toy", 2, 1, -ENOTUNIQ, "version 3, the device reads 1 to 2" },
		{ "vfmig,toy", 5, 4, -ENOTUNIQ, "version 3, the device reads 4 to 5" },
		{ "vfmig,other", 3, 3, -ENOTUNIQ, "model vfmig,toy, the device is vfmig,other" },
	};
	uint8_t image[8192];
	size_t len = save_image(image, sizeof(image), 8000);

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vfm_driver driver = toy_driver;
		struct vfm_err err = { .msg = "" };
		struct vfm_device *dev;

		driver.model = rows[i].model;
		driver.version = rows[i].version;
		driver.min_version = rows[i].min_version;
		assert_int_equal(vfm_device_from_driver(&dev, &driver, NULL, NULL), 0);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
		/* The first record is enough to know. */
		assert_int_equal(write_all(dev, image, rows[i].result ? 100 : len, 50, &err),
				 rows[i].result);
		assert_non_null(strstr(err.msg, rows[i].text));
		vfm_device_close(dev);
	}
}

static int accept_eight_pages(void *priv, const struct vfm_compat *theirs, struct vfm_err *err)
{
	(void)priv;
	if (!strcmp(theirs->params, "pages=8"))
		return 0;
	return vfm_fail(err, -ENOTUNIQ, "cannot read %s", theirs->params);
}

static int describe_otherwise(void *priv, struct vfm_description *desc, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	strcpy(desc->params, "pages=9");
	return 0;
}

/* Params that differ are refused, unless the driver wants to look at them itself. */
static void a_driver_may_judge_params(void **unused)
{
	uint8_t image[8192];
	size_t len = save_image(image, sizeof(image), 8000);

	(void)unused;
	for (int judges = 0; judges < 2; judges++) {
		struct vfm_driver driver = toy_driver;
		struct vfm_compat compat;
		struct vfm_device *dev;
		struct vfm_err err;

		driver.describe = describe_otherwise;
		driver.compatible = judges ? accept_eight_pages : NULL;
		assert_int_equal(vfm_device_from_driver(&dev, &driver, NULL, NULL), 0);
		assert_int_equal(vfm_device_get_compat(dev, &compat, NULL), 0);
		assert_int_equal(compat.judges_params, judges);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
		assert_int_equal(write_all(dev, image, len, 50, &err), judges ? 0 : -ENOTUNIQ);
		if (!judges)
			assert_non_null(
				strstr(err.msg, "parameters pages=8, the device has pages=9"));
		vfm_device_close(dev);
	}
}

static void precopy_accounts_and_ends(void **unused)
{
	struct vfm_device *dev = open_toy();
	struct vfm_precopy_info info;
	uint64_t initial;
	uint8_t image[8192];
	size_t got;
	ssize_t end;

	(void)unused;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
	initial = info.initial_bytes;
	assert_int_equal(info.dirty_bytes, 0);
	/* Byte by byte, initial bytes are exactly what is left to read. */
	for (got = 0; vfm_device_read_data(dev, image + got, 1, NULL) == 1; got++) {
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
		assert_int_equal(info.initial_bytes, initial - got - 1);
	}
	assert_int_equal(got, initial);
	assert_int_equal(vfm_device_read_data(dev, image, 1, NULL), -ENOMSG);
	/* What changes after that is dirty, not initial. */
	toy_last->dirty = 3;
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
	assert_int_equal(info.initial_bytes, 0);
	assert_true(info.dirty_bytes > 2 * TOY_PAGE);
	assert_int_equal(vfm_device_read_data(dev, image + got, 10, NULL), 10);
	got += 10;
	/* The session lives on into STOP_COPY, and a record half read is not lost. */
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	got += read_all(dev, image + got, sizeof(image) - got, 33, &end);
	assert_int_equal(end, 0);
	vfm_device_close(dev);

	dev = open_toy();
	memset(toy_last->state, 0xee, sizeof(toy_last->state));
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(write_all(dev, image, got, 777, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
	assert_int_equal(toy_last->state[TOY_PAGES - 1][5], TOY_PAGES);
	vfm_device_close(dev);
}

static void failed_driver_is_heard(void **unused)
{
	uint8_t image[8192];
	size_t len = save_image(image, sizeof(image), 8000);
	struct vfm_device *dev = open_toy();
	struct vfm_err err;

	(void)unused;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_true(vfm_device_read_data(dev, image + 4096, 100, NULL) == 100);
	toy_last->fail_save = -ENXIO;
	assert_true(vfm_device_read_data(dev, image + 4096, 4000, NULL) > 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vfm_device_read_data(dev, image + 4096, 4000, &err), -ENXIO);
		assert_non_null(strstr(err.msg, "told to fail the save"));
	}
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	toy_last->fail_load = -ENOSPC;
	assert_int_equal(write_all(dev, image, len, 500, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "told to fail the load"));
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "told to fail the load"));
	toy_last->fail_reset = -ETIME;
	assert_int_equal(vfm_device_reset(dev, &err), -ETIME);
	assert_int_equal(state_of(dev), VFM_STATE_ERROR);
	toy_last->fail_reset = 0;
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_path_and_failure),
		cmocka_unit_test(failure_inside_a_path_keeps_the_last_completed_step),
		cmocka_unit_test(data_calls_are_legal_in_their_states_only),
		cmocka_unit_test(image_does_not_depend_on_read_sizes),
		cmocka_unit_test(image_loads_in_any_segmentation),
		cmocka_unit_test(truncated_image_is_noticed_at_every_byte),
		cmocka_unit_test(flipped_bit_is_noticed_everywhere),
		cmocka_unit_test(other_models_and_versions_are_refused_at_once),
		cmocka_unit_test(a_driver_may_judge_params),
		cmocka_unit_test(precopy_accounts_and_ends),
		cmocka_unit_test(failed_driver_is_heard),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
