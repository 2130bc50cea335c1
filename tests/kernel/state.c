// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Features and states of a device of the kernel: what is sent, what becomes of each code, and
 * what is believed of a driver that breaks the rules.
 */

#include "fake.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/* Found where it has no session, and then in @state, as if we had been there. */
static struct vfm_device *open_in(enum vfm_state state)
{
	struct vfm_device *dev;
	enum vfm_state now;
	uint64_t migration;

	fake_begin();
	dev = fake_open(FAKE_PCI);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), 0);
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	fake.state = state;
	fake_forget();
	return dev;
}

static void go(struct vfm_device *dev, enum vfm_state state)
{
	struct vfm_err err = { .msg = "" };

	if (vfm_device_set_state(dev, state, &err))
		fail_msg("%s", err.msg);
}

static void features(void **state)
{
	static const struct {
		uint64_t flags;
		int code;
		int result;
		uint64_t told;
	} rows[] = {
		{ 1, 0, 0, 1 },
		{ 3, 0, 0, 3 },
		{ 5, 0, 0, 5 },
		{ 7, 0, 0, 7 },
		{ 0xfffffffffffffff7, 0, 0, 7 },
		{ 0, 0, -ENOTTY, 0 },
		{ 2, 0, -EPROTO, 0 },
		{ 6, 0, -EPROTO, 0 },
		{ 7, -ENOTTY, -ENOTTY, 0 },
		{ 7, -EINVAL, -ENOTTY, 0 }, /* of drivers that answer for old kernels */
		{ 7, -EOPNOTSUPP, -ENOTTY, 0 },
		{ 7, -ENODEV, -ENOTCONN, 0 },
		{ 7, -EFAULT, -EFAULT, 0 },
		{ 7, -EIO, -EIO, 0 },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev;
		uint64_t migration = 0;

		fake_begin();
		fake.migration = rows[i].flags;
		dev = fake_open(FAKE_PCI);
		if (rows[i].code)
			fake_fail("migration", rows[i].code, 0);
		assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), rows[i].result);
		assert_true(migration == rows[i].told);
		fake_end(dev);
	}
}

/* Once: it costs a call for each state otherwise. An error is no answer. */
static void features_are_asked_once(void **state)
{
	struct vfm_device *dev;
	uint64_t migration;

	(void)state;
	fake_begin();
	dev = fake_open(FAKE_PCI);
	fake_forget();
	fake_fail("migration", -EIO, 1);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), -EIO);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), 0);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), 0);
	fake_expect("migration migration reinit");
	fake_end(dev);
}

static void told_of_new_data(void **state)
{
	static const struct {
		bool precopy, knows, opted;
	} rows[] = { { true, true, true }, { true, false, false }, { false, true, false } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev;
		uint64_t migration;

		fake_begin();
		fake.migration = rows[i].precopy ? 7 : 3;
		fake.knows_reinit = rows[i].knows;
		dev = fake_open(FAKE_PCI);
		assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), 0);
		assert_int_equal(fake.opted_in, rows[i].opted);
		fake_end(dev);
	}
}

static void states_are_asked_for(void **state)
{
	static const struct {
		uint32_t state;
		int code;
		int result;
	} rows[] = {
		{ VFM_STATE_ERROR, 0, 0 },
		{ VFM_STATE_PRE_COPY_P2P, 0, 0 },
		{ VFM_NR_STATES, 0, -EPROTO },
		{ UINT32_MAX, 0, -EPROTO },
		{ VFM_STATE_STOP, -ENODEV, -ENOTCONN },
		{ VFM_STATE_STOP, -EINVAL, -EINVAL },
		{ VFM_STATE_STOP, -EIO, -EIO },
		{ VFM_STATE_STOP, -ENOTTY, -ENOTTY },
	};
	struct vfm_device *dev = open_in(VFM_STATE_RUNNING);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		enum vfm_state now = VFM_STATE_RUNNING;

		fake.state = rows[i].state;
		if (rows[i].code)
			fake_fail("get-state", rows[i].code, 1);
		assert_int_equal(vfm_device_get_state(dev, &now, NULL), rows[i].result);
		assert_int_equal(now, rows[i].result ? VFM_STATE_RUNNING : rows[i].state);
	}
	fake_end(dev);
}

