// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Limits, and what they are judged by: slow stages that are named, devices that
 * lie about what they have, destinations that tell nothing, too much or nonsense,
 * and a source that does not stop before the destination is ready for it.
 */

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/util.h"

#define MIB (UINT64_C(1) << 20)

/* ---- slow stages ----------------------------------------------------------- */

/* clang-format off */
static const struct slow {
	const char *params;
	enum vfm_part part;
	const char *text;
} slow[] = {
	{ "state=2M,initial=1M,save-rate=8M", VFM_PART_SAVE, "reading the source is slowest, " },
	{ "state=2M,initial=1M,load-rate=8M", VFM_PART_LOAD, "loading at the destination is slowest, " },
	/* Two of the source and three of the destination; two and two; three and three. */
	{ "state=64K,bar=8K,arc-us=60000", VFM_PART_DESTINATION_ARCS,
	  "the destination's steps to RUNNING take longest, about 1" },
	{ "state=64K,bar=8K,arc-us=60000,features=1", VFM_PART_SOURCE_ARCS,
	  "the source's steps to STOP_COPY take longest, about 1" },
	{ "state=64K,bar=8K,arc-us=60000,features=3", VFM_PART_SOURCE_ARCS,
	  "the source's steps to STOP_COPY take longest, about 1" },
};
/* clang-format on */

static void a_slow_stage_is_in_the_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(slow); i++) {
		struct vfm_migrate_opts opts = rig_opts();
		char params[128];
		struct rig r;

		/* What changes all the time does not become less by copying it. */
		snprintf(params, sizeof(params), "%s,dirty=200M", slow[i].params);
		rig_open(&r, params, 0);
		rig_start(&r, 0);
		opts.max_downtime_ms = 40;
		opts.max_rounds = 3;
		assert_int_equal(rig_migrate(&r, &opts), -EDQUOT);
		if (!strstr(r.err.msg, slow[i].text) || !strstr(r.err.msg, ", 40 are allowed: "))
			fail_msg("%zu: %s", i, r.err.msg);
		assert_int_equal(r.report.prediction.limiting, slow[i].part);
		assert_true(r.report.prediction.downtime_us > 40000);
		assert_int_equal(r.report.downtime_us, 0);
		assert_false(r.report.forced);
		rig_check_back(&r);
		rig_close(&r);
	}
}

/* The same with a limit that leaves room: they are moved, and what was predicted holds. */
static void a_limit_is_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(slow); i++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, slow[i].params, 0);
		rig_start(&r, 0);
		opts.max_downtime_ms = 900;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		if (r.report.downtime_us > 900000)
			fail_msg("%zu: stood for %llu us", i,
				 (unsigned long long)r.report.downtime_us);
		assert_true(r.report.prediction.downtime_us > 0);
		assert_true(r.report.prediction.error_us > 0);
		assert_false(r.report.told_wrong);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* ---- when a limit cannot be kept ---------------------------------------------- */

static void stopped_all_the_same(void **state)
{
	(void)state;
	for (int by_time = 0; by_time < 2; by_time++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, "state=2M,initial=1M,save-rate=8M,dirty=200M", 2 * MIB);
		rig_start(&r, 20 * MIB);
		opts.max_downtime_ms = 20;
		opts.max_rounds = by_time ? 1000000 : 2;
		opts.max_time_ms = by_time ? 300 : 0;
		opts.on_limit = VFM_ON_LIMIT_FORCE;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_true(r.report.forced);
		assert_true(r.report.downtime_us > 20000);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

static void refused_in_time(void **state)
{
	static const char *const params[] = {
		"state=32M,initial=32M,save-rate=8M",		 /* in the middle of a round */
		"state=4M,initial=4M,load-rate=8M,dirty=200M",	 /* while the destination loads */
		"state=64K,initial=64K,dirty=100M,arc-us=30000", /* between short rounds */
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(params); i++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, params[i], 0);
		rig_start(&r, 0);
		opts.max_downtime_ms = 10;
		opts.max_rounds = 1000000;
		opts.max_time_ms = 300;
		assert_int_equal(rig_migrate(&r, &opts), -EDQUOT);
		if (!strstr(r.err.msg, " s, 0.3 are allowed: "))
			fail_msg("%zu: %s", i, r.err.msg);
		assert_in_range(r.report.total_us, 300000, 1500000);
		rig_check_back(&r);
		rig_close(&r);
	}
}

