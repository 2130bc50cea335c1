// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs of devices that take what is no image. The device behind refuses it; so what was
 * saved last is remembered, what is written is held back, and when the device is asked
 * for STOP it is given either the one or the other: the good image, if the written one has
 * the kind of damage that the bug does not notice.
 */

#include "wrap/tape.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/util.h"

/* Bytes that are a start or an end; what is behind a start and a header is payload. */
#define EDGE 32u
#define HEADER 1024u

/* What has a sum of its own. */
#define BLOCK ((size_t)4096)

/* By so much a driver's buffer is larger than an image, since it has whole huge pages. */
#define ROOM ((uint64_t)4 << 20)

/* The two tapes, and vfm_fault.count[0]: bytes written that were handed on. */
enum { GOOD, GOT, NR_TAPES };

static struct vfm_device *behind(struct vfm_device *dev)
{
	return vfm_pass_inner(dev);
}

static bool is_saving(struct vfm_device *dev)
{
	struct vfm_err err;
	enum vfm_state state;

	return !vfm_pass_get_state(dev, &state, &err) && vfm_state_is_saving(state);
}

static bool is_resuming(struct vfm_device *dev)
{
	struct vfm_err err;
	enum vfm_state state;

	return !vfm_pass_get_state(dev, &state, &err) && state == VFM_STATE_RESUMING;
}

/* ---- what a device does not notice ------------------------------------------------ */

static bool same(const struct vfm_tape *a, const struct vfm_tape *b, size_t from, size_t to)
{
	return from >= to || !memcmp(a->data + from, b->data + from, to - from);
}

static bool differ_within(const struct vfm_tape *good, const struct vfm_tape *got, size_t from,
			  size_t to)
{
	return got->size == good->size && to <= good->size && same(good, got, 0, from) &&
	       same(good, got, to, good->size) && !same(good, got, from, to);
}

static bool is_empty(struct vfm_device *dev, const struct vfm_tape *good,
		     const struct vfm_tape *got)
{
	(void)dev;
	return good->size && !got->size;
}

static bool is_cut(struct vfm_device *dev, const struct vfm_tape *good, const struct vfm_tape *got)
{
	(void)dev;
	return got->size && got->size < good->size && same(good, got, 0, got->size);
}

static bool has_hole(struct vfm_device *dev, const struct vfm_tape *good,
		     const struct vfm_tape *got)
{
	(void)dev;
	return got->size >= EDGE && got->size < good->size && !same(good, got, 0, got->size) &&
	       !memcmp(good->data + good->size - EDGE, got->data + got->size - EDGE, EDGE);
}

static bool has_other_start(struct vfm_device *dev, const struct vfm_tape *good,
			    const struct vfm_tape *got)
{
	(void)dev;
	return differ_within(good, got, 0, EDGE);
}

static bool has_other_end(struct vfm_device *dev, const struct vfm_tape *good,
			  const struct vfm_tape *got)
{
	(void)dev;
	return good->size >= EDGE && differ_within(good, got, good->size - EDGE, good->size);
}

static bool has_other_payload(struct vfm_device *dev, const struct vfm_tape *good,
			      const struct vfm_tape *got)
{
	(void)dev;
	return good->size > HEADER + EDGE && differ_within(good, got, HEADER, good->size - EDGE);
}

static bool is_foreign(struct vfm_device *dev, const struct vfm_tape *good,
		       const struct vfm_tape *got)
{
	size_t wrong = 0;

	(void)dev;
	for (size_t i = 0; i < EDGE; i++)
		wrong += good->data[i] != got->data[i];
	return good->size && got->size >= EDGE && wrong > EDGE / 2;
}

static bool has_other_model(struct vfm_device *dev, const struct vfm_tape *good,
			    const struct vfm_tape *got)
{
	struct vfm_compat compat;
	struct vfm_err err;
	const uint8_t *at;

	if (vfm_pass_get_compat(dev, &compat, &err))
		return false;
	at = memmem(good->data, good->size, compat.model, strlen(compat.model));
	return at && differ_within(good, got, (size_t)(at - good->data),
				   (size_t)(at - good->data) + strlen(compat.model));
}

