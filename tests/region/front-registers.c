// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Every access to the registers in every state that the region can be in, and every
 * write of device_state, against what the specification says, written down here once
 * more; and what the region looks like from outside.
 */

#include "front-rig.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "fds.h"
#include "front-inner.h"

#define PIECE 100u
#define SECTION (2 * page_size())

static const uint32_t words[] = { 0, 1, 2, 3, 4, 6 };
static const size_t widths[] = { 1, 2, 4, 8, 16 };
static const uint32_t reserved[] = { 0, 8, 0x1000, 0x80000000, 0xfffffff8 };

static const enum vfm_state v2_state[] = {
	[0] = VFM_STATE_STOP,	  [1] = VFM_STATE_RUNNING,  [2] = VFM_STATE_STOP_COPY,
	[3] = VFM_STATE_PRE_COPY, [4] = VFM_STATE_RESUMING, [6] = VFM_STATE_ERROR,
};

/* From and to, all that there is beside a state itself. */
static const uint8_t ways[][2] = {
	{ 1, 0 }, { 1, 2 }, { 2, 0 }, { 1, 3 }, { 3, 2 }, { 1, 4 }, { 4, 1 },
	{ 0, 1 }, { 0, 2 }, { 0, 4 }, { 2, 1 }, { 3, 1 }, { 4, 0 }, { 3, 0 },
};

static bool is_way(uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++)
		if (ways[i][0] == from && ways[i][1] == to)
			return true;
	return from == to && from <= 4;
}

/* Behind the front's back, as if it had been like that when somebody asked first. */
static void bring(struct vfm_device *dev, struct inner *in, uint32_t word)
{
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	if (v2_state[word] == VFM_STATE_ERROR)
		in->state = VFM_STATE_ERROR;
	else
		assert_int_equal(vfm_device_set_state(dev, v2_state[word], NULL), 0);
	assert_int_equal(reg_read(dev, DEVICE_STATE), word);
}

/* ---- every access ---------------------------------------------------------------------- */

static bool is_saving(uint32_t word)
{
	return word == 2 || word == 3;
}

static int expected_register(uint32_t word, uint64_t at, size_t len, bool write)
{
	bool is_register = (len == 4 && (at == 0 || at == 4)) ||
			   (len == 8 && (at == 8 || at == 16 || at == 24));

	if (!is_register)
		return -EINVAL;
	if (!write || at == 4)
		return 0;
	if (at == 0)
		return word == 6 ? -EIO : 0; /* the word that it has */
	return at == 24 && word == 4 ? 0 : -EINVAL;
}

static int expected_access(uint32_t word, uint64_t at, size_t len, bool write)
{
	uint64_t data = page_size();

	if (at < data)
		return expected_register(word, at, len, write);
	if (at + len > data + SECTION)
		return -EINVAL;
	if (write)
		return word == 4 ? 0 : -EINVAL;
	return is_saving(word) && at + len <= data + PIECE ? 0 : -EINVAL;
}

/* A chunk of PIECE bytes, to be had at any time. */
static void refill(struct inner *in, enum inner_call call)
{
	if (call == INNER_READ && !in->nr_pieces)
		inner_add(in, PIECE);
}

static void one_access(struct vfm_device *dev, struct inner *in, uint32_t word, uint64_t at,
		       size_t len, bool write)
{
	uint32_t index = region_index(dev);
	uint64_t buf[2] = { word, 0 };
	unsigned int sets = in->calls[INNER_SET_STATE];
	int want = expected_access(word, at, len, write), ret;

	if (is_saving(word) && at >= page_size())
		assert_int_not_equal(reg_read(dev, PENDING_BYTES), 0);
	ret = write ? vfm_device_write_region(dev, index, at, buf, len, NULL)
		    : vfm_device_read_region(dev, index, at, buf, len, NULL);
	if (ret != want)
		fail_msg("state %u, %s %zu at 0x%lx: %d, and not %d", word,
			 write ? "write" : "read", len, (unsigned long)at, ret, want);
	assert_int_equal(in->calls[INNER_SET_STATE], sets);
	assert_int_equal(reg_read(dev, DEVICE_STATE), word);
}

