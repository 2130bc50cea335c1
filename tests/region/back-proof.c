// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * RESUMING -> STOP, which proves an image and which v1 does not draw: devices that prove
 * it there, and those that refuse to go there and prove it when they run.
 */

#include "back.h"

#include <errno.h>
#include <string.h>

#include <vfmig/v1.h>

#include "base/util.h"

static bool late_proof(struct vfm_device *dev)
{
	struct vfm_protocol protocol;

	assert_int_equal(vfm_device_get_protocol(dev, &protocol, NULL), 0);
	return protocol.late_proof;
}

/* A strict device in RESUMING with some data, told to stop. */
static struct vfm_device *open_held(struct peer **out)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);

	p->strict = true;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(vfm_device_write_data(dev, "image", 5, NULL), 0);
	assert_false(late_proof(dev));
	peer_forget(p);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), 0);
	peer_expect(p, "state? size=5 state=0 state?");
	assert_true(late_proof(dev));
	assert_int_equal(p->word, VFM_V1_RESUMING);
	assert_int_equal(state_of(dev), VFM_STATE_STOP);
	peer_expect(p, "state?");
	*out = p;
	return dev;
}

static void held_where(unsigned int want, int ret, const char *log, enum vfm_state now)
{
	struct peer *p;
	struct vfm_device *dev = open_held(&p);
	struct vfm_err err;

	assert_int_equal(vfm_device_set_state(dev, (enum vfm_state)want, &err), ret);
	peer_expect(p, log);
	assert_int_equal(state_of(dev), now);
	if (ret && (want == VFM_STATE_RESUMING || want == VFM_STATE_STOP_COPY))
		assert_non_null(strstr(err.msg, "reset"));
	/* The session is over, whatever the device says of itself. */
	assert_int_equal(vfm_device_write_data(dev, "x", 1, NULL), -EINVAL);
	vfm_device_close(dev);
}

static void held_in_stop(void **state)
{
	(void)state;
	held_where(VFM_STATE_STOP, 0, "state?", VFM_STATE_STOP);
	held_where(VFM_STATE_RUNNING, 0, "state? state=1", VFM_STATE_RUNNING);
	held_where(VFM_STATE_PRE_COPY, 0, "state? state=1 state? state=3", VFM_STATE_PRE_COPY);
	held_where(VFM_STATE_RESUMING, -EINVAL, "state?", VFM_STATE_STOP);
	held_where(VFM_STATE_STOP_COPY, -EINVAL, "state?", VFM_STATE_STOP);
	held_where(VFM_STATE_RUNNING_P2P, -EINVAL, "state?", VFM_STATE_STOP);
	held_where(VFM_STATE_ERROR, -EINVAL, "state?", VFM_STATE_STOP);
	held_where(VFM_NR_STATES, -EINVAL, "state?", VFM_STATE_STOP);
}

/* There is no way through a STOP in which the device is held. */
static void held_on_the_way(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_err err;

	(void)state;
	p->strict = true;
	p->word = VFM_V1_RESUMING;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), -EINVAL);
	assert_non_null(
		strstr(err.msg, "set state STOP_COPY: the device refuses RESUMING -> STOP"));
	peer_expect(p, "state? state=0 state?");
	assert_int_equal(state_of(dev), VFM_STATE_STOP);
	vfm_device_close(dev);
}

/* The proof comes with the write of RUNNING, and then fails. */
static void late_proof_fails(void **state)
{
	static const struct {
		uint32_t after;
		int ret;
		enum vfm_state now;
	} ways[] = {
		{ VFM_V1_RESUMING, -EBADMSG, VFM_STATE_STOP },
		{ VFM_V1_RESUMING | VFM_V1_SAVING, -EIO, VFM_STATE_ERROR },
		{ 0, -EBADMSG, VFM_STATE_STOP },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		struct peer *p;
		struct vfm_device *dev = open_held(&p);

		p->refuse_proof = -EBADMSG;
		p->after_proof = ways[i].after;
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), ways[i].ret);
		assert_int_equal(state_of(dev), ways[i].now);
		p->refuse_proof = 0;
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		peer_forget(p);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
		peer_expect(p, "state? state=4");
		assert_true(late_proof(dev)); /* what was learnt stays */
		vfm_device_close(dev);
	}
}

/* It was reset by somebody else: what it says holds again, also when that is RESUMING. */
static void held_no_more(void **state)
{
	struct peer *p;
	struct vfm_device *dev = open_held(&p);

	(void)state;
	p->word = VFM_V1_RUNNING;
	assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
	p->word = VFM_V1_RESUMING;
	assert_int_equal(state_of(dev), VFM_STATE_RESUMING);
	vfm_device_close(dev);
}

/* A device that takes RESUMING -> STOP proves there; it is bad and stays what it was. */
static void early_proof_fails(void **state)
{
	static const struct {
		int error;
		uint32_t after;
		int ret;
		enum vfm_state now;
	} ways[] = {
		{ -EBADMSG, VFM_V1_RESUMING, -EBADMSG, VFM_STATE_RESUMING },
		{ -EIO, VFM_V1_RESUMING, -EIO, VFM_STATE_RESUMING },
		{ -EINVAL, VFM_V1_RESUMING | VFM_V1_SAVING, -EIO, VFM_STATE_ERROR },
		{ -EINVAL, VFM_V1_RUNNING, -EINVAL, VFM_STATE_RUNNING },
		{ -EINVAL, 0, -EINVAL, VFM_STATE_STOP },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		struct peer *p = peer_new(PEER_TRAPPED, 9);
		struct vfm_device *dev = open_back(p);

		p->word = VFM_V1_RESUMING;
		p->refuse_proof = ways[i].error;
		p->after_proof = ways[i].after;
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), ways[i].ret);
		assert_int_equal(state_of(dev), ways[i].now);
		assert_false(late_proof(dev));
		vfm_device_close(dev);
	}
}

/* Refused, and then it cannot be asked: that is no device that stays in RESUMING. */
static void refused_and_gone(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_err err;

	(void)state;
	p->strict = true;
	p->silent = true;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	p->fail_at = p->accesses + 3; /* after read and write */
	p->fail_with = -EINVAL;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EINVAL);
	assert_string_equal(err.msg, "peer: set state STOP: write 0 (STOP) of device_state: "
				     "Invalid argument; then read device_state: Invalid argument");
	assert_false(late_proof(dev));
	assert_int_equal(state_of(dev), VFM_STATE_RESUMING);
	vfm_device_close(dev);
}

/* A reset ends all that was, also where the device is the same again before it is asked. */
static void reset_and_back(void **state)
{
	struct peer *p;
	struct vfm_device *dev = open_held(&p);

	(void)state;
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	p->word = VFM_V1_RESUMING;
	assert_int_equal(state_of(dev), VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_write_data(dev, "lost", 4, NULL), 0);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	p->word = VFM_V1_RESUMING;
	peer_forget(p);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
	peer_expect(p, "state? state=1");
	vfm_device_close(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_in_stop),	     cmocka_unit_test(held_on_the_way),
		cmocka_unit_test(late_proof_fails),  cmocka_unit_test(held_no_more),
		cmocka_unit_test(early_proof_fails), cmocka_unit_test(refused_and_gone),
		cmocka_unit_test(reset_and_back),
	};

	return RUN_TESTS(tests);
}