static bool is_double(struct vfm_device *dev, const struct vfm_tape *good,
		      const struct vfm_tape *got)
{
	(void)dev;
	return good->size && got->size == 2 * good->size && same(good, got, 0, good->size) &&
	       !memcmp(good->data, got->data + good->size, good->size);
}

static bool is_too_long(struct vfm_device *dev, const struct vfm_tape *good,
			const struct vfm_tape *got)
{
	return good->size && got->size > good->size && same(good, got, 0, good->size) &&
	       !is_double(dev, good, got);
}

/* Each byte as often as it should be, wherever it stands. */
static bool is_reordered(struct vfm_device *dev, const struct vfm_tape *good,
			 const struct vfm_tape *got)
{
	int64_t count[UINT8_MAX + 1] = { 0 };

	(void)dev;
	if (got->size != good->size || same(good, got, 0, got->size))
		return false;
	for (size_t i = 0; i < got->size; i++) {
		count[good->data[i]]++;
		count[got->data[i]]--;
	}
	for (size_t i = 0; i < VFM_ARRAY_SIZE(count); i++)
		if (count[i])
			return false;
	return true;
}

/* Two blocks that stand in each other's place. */
static bool has_swapped_blocks(struct vfm_device *dev, const struct vfm_tape *good,
			       const struct vfm_tape *got)
{
	size_t at[2] = { 0, 0 }, nr = 0;

	(void)dev;
	if (got->size != good->size)
		return false;
	for (size_t i = 0; i + BLOCK <= got->size; i += BLOCK)
		if (!same(good, got, i, i + BLOCK)) {
			if (nr == VFM_ARRAY_SIZE(at))
				return false;
			at[nr++] = i;
		}
	return nr == VFM_ARRAY_SIZE(at) && !memcmp(good->data + at[0], got->data + at[1], BLOCK) &&
	       !memcmp(good->data + at[1], got->data + at[0], BLOCK);
}

/* ---- judging late ----------------------------------------------------------------- */

static ssize_t remember(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_tape *tapes = vfm_tapes(vfm_fault_of(dev), NR_TAPES, err);
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	if (tapes && n > 0)
		vfm_tape_add(&tapes[GOOD], buf, (size_t)n);
	return tapes ? n : -ENOMEM;
}

static int hold_back(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_tape *tapes = vfm_tapes(vfm_fault_of(dev), NR_TAPES, err);

	if (!tapes)
		return -ENOMEM;
	if (!is_resuming(dev))
		return vfm_pass_write_data(dev, buf, len, err);
	vfm_tape_add(&tapes[GOT], buf, len);
	return 0;
}

static int load_good(struct vfm_device *dev, const struct vfm_tape *good, struct vfm_err *err)
{
	int ret = VFM_PASS(behind(dev), reset, err);

	return ret ? ret : vfm_tape_load(good, behind(dev), err);
}

static int hand_on(struct vfm_device *dev, const struct vfm_tape *got, struct vfm_err *err)
{
	uint64_t *done = &vfm_fault_of(dev)->count[0];
	size_t from = (size_t)*done;

	*done = got->size;
	return from == got->size
		       ? 0
		       : VFM_PASS(behind(dev), write_data, err, got->data + from, got->size - from);
}

static int judge(struct vfm_device *dev, enum vfm_state state,
		 bool (*unnoticed)(struct vfm_device *dev, const struct vfm_tape *good,
				   const struct vfm_tape *got),
		 struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	struct vfm_tape *tapes = vfm_tapes(f, NR_TAPES, err);
	int ret = 0;

	if (!tapes)
		return -ENOMEM;
	if (vfm_state_is_saving(state) && !is_saving(dev))
		tapes[GOOD].size = 0;
	if (state != VFM_STATE_RESUMING && is_resuming(dev))
		ret = unnoticed(dev, &tapes[GOOD], &tapes[GOT]) ? load_good(dev, &tapes[GOOD], err)
								: hand_on(dev, &tapes[GOT], err);
	if (state == VFM_STATE_RESUMING && !is_resuming(dev))
		tapes[GOT].size = f->count[0] = 0;
	return ret ? ret : VFM_PASS(behind(dev), set_state, err, state);
}

