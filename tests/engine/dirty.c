// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Which memory is sent, when, and how often: logs that fail in every way, in pages of their own,
 * for fewer ranges than there are; pages of zeros; rounds that come to an end and rounds that do
 * not. Each ends with all memory compared, so that a page too few is found; a page too many is
 * found by counting.
 */

#include "rig.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)
#define RW (VFM_DMA_READ | VFM_DMA_WRITE)

/* With a ring that leaves half of its range to us. */
static void open_rig(struct rig *r, const char *params, uint64_t size)
{
	rig_open(r, params, size);
	r->ring.size /= 2;
}

/* The place behind it. */
static uint64_t behind_ring(const struct rig *r)
{
	return r->ring.iova + r->ring.size;
}

/* The device itself writes there. */
static void write_by_device(struct vfm_device *dev, uint64_t iova, uint64_t len)
{
	static const uint32_t op = VFM_SIM_JOB_FILL;

	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_JOB_OP, op, NULL), 0);
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_JOB_IOVA, iova, NULL), 0);
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_JOB_LEN, len, NULL), 0);
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_JOB_SEED, iova + 1, NULL), 0);
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1, NULL), 0);
}

static void check_same(const struct rig *r)
{
	assert_int_equal(vfm_memory_count(r->src_mem), vfm_memory_count(r->dst_mem));
	for (size_t i = 0; i < vfm_memory_count(r->src_mem); i++) {
		struct vfm_range range = vfm_memory_get(r->src_mem, i, NULL);

		assert_memory_equal(vfm_memory_at(r->src_mem, range.iova, range.size),
				    vfm_memory_at(r->dst_mem, range.iova, range.size), range.size);
	}
}

static uint64_t after_stop(const struct rig *r)
{
	return r->report.phases[VFM_PHASE_STOP_COPY].memory_bytes;
}

/* One page in the last moment before the stop. */
static void write_at_stop(void *user, const struct vfm_migration_report *now)
{
	struct rig *r = user;

	if (now->phase == VFM_PHASE_STOP)
		write_by_device(r->src, behind_ring(r) + 5 * PAGE, 64);
}

static int migrate_and_write(struct rig *r)
{
	struct vfm_migrate_opts opts = rig_opts();

	opts.progress = write_at_stop;
	opts.user = r;
	return rig_migrate(r, &opts);
}

/* ---- errors of the log ----------------------------------------------------- */

struct failure {
	const char *call;
	unsigned int from, to; /* which calls of that name, from 1 */
	unsigned int seen;
	enum wrap_fault fault;
};

static void fail_some(struct wrap *w, const char *call)
{
	struct failure *f = w->user;

	if (strcmp(call, f->call) || ++f->seen < f->from || f->seen > f->to)
		return;
	w->fault = f->fault;
	w->at = w->calls;
}

/* Without the ring: all that changes is the page at the stop. Whatever is wrong, it arrives. */
static void one_failure(const struct failure *kind, int code)
{
	bool stops = !strcmp(kind->call, "stop_log");
	struct failure f = *kind;
	struct rig r;

	open_rig(&r, "state=64K", MIB);
	rig_start(&r, 0);
	r.ws->hook = fail_some;
	r.ws->user = &f;
	r.ws->code = code;
	assert_int_equal(migrate_and_write(&r), 0);
	assert_true(r.ws->failed);
	assert_int_equal(r.report.all_dirty, !stops);
	/* Only what was reported before the failure is known to be over there. */
	assert_int_equal(after_stop(&r), stops ? PAGE : MIB);
	check_same(&r);
	if (stops && f.fault == WRAP_BEFORE) {
		assert_int_equal(r.ws->logs, 1);
		r.ws->logs = 0;
	}
	rig_check_moved(&r);
	rig_close(&r);
}

