// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Servers that lie, stop in the middle, and never answer. One script makes every
 * call; a plan says what happens to the replies of one command. Whatever it is, the
 * script must come to its end soon, without a leak and without a byte out of bounds
 * (which the sanitizers see), and a connection that is broken must stay so.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "client-peer.h"

/* Where a limit is meant to be reached, and where none is, however busy the machine. */
#define SHORT_MS 20
#define LONG_MS 20000

static unsigned int timeout_ms = LONG_MS;

/** struct plan - what happens to the @skip-th reply of @command, or to all when it is -1 */
struct plan {
	uint16_t command;
	int skip;
	void (*act)(struct peer *p, struct peer_msg *reply, const struct plan *plan);
	size_t at;
	uint64_t value;
	bool done;  /* it has happened */
	size_t len; /* of the reply's payload before */
};

static void meddle(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	struct plan *plan = p->opts.user;

	if (req->command != plan->command || plan->skip > 0) {
		plan->skip -= req->command == plan->command;
		return;
	}
	if (plan->skip == 0)
		plan->skip = 1 << 30;
	plan->done = true;
	plan->len = reply->len;
	plan->act(p, reply, plan);
}

/** struct outcome - what the script saw */
struct outcome {
	int open;
	unsigned int failed;
	int first; /* error that is none of what the servers say by themselves */
	char text[VFM_ERR_TEXT];
	int last; /* of a register read at the very end */
};

static struct outcome outcome;

static void note(long ret, const struct vfm_err *err)
{
	if (ret >= 0 || ret == -ENOTTY || ret == -EINVAL)
		return;
	if (!outcome.failed++) {
		outcome.first = (int)ret;
		memcpy(outcome.text, err->msg, sizeof(outcome.text));
	}
}

#define TRY(call)                                                                                  \
	do {                                                                                       \
		struct vfm_err e_ = { 0 };                                                         \
		note((long)(call), &e_);                                                           \
	} while (0)
#define ERR (&e_)

static void describe(struct vfm_device *dev)
{
	struct vfm_device_info info;
	struct vfm_region region;
	struct vfm_io_fd io[4];
	struct vfm_irq irq;

	TRY(vfm_device_get_info(dev, &info, ERR));
	TRY(vfm_device_get_region(dev, 1, &region, ERR));
	TRY(vfm_device_get_irq(dev, 2, &irq, ERR));
	TRY(vfm_device_get_io_fds(dev, 0, io, 4, ERR));
}

static void use(struct vfm_device *dev)
{
	static uint8_t memory[8192];
	struct vfm_dma_map map = {
		.iova = 0x10000, .size = 0x2000, .flags = 3, .fd = -1, .vaddr = memory
	};
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
				   .index = 2,
				   .count = 2,
				   .fds = fds };
	uint8_t buf[64] = { 0 };

	TRY(vfm_device_read_region(dev, 0, 0, buf, 4, ERR));
	TRY(vfm_device_read_region(dev, 1, 0, buf, sizeof(buf), ERR));
	TRY(vfm_device_write_region(dev, 0, 0, buf, 4, ERR));
	TRY(vfm_device_set_irqs(dev, &set, ERR));
	TRY(vfm_device_map_dma(dev, &map, ERR));
	map.iova = 0x20000;
	map.fd = fds[0];
	TRY(vfm_device_map_dma(dev, &map, ERR));
	close(fds[0]);
	close(fds[1]);
}