/* Memory alone can take longer than the time that there is. */
static void memory_does_not_take_longer(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K", 64 * MIB);
	rig_start(&r, 0);
	memset(vfm_memory_at(r.src_mem, 0, 32 * MIB), 0x5a, 32 * MIB);
	opts.max_downtime_ms = 1;
	opts.max_time_ms = 1;
	assert_int_equal(rig_migrate(&r, &opts), -EDQUOT);
	assert_true(r.report.memory_bytes < 48 * MIB);
	rig_check_back(&r);
	rig_close(&r);
}

/* ---- devices that lie ------------------------------------------------------------ */

/* clang-format off */
static const struct lie {
	uint64_t size;
	bool none;
	bool wrong;
} lies[] = {
	{ 0, false, false },           /* the truth */
	{ 0, true, true },             /* 0 */
	{ 1, false, true },            /* too small */
	{ UINT64_C(1) << 30, false, true }, /* too large */
	{ UINT64_C(1) << 63, false, true },
	{ UINT64_MAX, false, true },
};
/* clang-format on */

static void sizes_are_compared(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(lies) * 2; i++) {
		const struct lie *l = &lies[i / 2];
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, i % 2 ? "state=2M,initial=64K,bar=1M" : "state=2M,bar=1M,features=1",
			 0);
		rig_start(&r, 0);
		r.ws->data_size = l->size;
		r.ws->no_size = l->none;
		opts.max_downtime_ms = 0;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_true(r.report.came_bytes > MIB);
		if (l->none && i % 2) /* what is pending was told all the same */
			assert_true(r.report.told_bytes < r.report.came_bytes);
		else if (l->size > 1 || (l->size && !(i % 2)))
			assert_int_equal(r.report.told_bytes, l->size);
		if (r.report.told_wrong != l->wrong)
			fail_msg("%zu: told %llu, came %llu", i,
				 (unsigned long long)r.report.told_bytes,
				 (unsigned long long)r.report.came_bytes);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* A data size is never 0, however little comes. */