static void accesses_in_state(struct vfm_device *dev, struct inner *in, uint32_t word)
{
	uint64_t data = page_size(), end = data + SECTION;
	uint64_t more[] = { data - 1,
			    data,
			    data + 1,
			    data + 7,
			    data + PIECE - 8,
			    data + PIECE - 1,
			    data + PIECE,
			    data + PIECE + 1,
			    data + SECTION / 2 - 1,
			    data + SECTION / 2,
			    end - 16,
			    end - 8,
			    end - 1,
			    end,
			    end + 1,
			    UINT64_MAX - 16 };

	for (size_t w = 0; w < 2 * VFM_ARRAY_SIZE(widths); w++) {
		for (uint64_t at = 0; at < 4096; at++)
			one_access(dev, in, word, at, widths[w / 2], w & 1);
		for (size_t i = 0; i < VFM_ARRAY_SIZE(more); i++)
			one_access(dev, in, word, more[i], widths[w / 2], w & 1);
	}
}

static void every_access(void **state)
{
	(void)state;
	for (int mode = VFM_SECTION_TRAPPED; mode <= VFM_SECTION_SPARSE; mode++) {
		struct inner *in = inner_new(ALL_FEATURES, true);
		struct vfm_device *dev = open_front(&in->dev, (enum vfm_section)mode, SECTION);

		in->hook = refill;
		for (size_t i = 0; i < VFM_ARRAY_SIZE(words); i++) {
			bring(dev, in, words[i]);
			accesses_in_state(dev, in, words[i]);
		}
		vfm_device_close(dev);
		inner_free(in);
	}
}

/* What the registers say in each state; all that a client may do without a meaning is 0. */
static void values(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, true);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, SECTION);

	(void)state;
	in->hook = refill;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(words); i++) {
		uint32_t word = words[i];

		bring(dev, in, word);
		assert_int_equal(try_write(dev, VFM_V1_RESERVED, 0xffffffff), 0);
		assert_int_equal(reg_read(dev, VFM_V1_RESERVED), 0);
		assert_int_equal(reg_read(dev, DATA_SIZE), 0); /* nothing was asked for */
		assert_int_equal(reg_read(dev, PENDING_BYTES) > 0, is_saving(word));
		assert_int_equal(reg_read(dev, DATA_OFFSET), page_size());
		assert_int_equal(reg_read(dev, DATA_SIZE), is_saving(word) ? PIECE : 0);
	}
	vfm_device_close(dev);
	inner_free(in);
}

/* ---- every write of device_state --------------------------------------------------------- */

struct write_case {
	uint32_t from, to;
	uint32_t kept, set; /* reserved bits before, and of the write */
	int fault;	    /* of the first arc */
};

static void one_write(struct vfm_device *dev, struct inner *in, const struct write_case *c)
{
	bool moves = is_way(c->from, c->to) && c->from != c->to;
	int want = c->from == 6 ? -EIO : !is_way(c->from, c->to) ? -EINVAL : moves ? c->fault : 0;
	uint32_t bits = want ? c->from : c->to;
	unsigned int sets;

	bring(dev, in, c->from);
	if (c->from != 6)
		reg_write(dev, DEVICE_STATE, c->kept | c->from);
	in->fail_arc = c->fault;
	in->good_arcs = 0;
	sets = in->calls[INNER_SET_STATE];
	if (try_write(dev, DEVICE_STATE, c->set | c->to) != want)
		fail_msg("write 0x%x in 0x%x: not %d", c->set | c->to, c->kept | c->from, want);
	assert_int_equal(in->calls[INNER_SET_STATE] - sets, moves);
	if (moves && c->fault == -EIO)
		bits = 6;
	in->fail_arc = 0;
	assert_int_equal(reg_read(dev, DEVICE_STATE),
			 bits | (want ? c->from == 6 ? 0 : c->kept : c->set));
	assert_int_equal(in->state, v2_state[bits]);
}

static void every_write_of_device_state(void **state)
{
	static const int faults[] = { 0, -EBUSY, -EIO };
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);
	size_t n = VFM_ARRAY_SIZE(reserved);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(words) * 8 * n * n * 3; i++) {
		struct write_case c = {
			.fault = faults[i % 3],
			.kept = reserved[i / 3 % n],
			.set = reserved[i / 3 / n % n],
			.to = (uint32_t)(i / 3 / n / n % 8),
			.from = words[i / 3 / n / n / 8],
		};

		one_write(dev, in, &c);
	}
	vfm_device_close(dev);
	inner_free(in);
}