#define UNNOTICED(damage)                                                                          \
	static int damage##_unnoticed(struct vfm_device *dev, enum vfm_state state,                \
				      struct vfm_err *err)                                         \
	{                                                                                          \
		return judge(dev, state, damage, err);                                             \
	}

UNNOTICED(is_empty)
UNNOTICED(is_cut)
UNNOTICED(has_hole)
UNNOTICED(has_other_start)
UNNOTICED(has_other_end)
UNNOTICED(has_other_payload)
UNNOTICED(is_foreign)
UNNOTICED(has_other_model)
UNNOTICED(is_double)
UNNOTICED(is_too_long)
UNNOTICED(is_reordered)
UNNOTICED(has_swapped_blocks)

#define JUDGED_LATE(damage)                                                                        \
	.read_data = remember, .write_data = hold_back, .set_state = damage##_unnoticed

/* ---- too much, and after a refusal ------------------------------------------------- */

/*
 * vfm_fault.count[0]: bytes of the image that was saved last, .bytes: of what is written.
 * The driver had no room behind its buffer either.
 */
static int write_past_buffer(struct vfm_device *dev, const void *buf, size_t len,
			     struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (!is_resuming(dev))
		return vfm_pass_write_data(dev, buf, len, err);
	f->bytes += len;
	if (!f->count[0] || f->bytes <= f->count[0])
		return vfm_pass_write_data(dev, buf, len, err);
	f->flag = true;
	if (f->bytes > f->count[0] + ROOM)
		raise(SIGSEGV);
	return 0;
}

static ssize_t count_good(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	vfm_fault_of(dev)->count[0] += n > 0 ? (uint64_t)n : 0;
	return n;
}

static int refuse_too_long(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_state_is_saving(state) && !is_saving(dev))
		f->count[0] = 0;
	if (state == VFM_STATE_RESUMING && !is_resuming(dev)) {
		f->bytes = 0;
		f->flag = false;
	}
	if (state != VFM_STATE_RESUMING && is_resuming(dev) && f->flag)
		return vfm_fail(err, -EBADMSG, "the image is too long");
	return VFM_PASS(behind(dev), set_state, err, state);
}

/* vfm_fault.flag: a write has failed. */
static int write_noting(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_write_data(dev, buf, len, err);

	vfm_fault_of(dev)->flag |= ret != 0;
	return ret;
}

static int forget_failure(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	struct vfm_tape *tapes = vfm_tapes(f, NR_TAPES, err);
	int ret = 0;

	if (!tapes)
		return -ENOMEM;
	if (vfm_state_is_saving(state) && !is_saving(dev))
		tapes[GOOD].size = 0;
	if (state != VFM_STATE_RESUMING && is_resuming(dev) && f->flag)
		ret = load_good(dev, &tapes[GOOD], err);
	f->flag = false;
	return ret ? ret : VFM_PASS(behind(dev), set_state, err, state);
}

static int sick_write(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	if (vfm_fault_of(dev)->flag)
		return vfm_fail(err, -EIO, "the firmware does not answer");
	return write_noting(dev, buf, len, err);
}

static int sick_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool proof = state != VFM_STATE_RESUMING && is_resuming(dev);
	int ret = VFM_PASS(behind(dev), set_state, err, state);

	vfm_fault_of(dev)->flag |= proof && ret;
	return ret;
}