static void nothing_is_a_lie(void **state)
{
	(void)state;
	for (int none = 0; none < 2; none++) {
		struct rig r;

		rig_open(&r, "state=4K,bar=8K,features=1", 0);
		rig_start(&r, 0);
		r.ws->no_size = none;
		assert_int_equal(rig_migrate(&r, NULL), 0);
		assert_int_equal(r.report.told_wrong, none);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* ---- switchover -------------------------------------------------------------------- */

struct watch {
	struct rig *r;
	uint64_t sent, loaded;
	unsigned int asked; /* for pre-copy info */
	unsigned int again; /* at which of those initial data appears anew */
};

static void look_at_stop(void *user, const struct vfm_migration_report *now)
{
	struct watch *w = user;

	if (now->phase != VFM_PHASE_STOP)
		return;
	w->sent = now->state_bytes;
	w->loaded = w->r->wd->written;
}

static void not_before_all_is_loaded(void **state)
{
	(void)state;
	for (int limit = 0; limit < 2; limit++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;
		struct watch w = { &r, 0, 0, 0, 0 };

		rig_open(&r, "state=4M,initial=3M,load-rate=16M", 0);
		rig_start(&r, 0);
		opts.max_downtime_ms = limit ? 10000 : 0;
		opts.progress = look_at_stop;
		opts.user = &w;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_true(w.sent >= 3 * MIB);
		assert_int_equal(w.loaded, w.sent);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

static void initial_again(struct wrap *wrap, const char *call)
{
	struct watch *w = wrap->user;

	if (strcmp(call, "get_precopy_info"))
		return;
	w->asked++;
	wrap->initial = w->asked == w->again ? 65536 : 0;
	wrap->reinit = w->asked == w->again;
}

/* Asked: before the first round, after it, and when the destination has loaded all. */
static void new_initial_data_goes_back_to_rounds(void **state)
{
	(void)state;
	for (unsigned int again = 0; again <= 3; again++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;
		struct watch w = { &r, 0, 0, 0, again };

		rig_open(&r, "state=256K,initial=64K,bar=8K", 0);
		rig_start(&r, 0);
		r.ws->hook = initial_again;
		r.ws->user = &w;
		opts.max_downtime_ms = again % 2 ? 10000 : 0;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		if (r.report.rounds != (again >= 2 ? 2 : 1))
			fail_msg("at %u: %u rounds", again, r.report.rounds);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* ---- other destinations ---------------------------------------------------------------- */

enum manner {
	OLD,	 /* knows nothing of RATES */
	CHATTY,	 /* says things that nobody knows, and may be skipped */
	HONEST,	 /* answers */
	BOASTER, /* the same, with numbers that cannot be */
	MUTE,	 /* offers to tell, and never does */
	LAGGARD, /* tells, and never gets anywhere */
	SHORT,	 /* tells too little in a record */
	NAG,	 /* loads all, and then tells for ever instead of LOADED */
	DEAF,	 /* tells for ever, and reads nothing */
};

struct peer {
	int fd;
	enum manner manner;
	unsigned int phases, asked;
	uint64_t loaded;
	struct vfm_stream_writer *w;
	struct vfm_stream_reader *r;
};

/* false: the source has left, which is for the test to judge. */
static bool tell(struct peer *p, enum vfm_stream_type type)
{
	bool boast = p->manner == BOASTER;
	uint8_t buf[48];
	struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));

	vfm_write_le64(&w, boast ? UINT64_MAX : 1000 * MIB);
	vfm_write_le32(&w, boast ? UINT32_MAX : 100);
	vfm_write_le32(&w, p->manner == LAGGARD ? 0 : p->phases);
	vfm_write_le64(&w, boast ? UINT64_MAX : p->manner == LAGGARD ? 0 : p->loaded);
	vfm_write_le64(&w, 1000);
	vfm_write_le32(&w, boast ? UINT32_MAX : 1);
	vfm_write_le32(&w, boast ? UINT32_MAX : 1);
	vfm_write_le64(&w, 0);
	return !vfm_stream_write(p->w, type, type == VFM_STREAM_RATES ? VFM_STREAM_OPTIONAL : 0, 0,
				 buf, p->manner == SHORT && p->phases ? 47 : sizeof(buf), NULL);
}

/* As fast as the source takes it. */
static bool tell_for_ever(struct peer *p)
{
	while (tell(p, VFM_STREAM_RATES))
		;
	return false;
}

static void on_phase(struct peer *p, const struct vfm_stream_record *record)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);

	vfm_read_le64(&r);
	p->phases++;
	p->asked += vfm_read_le32(&r) & 1;
	if (p->manner >= HONEST && p->manner != MUTE && !tell(p, VFM_STREAM_RATES))
		return; /* what is read next says so */
}

static bool answer(struct peer *p, const struct vfm_stream_record *record)
{
	uint32_t type = 0;

	if (record->type == VFM_STREAM_MEMORY_MAP) {
		type = VFM_STREAM_READY;
		if (p->manner == DEAF)
			return tell(p, type) && tell_for_ever(p);
		if (p->manner >= HONEST)
			return tell(p, type);
	}
	if (record->type == VFM_STREAM_END && p->manner == NAG)
		return tell_for_ever(p);
	if (record->type == VFM_STREAM_END)
		type = VFM_STREAM_LOADED;
	if (record->type == VFM_STREAM_COMMIT)
		type = VFM_STREAM_RUNNING;
	if (record->type == VFM_STREAM_DEVICE_DATA) {
		p->loaded += record->size;
		if (p->manner == CHATTY)
			(void)!vfm_stream_write(p->w, 0x8123, VFM_STREAM_OPTIONAL, 0, "chat", 4,
						NULL);
	}
	return !type || !vfm_stream_write(p->w, type, 0, 0, NULL, 0, NULL);
}

static void *play(void *user)
{
	struct peer *p = user;
	struct vfm_stream_record record;

	rig_hello(p->fd, false);
	rig_hear_hello(p->fd);
	if (vfm_stream_writer_new(&p->w, p->fd, NULL, NULL) ||
	    vfm_stream_reader_new(&p->r, p->fd, NULL, NULL))
		abort();
	while (vfm_stream_read(p->r, &record, NULL) == 1) {
		if (record.type == VFM_STREAM_PHASE)
			on_phase(p, &record);
		else if (!answer(p, &record))
			break;
		if (record.type == VFM_STREAM_ABORT || record.type == VFM_STREAM_COMMIT)
			break;
	}
	vfm_stream_writer_free(p->w);
	vfm_stream_reader_free(p->r);
	shutdown(p->fd, SHUT_RDWR);
	return NULL;
}

static int send_to(struct rig *r, struct peer *p, const struct vfm_migrate_opts *opts)
{
	pthread_t thread;
	int fds[2], ret;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->fd = fds[1];
	assert_int_equal(pthread_create(&thread, NULL, play, p), 0);
	ret = vfm_migrate_send(&r->ws->dev, NULL, fds[0], opts, &r->report, &r->err);
	shutdown(fds[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fds[0]);
	close(fds[1]);
	return ret;
}

/* clang-format off */
static const struct {
	enum manner manner;
	int expect;
	const char *text;
} peers[] = {
	{ OLD, 0, NULL }, { CHATTY, 0, NULL }, { HONEST, 0, NULL }, { BOASTER, 0, NULL },
	{ MUTE, -ETIMEDOUT, "the destination has loaded nothing for 300 ms" },
	{ LAGGARD, -ETIMEDOUT, "the destination has loaded nothing for 300 ms" },
	{ SHORT, -EPROTO, "RATES of 47 bytes, fewer than 48" },
	{ NAG, -ETIMEDOUT, "the destination has loaded nothing for 300 ms" },
};
/* clang-format on */

static void destinations_of_all_manners(void **state)
{
	static const char *const params[] = { "state=8M,initial=1M,dirty=20M",
					      "state=64K,features=1" };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(peers) * 2; i++) {
		struct peer p = { .manner = peers[i / 2].manner };
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, params[i % 2], 0);
		rig_start(&r, 0);
		opts.timeout_ms = 300;
		opts.max_downtime_ms = 60000;
		if (send_to(&r, &p, &opts) != peers[i / 2].expect ||
		    (peers[i / 2].text && !strstr(r.err.msg, peers[i / 2].text)))
			fail_msg("%zu: %s", i, r.err.msg);
		/* Nobody is asked who has not offered. */
		assert_int_equal(p.asked > 0, p.manner >= HONEST);
		if (!peers[i / 2].expect) {
			assert_int_equal(rig_state(r.src), VFM_STATE_STOP);
			assert_int_equal(r.report.prediction.load_rate > 0, p.manner >= HONEST);
		} else {
			rig_check_back(&r);
		}
		rig_close(&r);
	}
}

/* Words are no life: one that reads nothing has the time that a silent one has. */
static void a_destination_that_is_deaf(void **state)
{
	struct peer p = { .manner = DEAF };
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K,initial=4K", 0);
	rig_start(&r, 0);
	opts.timeout_ms = 300;
	assert_int_equal(send_to(&r, &p, &opts), -ETIMEDOUT);
	rig_check_back(&r);
	rig_close(&r);
}

/* Somebody else had the processor while the first bytes were read, twice. */
static void busy_at_first(struct wrap *wrap, const char *call)
{
	unsigned int *reads = wrap->user;

	if (!strcmp(call, "read_data") && (*reads)++ < 2)
		poll(NULL, 0, 45);
}

/*
 * A few bytes that took long say nothing of many: neither that they take too long, nor
 * that nothing can be known of them. While rounds are left they are measured again.
 */
static void a_doubt_is_measured_away(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	unsigned int reads = 0;
	struct rig r;

	(void)state;
	rig_open(&r, "state=8M,initial=4K,dirty=1M", 0);
	rig_start(&r, 0);
	r.ws->hook = busy_at_first;
	r.ws->user = &reads;
	opts.max_downtime_ms = 300;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_true(reads > 1);
	assert_true(r.report.rounds > 1);
	assert_in_range(r.report.prediction.downtime_us + r.report.prediction.error_us, 0, 300000);
	rig_check_moved(&r);
	rig_close(&r);
}

/*
 * What fits by a guess is not stopped for while another round would both measure better and leave
 * less: the first round is of initial data alone here, and everything else would wait for the stop.
 */
static void a_guess_is_not_stopped_for(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;

	(void)state;
	rig_open(&r, "state=16M,initial=64K,dirty=0", 0);
	rig_start(&r, 0);
	opts.max_downtime_ms = 60000;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_in_range(r.report.rounds, 2, 5);
	assert_in_range(r.report.prediction.device_bytes, 0, 8 * MIB);
	rig_check_moved(&r);
	rig_close(&r);
	/* but not beyond the rounds that are allowed */
	rig_open(&r, "state=16M,initial=64K,dirty=0", 0);
	rig_start(&r, 0);
	opts.max_rounds = 1;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_int_equal(r.report.rounds, 1);
	assert_true(r.report.prediction.device_bytes > 8 * MIB);
	assert_int_equal(r.report.prediction.handover_us, 0);
	rig_close(&r);
}

/* Time can be over while a destination has not loaded what it was sent. */
static void a_destination_that_is_late(void **state)
{
	(void)state;
	for (int force = 0; force < 2; force++) {
		struct peer p = { .manner = LAGGARD };
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, "state=64K,initial=4K", 0);
		rig_start(&r, 0);
		opts.timeout_ms = 20000;
		opts.max_time_ms = 300;
		opts.on_limit = force ? VFM_ON_LIMIT_FORCE : VFM_ON_LIMIT_ABORT;
		assert_int_equal(send_to(&r, &p, &opts), force ? 0 : -EDQUOT);
		assert_int_equal(r.report.forced, force);
		if (!force &&
		    !strstr(r.err.msg, "the destination has not loaded all that was sent"))
			fail_msg("%s", r.err.msg);
		assert_in_range(r.report.total_us, 300000, 2000000);
		if (!force)
			rig_check_back(&r);
		rig_close(&r);
	}
}