/* ---- changes that fail on their way ------------------------------------------------------ */

#define RESERVED 0x1000u

/* Let the arc behind @arcs good ones fail. False: there is none, and the change succeeds. */
static bool fails_at(struct vfm_device *dev, struct inner *in, uint32_t from, uint32_t to,
		     unsigned int arcs)
{
	int ret;

	bring(dev, in, from);
	reg_write(dev, DEVICE_STATE, RESERVED | from);
	in->fail_arc = -EBUSY;
	in->good_arcs = arcs;
	ret = try_write(dev, DEVICE_STATE, to);
	in->fail_arc = 0;
	assert_true(ret == 0 || ret == -EBUSY);
	return ret;
}

/* The state before is shown, and is the device's, with the image of one that was resuming. */
static void brought_back(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		uint32_t from = ways[i][0], to = ways[i][1];
		unsigned int arcs = 0;

		for (; fails_at(dev, in, from, to, arcs); arcs++) {
			assert_int_equal(reg_read(dev, DEVICE_STATE), RESERVED | from);
			assert_int_equal(in->state,
					 from == 4 && arcs ? VFM_STATE_STOP : v2_state[from]);
			reg_write(dev, DEVICE_STATE, to);
			assert_int_equal(reg_read(dev, DEVICE_STATE), to);
			assert_int_equal(in->state, v2_state[to]);
		}
		assert_true(arcs > 0);
		assert_int_equal(reg_read(dev, DEVICE_STATE), to);
	}
	vfm_device_close(dev);
	inner_free(in);
}

/* RESUMING is but shown: nothing more is taken, and the image that is there can run or stop. */
static void image_is_kept(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);

	(void)state;
	for (uint32_t to = 0; to < 2; to++) {
		unsigned int writes;

		assert_true(fails_at(dev, in, 4, 1, 1));
		writes = in->calls[INNER_WRITE];
		assert_int_equal(try_write(dev, DEVICE_STATE, 2), -EINVAL);
		assert_int_equal(try_write(dev, DATA_SIZE, 1), -EINVAL);
		assert_int_equal(data_write(dev, 0, "x", 1), -EINVAL);
		assert_int_equal(in->calls[INNER_WRITE], writes);
		reg_write(dev, DEVICE_STATE, 4);
		assert_int_equal(reg_read(dev, DEVICE_STATE), 4);
		reg_write(dev, DEVICE_STATE, to);
		assert_int_equal(in->state, v2_state[to]);
		assert_int_equal(reg_read(dev, DEVICE_STATE), to);
	}
	/* one that goes elsewhere by itself is shown where it is */
	assert_true(fails_at(dev, in, 4, 1, 1));
	in->state = VFM_STATE_RUNNING;
	assert_int_equal(reg_read(dev, DEVICE_STATE), RESERVED | 1);
	vfm_device_close(dev);
	inner_free(in);
}

/* The way back fails as well. */
static void fail_again(struct inner *in, enum inner_call call)
{
	unsigned int *first = in->user;

	if (call == INNER_SET_STATE && in->calls[call] > *first) {
		in->fail_arc = -EBUSY;
		in->good_arcs = 0;
	}
}

static void broken(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);
	unsigned int first;

	(void)state;
	in->user = &first;
	bring(dev, in, 1);
	reg_write(dev, DEVICE_STATE, RESERVED | 1);
	first = in->calls[INNER_SET_STATE] + 1;
	in->hook = fail_again;
	in->fail_arc = -EBUSY;
	in->good_arcs = 1;
	assert_int_equal(try_write(dev, DEVICE_STATE, 2), -EBUSY);
	assert_int_equal(reg_read(dev, DEVICE_STATE), RESERVED | 6);
	in->hook = NULL;
	in->fail_arc = 0;
	for (uint32_t to = 0; to < 8; to++)
		assert_int_equal(try_write(dev, DEVICE_STATE, to), -EIO);
	assert_int_equal(reg_read(dev, DEVICE_STATE), RESERVED | 6);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	/* and a device that says itself that it is */
	bring(dev, in, 2);
	reg_write(dev, DEVICE_STATE, RESERVED | 2);
	in->fail_arc = -EIO;
	in->good_arcs = 1;
	assert_int_equal(try_write(dev, DEVICE_STATE, 1), -EIO);
	assert_int_equal(reg_read(dev, DEVICE_STATE), RESERVED | 6);
	vfm_device_close(dev);
	inner_free(in);
}