static void every_error_of_the_log(void **state)
{
	static const int codes[] = { -ENOTTY, -EINVAL, -EIO,	-ENOMEM, -EBUSY,     -E2BIG,
				     -ENOSPC, -EAGAIN, -EPROTO, -EFAULT, -EOPNOTSUPP };
	/* A start is tried again with fewer ranges. There are two reports in a round. */
	static const struct failure failures[] = {
		{ .call = "start_log", .from = 1, .to = 99 },
		{ .call = "report_log", .from = 1, .to = 1 },
		{ .call = "report_log", .from = 2, .to = 2 },
		{ .call = "report_log", .from = 3, .to = 3 },
		{ .call = "report_log", .from = 4, .to = 4 },
		{ .call = "report_log", .from = 1, .to = 99 },
		{ .call = "stop_log", .from = 1, .to = 99 },
	};

	(void)state;
	for (size_t c = 0; c < sizeof(codes) / sizeof(codes[0]); c++)
		for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
			bool never = codes[c] == -ENOTTY || codes[c] == -EINVAL;
			struct failure f = failures[i];

			f.fault = WRAP_BEFORE;
			one_failure(&f, codes[c]);
			f.fault = WRAP_AFTER;
			/* Who starts a log and says that there is none cannot be helped. */
			if (strcmp(f.call, "start_log") != 0 || !never)
				one_failure(&f, codes[c]);
		}
}

/* A log that could not be read once is not asked again, and all goes once more after the stop. */
static void a_lost_log_stays_lost(void **state)
{
	struct failure f = { .call = "report_log", .from = 1, .to = 1, .fault = WRAP_BEFORE };
	struct rig r;

	(void)state;
	open_rig(&r, "state=64K", MIB);
	rig_start(&r, 0);
	r.ws->hook = fail_some;
	r.ws->user = &f;
	assert_int_equal(migrate_and_write(&r), 0);
	assert_int_equal(f.seen, 1);
	assert_int_equal(r.report.memory_bytes, 2 * MIB);
	rig_check_moved(&r);
	rig_close(&r);
}

/* ---- pages and ranges -------------------------------------------------------- */