/* The session goes with the states; the one descriptor there is closed in time. */
static void sessions(void **state)
{
	static const struct {
		enum vfm_state to;
		const char *calls;
	} steps[] = {
		{ VFM_STATE_PRE_COPY, "get-state set-state:PRE_COPY nonblock" },
		{ VFM_STATE_PRE_COPY_P2P, "get-state set-state:PRE_COPY_P2P" },
		{ VFM_STATE_STOP_COPY, "get-state set-state:STOP_COPY" },
		{ VFM_STATE_STOP_COPY, "get-state set-state:STOP_COPY" },
		{ VFM_STATE_STOP, "get-state set-state:STOP close:data" },
		{ VFM_STATE_STOP_COPY, "get-state set-state:STOP_COPY nonblock" },
		{ VFM_STATE_RESUMING, "get-state set-state:RESUMING close:data nonblock" },
		{ VFM_STATE_STOP_COPY, "get-state set-state:STOP_COPY close:data nonblock" },
		{ VFM_STATE_RUNNING, "get-state set-state:RUNNING close:data" },
		{ VFM_STATE_RUNNING_P2P, "get-state set-state:RUNNING_P2P" },
		{ VFM_STATE_STOP, "get-state set-state:STOP" },
		{ VFM_STATE_RESUMING, "get-state set-state:RESUMING nonblock" },
	};
	struct vfm_device *dev = open_in(VFM_STATE_RUNNING);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(steps); i++) {
		go(dev, steps[i].to);
		fake_expect(steps[i].calls);
	}
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	fake_expect("reset close:data get-state");
	go(dev, VFM_STATE_PRE_COPY);
	fake_end(dev);
}

/* A request that has no path is the driver's to refuse; one that is no state is not sent. */
static void every_state_is_sent(void **state)
{
	struct vfm_device *dev = open_in(VFM_STATE_STOP_COPY);

	(void)state;
	fake_fail("set-state", -EINVAL, 0);
	fake.state_after_failure = VFM_STATE_STOP_COPY;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), -EINVAL);
	fake_expect("get-state set-state:PRE_COPY get-state");
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_ERROR, NULL), -EINVAL);
	fake_expect("get-state set-state:ERROR get-state");
	assert_int_equal(vfm_device_set_state(dev, (enum vfm_state)VFM_NR_STATES, NULL), -EINVAL);
	assert_int_equal(vfm_device_set_state(dev, (enum vfm_state) - 1, NULL), -EINVAL);
	fake_expect("");
	fake_end(dev);
}

/* Kernels take a request out of ERROR for a bug of their own. */
static void nothing_is_asked_of_a_device_in_error(void **state)
{
	struct vfm_device *dev = open_in(VFM_STATE_ERROR);
	struct vfm_err err;

	(void)state;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), -EIO);
	assert_non_null(strstr(err.msg, "must be reset"));
	fake_expect("get-state");
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	go(dev, VFM_STATE_STOP);
	fake_end(dev);
}

