// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The data session of a device of the kernel: the three ends of reading, however drivers say
 * them; waiting that ends; writes that are refused; what is left in pre-copy.
 */

#include "fake.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/util.h"

static struct vfm_device *open_to(enum vfm_state state)
{
	struct vfm_device *dev;
	struct vfm_err err = { .msg = "" };

	fake_begin();
	dev = fake_open(FAKE_PCI ",timeout=2");
	if (vfm_device_set_state(dev, state, &err))
		fail_msg("%s", err.msg);
	return dev;
}

static void give(const ssize_t *gives, unsigned int nr)
{
	fake.gives = gives;
	fake.nr_gives = nr;
	fake.given = 0;
}

static ssize_t read_data(struct vfm_device *dev, struct vfm_err *err)
{
	uint8_t buf[64];

	return vfm_device_read_data(dev, buf, sizeof(buf), err);
}

/* What a driver gives, in which state, and what is made of it. */
static void ends_of_reading(void **state)
{
	static const struct {
		enum vfm_state in;
		ssize_t gives;
		ssize_t result;
	} rows[] = {
		{ VFM_STATE_PRE_COPY, 10, 10 },
		{ VFM_STATE_PRE_COPY, 64, 64 },
		{ VFM_STATE_PRE_COPY, 0, -ENOMSG }, /* some drivers */
		{ VFM_STATE_PRE_COPY, -ENOMSG, -ENOMSG },
		{ VFM_STATE_PRE_COPY_P2P, 0, -ENOMSG },
		{ VFM_STATE_PRE_COPY_P2P, -ENOMSG, -ENOMSG },
		{ VFM_STATE_STOP_COPY, 1, 1 },
		{ VFM_STATE_STOP_COPY, 0, 0 },
		{ VFM_STATE_STOP_COPY, -ENOMSG, -EPROTO }, /* would be a silent truncation */
		{ VFM_STATE_STOP_COPY, -ENODEV, -EINVAL },
		{ VFM_STATE_STOP_COPY, -EIO, -EIO },
		{ VFM_STATE_STOP_COPY, -EFAULT, -EFAULT },
		{ VFM_STATE_STOP_COPY, -ENOMEM, -ENOMEM },
		{ VFM_STATE_PRE_COPY, -EIO, -EIO },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = open_to(rows[i].in);
		struct vfm_err err = { .code = 0 };

		give(&rows[i].gives, 1);
		assert_int_equal(read_data(dev, &err), rows[i].result);
		/* neither end is an error */
		assert_int_equal(err.code != 0, rows[i].result < 0 && rows[i].result != -ENOMSG);
		fake_end(dev);
	}
}

static void finished_is_for_ever(void **state)
{
	static const ssize_t gives[] = { 5, 0, 7 };
	struct vfm_device *dev = open_to(VFM_STATE_STOP_COPY);

	(void)state;
	give(gives, 3);
	assert_int_equal(read_data(dev, NULL), 5);
	assert_int_equal(read_data(dev, NULL), 0);
	assert_int_equal(read_data(dev, NULL), 0); /* whatever the driver has thought of since */
	assert_int_equal(fake.given, 2);
	fake_end(dev);
}

/* Nothing in PRE_COPY is not the end of STOP_COPY: the session goes on. */
static void nothing_now_and_then_more(void **state)
{
	static const ssize_t gives[] = { 0, -ENOMSG, 0, 9, 0 };
	struct vfm_device *dev = open_to(VFM_STATE_PRE_COPY);

	(void)state;
	give(gives, 5);
	assert_int_equal(read_data(dev, NULL), -ENOMSG);
	assert_int_equal(read_data(dev, NULL), -ENOMSG);
	assert_int_equal(read_data(dev, NULL), -ENOMSG);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_int_equal(read_data(dev, NULL), 9);
	assert_int_equal(read_data(dev, NULL), 0);
	fake_end(dev);
}

/* ---- waiting -------------------------------------------------------------------- */

static void waits_for_a_driver_that_is_not_ready(void **state)
{
	static const ssize_t gives[] = { -EAGAIN, 4, -EAGAIN, -EAGAIN, 5 };
	struct vfm_device *dev = open_to(VFM_STATE_STOP_COPY);

	(void)state;
	give(gives, 5);
	fake.poll_gives = POLLIN;
	assert_int_equal(read_data(dev, NULL), 4);
	assert_int_equal(fake.polls, 1);
	assert_int_equal(fake.pauses, 0); /* nothing is lost on a driver that tells the truth */
	assert_int_equal(read_data(dev, NULL), 5);
	assert_int_equal(fake.polls, 3);
	assert_int_equal(fake.pauses, 1);
	fake_end(dev);
}