/* Pre-copy that is played is brought back, too. */
static void played_and_brought_back(void **state)
{
	struct inner *in = inner_new(VFM_MIGRATION_STOP_COPY, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);

	(void)state;
	for (unsigned int arcs = 0; arcs < 2; arcs++) {
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		reg_write(dev, DEVICE_STATE, 3);
		in->fail_arc = -EBUSY;
		in->good_arcs = arcs;
		assert_int_equal(try_write(dev, DEVICE_STATE, 2), -EBUSY);
		assert_int_equal(reg_read(dev, DEVICE_STATE), 3);
		assert_int_equal(in->state, VFM_STATE_RUNNING);
		reg_write(dev, DEVICE_STATE, 2);
	}
	vfm_device_close(dev);
	inner_free(in);
}

static void reset_from_everywhere(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(words); i++) {
		bring(dev, in, words[i]);
		if (words[i] != 6)
			reg_write(dev, DEVICE_STATE, 0xfffffff8 | words[i]);
		in->fail[INNER_RESET] = -EBUSY;
		assert_int_equal(vfm_device_reset(dev, NULL), -EBUSY);
		assert_int_equal(reg_read(dev, DEVICE_STATE) & 7, 6);
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	}
	vfm_device_close(dev);
	inner_free(in);
}

/* A refusal says what was refused, and in words. */
static void texts(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);
	uint32_t word = 0x1003;
	struct vfm_err err;

	(void)state;
	bring(dev, in, 2);
	assert_int_equal(vfm_device_write_region(dev, region_index(dev), 0, &word, 4, &err),
			 -EINVAL);
	assert_non_null(strstr(err.msg, "test:inner: "));
	assert_non_null(strstr(err.msg, "PRE_COPY (0x1003)"));
	assert_non_null(strstr(err.msg, "STOP_COPY (0x2)"));
	vfm_device_close(dev);
	inner_free(in);
}

/* ---- devices with other features ---------------------------------------------------------- */

static void played_precopy(void **state)
{
	static const enum vfm_state leave[] = { VFM_STATE_RUNNING, VFM_STATE_STOP,
						VFM_STATE_STOP_COPY, VFM_STATE_RESUMING };
	struct inner *in = inner_new(VFM_MIGRATION_STOP_COPY, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);

	(void)state;
	in->last[0] = PIECE;
	for (uint32_t to = 0; to < 3; to++) {
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		reg_write(dev, DEVICE_STATE, 0x83);
		assert_int_equal(in->state, VFM_STATE_RUNNING);
		assert_int_equal(reg_read(dev, DEVICE_STATE), 0x83);
		assert_int_equal(reg_read(dev, PENDING_BYTES), 0);
		assert_int_equal(reg_read(dev, DATA_OFFSET), page_size());
		assert_int_equal(reg_read(dev, DATA_SIZE), 0);
		reg_write(dev, DEVICE_STATE, 3);
		assert_int_equal(try_write(dev, DEVICE_STATE, 4), -EINVAL);
		assert_int_equal(reg_read(dev, DEVICE_STATE), 3);
		reg_write(dev, DEVICE_STATE, to);
		assert_int_equal(reg_read(dev, DEVICE_STATE), to);
		assert_int_equal(in->state, v2_state[to]);
		assert_int_equal(reg_read(dev, PENDING_BYTES) > 0, to == 2);
	}
	/* it is over with whatever else happens to the state */
	for (size_t i = 0; i < VFM_ARRAY_SIZE(leave); i++) {
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		reg_write(dev, DEVICE_STATE, 3);
		assert_int_equal(vfm_device_set_state(dev, leave[i], NULL), 0);
		assert_int_equal(reg_read(dev, DEVICE_STATE), vfm_v1_from_v2(leave[i]).word);
	}
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	reg_write(dev, DEVICE_STATE, 3);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	reg_write(dev, DEVICE_STATE, 3);
	in->state = VFM_STATE_STOP;
	assert_int_equal(reg_read(dev, DEVICE_STATE), 0);
	in->state = VFM_STATE_RUNNING;
	assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	/* but not with an attempt that fails */
	reg_write(dev, DEVICE_STATE, 3);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), -EINVAL);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 3);
	vfm_device_close(dev);
	inner_free(in);
}