static void failures(void **state)
{
	static const struct {
		enum vfm_state from, to, after;
		int code;
		int result;
		const char *text;
	} rows[] = {
		{ VFM_STATE_RUNNING, VFM_STATE_STOP_COPY, VFM_STATE_RUNNING_P2P, -EIO, -EIO,
		  "from RUNNING to STOP_COPY, it is in RUNNING_P2P now: Input/output error" },
		{ VFM_STATE_RUNNING, VFM_STATE_STOP_COPY, VFM_STATE_ERROR, -EIO, -EIO,
		  "it is in ERROR now" },
		{ VFM_STATE_RUNNING, VFM_STATE_STOP, VFM_STATE_RUNNING, -ENODEV, -ENOTCONN,
		  "the device is gone" },
		{ VFM_STATE_RUNNING, VFM_STATE_STOP, VFM_STATE_RUNNING, -ENOMSG, -EIO, "" },
		{ VFM_STATE_RUNNING, VFM_STATE_STOP, VFM_STATE_RUNNING, -ETIMEDOUT, -ETIMEDOUT,
		  "" },
		{ VFM_STATE_STOP, VFM_STATE_STOP_COPY, VFM_STATE_STOP_COPY, -EMFILE, -EMFILE,
		  "it is there, and has given no descriptor" },
		{ VFM_STATE_STOP, VFM_STATE_RESUMING, VFM_STATE_RESUMING, -EFAULT, -EFAULT,
		  "it is there, and has given no descriptor" },
		{ VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_RESUMING, -EINVAL, -EBADMSG,
		  "refuses the image (Invalid argument), and is in RESUMING" },
		{ VFM_STATE_RESUMING, VFM_STATE_RUNNING, VFM_STATE_RESUMING, -EFAULT, -EBADMSG,
		  "refuses the image" },
		{ VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_ERROR, -EINVAL, -EBADMSG,
		  "and is in ERROR" },
		{ VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_RESUMING, -EIO, -EIO, "" },
		{ VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_RESUMING, -ENOMEM, -ENOMEM, "" },
		/* it was proven, and failed behind that */
		{ VFM_STATE_RESUMING, VFM_STATE_RUNNING, VFM_STATE_STOP, -EINVAL, -EINVAL, "" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = open_in(rows[i].from);
		struct vfm_err err = { .msg = "" };
		enum vfm_state now;

		fake_fail("set-state", rows[i].code, 0);
		fake.state_after_failure = rows[i].after;
		assert_int_equal(vfm_device_set_state(dev, rows[i].to, &err), rows[i].result);
		if (!strstr(err.msg, rows[i].text))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].text, err.msg);
		assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
		assert_int_equal(now, rows[i].after);
		fake_end(dev);
	}
}

/* Where it stopped on the way says whether the session is still there. */
static void sessions_of_failed_requests(void **state)
{
	static const struct {
		enum vfm_state after;
		bool closed;
	} rows[] = {
		{ VFM_STATE_PRE_COPY, false },	 { VFM_STATE_PRE_COPY_P2P, false },
		{ VFM_STATE_STOP_COPY, false },	 { VFM_STATE_RUNNING, true },
		{ VFM_STATE_RUNNING_P2P, true }, { VFM_STATE_STOP, true },
		{ VFM_STATE_ERROR, true },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = open_in(VFM_STATE_RUNNING);

		go(dev, VFM_STATE_PRE_COPY);
		fake_forget();
		fake_fail("set-state", -EIO, 1);
		fake.state_after_failure = rows[i].after;
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), -EIO);
		fake_expect(rows[i].closed ? "get-state set-state:STOP_COPY get-state close:data"
					   : "get-state set-state:STOP_COPY get-state");
		fake_end(dev);
	}
}

/* If even that cannot be asked, nothing is said of it. */
static void state_unknown_after_a_failure(void **state)
{
	struct vfm_device *dev = open_in(VFM_STATE_RUNNING);
	struct vfm_err err;

	(void)state;
	fake.fail_at = fake.calls + 2;
	fake.fail_code = -EIO;
	fake.state_after_failure = 99;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EIO);
	assert_non_null(strstr(err.msg, "its state is unknown now"));
	fake_end(dev);
}

static void descriptors_against_the_rules(void **state)
{
	struct vfm_device *dev = open_in(VFM_STATE_RUNNING);
	struct vfm_err err;

	(void)state;
	fake.gives_fd = true;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "where none begins"));
	fake.gives_fd = false;
	go(dev, VFM_STATE_STOP_COPY);
	fake.gives_fd = true; /* a second one, for a session that goes on */
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), -EPROTO);
	fake.gives_fd = false;
	go(dev, VFM_STATE_STOP);
	fake.keeps_fd = true;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "gave no descriptor"));
	fake_end(dev);
}