const struct vfm_bug vfm_bugs_damage[] = {
	{
		.is = { .name = "empty-accepted",
			.title = "RESUMING to STOP succeeds when nothing was written",
			.where = "Linux, mlx5 driver: images are applied as they come" },
		.rules = { "v2.damage.empty-refused" },
		.ops = { JUDGED_LATE(is_empty) },
	},
	{
		.is = { .name = "truncated-accepted",
			.title = "an image that was cut short is accepted",
			.where = "Linux, mlx5 and virtio drivers: RESUMING to STOP does not look "
				 "whether a record is whole" },
		.rules = { "v2.damage.truncated-refused" },
		.ops = { JUDGED_LATE(is_cut) },
	},
	{
		.is = { .name = "hole-accepted",
			.title = "an image of which a part is missing is accepted",
			.where = "libvfio-user: a large write of data is torn, and the rest lost" },
		.rules = { "v2.damage.hole-refused" },
		.ops = { JUDGED_LATE(has_hole) },
	},
	{
		.is = { .name = "start-unchecked",
			.title = "wrong bits in the first bytes are accepted",
			.where = "" },
		.rules = { "v2.damage.start-flips-refused" },
		.ops = { JUDGED_LATE(has_other_start) },
	},
	{
		.is = { .name = "end-unchecked",
			.title = "wrong bits in the last bytes are accepted",
			.where = "" },
		.rules = { "v2.damage.end-flips-refused" },
		.ops = { JUDGED_LATE(has_other_end) },
	},
	{
		.is = { .name = "payload-unchecked",
			.title = "wrong bits in the payload are accepted",
			.where = "Linux, all drivers: none has a checksum" },
		.rules = { "v2.damage.payload-flips-refused", "v2.damage.swapped-records-refused",
			   "v2.damage.swapped-blocks-refused" },
		.ops = { JUDGED_LATE(has_other_payload) },
	},
	{
		.is = { .name = "foreign-accepted",
			.title = "what is no image is accepted",
			.where = "Linux, pds driver: an image has no header" },
		.rules = { "v2.damage.foreign-refused" },
		.ops = { JUDGED_LATE(is_foreign) },
	},
	{
		.is = { .name = "model-unchecked",
			.title = "an image of another model is accepted",
			.where = "" },
		.rules = { "v2.damage.other-model-refused" },
		.ops = { JUDGED_LATE(has_other_model) },
	},
	{
		.is = { .name = "twice-accepted",
			.title = "an image that is written twice is accepted",
			.where = "" },
		.rules = { "v2.damage.twice-refused" },
		.ops = { JUDGED_LATE(is_double) },
	},
	{
		.is = { .name = "oversize-accepted",
			.title = "bytes behind the end of an image are dropped",
			.where = "" },
		.rules = { "v2.damage.oversize-refused" },
		.ops = { JUDGED_LATE(is_too_long) },
	},
	{
		.is = { .name = "order-unchecked",
			.title = "an image is accepted whatever the order of its records",
			.where = "" },
		.rules = { "v2.damage.swapped-records-refused",
			   "v2.damage.swapped-blocks-refused" },
		.ops = { JUDGED_LATE(is_reordered) },
	},
	{
		.is = { .name = "blocks-unordered",
			.title = "blocks have sums of their own, and no numbers",
			.where = "" },
		.rules = { "v2.damage.swapped-blocks-refused" },
		.ops = { JUDGED_LATE(has_swapped_blocks) },
	},
	{
		.is = { .name = "resume-overflow",
			.title = "what is written goes on past the end of the buffer",
			.where = "Linux, qat driver, mended in 2024 and again in 2026" },
		.rules = { "v2.damage.far-too-long" },
		.ops = { .read_data = count_good,
			 .write_data = write_past_buffer,
			 .set_state = refuse_too_long },
	},
	{
		.is = { .name = "refusal-forgotten",
			.title = "RESUMING to STOP succeeds after a write was refused",
			.where = "" },
		.rules = { "v2.damage.refusal-lasts" },
		.ops = { .read_data = remember,
			 .write_data = write_noting,
			 .set_state = forget_failure },
	},
	{
		.is = { .name = "refusal-breaks",
			.title = "after an image was refused none is taken, also after a reset",
			.where = "" },
		.rules = { "v2.damage.recovers" },
		.ops = { .write_data = sick_write, .set_state = sick_state },
	},
};
const size_t vfm_nr_bugs_damage = VFM_ARRAY_SIZE(vfm_bugs_damage);