/* v1 does not see whether peers are quiet, and leaves it alone until it moves. */
static void p2p_states(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);

	(void)state;
	in->first[0] = PIECE;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING_P2P, NULL), 0);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	reg_write(dev, DEVICE_STATE, 1);
	assert_int_equal(in->state, VFM_STATE_RUNNING_P2P);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY_P2P, NULL), 0);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 3);
	assert_int_equal(reg_read(dev, PENDING_BYTES), PIECE);
	reg_write(dev, DEVICE_STATE, 2);
	assert_int_equal(in->state, VFM_STATE_STOP_COPY);
	assert_true(reg_read(dev, PENDING_BYTES) >= PIECE);
	vfm_device_close(dev);
	inner_free(in);

	in = inner_new(VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P, false);
	dev = open_front(&in->dev, VFM_SECTION_MMAP, SECTION);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING_P2P, NULL), 0);
	reg_write(dev, DEVICE_STATE, 3);
	assert_int_equal(in->state, VFM_STATE_RUNNING);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 3);
	vfm_device_close(dev);
	inner_free(in);
}

/* ---- from outside -------------------------------------------------------------------------- */

static void indices(void **state)
{
	static const struct {
		bool pci;
		uint32_t has, index;
	} cases[] = { { false, 2, 2 }, { false, 0, 0 }, { false, 12, 12 },
		      { true, 2, 9 },  { true, 9, 9 },	{ true, 12, 12 } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		struct inner *in = inner_new(ALL_FEATURES, false);
		struct vfm_device *dev;
		struct vfm_region region;
		uint8_t byte;

		in->pci = cases[i].pci;
		in->nr_regions = cases[i].has;
		dev = open_front(&in->dev, VFM_SECTION_TRAPPED, 0);
		assert_int_equal(region_index(dev), cases[i].index);
		for (uint32_t r = 0; r < cases[i].index; r++) {
			assert_int_equal(vfm_device_get_region(dev, r, &region, NULL), 0);
			assert_int_equal(region.index, r);
			assert_int_equal(region.size, r < cases[i].has ? 100 + r : 0);
			assert_int_equal(region.flags, 0);
			assert_int_equal(region.fd, -1);
			assert_int_equal(vfm_device_read_region(dev, r, 0, &byte, 1, NULL),
					 r < cases[i].has ? 0 : -EINVAL);
			assert_int_equal(vfm_device_write_region(dev, r, 0, &byte, 1, NULL),
					 r >= cases[i].has ? -EINVAL
					 : r == 1	   ? 0
							   : -EROFS);
		}
		assert_int_equal(vfm_device_get_region(dev, cases[i].index, &region, NULL), 0);
		assert_int_equal(region.type, VFM_V1_REGION_TYPE);
		assert_int_equal(region.subtype, VFM_V1_REGION_SUBTYPE);
		assert_int_equal(region.size, page_size() + VFM_SECTION_SIZE_DEFAULT);
		assert_int_equal(vfm_device_get_region(dev, cases[i].index + 1, &region, NULL),
				 -EINVAL);
		assert_int_equal(vfm_device_read_region(dev, cases[i].index + 1, 0, &byte, 1, NULL),
				 -EINVAL);
		assert_int_equal(vfm_device_get_io_fds(dev, cases[i].index, NULL, 0, NULL), 0);
		assert_int_equal(vfm_device_get_io_fds(dev, cases[i].index + 1, NULL, 0, NULL),
				 -EINVAL);
		vfm_device_close(dev);
		inner_free(in);
	}
}