static void data_sizes(void **state)
{
	static const struct {
		uint64_t size;
		int code;
		int result;
		uint64_t told;
	} rows[] = {
		{ 60, 0, 0, 60 },
		{ 0, 0, 0, 0 }, /* a driver that breaks the rule */
		{ UINT64_MAX, 0, 0, UINT64_MAX },
		{ 0, -ENOTTY, -ENOTTY, 0 },
		{ 0, -EINVAL, -ENOTTY, 0 },
		{ 0, -EIO, -EIO, 0 },
		{ 0, -ENODEV, -ENOTCONN, 0 },
	};
	struct vfm_device *dev = open_in(VFM_STATE_RUNNING);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		uint64_t told = rows[i].result ? 0 : 7;

		fake.data_size = rows[i].size;
		if (rows[i].code)
			fake_fail("data-size", rows[i].code, 1);
		assert_int_equal(vfm_device_get_data_size(dev, &told, NULL), rows[i].result);
		assert_true(told == rows[i].told);
	}
	fake_end(dev);
}

static void resets(void **state)
{
	struct vfm_device *dev = open_in(VFM_STATE_ERROR);
	struct vfm_err err;

	(void)state;
	fake_fail("reset", -EAGAIN, 3); /* somebody looks at it */
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(fake.pauses, 3);
	fake_fail("reset", -EAGAIN, 0); /* for ever */
	assert_int_equal(vfm_device_reset(dev, NULL), -EAGAIN);
	fake_fail("reset", -ENOTTY, 1);
	assert_int_equal(vfm_device_reset(dev, &err), -ENOTTY);
	assert_non_null(strstr(err.msg, "cannot be reset"));
	fake_fail("reset", -EINVAL, 1); /* it says that it can */
	assert_int_equal(vfm_device_reset(dev, NULL), -EINVAL);
	fake_fail("reset", -ENODEV, 1);
	assert_int_equal(vfm_device_reset(dev, NULL), -ENOTCONN);
	fake_end(dev);
}

/* It says that all is well, and kept what it had. */
static void resets_that_keep_the_state(void **state)
{
	static const enum vfm_state kept[] = { VFM_STATE_STOP_COPY, VFM_STATE_STOP,
					       VFM_STATE_RESUMING, VFM_STATE_ERROR };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(kept); i++) {
		struct vfm_device *dev = open_in(VFM_STATE_RUNNING);
		struct vfm_err err;

		go(dev, VFM_STATE_STOP);
		fake.keeps_state = true;
		fake.state = kept[i];
		assert_int_equal(vfm_device_reset(dev, &err), -EPROTO);
		assert_non_null(
			strstr(err.msg, "reset: the driver says that it is done, and is in"));
		fake_forget();
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL),
				 kept[i] == VFM_STATE_STOP ? 0 : -EIO);
		fake.keeps_state = false;
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		go(dev, VFM_STATE_STOP);
		fake_end(dev);
	}
}

/* A reset that fails has not ended anything that we know of. */
static void failed_resets_keep_the_session(void **state)
{
	struct vfm_device *dev = open_in(VFM_STATE_RUNNING);

	(void)state;
	go(dev, VFM_STATE_PRE_COPY);
	fake_forget();
	fake_fail("reset", -EIO, 1);
	assert_int_equal(vfm_device_reset(dev, NULL), -EIO);
	fake_expect("reset");
	fake_end(dev);
}

/* ---- other users ------------------------------------------------------------------ */

