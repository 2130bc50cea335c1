// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * States of a device that has the migration region: every pair of states, with the exact
 * words that are written, on devices that take everything and on ones that take little;
 * every write failing in every manner; devices that change their state by themselves.
 */

#include "back.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vfmig/v1.h>

#include "base/util.h"

#define NR_WANTED (VFM_NR_STATES + 2) /* and two that are none */

/* The writes from a row to a column, as a string of digits; NULL: refused, "": nothing to do. */
static const char *const writes[VFM_NR_STATES][VFM_NR_STATES] = {
	[VFM_STATE_STOP] = {
		[VFM_STATE_STOP] = "", [VFM_STATE_RUNNING] = "1", [VFM_STATE_STOP_COPY] = "2",
		[VFM_STATE_RESUMING] = "4", [VFM_STATE_PRE_COPY] = "13",
	},
	[VFM_STATE_RUNNING] = {
		[VFM_STATE_STOP] = "0", [VFM_STATE_RUNNING] = "", [VFM_STATE_STOP_COPY] = "2",
		[VFM_STATE_RESUMING] = "4", [VFM_STATE_PRE_COPY] = "3",
	},
	[VFM_STATE_STOP_COPY] = {
		[VFM_STATE_STOP] = "0", [VFM_STATE_RUNNING] = "1", [VFM_STATE_STOP_COPY] = "",
		[VFM_STATE_RESUMING] = "04",
	},
	[VFM_STATE_RESUMING] = {
		[VFM_STATE_STOP] = "0", [VFM_STATE_RUNNING] = "1", [VFM_STATE_STOP_COPY] = "02",
		[VFM_STATE_RESUMING] = "", [VFM_STATE_PRE_COPY] = "13",
	},
	[VFM_STATE_PRE_COPY] = {
		[VFM_STATE_STOP] = "20", [VFM_STATE_RUNNING] = "1", [VFM_STATE_STOP_COPY] = "2",
		[VFM_STATE_RESUMING] = "14", [VFM_STATE_PRE_COPY] = "",
	},
};

/* States that v1 has, by their words. */
static const struct {
	enum vfm_state state;
	uint32_t word;
} both[] = {
	{ VFM_STATE_STOP, 0 },	   { VFM_STATE_RUNNING, 1 },  { VFM_STATE_STOP_COPY, 2 },
	{ VFM_STATE_PRE_COPY, 3 }, { VFM_STATE_RESUMING, 4 }, { VFM_STATE_ERROR, 6 },
};

static enum vfm_state state_of_word(uint32_t word)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(both); i++)
		if (both[i].word == word)
			return both[i].state;
	fail_msg("word %u", word);
	return VFM_STATE_ERROR;
}

static const char *path_of(enum vfm_state from, unsigned int want)
{
	return want < VFM_NR_STATES ? writes[from][want] : NULL;
}

/* What the first @nr writes of a path look like, and a read behind that if @reread. */
static const char *expected_log(const char *path, size_t nr, bool reread)
{
	static char text[256];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < nr; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%sstate? state=%c",
					 i ? " " : "", path[i]);
	if (reread || !nr)
		snprintf(text + used, sizeof(text) - used, nr ? " state?" : "state?");
	return text;
}

/* ---- every pair ----------------------------------------------------------------- */

/* A device that is found in a state and takes every write. */
static void walk_lenient(size_t from, unsigned int want, uint32_t reserved)
{
	const char *path = path_of(both[from].state, want);
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_err err = { 0 };
	int ret;

	p->reserved = reserved;
	p->word = both[from].word;
	ret = vfm_device_set_state(dev, (enum vfm_state)want, &err);
	if (path) {
		assert_int_equal(ret, 0);
		peer_expect(p, expected_log(path, strlen(path), false));
		assert_int_equal(state_of(dev), want);
	} else {
		assert_int_equal(ret, both[from].word == 6 ? -EIO : -EINVAL);
		assert_non_null(strstr(err.msg, "peer: set state "));
		assert_non_null(
			strstr(err.msg, both[from].word == 6 ? "reset it" : "no such way from"));
		peer_expect(p, "state?");
		assert_int_equal(p->word, both[from].word);
		assert_int_equal(state_of(dev), both[from].state);
	}
	assert_int_equal(p->lost_reserved, 0);
	vfm_device_close(dev);
}

static void every_pair(void **state)
{
	static const uint32_t reserved[] = { 0, 8, 0x80000000, 0xfffffff8 };

	(void)state;
	for (size_t from = 0; from < VFM_ARRAY_SIZE(both); from++)
		for (unsigned int want = 0; want < NR_WANTED; want++)
			for (size_t r = 0; r < VFM_ARRAY_SIZE(reserved); r++)
				walk_lenient(from, want, reserved[r]);
}

/* What a strict device takes, word by word: the drawn arrows, and the way back. */
static bool strict_takes(char from, char to)
{
	static const char *const takes[] = { "01", "01234", "012", "012", "14" };

	return strchr(takes[from - '0'], to) != NULL;
}