static void sections(void **state)
{
	uint64_t page = page_size();
	const uint64_t sizes[] = { page, 2 * page, 3 * page, 64 * page };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sizes) * 3; i++) {
		enum vfm_section mode = (enum vfm_section)(i % 3);
		uint64_t size = sizes[i / 3];
		struct inner *in = inner_new(ALL_FEATURES, false);
		struct vfm_front_opts opts = { mode, size };
		struct vfm_region region;
		struct vfm_device *dev;
		int ret = vfm_front_open(&dev, &in->dev, &opts, NULL);

		assert_int_equal(ret, mode == VFM_SECTION_SPARSE && size == page ? -EINVAL : 0);
		if (ret) {
			inner_free(in);
			continue;
		}
		assert_int_equal(vfm_device_get_region(dev, region_index(dev), &region, NULL), 0);
		assert_int_equal(region.size, page + size);
		assert_int_equal(region.flags,
				 VFM_REGION_READ | VFM_REGION_WRITE | (mode ? VFM_REGION_MMAP : 0));
		assert_int_equal(region.nr_areas, mode ? 1 : 0);
		assert_int_equal(region.fd >= 0, mode != VFM_SECTION_TRAPPED);
		if (mode) {
			assert_int_equal(region.areas[0].offset, page);
			assert_int_equal(region.areas[0].size,
					 mode == VFM_SECTION_MMAP ? size : size / page / 2 * page);
			assert_int_equal(region.fd_offset, 0);
			assert_int_equal(fcntl(region.fd, F_GETFD), FD_CLOEXEC);
			assert_int_equal(ftruncate(region.fd, 0), -1);
			assert_int_equal(ftruncate(region.fd, (off_t)(1024 * page)), -1);
			assert_int_equal(fcntl(region.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
		}
		vfm_device_close(dev);
		inner_free(in);
	}
}

static void wrong_options(void **state)
{
	const struct vfm_front_opts wrong[] = {
		{ VFM_SECTION_TRAPPED, 1 },
		{ VFM_SECTION_TRAPPED, page_size() - 1 },
		{ VFM_SECTION_MMAP, page_size() + 1 },
		{ VFM_SECTION_MMAP, VFM_SECTION_SIZE_MAX + page_size() },
		{ VFM_SECTION_MMAP, UINT64_MAX },
		{ VFM_SECTION_MMAP, UINT64_MAX - page_size() + 1 },
		{ (enum vfm_section)3, 0 },
		{ (enum vfm_section) - 1, 0 },
	};
	struct inner *in = inner_new(ALL_FEATURES, false);
	unsigned int fds = test_count_fds();
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(wrong); i++) {
		assert_int_equal(vfm_front_open(&dev, &in->dev, &wrong[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "test:inner: add a migration region: "));
	}
	in->fail[INNER_GET_STATE] = -ENOTCONN;
	assert_int_equal(vfm_front_open(&dev, &in->dev, NULL, &err), -ENOTCONN);
	in->nr_regions = UINT32_MAX;
	assert_int_equal(vfm_front_open(&dev, &in->dev, NULL, &err), -E2BIG);
	in->migration = 0;
	assert_int_equal(vfm_front_open(&dev, &in->dev, NULL, &err), -ENOTTY);
	assert_non_null(strstr(err.msg, "stays where it is"));
	assert_int_equal(test_count_fds(), fds);
	inner_free(in);
}

/* The largest there is costs nothing before it is used. */
static void largest(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_SPARSE, VFM_SECTION_SIZE_MAX);
	uint8_t byte = 7;

	(void)state;
	bring(dev, in, 4);
	assert_int_equal(data_write(dev, VFM_SECTION_SIZE_MAX - 1, &byte, 1), 0);
	assert_int_equal(data_write(dev, VFM_SECTION_SIZE_MAX, &byte, 1), -EINVAL);
	vfm_device_close(dev);
	inner_free(in);
}

static void closes_all(void **state)
{
	unsigned int fds = test_count_fds();

	(void)state;
	for (int mode = VFM_SECTION_TRAPPED; mode <= VFM_SECTION_SPARSE; mode++) {
		struct inner *in = inner_new(ALL_FEATURES, false);
		struct vfm_device *dev = open_front(&in->dev, (enum vfm_section)mode, 0);

		assert_int_equal(test_count_fds(), fds + (mode != VFM_SECTION_TRAPPED));
		vfm_device_close(dev);
		assert_int_equal(test_count_fds(), fds);
		inner_free(in);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_access),
		cmocka_unit_test(values),
		cmocka_unit_test(every_write_of_device_state),
		cmocka_unit_test(brought_back),
		cmocka_unit_test(image_is_kept),
		cmocka_unit_test(broken),
		cmocka_unit_test(played_and_brought_back),
		cmocka_unit_test(reset_from_everywhere),
		cmocka_unit_test(texts),
		cmocka_unit_test(played_precopy),
		cmocka_unit_test(p2p_states),
		cmocka_unit_test(indices),
		cmocka_unit_test(sections),
		cmocka_unit_test(wrong_options),
		cmocka_unit_test(largest),
		cmocka_unit_test(closes_all),
	};

	return RUN_TESTS(tests);
}