/* To leave it is to end it a second time, which has crashed kernels. */
static void a_session_of_somebody_who_has_gone(void **state)
{
	static const struct {
		enum vfm_state found;
		bool stale;
	} rows[] = {
		{ VFM_STATE_PRE_COPY, true },	  { VFM_STATE_PRE_COPY_P2P, true },
		{ VFM_STATE_STOP_COPY, true },	  { VFM_STATE_RESUMING, true },
		{ VFM_STATE_STOP, false },	  { VFM_STATE_RUNNING, false },
		{ VFM_STATE_RUNNING_P2P, false },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev;
		enum vfm_state now;
		struct vfm_err err;

		fake_begin();
		fake.state = rows[i].found;
		dev = fake_open(FAKE_PCI);
		if (i % 2)
			assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
		go(dev, rows[i].found);
		fake_forget();
		if (rows[i].stale) {
			assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EIO);
			assert_non_null(strstr(err.msg, "whose user has gone, and must be reset"));
			fake_expect("get-state");
			assert_int_equal(vfm_device_reset(dev, NULL), 0);
		}
		go(dev, VFM_STATE_STOP);
		fake_end(dev);
		/* not so if it is open elsewhere */
		fake_begin();
		fake.state = rows[i].found;
		dev = fake_open("fd=2");
		go(dev, VFM_STATE_STOP);
		fake_end(dev);
	}
}

static void begins_with_a_reset(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.state = VFM_STATE_RESUMING;
	dev = fake_open(FAKE_PCI ",reset=1");
	assert_int_equal(fake.resets, 1);
	go(dev, VFM_STATE_STOP);
	fake_end(dev);
	fake_begin();
	fake_fail("reset", -EIO, 1);
	assert_int_equal(vfm_kernel_open(&dev, FAKE_PCI ",reset=1", &fake_sys, NULL), -EIO);
	fake_end(NULL);
}

/* And we do not leave any behind. */
static void no_session_outlives_its_user(void **state)
{
	static const struct {
		enum vfm_state in, left;
	} rows[] = {
		{ VFM_STATE_PRE_COPY, VFM_STATE_RUNNING },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_RUNNING_P2P },
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP },
		{ VFM_STATE_RESUMING, VFM_STATE_RUNNING }, /* half an image is nothing to keep */
		{ VFM_STATE_STOP, VFM_STATE_STOP },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = open_in(VFM_STATE_RUNNING);

		go(dev, rows[i].in);
		fake_end(dev);
		assert_int_equal(fake.state, rows[i].left);
		/* but if it is open elsewhere, it is theirs to decide */
		fake_begin();
		dev = fake_open("fd=2");
		go(dev, rows[i].in);
		fake_end(dev);
		assert_int_equal(fake.state, rows[i].in);
	}
}

static void devices_without_migration(void **state)
{
	struct vfm_device *dev;
	enum vfm_state now;
	struct vfm_err err;
	uint64_t any;

	(void)state;
	fake_begin();
	fake.migrates = false;
	dev = fake_open(FAKE_PCI);
	assert_int_equal(vfm_device_get_migration(dev, &any, &err), -ENOTTY);
	assert_non_null(strstr(err.msg, "its driver has no migration"));
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), -ENOTTY);
	fake_forget();
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), -ENOTTY);
	fake_expect("");
	fake_end(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(features),
		cmocka_unit_test(features_are_asked_once),
		cmocka_unit_test(told_of_new_data),
		cmocka_unit_test(states_are_asked_for),
		cmocka_unit_test(sessions),
		cmocka_unit_test(every_state_is_sent),
		cmocka_unit_test(nothing_is_asked_of_a_device_in_error),
		cmocka_unit_test(failures),
		cmocka_unit_test(sessions_of_failed_requests),
		cmocka_unit_test(state_unknown_after_a_failure),
		cmocka_unit_test(descriptors_against_the_rules),
		cmocka_unit_test(data_sizes),
		cmocka_unit_test(resets),
		cmocka_unit_test(resets_that_keep_the_state),
		cmocka_unit_test(failed_resets_keep_the_session),
		cmocka_unit_test(a_session_of_somebody_who_has_gone),
		cmocka_unit_test(begins_with_a_reset),
		cmocka_unit_test(no_session_outlives_its_user),
		cmocka_unit_test(devices_without_migration),
	};

	return RUN_TESTS(tests);
}