static void move(struct vfm_device *dev)
{
	struct vfm_range range = { 0, 0x100000 };
	struct vfm_precopy_info info;
	struct vfm_compat compat;
	enum vfm_state state;
	uint64_t v, page = 4096, bitmap[8] = { 0 };
	uint8_t buf[256] = { 0 };

	TRY(vfm_device_get_migration(dev, &v, ERR));
	TRY(vfm_device_start_log(dev, &page, &range, 1, ERR));
	TRY(vfm_device_report_log(dev, 0x10000, 0x20000, 4096, bitmap, ERR));
	TRY(vfm_device_stop_log(dev, ERR));
	TRY(vfm_device_get_data_size(dev, &v, ERR));
	TRY(vfm_device_get_compat(dev, &compat, ERR));
	TRY(vfm_device_set_orphan(dev, VFM_ORPHAN_RUN, ERR));
	TRY(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, ERR));
	TRY(vfm_device_get_precopy_info(dev, &info, ERR));
	TRY(vfm_device_read_data(dev, buf, sizeof(buf), ERR));
	TRY(vfm_device_set_state(dev, VFM_STATE_RUNNING, ERR));
	TRY(vfm_device_set_state(dev, VFM_STATE_RESUMING, ERR));
	TRY(vfm_device_write_data(dev, buf, sizeof(buf), ERR));
	TRY(vfm_device_get_state(dev, &state, ERR));
	TRY(vfm_device_reset(dev, ERR));
	TRY(vfm_device_unmap_dma(dev, 0x20000, 0x2000, ERR));
	TRY(vfm_device_unmap_all(dev, ERR));
	TRY(vfm_device_process(dev, ERR));
}

static void script(const struct peer_opts *base, struct plan *plan)
{
	struct vfm_client_opts opts = { .timeout_ms = timeout_ms };
	struct peer_opts peer_opts = *base;
	struct vfm_device *dev = NULL;
	struct vfm_err err = { 0 };
	struct peer p;
	uint32_t v;
	int fd;

	peer_opts.meddle = meddle;
	peer_opts.user = plan;
	fd = peer_start(&p, &peer_opts);
	outcome = (struct outcome){ 0 };
	outcome.open = vfm_client_open_fd(&dev, fd, &opts, &err);
	if (outcome.open) {
		note(outcome.open, &err);
		assert_int_equal(err.code, outcome.open);
		close(fd);
	} else {
		describe(dev);
		use(dev);
		move(dev);
		outcome.last = vfm_device_read_region(dev, 0, 0, &v, 4, &err);
		vfm_device_close(dev);
	}
	peer_stop(&p);
}

static const struct peer_opts kinds[] = { { .extension = true }, { .libvfio = true } };

static const uint16_t commands[] = {
	VFM_VU_VERSION,
	VFM_VU_DMA_MAP,
	VFM_VU_DMA_UNMAP,
	VFM_VU_DEVICE_GET_INFO,
	VFM_VU_DEVICE_GET_REGION_INFO,
	VFM_VU_DEVICE_GET_REGION_IO_FDS,
	VFM_VU_DEVICE_GET_IRQ_INFO,
	VFM_VU_DEVICE_SET_IRQS,
	VFM_VU_REGION_READ,
	VFM_VU_REGION_WRITE,
	VFM_VU_DEVICE_RESET,
	VFM_VU_DEVICE_FEATURE,
	VFM_VU_MIG_DATA_READ,
	VFM_VU_MIG_DATA_WRITE,
};

/* Replies of one command that differ: region 1 is asked for twice, features are many. */
static int variants(uint16_t command, size_t kind)
{
	if (command == VFM_VU_DEVICE_FEATURE)
		return kind ? 4 : 10; /* the second kind knows fewer */
	return command == VFM_VU_DEVICE_GET_REGION_INFO	    ? 3
	       : command == VFM_VU_DEVICE_GET_REGION_IO_FDS ? 2
							    : 1;
}

static void assert_dead(const struct plan *plan, size_t kind)
{
	if (!plan->done)
		return;
	if (!outcome.failed || (!outcome.open && outcome.last != -ENOTCONN))
		fail_msg("kind %zu, command %u, at %zu: open %d, %u failed, then %d", kind,
			 plan->command, plan->at, outcome.open, outcome.failed, outcome.last);
}

static void each(void (*act)(struct peer *p, struct peer_msg *reply, const struct plan *plan),
		 size_t at, uint64_t value, bool dead, int first)
{
	for (size_t kind = 0; kind < VFM_ARRAY_SIZE(kinds); kind++) {
		for (size_t i = 0; i < VFM_ARRAY_SIZE(commands); i++) {
			struct plan plan = {
				.command = commands[i], .act = act, .at = at, .value = value
			};

			script(&kinds[kind], &plan);
			while (!plan.done && timeout_ms < LONG_MS) {
				/* Too busy to come so far. */
				timeout_ms *= 4;
				script(&kinds[kind], &plan);
			}
			assert_true(plan.done);
			if (dead)
				assert_dead(&plan, kind);
			if (dead && first && outcome.first != first)
				fail_msg("command %u: %d, %s", plan.command, outcome.first,
					 outcome.text);
		}
	}
}