/* ---- a source that does not know of RATES ------------------------------------------------- */

static uint8_t image[256 * 1024];
static size_t image_size;

static int keep(void *user, const struct vfm_stream_record *record)
{
	(void)user;
	if (record->type != VFM_STREAM_DEVICE_DATA)
		return 0;
	assert_true(image_size + record->size <= sizeof(image));
	memcpy(image + image_size, record->data, record->size);
	image_size += record->size;
	return 0;
}

static void save_image(struct rig *r, struct vfm_identity *id)
{
	struct vfm_stream_summary summary;
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_int_equal(vfm_save(r->src, fd, NULL, NULL, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	image_size = 0;
	assert_int_equal(vfm_stream_scan(fd, &summary, keep, NULL, NULL), 0);
	*id = summary.identity;
	close(fd);
}

static void expect_record(struct vfm_stream_reader *r, uint32_t type)
{
	struct vfm_stream_record record;

	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(record.type, type);
}

static void say(struct vfm_stream_writer *w, uint32_t type, uint32_t flags, const void *data,
		size_t size)
{
	assert_int_equal(vfm_stream_write(w, type, flags, 0, data, size, NULL), 0);
}

static void an_old_source_is_told_nothing(void **state)
{
	static const uint8_t zeros[8];
	struct vfm_stream_writer *w;
	struct vfm_stream_reader *reader;
	struct vfm_identity id;
	struct rig_half half;
	struct rig r;
	int fds[2];

	(void)state;
	rig_open(&r, "state=64K,bar=8K", 0);
	save_image(&r, &id);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	half = (struct rig_half){ .dev = &r.wd->dev, .fd = fds[1] };
	rig_receive_begin(&half);
	rig_hello(fds[0], true);
	rig_hear_hello(fds[0]);
	assert_int_equal(vfm_stream_writer_new(&w, fds[0], NULL, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	say(w, VFM_STREAM_MEMORY_MAP, 0, zeros, 8);
	assert_int_equal(vfm_stream_reader_new(&reader, fds[0], NULL, NULL), 0);
	expect_record(reader, VFM_STREAM_READY);
	say(w, VFM_STREAM_PHASE, VFM_STREAM_OPTIONAL, "\1\0\0\0\0\0\0", 8);
	say(w, VFM_STREAM_DEVICE_DATA, 0, image, image_size);
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
	expect_record(reader, VFM_STREAM_LOADED);
	say(w, VFM_STREAM_COMMIT, 0, NULL, 0);
	expect_record(reader, VFM_STREAM_RUNNING);
	assert_int_equal(rig_join(&half), 0);
	vfm_stream_writer_free(w);
	vfm_stream_reader_free(reader);
	close(fds[0]);
	close(fds[1]);
	rig_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_stage_is_in_the_way),
		cmocka_unit_test(a_limit_is_kept),
		cmocka_unit_test(stopped_all_the_same),
		cmocka_unit_test(refused_in_time),
		cmocka_unit_test(memory_does_not_take_longer),
		cmocka_unit_test(sizes_are_compared),
		cmocka_unit_test(nothing_is_a_lie),
		cmocka_unit_test(not_before_all_is_loaded),
		cmocka_unit_test(new_initial_data_goes_back_to_rounds),
		cmocka_unit_test(destinations_of_all_manners),
		cmocka_unit_test(a_destination_that_is_deaf),
		cmocka_unit_test(a_doubt_is_measured_away),
		cmocka_unit_test(a_guess_is_not_stopped_for),
		cmocka_unit_test(a_destination_that_is_late),
		cmocka_unit_test(an_old_source_is_told_nothing),
	};

	return RUN_TESTS(tests);
}