/* The same with a device that refuses most; RESUMING -> STOP has a test of its own. */
static void walk_strict(size_t from, unsigned int want)
{
	const char *path = path_of(both[from].state, want);
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	char word = (char)('0' + both[from].word);
	size_t done = 0;
	int ret;

	p->strict = true;
	p->word = both[from].word;
	ret = vfm_device_set_state(dev, (enum vfm_state)want, NULL);
	while (path && path[done] && strict_takes(word, path[done]))
		word = path[done++];
	if (path && !path[done]) {
		assert_int_equal(ret, 0);
		peer_expect(p, expected_log(path, done, false));
	} else if (path) {
		assert_int_equal(ret, -EINVAL);
		peer_expect(p, expected_log(path, done + 1, true));
	}
	assert_int_equal(p->word, word - '0');
	assert_int_equal(state_of(dev), state_of_word((uint32_t)(word - '0')));
	vfm_device_close(dev);
}

static void every_pair_strict(void **state)
{
	(void)state;
	for (size_t from = 0; from < VFM_ARRAY_SIZE(both); from++)
		for (unsigned int want = 0; want < NR_WANTED; want++)
			if (both[from].state != VFM_STATE_RESUMING ||
			    (want != VFM_STATE_STOP && want != VFM_STATE_STOP_COPY))
				walk_strict(from, want);
}

/* What a live migration needs must work on those, too. */
static void live_use(void **state)
{
	static const enum vfm_state source[] = { VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY,
						 VFM_STATE_STOP };
	static const enum vfm_state cancelled[] = { VFM_STATE_PRE_COPY, VFM_STATE_RUNNING,
						    VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY,
						    VFM_STATE_RUNNING };
	static const enum vfm_state target[] = { VFM_STATE_RESUMING, VFM_STATE_STOP,
						 VFM_STATE_RUNNING };
	static const struct {
		const enum vfm_state *states;
		size_t nr;
		const char *log;
	} uses[] = {
		{ source, 3, "state? state=3 state? state=2 state? state=0" },
		{ cancelled, 5,
		  "state? state=3 state? state=1 state? state=3 state? state=2 state? state=1" },
		{ target, 3, "state? state=4 state? state=0 state? state? state=1" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(uses); i++) {
		struct peer *p = peer_new(PEER_TRAPPED, 9);
		struct vfm_device *dev = open_back(p);

		p->strict = true;
		for (size_t j = 0; j < uses[i].nr; j++)
			assert_int_equal(vfm_device_set_state(dev, uses[i].states[j], NULL), 0);
		peer_expect(p, uses[i].log);
		vfm_device_close(dev);
	}
}

/* ---- failures ------------------------------------------------------------------- */

/* How a write of device_state fails. */
struct failure {
	size_t nth; /* from 0 */
	int error;
	int after;	 /* device_state, or -1: as it was */
	bool unreadable; /* then */
	size_t writes_seen;
	bool failed;
};

static int fail_write(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value)
{
	struct failure *f = p->meddle_data;

	(void)value;
	if (offset != VFM_V1_DEVICE_STATE || len != 4)
		return 0;
	if (!write)
		return f->failed && f->unreadable ? -ECONNRESET : 0;
	if (f->writes_seen++ != f->nth)
		return 0;
	f->failed = true;
	if (f->after >= 0)
		p->word = (uint32_t)f->after;
	return f->error;
}

static void walk_failing(size_t from, unsigned int want, const struct failure *how)
{
	const char *path = writes[both[from].state][want];
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct failure f = *how;
	uint32_t before = f.nth ? (uint32_t)(path[f.nth - 1] - '0') : both[from].word;
	uint32_t after = f.after < 0 ? before : (uint32_t)f.after;
	bool nonsense = after == 5 || after == 7;
	struct vfm_err err;
	char text[64];
	int ret;

	p->meddle = fail_write;
	p->meddle_data = &f;
	p->word = both[from].word;
	ret = vfm_device_set_state(dev, (enum vfm_state)want, &err);
	snprintf(text, sizeof(text), "set state %s: write %c (", vfm_state_name(want), path[f.nth]);
	assert_non_null(strstr(err.msg, text));
	assert_non_null(strstr(err.msg, ") of device_state: "));
	peer_expect(p, expected_log(path, f.nth + 1, true));
	assert_int_equal(ret, f.unreadable ? -ECONNRESET
			      : nonsense   ? -EPROTO
			      : after == 6 ? -EIO
					   : f.error);
	f.unreadable = false;
	if (!nonsense)
		assert_int_equal(state_of(dev), state_of_word(after));
	else
		assert_int_equal(vfm_device_get_state(dev, &(enum vfm_state){ 0 }, NULL), -EPROTO);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(state_of(dev), VFM_STATE_RUNNING);
	vfm_device_close(dev);
}

static void every_write_fails(void **state)
{
	static const int after[] = { -1, 0, 1, 2, 3, 4, 5, 6, 7 };

	(void)state;
	for (size_t from = 0; from + 1 < VFM_ARRAY_SIZE(both); from++) {
		for (unsigned int want = 0; want < VFM_NR_STATES; want++) {
			const char *path = writes[both[from].state][want];

			for (size_t n = 0; path && path[n]; n++) {
				struct failure f = { .nth = n, .error = -EBUSY };

				for (size_t i = 0; i < VFM_ARRAY_SIZE(after); i++) {
					f.after = after[i];
					walk_failing(from, want, &f);
				}
				f.after = -1;
				f.unreadable = true;
				walk_failing(from, want, &f);
			}
		}
	}
}

/* "Nothing now" is no answer of a register, and must not be taken for one. */
static void no_message(void **state)
{
	struct failure f = { .error = -ENOMSG, .after = -1 };
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);

	(void)state;
	p->meddle = fail_write;
	p->meddle_data = &f;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), -EIO);
	vfm_device_close(dev);
}