static void act_cut(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	reply->cut = plan->at < 16 + reply->len ? plan->at : 0;
}

/* The connection ends inside a reply, at every byte. */
static void cut_everywhere(void **state)
{
	size_t kind = (size_t)(uintptr_t)*state;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(commands); i++) {
		for (int skip = 0; skip < variants(commands[i], kind); skip++) {
			size_t end = 17;

			for (size_t at = 1; at<end; at += at> 48 ? 13 : 1) {
				struct plan plan = { .command = commands[i],
						     .skip = skip,
						     .act = act_cut,
						     .at = at };

				script(&kinds[kind], &plan);
				end = plan.done ? 16 + plan.len : 0;
				if (at < end)
					assert_dead(&plan, kind);
			}
		}
	}
}

static void act_short(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	if (plan->at < reply->len)
		reply->len = plan->at;
}

/* Replies with a sound header and too little behind it, of every length. */
static void short_everywhere(void **state)
{
	size_t kind = (size_t)(uintptr_t)*state;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(commands); i++) {
		for (int skip = 0; skip < variants(commands[i], kind); skip++) {
			size_t end = 1;

			for (size_t at = 0; at<end; at += at> 48 ? 13 : 1) {
				struct plan plan = { .command = commands[i],
						     .skip = skip,
						     .act = act_short,
						     .at = at };

				script(&kinds[kind], &plan);
				end = plan.done ? plan.len : 0;
			}
		}
	}
}

static void act_word(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	if (plan->at + 4 <= reply->len)
		peer_put32(reply, plan->at, (uint32_t)plan->value);
}

/* Every word of every reply takes values that make no sense. */
static void absurd_words(void **state)
{
	static const uint32_t values[] = { 0, 0x7fffffff, 0xffffffff };
	size_t kind = (size_t)(uintptr_t)*state;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(commands); i++) {
		for (int skip = 0; skip < variants(commands[i], kind); skip++) {
			size_t end = 4;

			for (size_t at = 0; at + 4 <= end && at < 112; at += 4) {
				for (size_t v = 0; v < VFM_ARRAY_SIZE(values); v++) {
					struct plan plan = { .command = commands[i],
							     .skip = skip,
							     .act = act_word,
							     .at = at,
							     .value = values[v] };

					script(&kinds[kind], &plan);
					end = plan.done ? plan.len : 0;
				}
			}
		}
	}
}

static void act_noise(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	static uint64_t seed = 88172645463325252u;

	(void)p;
	(void)plan;
	for (int i = 0; i < 3 && reply->len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		reply->bytes[(seed >> 8) % reply->len] = (uint8_t)seed;
	}
}

static void noise(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++)
		each(act_noise, 0, 0, false, 0);
}

static void act_id(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	reply->id += (uint16_t)plan->at;
}

static void act_command(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	(void)plan;
	reply->command++;
}

static void act_flags(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	reply->flags = (uint32_t)plan->value;
}

static void act_drop(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	(void)plan;
	reply->drop = true;
}

static void act_size(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	reply->add_size = (uint32_t)(plan->value - reply->len - 16);
}

static void wrong_headers(void **state)
{
	(void)state;
	each(act_id, 1, 0, true, -EPROTO);
	each(act_id, 0x8000, 0, true, -EPROTO);
	each(act_command, 0, 0, true, -EPROTO);
	each(act_flags, 0, 2, true, -EPROTO);
	each(act_flags, 0, 0xf, true, -EPROTO);
	each(act_size, 0, 15, true, -EPROTO);
	each(act_size, 0, 0, true, -EPROTO);
}