static void never_ready(void **state)
{
	static const ssize_t again[] = { -EAGAIN };
	struct vfm_device *dev = open_to(VFM_STATE_STOP_COPY);
	struct vfm_err err;

	(void)state;
	give(again, 1);
	assert_int_equal(read_data(dev, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "not ready within 2 s"));
	assert_int_equal(fake.polls, 1);
	fake_end(dev);

	dev = open_to(VFM_STATE_RESUMING);
	give(again, 1);
	assert_int_equal(vfm_device_write_data(dev, "x", 1, &err), -ETIMEDOUT);
	fake_end(dev);
}

/* A driver without a poll of its own is "ready" at any time: asked, but not in a circle. */
static void always_ready_and_never_has_any(void **state)
{
	static const ssize_t again[] = { -EAGAIN };
	struct vfm_device *dev = open_to(VFM_STATE_STOP_COPY);

	(void)state;
	give(again, 1);
	fake.poll_gives = POLLIN | POLLOUT;
	assert_int_equal(read_data(dev, NULL), -ETIMEDOUT);
	assert_true(fake.pauses > 5);
	assert_true(fake.given < 60); /* of 2 s */
	fake_end(dev);
}

static void a_descriptor_that_stays_blocking(void **state)
{
	static const ssize_t gives[] = { 3 };
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	dev = fake_open(FAKE_PCI);
	fake_fail("nonblock", -EINVAL, 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_false(fake.nonblock);
	give(gives, 1);
	assert_int_equal(read_data(dev, NULL), 3);
	fake_end(dev);
}

/* ---- writing -------------------------------------------------------------------- */

static void writes_all_of_it(void **state)
{
	static const ssize_t gives[] = { 3, -EAGAIN, 1, 100 };
	struct vfm_device *dev = open_to(VFM_STATE_RESUMING);

	(void)state;
	give(gives, 4);
	fake.poll_gives = POLLOUT;
	assert_int_equal(vfm_device_write_data(dev, "0123456789", 10, NULL), 0);
	assert_int_equal(fake.given, 4);
	fake_forget();
	assert_int_equal(vfm_device_write_data(dev, "", 0, NULL), 0);
	fake_expect("");
	fake_end(dev);
}

static void writes_that_fail(void **state)
{
	static const struct {
		ssize_t gives;
		int result;
		const char *text;
	} rows[] = {
		{ -EFAULT, -EBADMSG, "refuses it (Bad address) after 0 of 4 bytes" },
		{ -EINVAL, -EBADMSG, "damaged, or of another device or version" },
		{ -EOPNOTSUPP, -EBADMSG, "" },
		{ -EBADMSG, -EBADMSG, "" },
		{ -ENOMEM, -ENOMEM, "0 of 4 bytes done" },
		{ -ENOSPC, -ENOSPC, "" },
		{ -EIO, -EIO, "" },
		{ -ENODEV, -EINVAL, "has ended the session, it is in RESUMING" },
		{ 0, -EIO, "took none of 4 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = open_to(VFM_STATE_RESUMING);
		struct vfm_err err = { .msg = "" };

		give(&rows[i].gives, 1);
		assert_int_equal(vfm_device_write_data(dev, "data", 4, &err), rows[i].result);
		if (!strstr(err.msg, rows[i].text))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].text, err.msg);
		fake_end(dev);
	}
}