static void pages_of_the_devices_own(void **state)
{
	static const struct {
		uint64_t page, expect;
	} sizes[] = {
		{ 0, PAGE },
		{ 2 * PAGE, 2 * PAGE },
		{ 16 * PAGE, 16 * PAGE },
		{ 2 * MIB, 2 * MIB },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rig r;

		open_rig(&r, "state=64K", 4 * MIB);
		rig_start(&r, 0);
		r.ws->log_page = sizes[i].page;
		assert_int_equal(migrate_and_write(&r), 0);
		assert_int_equal(after_stop(&r), sizes[i].expect);
		assert_false(r.report.all_dirty);
		check_same(&r);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* With those of the rig: some touch, some are far away, some are small. */
static const struct vfm_range more[] = {
	{ 64 * MIB, PAGE },	  { 64 * MIB + PAGE, 3 * PAGE }, { 80 * MIB, 65 * PAGE },
	{ 1024 * MIB, 3 * PAGE }, { 65536 * MIB, PAGE },
};
#define NR_MORE (sizeof(more) / sizeof(more[0]))
#define NR_RANGES (NR_MORE + 2)

static void add_ranges(struct rig *r, const struct vfm_range *ranges, size_t nr)
{
	assert_int_equal(vfm_memory_unmap(r->src_mem, r->src, NULL), 0);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(
			vfm_memory_add(r->src_mem, ranges[i].iova, ranges[i].size, RW, NULL), 0);
	assert_int_equal(vfm_memory_map(r->src_mem, r->src, NULL), 0);
}

/* The last page of each. */
static void write_to_all(void *user, const struct vfm_migration_report *now)
{
	struct rig *r = user;

	if (now->phase != VFM_PHASE_STOP)
		return;
	write_by_device(r->src, behind_ring(r) + 5 * PAGE, 64);
	for (size_t i = 0; i < NR_MORE; i++)
		write_by_device(r->src, more[i].iova + more[i].size - PAGE, 64);
}

/* However few of them the device logs, and however it says that these are too many. */
static void several_ranges(void **state)
{
	static const size_t taken[] = { NR_RANGES, 1, 1, 3, 3, 3, 3, NR_RANGES };

	(void)state;
	for (size_t max = 0; max < sizeof(taken) / sizeof(taken[0]); max++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		open_rig(&r, "state=64K", 4 * MIB);
		add_ranges(&r, more, NR_MORE);
		rig_start(&r, 0);
		r.ws->max_ranges = max;
		r.ws->code = max % 2 ? -E2BIG : -ENOSPC;
		opts.progress = write_to_all;
		opts.user = &r;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_int_equal(r.ws->log_ranges, taken[max]);
		assert_false(r.report.all_dirty);
		/* One for each that is mapped: after the round, when all was loaded, and after the
		 * stop. */
		assert_int_equal(r.ws->reports, 3 * NR_RANGES);
		assert_int_equal(after_stop(&r), (NR_MORE + 1) * PAGE);
		check_same(&r);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* One log for all would be too coarse to say anything, and the last page cannot be logged at all.
 */
static void ranges_that_cannot_be_logged(void **state)
{
	static const struct vfm_range far[] = { { -2 * PAGE, PAGE }, { -PAGE, PAGE } };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rig r;

		open_rig(&r, "state=64K", MIB);
		add_ranges(&r, &far[i], 1);
		rig_start(&r, 0);
		r.ws->max_ranges = i ? 0 : 1;
		assert_int_equal(migrate_and_write(&r), 0);
		assert_true(r.report.all_dirty);
		assert_int_equal(after_stop(&r), MIB + PAGE);
		check_same(&r);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* ---- zeros --------------------------------------------------------------------- */

/* Where a test of zero that is quick may be too quick. */
static const unsigned int places[] = { 0,   1,	 7,    8,    9,	   15,	 16,   17,   63,   64,
				       127, 128, 2047, 2048, 4031, 4032, 4087, 4088, 4094, 4095 };
#define NR_PLACES (sizeof(places) / sizeof(places[0]))

/* Memory that is there and holds zeros, but for one byte in some pages. */
static void put_bytes(struct rig *r)
{
	uint8_t *at = vfm_memory_at(r->src_mem, RIG_IOVA, MIB);

	memset(at, 0, MIB);
	for (size_t i = 0; i < NR_PLACES; i++)
		at[(2 * i + 1) * PAGE + places[i]] = 1;
}

static void pages_of_zeros(void **state)
{
	const uint64_t sent = (NR_PLACES + 1) * PAGE; /* one is the rig's own */
	struct rig r;

	(void)state;
	open_rig(&r, "state=4K,features=1,bar=8K", 2 * MIB);
	put_bytes(&r);
	assert_int_equal(vfm_memory_add(r.dst_mem, 0, MIB, RW, NULL), 0);
	assert_int_equal(vfm_memory_add(r.dst_mem, RIG_IOVA, MIB, RW, NULL), 0);
	memset(vfm_memory_at(r.dst_mem, 0, MIB), 0xee, MIB);
	memset(vfm_memory_at(r.dst_mem, RIG_IOVA, MIB), 0xee, MIB);
	assert_int_equal(vfm_memory_map(r.dst_mem, r.dst, NULL), 0);
	rig_start(&r, 0);
	assert_int_equal(rig_migrate(&r, NULL), 0);
	assert_int_equal(r.report.memory_bytes, 2 * MIB);
	if (r.report.wire_bytes < sent || r.report.wire_bytes > sent + 64 * 1024)
		fail_msg("%llu bytes for %llu of pages", (unsigned long long)r.report.wire_bytes,
			 (unsigned long long)sent);
	check_same(&r);
	assert_true(rig_owns(r.dst));
	rig_close(&r);
}

/* The holes of a file that is somebody else's are not asked for, and its zeros stay at home too. */
static void a_file_with_holes(void **state)
{
	int fd = memfd_create("theirs", MFD_CLOEXEC);
	struct rig r;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(16 * MIB)), 0);
	assert_int_equal(lseek(fd, 99, SEEK_SET), 99);
	open_rig(&r, "state=64K,features=1,bar=8K", 2 * MIB);
	r.fds--; /* ours is gone by then */
	assert_int_equal(vfm_memory_unmap(r.src_mem, r.src, NULL), 0);
	assert_int_equal(vfm_memory_add_fd(r.src_mem, 64 * MIB, 16 * MIB, RW, fd, 0, NULL), 0);
	assert_int_equal(vfm_memory_map(r.src_mem, r.src, NULL), 0);
	memset(vfm_memory_at(r.src_mem, 72 * MIB, PAGE), 1, PAGE);
	rig_start(&r, 0);
	assert_int_equal(rig_migrate(&r, NULL), 0);
	assert_true(r.report.wire_bytes < 256 * 1024);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 99);
	close(fd);
	check_same(&r);
	rig_check_moved(&r);
	rig_close(&r);
}

/* ---- rounds ---------------------------------------------------------------------- */

/* Before each report of the ring's range the device has written so many pages anew. */
struct writer {
	struct rig *r;
	unsigned int reports;
	unsigned int until; /* this many */
	uint64_t pages;
};

static void keep_writing(struct wrap *w, const char *call)
{
	struct writer *wr = w->user;

	if (strcmp(call, "report_log") || wr->reports++ >= wr->until)
		return;
	write_by_device(wr->r->src, behind_ring(wr->r), wr->pages * PAGE);
}

static int migrate_while_written(struct rig *r, struct writer *wr)
{
	struct vfm_migrate_opts opts = rig_opts();

	wr->r = r;
	write_by_device(r->src, behind_ring(r), MIB);
	r->ws->hook = keep_writing;
	r->ws->user = wr;
	opts.rate = 2 * MIB;
	opts.max_rounds = 5;
	opts.max_downtime_ms = 400;
	return rig_migrate(r, &opts);
}

/* A MiB takes half a second each time. */
static void rounds_that_do_not_end(void **state)
{
	struct writer wr = { .until = 99, .pages = 256 };
	struct rig r;

	(void)state;
	open_rig(&r, "state=4K,bar=8K", 4 * MIB);
	rig_start(&r, 0);
	assert_int_equal(migrate_while_written(&r, &wr), -EDQUOT);
	assert_int_equal(r.report.rounds, 5);
	/* Each round moved what was written meanwhile, and nothing else. */
	assert_int_equal(r.report.memory_bytes, 4 * MIB + 4 * MIB);
	assert_int_equal(after_stop(&r), 0);
	rig_check_back(&r);
	rig_close(&r);
}

/* The same device becomes quiet, or was never so busy: then one more round, or none. */
static void rounds_that_end(void **state)
{
	static const struct {
		unsigned int until, rounds;
		uint64_t pages, left;
	} runs[] = {
		/* there are two ranges, and the second report is the last to see a write */
		{ 4, 3, 256, 0 },
		{ 99, 1, 2, 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		struct writer wr = { .until = runs[i].until, .pages = runs[i].pages };
		struct rig r;

		open_rig(&r, "state=4K,bar=8K", 4 * MIB);
		rig_start(&r, 0);
		if (migrate_while_written(&r, &wr))
			fail_msg("%s", r.err.msg);
		assert_int_equal(r.report.rounds, runs[i].rounds);
		assert_int_equal(after_stop(&r), runs[i].left * PAGE);
		check_same(&r);
		assert_true(rig_owns(r.dst));
		rig_close(&r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_of_the_log),
		cmocka_unit_test(a_lost_log_stays_lost),
		cmocka_unit_test(pages_of_the_devices_own),
		cmocka_unit_test(several_ranges),
		cmocka_unit_test(ranges_that_cannot_be_logged),
		cmocka_unit_test(pages_of_zeros),
		cmocka_unit_test(a_file_with_holes),
		cmocka_unit_test(rounds_that_do_not_end),
		cmocka_unit_test(rounds_that_end),
	};

	return RUN_TESTS(tests);
}