/* They wait for bytes that never come, and for no longer than the limit. */
static void silence(void **state)
{
	(void)state;
	timeout_ms = SHORT_MS;
	each(act_drop, 0, 0, true, -ETIMEDOUT);
	timeout_ms = SHORT_MS;
	each(act_size, 0, 0xffffffff, true, -ETIMEDOUT);
	timeout_ms = SHORT_MS;
	each(act_size, 0, 0x7fffffff, true, -ETIMEDOUT);
	timeout_ms = LONG_MS;
}

static void act_fds(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	while (reply->nr_fds < plan->at)
		reply->fds[reply->nr_fds++] = p->io_fd;
}

static void too_many_fds(void **state)
{
	unsigned int before;

	(void)state;
	each(act_fds, 16, 0, false, 0);
	before = test_count_fds();
	each(act_fds, 17, 0, false, 0);
	each(act_fds, 60, 0, false, 0);
	assert_int_equal(test_count_fds(), before);
}

static void act_huge(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	memset(reply->bytes + reply->len, 0, plan->at - reply->len);
	reply->len = plan->at;
}

/* A reply that is far too long is no reason to lose the connection. */
static void huge(void **state)
{
	(void)state;
	each(act_huge, PEER_MAX, 0, false, 0);
	assert_int_equal(outcome.last, 0);
}

static void act_error(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	reply->flags |= 0x20;
	reply->error = (uint32_t)plan->value;
	reply->len = plan->at < reply->len ? plan->at : reply->len;
}

static void error_replies(void **state)
{
	static const uint32_t errors[] = { 0, EIO, 4095, 4096, 0x80000000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(errors); i++) {
		each(act_error, 0, errors[i], false, 0);
		assert_int_equal(outcome.open ? 0 : outcome.last, 0);
		each(act_error, SIZE_MAX, errors[i], false, 0);
	}
}

static void act_twice(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)plan;
	peer_send(p, reply);
	reply->nr_fds = 0;
}

/* A reply that nobody waits for: the call has its result, but no later one. */
static void twice(void **state)
{
	(void)state;
	each(act_twice, 0, 0, true, 0);
}

/* ---- single lies ------------------------------------------------------------------------ */

static struct vfm_region region;
static struct vfm_err region_err;

static int region_after(void (*act)(struct peer *, struct peer_msg *, const struct plan *),
			size_t at, uint64_t value)
{
	struct plan plan = { .command = VFM_VU_DEVICE_GET_REGION_INFO,
			     .skip = 2, /* region 0, then the first step of region 1; it lasts */
			     .act = act,
			     .at = at,
			     .value = value };
	struct peer_opts opts = { .meddle = meddle, .user = &plan };
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &opts);
	int ret = vfm_device_get_region(dev, 1, &region, &region_err);

	vfm_device_close(dev);
	peer_stop(&p);
	assert_true(plan.done);
	return ret;
}

static bool is_full(const struct peer_msg *reply)
{
	return peer_get32(reply, 8) == 1 && peer_get32(reply, 0) == 112 && reply->len == 112;
}