/* Drivers are known that run with the part of an image that they took before they refused. */
static void a_torn_image_never_runs(void **state)
{
	static const ssize_t refused[] = { -EFAULT }, taken[] = { 64 };
	struct vfm_device *dev = open_to(VFM_STATE_RESUMING);
	struct vfm_err err;

	(void)state;
	give(refused, 1);
	assert_int_equal(vfm_device_write_data(dev, "data", 4, NULL), -EBADMSG);
	give(taken, 1);
	fake_forget();
	assert_int_equal(vfm_device_write_data(dev, "data", 4, NULL), -EBADMSG);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), -EBADMSG);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "must be reset"));
	assert_null(strstr(fake.log, "set-state"));
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	/* and that was all: the next one is new */
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(vfm_device_write_data(dev, "data", 4, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
	fake_end(dev);
}

/* ---- without a session -------------------------------------------------------------- */

static void no_session(void **state)
{
	static const enum vfm_state states[] = { VFM_STATE_RUNNING, VFM_STATE_STOP,
						 VFM_STATE_RUNNING_P2P };
	struct vfm_precopy_info info;
	struct vfm_err err;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(states); i++) {
		struct vfm_device *dev = open_to(states[i]);

		assert_int_equal(read_data(dev, &err), -EINVAL);
		assert_non_null(strstr(err.msg, vfm_state_name(states[i])));
		assert_int_equal(vfm_device_write_data(dev, "x", 1, NULL), -EINVAL);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -EINVAL);
		fake_end(dev);
	}
}

static void the_wrong_session(void **state)
{
	struct vfm_device *dev = open_to(VFM_STATE_RESUMING);
	struct vfm_precopy_info info;

	(void)state;
	assert_int_equal(read_data(dev, NULL), -EINVAL);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -EINVAL);
	fake_end(dev);
	dev = open_to(VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_write_data(dev, "x", 1, NULL), -EINVAL);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -EINVAL);
	fake_end(dev);
}

/* It is somebody else's, from before we came. */
static void a_session_that_was_there_before(void **state)
{
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	fake_begin();
	fake.state = VFM_STATE_STOP_COPY;
	dev = fake_open(FAKE_PCI);
	assert_int_equal(read_data(dev, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "no data session of ours, in state STOP_COPY"));
	fake_end(dev);
}

/* The device went, or was reset behind our back. */
static void sessions_that_die(void **state)
{
	static const ssize_t gone[] = { -ENODEV };
	struct vfm_device *dev = open_to(VFM_STATE_PRE_COPY);
	struct vfm_precopy_info info;
	struct vfm_err err;

	(void)state;
	give(gone, 1);
	fake.state = VFM_STATE_RUNNING;
	assert_int_equal(read_data(dev, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "it is in RUNNING"));
	fake_end(dev);

	dev = open_to(VFM_STATE_PRE_COPY);
	give(gone, 1);
	fake_fail("get-state", -ENODEV, 0);
	assert_int_equal(read_data(dev, &err), -ENOTCONN);
	fake_end(dev);

	dev = open_to(VFM_STATE_PRE_COPY);
	fake_fail("precopy-info", -ENODEV, 0);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -EINVAL);
	fake_end(dev);
}

/* ---- what is left ---------------------------------------------------------------- */

static void precopy_info(void **state)
{
	static const struct {
		bool opted;
		uint32_t flags;
		bool reinit;
	} rows[] = {
		{ true, VFM_PRECOPY_INFO_REINIT, true },
		{ true, 0, false },
		{ true, 0xfffffffe, false },
		{ false, 0xffffffff, false }, /* noise, without the opt-in */
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_precopy_info info;
		struct vfm_device *dev;

		fake_begin();
		fake.knows_reinit = rows[i].opted;
		fake.initial = 24;
		fake.dirty = UINT64_MAX;
		fake.info_flags = rows[i].flags;
		dev = fake_open(FAKE_PCI);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
		assert_int_equal(info.initial_bytes, 24);
		assert_true(info.dirty_bytes == UINT64_MAX);
		assert_int_equal(info.reinit, rows[i].reinit);
		fake_fail("precopy-info", -ENOTTY, 0);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -ENOTTY);
		fake_fail("precopy-info", -EINVAL, 0);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -EINVAL);
		fake_end(dev);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_of_reading),
		cmocka_unit_test(finished_is_for_ever),
		cmocka_unit_test(nothing_now_and_then_more),
		cmocka_unit_test(waits_for_a_driver_that_is_not_ready),
		cmocka_unit_test(never_ready),
		cmocka_unit_test(always_ready_and_never_has_any),
		cmocka_unit_test(a_descriptor_that_stays_blocking),
		cmocka_unit_test(writes_all_of_it),
		cmocka_unit_test(writes_that_fail),
		cmocka_unit_test(a_torn_image_never_runs),
		cmocka_unit_test(no_session),
		cmocka_unit_test(the_wrong_session),
		cmocka_unit_test(a_session_that_was_there_before),
		cmocka_unit_test(sessions_that_die),
		cmocka_unit_test(precopy_info),
	};

	return RUN_TESTS(tests);
}