/* ---- devices that act by themselves --------------------------------------------- */

/* Success, and then it is elsewhere. */
static int wander(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value)
{
	const uint32_t *to = p->meddle_data;

	(void)len;
	if (!write && offset == VFM_V1_DEVICE_STATE && p->state_writes)
		*value = *to;
	return 0;
}

static void wanders_on_the_way(void **state)
{
	static const struct {
		uint32_t to;
		int ret;
	} ways[] = { { 6, -EIO }, { 2, -EPROTO }, { 5, -EPROTO }, { 0, -EPROTO } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		struct peer *p = peer_new(PEER_TRAPPED, 9);
		struct vfm_device *dev = open_back(p);
		uint32_t to = ways[i].to;

		p->word = 0;
		p->meddle = wander;
		p->meddle_data = &to;
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), ways[i].ret);
		peer_expect(p, "state? state=1 state?");
		vfm_device_close(dev);
	}
}

/* We were not told of a reset: the next path begins where the device is. */
static void reset_by_itself(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_err err;

	(void)state;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(vfm_device_write_data(dev, "lost", 4, NULL), 0);
	p->word = VFM_V1_RUNNING;
	peer_forget(p);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	peer_expect(p, "state? state=4");
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), 0);
	peer_expect(p, "state? state=0"); /* nothing is committed of what was lost */
	p->word = VFM_V1_SAVING | VFM_V1_RESUMING;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), -EIO);
	assert_non_null(strstr(err.msg, "reset it"));
	vfm_device_close(dev);
}

static void unreadable_state(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	enum vfm_state now = VFM_STATE_STOP;
	struct vfm_err err;

	(void)state;
	p->fail_at = 1;
	p->fail_with = -ETIMEDOUT;
	assert_int_equal(vfm_device_get_state(dev, &now, &err), -ETIMEDOUT);
	assert_string_equal(err.msg,
			    "peer: ask for the state: read device_state: the peer says -110");
	assert_int_equal(now, VFM_STATE_STOP);
	p->fail_at = p->accesses + 1;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -ETIMEDOUT);
	assert_int_equal(p->state_writes, 0);
	for (uint32_t word = 5; word <= 7; word += 2) {
		p->word = word;
		assert_int_equal(vfm_device_get_state(dev, &now, &err), -EPROTO);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EPROTO);
		assert_int_equal(vfm_device_read_data(dev, &now, 1, &err), -EPROTO);
	}
	vfm_device_close(dev);
}

static void reset_fails(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device_ops ops = *p->dev.ops;
	struct vfm_device *dev = open_back(p);
	struct vfm_err err;

	(void)state;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	p->fail_reset = -EBUSY;
	assert_int_equal(vfm_device_reset(dev, &err), -EBUSY);
	/* Whether that has thrown the data away is unknown. */
	assert_int_equal(vfm_device_write_data(dev, "x", 1, &err), -EBUSY);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EBUSY);
	/* "Nothing now" is what neither a reset nor the data after it may say. */
	p->fail_reset = -ENOMSG;
	assert_int_equal(vfm_device_reset(dev, &err), -EIO);
	assert_int_equal(vfm_device_write_data(dev, "x", 1, &err), -EIO);
	p->fail_reset = 0;
	assert_int_equal(vfm_device_reset(dev, &err), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	/* One that cannot be reset has not been changed by the attempt. */
	p->dev.ops = &ops;
	ops.reset = NULL;
	assert_int_equal(vfm_device_reset(dev, &err), -ENOTTY);
	assert_int_equal(vfm_device_write_data(dev, "x", 1, &err), 0);
	vfm_device_close(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair),	   cmocka_unit_test(every_pair_strict),
		cmocka_unit_test(live_use),	   cmocka_unit_test(every_write_fails),
		cmocka_unit_test(no_message),	   cmocka_unit_test(wanders_on_the_way),
		cmocka_unit_test(reset_by_itself), cmocka_unit_test(unreadable_state),
		cmocka_unit_test(reset_fails),
	};

	return RUN_TESTS(tests);
}