static void act_full_word(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	if (is_full(reply))
		peer_put32(reply, plan->at, (uint32_t)plan->value);
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

static void act_full_long(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	if (is_full(reply))
		peer_put64(reply, plan->at, plan->value);
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

static void act_grow(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	static uint32_t argsz;

	(void)p;
	argsz = argsz < 200 ? 200 : argsz + 8;
	peer_put32(reply, 0, argsz);
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

static void act_no_fd(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	reply->nr_fds = 0;
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

static void act_truncate(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)reply;
	assert_int_equal(ftruncate(p->mem_fd, (off_t)plan->value), 0);
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

static void refused(int code, const char *text)
{
	assert_int_equal(region_err.code, code);
	if (!strstr(region_err.msg, text))
		fail_msg("\"%s\" does not say \"%s\"", region_err.msg, text);
}

static void capability_chains(void **state)
{
	(void)state;
	assert_int_equal(region_after(act_full_word, 36, 32), -EPROTO);
	refused(-EPROTO, "does not end");
	assert_int_equal(region_after(act_full_word, 68, 48), -EPROTO);
	refused(-EPROTO, "does not end");
	assert_int_equal(region_after(act_full_word, 36, 108), -EPROTO);
	assert_int_equal(region_after(act_full_word, 36, 112), -EPROTO);
	assert_int_equal(region_after(act_full_word, 36, 0xfffffff8), -EPROTO);
	refused(-EPROTO, "damaged");
	assert_int_equal(region_after(act_full_word, 36, 8), -EPROTO);
	assert_int_equal(region_after(act_full_word, 12, 16), -EPROTO);
	assert_int_equal(region_after(act_full_word, 12, 0), 0);
	assert_int_equal(region.type, 0);
	assert_int_equal(region_after(act_full_word, 72, 3), -EPROTO);
	assert_int_equal(region_after(act_full_word, 72, 65), -E2BIG);
	assert_int_equal(region_after(act_full_word, 72, 0xffffffff), -E2BIG);
	assert_int_equal(region_after(act_grow, 0, 0), -EPROTO);
	refused(-EPROTO, "grows");
	assert_int_equal(region_after(act_full_word, 0, 0x7fffffff), -EPROTO);
}

static bool mappable(int ret)
{
	assert_int_equal(ret, 0);
	assert_int_equal(!!(region.flags & VFM_REGION_MMAP), region.fd >= 0);
	return region.flags & VFM_REGION_MMAP;
}

static void areas(void **state)
{
	(void)state;
	/* Outside, wrapping, overlapping. */
	assert_int_equal(region_after(act_full_long, 80, 0xd000), -EPROTO);
	assert_int_equal(region_after(act_full_long, 80, 0xfffffffffffff000), -EPROTO);
	assert_int_equal(region_after(act_full_long, 88, 0xffffffffffffc000), -EPROTO);
	assert_int_equal(region_after(act_full_long, 104, 0x4000), -EPROTO);
	refused(-EPROTO, "overlaps or leaves");
	assert_int_equal(region_after(act_full_long, 96, 0x4000), -EPROTO);
	/* Not on a page: that one is left out. */
	assert_true(mappable(region_after(act_full_long, 104, 0x800)));
	assert_int_equal(region.nr_areas, 1);
	assert_int_equal(region.areas[0].offset, 0x4000);
	assert_true(mappable(region_after(act_full_long, 104, 0)));
	assert_int_equal(region.nr_areas, 1);
	/* No area, no descriptor, no region, no file behind it. */
	assert_false(mappable(region_after(act_full_word, 72, 0)));
	assert_false(mappable(region_after(act_no_fd, 0, 0)));
	assert_int_equal(region.nr_areas, 0);
	assert_int_equal(region.fd_offset, 0);
	assert_false(mappable(region_after(act_full_word, 4, 3)));
	assert_false(mappable(region_after(act_truncate, 0, 0x9fff)));
	assert_true(mappable(region_after(act_truncate, 0, 0xa000)));
	assert_false(mappable(region_after(act_full_long, 24, 0x2800)));
	assert_false(mappable(region_after(act_full_long, 24, 0xfffffffffffff000)));
	/* Bits that nobody knows. */
	assert_true(mappable(region_after(act_full_word, 4, 0xffffffff)));
	assert_int_equal(region.flags, 7);
}

static void act_range(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	if (peer_get32(reply, 4) == 0x10008) {
		if (plan->value)
			peer_put64(reply, plan->at, plan->value);
		else
			reply->len = plan->at;
	}
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

/* A report whose success cannot be believed is an error, since pages would be lost. */
static void reports(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
	} lies[] = { { 0, 0 },	  { 8, 0 },	     { 32, 0 },	  { 39, 0 },
		     { 8, 4096 }, { 16, 0x2000000 }, { 24, 8192 } };

	(void)state;
	for (size_t kind = 0; kind < 2; kind++) {
		for (size_t i = 0; i < VFM_ARRAY_SIZE(lies); i++) {
			struct plan plan = { .command = VFM_VU_DEVICE_FEATURE,
					     .skip = -1,
					     .act = act_range,
					     .at = lies[i].at,
					     .value = lies[i].value };
			struct peer_opts opts = kinds[kind];
			struct vfm_range range = { 0, 0x20000 };
			uint64_t page = 4096, bitmap[1] = { 0 };
			struct vfm_dma_map map = { .size = 0x20000, .flags = 3 };
			struct vfm_device *dev;
			struct vfm_err err;
			struct peer p;

			opts.meddle = meddle;
			opts.user = &plan;
			dev = peer_open(&p, &opts);
			map.fd = p.mem_fd;
			assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
			assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, &err), 0);
			assert_int_equal(vfm_device_report_log(dev, 0, 0x20000, 4096, bitmap, &err),
					 -EPROTO);
			vfm_device_close(dev);
			peer_stop(&p);
		}
	}
}

static void act_lie(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	peer_put32(reply, plan->at, (uint32_t)plan->value);
	reply->len -= 2;
}

static void act_claim(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	peer_put32(reply, plan->at, (uint32_t)plan->value);
}

/* Bytes that are claimed and do not come, that come and are not claimed, that nobody wanted. */
static void reads(void **state)
{
	static const struct {
		uint16_t command;
		void (*act)(struct peer *, struct peer_msg *, const struct plan *);
		size_t at;
		uint32_t value;
		const char *text;
	} lies[] = {
		{ VFM_VU_REGION_READ, act_lie, 12, 8, "holds 6 bytes where 8" },
		{ VFM_VU_REGION_READ, act_claim, 12, 6, "did 6 of 8" },
		{ VFM_VU_REGION_READ, act_claim, 12, 9, "did 9 of 8" },
		{ VFM_VU_REGION_READ, act_claim, 12, 0, "did 0 of 8" },
		{ VFM_VU_REGION_WRITE, act_claim, 12, 7, "did 7 of 8" },
		{ VFM_VU_MIG_DATA_READ, act_lie, 4, 8, "holds 6 bytes where 8" },
		{ VFM_VU_MIG_DATA_READ, act_claim, 4, 9, "9 bytes where 8" },
		{ VFM_VU_MIG_DATA_READ, act_claim, 4, 0xffffffff, "4294967295 bytes where 8" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(lies); i++) {
		struct plan plan = { .command = lies[i].command,
				     .skip = -1,
				     .act = lies[i].act,
				     .at = lies[i].at,
				     .value = lies[i].value };
		struct peer_opts opts = { .meddle = meddle, .user = &plan };
		struct vfm_err err = { 0 };
		struct peer p;
		struct vfm_device *dev = peer_open(&p, &opts);
		uint8_t buf[8] = { 0 };
		long ret;

		if (lies[i].command == VFM_VU_MIG_DATA_READ) {
			assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), 0);
			ret = vfm_device_read_data(dev, buf, 8, &err);
		} else if (lies[i].command == VFM_VU_REGION_READ) {
			ret = vfm_device_read_region(dev, 0, 128, buf, 8, &err);
		} else {
			ret = vfm_device_write_region(dev, 0, 128, buf, 8, &err);
		}
		assert_int_equal(ret, -EPROTO);
		if (!strstr(err.msg, lies[i].text))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, lies[i].text);
		/* The framing was sound: the connection lives. */
		assert_int_equal(vfm_device_reset(dev, &err), 0);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

static void act_state(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	(void)p;
	if (peer_get32(reply, 4) == plan->at)
		peer_put32(reply, 8, (uint32_t)plan->value);
	((struct plan *)(uintptr_t)plan)->skip = -1;
}

static void states(void **state)
{
	static const struct {
		uint32_t flags, value;
		int get, set;
	} lies[] = { { 0x10002, 8, -EPROTO, 0 },
		     { 0x10002, 0xffffffff, -EPROTO, 0 },
		     { 0x10002, 0, 0, 0 },
		     { 0x20002, 8, 0, -EPROTO },
		     { 0x20002, 1, 0, -EPROTO } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(lies); i++) {
		struct plan plan = { .command = VFM_VU_DEVICE_FEATURE,
				     .skip = -1,
				     .act = act_state,
				     .at = lies[i].flags,
				     .value = lies[i].value };
		struct peer_opts opts = { .meddle = meddle, .user = &plan };
		struct vfm_err err;
		enum vfm_state s;
		struct peer p;
		struct vfm_device *dev = peer_open(&p, &opts);

		assert_int_equal(vfm_device_get_state(dev, &s, &err), lies[i].get);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), lies[i].set);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

static void act_dribble(struct peer *p, struct peer_msg *reply, const struct plan *plan)
{
	uint8_t header[16] = { 0, 0, VFM_VU_DEVICE_RESET, 0, 0, 0x10, 0, 0, 1 };

	(void)plan;
	memcpy(header, &reply->id, 2);
	for (size_t i = 0; i < 4096; i++) {
		if (send(p->fd, i < 16 ? &header[i] : &header[15], 1, MSG_NOSIGNAL) != 1)
			break;
		usleep(1000 * SHORT_MS / 4);
	}
	reply->drop = true;
}

/* One byte before each limit: the whole has a limit, too. */
static void dribble(void **state)
{
	struct plan plan = { .command = VFM_VU_DEVICE_RESET, .act = act_dribble };
	uint64_t start = 0;

	(void)state;
	for (timeout_ms = SHORT_MS; !plan.done; timeout_ms *= 4) {
		start = vfm_now_ns();
		script(&kinds[0], &plan);
	}
	timeout_ms = LONG_MS;
	assert_dead(&plan, 0);
	assert_int_equal(outcome.first, -ETIMEDOUT);
	/* All of it would take 20 seconds. */
	assert_true(vfm_now_ns() - start < UINT64_C(10000000000));
}

/* The first error says what happened, all later ones repeat it. */
static void dead_for_good(void **state)
{
	struct plan plan = { .command = VFM_VU_REGION_READ, .act = act_id, .at = 5 };
	struct peer_opts opts = { .meddle = meddle, .user = &plan };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &opts);
	int fd = vfm_device_get_fd(dev);
	uint32_t v;

	(void)state;
	assert_int_equal(vfm_device_read_region(dev, 0, 0, &v, 4, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "not asked for"));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vfm_device_reset(dev, &err), -ENOTCONN);
		assert_non_null(strstr(err.msg, "not asked for"));
		assert_int_equal(vfm_device_process(dev, &err), -ENOTCONN);
		assert_int_equal(vfm_device_unmap_all(dev, &err), -ENOTCONN);
		assert_int_equal(vfm_device_get_fd(dev), fd);
	}
	assert_int_equal(vfm_device_reset(dev, NULL), -ENOTCONN);
	vfm_device_close(dev);
	peer_stop(&p);
}

static int no_leak(void **state)
{
	static unsigned int before;
	unsigned int now = test_count_fds();

	(void)state;
	if (!before)
		before = now;
	return now != before;
}

static void no_fd_leaked(void **state)
{
	assert_int_equal(no_leak(state), 0);
}

#define KINDS(fn)                                                                                  \
	{ #fn " (extension)", fn, NULL, NULL, (void *)0 },                                         \
	{                                                                                          \
#fn " (libvfio-user)", fn, NULL, NULL, (void *)1                                   \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capability_chains),
		cmocka_unit_test(areas),
		cmocka_unit_test(reports),
		cmocka_unit_test(reads),
		cmocka_unit_test(states),
		cmocka_unit_test(dead_for_good),
		cmocka_unit_test(no_fd_leaked),
		KINDS(cut_everywhere),
		cmocka_unit_test(no_fd_leaked),
		KINDS(short_everywhere),
		cmocka_unit_test(no_fd_leaked),
		KINDS(absurd_words),
		cmocka_unit_test(no_fd_leaked),
		cmocka_unit_test(noise),
		cmocka_unit_test(wrong_headers),
		cmocka_unit_test(silence),
		cmocka_unit_test(too_many_fds),
		cmocka_unit_test(huge),
		cmocka_unit_test(error_replies),
		cmocka_unit_test(twice),
		cmocka_unit_test(dribble),
		cmocka_unit_test(no_fd_leaked),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, no_leak, NULL);
}
