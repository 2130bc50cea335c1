// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Peers that say what they should not. Their streams are well framed, as damage
 * is the stream's own business: what is wrong is order, place and size. Each
 * ends in an error, with the device reset or never touched, and memory as it was.
 */

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/hello.h"
#include "random.h"

#define MIB (UINT64_C(1) << 20)
#define MEMORY (64 * 1024)

/* ---- against the destination --------------------------------------------- */

/* A whole image, to be said again in other orders. */
struct image {
	struct vfm_identity id;
	uint8_t data[256 * 1024];
	size_t size;
};

static struct image image;

static int keep(void *user, const struct vfm_stream_record *record)
{
	(void)user;
	if (record->type != VFM_STREAM_DEVICE_DATA)
		return 0;
	assert_true(image.size + record->size <= sizeof(image.data));
	memcpy(image.data + image.size, record->data, record->size);
	image.size += record->size;
	return 0;
}

static int make_image(void **state)
{
	struct vfm_stream_summary summary;
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K,bar=8K", 0);
	assert_int_equal(vfm_save(r.src, fd, NULL, NULL, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	image.size = 0;
	assert_int_equal(vfm_stream_scan(fd, &summary, keep, NULL, NULL), 0);
	image.id = summary.identity;
	rig_close(&r);
	close(fd);
	return 0;
}

/* What a hostile source says: letters, each a record or what comes with it. */
struct talk {
	struct vfm_stream_writer *w;
	uint64_t iova, size; /* for m, z and M */
	uint32_t flags;	     /* for M and C */
	uint32_t count;	     /* for M: ranges told, 1 there */
	uint32_t phase;
};

/* clang-format off */
static const struct { char letter; enum vfm_stream_type type; } letters[] = {
	{ 'r', VFM_STREAM_READY }, { 'l', VFM_STREAM_LOADED }, { 'u', VFM_STREAM_RUNNING },
	{ 'c', VFM_STREAM_COMMIT }, { 'n', VFM_STREAM_MEMORY_MAP }, { 'd', VFM_STREAM_DEVICE_DATA },
	{ 'C', VFM_STREAM_COMMIT }, { 'M', VFM_STREAM_MEMORY_MAP }, { 'm', VFM_STREAM_MEMORY_DATA },
	{ 'z', VFM_STREAM_MEMORY_ZERO }, { 'p', VFM_STREAM_PHASE }, { 'a', VFM_STREAM_ABORT },
	{ 'h', VFM_STREAM_HANDOVER }, { 'k', VFM_STREAM_HANDOVER }, { 'x', VFM_STREAM_HANDOVER },
};
/* clang-format on */

static size_t fill(const struct talk *t, char letter, uint8_t *buf, size_t room)
{
	struct vfm_writer w = vfm_writer_of(buf, room);

	switch (letter) {
	case 'n':
		vfm_write_zeros(&w, 8);
		break;
	case 'M':
		vfm_write_le32(&w, t->count);
		vfm_write_le32(&w, 0);
		vfm_write_le64(&w, t->iova);
		vfm_write_le64(&w, t->size);
		vfm_write_le32(&w, t->flags);
		vfm_write_le32(&w, 0);
		break;
	case 'm':
		vfm_write_le64(&w, t->iova);
		memset(vfm_write_space(&w, t->size), 0xdd, t->size);
		break;
	case 'z':
		vfm_write_le64(&w, t->iova);
		vfm_write_le64(&w, t->size);
		break;
	case 'p':
		vfm_write_le32(&w, t->phase);
		vfm_write_le32(&w, 0);
		break;
	case 'C':
		vfm_write_le32(&w, t->flags);
		break;
	case 'h': /* a source's, a destination's, and nobody's */
	case 'k':
		vfm_write_zeros(&w, 16);
		vfm_write_le64(&w, 1);
		vfm_write_le32(&w, letter == 'h' ? VFM_ROLE_SOURCE : VFM_ROLE_DESTINATION);
		vfm_write_le32(&w, letter == 'h' ? VFM_HANDOVER_BEGUN : VFM_HANDOVER_LOADING);
		break;
	case 'x':
		vfm_write_zeros(&w, 32);
		break;
	case 'a':
		vfm_write_le32(&w, 0);
		vfm_write_bytes(&w, "bad\x1b[2Jluck", 11);
		break;
	}
	assert_true(vfm_writer_ok(&w));
	return w.len;
}

/* Whether the writer would say that at all. */
static bool say(struct talk *t, char letter)
{
	static uint8_t buf[MEMORY];
	struct vfm_identity id = image.id;
	int ret = -1;

	switch (letter) {
	case 'I':
		return !vfm_stream_write_identity(t->w, 0, &id, NULL);
	case 'J': /* of a second device */
		return !vfm_stream_write_identity(t->w, 1, &id, NULL);
	case 'X': /* another model */
		id.compat.model[0] = '?';
		return !vfm_stream_write_identity(t->w, 0, &id, NULL);
	case 'D':
		return !vfm_stream_write(t->w, VFM_STREAM_DEVICE_DATA, 0, 0, image.data, image.size,
					 NULL);
	case 'e':
		return !vfm_stream_write_end(t->w, NULL);
	}
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (letters[i].letter == letter)
			ret = vfm_stream_write(t->w, letters[i].type, 0, 0, buf,
					       fill(t, letter, buf, sizeof(buf)), NULL);
	return !ret;
}

/* Say it all, and hang up. Returns what the destination made of it. */
static int talk_to(struct rig *r, struct talk *t, const char *script, struct rig_half *half)
{
	struct vfm_migrate_opts opts = rig_opts();
	int size = 1 << 20;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rig_hello(fds[0], true);
	assert_int_equal(vfm_stream_writer_new(&t->w, fds[0], NULL, NULL), 0);
	*half = (struct rig_half){ .err.msg = "" };
	for (const char *p = script; *p; p++)
		if (!say(t, *p) && t->count != UINT32_MAX - 1)
			fail_msg("cannot say %c of %s", *p, script);
	shutdown(fds[0], SHUT_WR);
	opts.timeout_ms = 5000;
	half->ret = vfm_migrate_receive(&r->wd->dev, r->dst_mem, fds[1], &opts, &half->report,
					&half->err);
	vfm_stream_writer_free(t->w);
	close(fds[0]);
	close(fds[1]);
	return half->ret;
}

struct lie {
	const char *script;
	struct talk talk;
	int expect;
	const char *text;
};

#define RW (VFM_DMA_READ | VFM_DMA_WRITE)
#define GOOD .iova = RIG_IOVA, .size = MEMORY / 2, .flags = RW, .count = 1

static const struct lie lies[] = {
	/* order */
	{ "", { 0 }, -ECONNRESET, "setup: the source has closed the connection" },
	{ "r", { 0 }, -EPROTO, "unexpected record READY" },
	{ "c", { 0 }, -EPROTO, "unexpected record COMMIT" },
	{ "a", { 0 }, -EREMOTEIO, "setup: source: bad?[2Jluck" },
	{ "I", { 0 }, -ECONNRESET, "setup" },
	{ "Ie", { 0 }, -EPROTO, "unexpected record END" },
	{ "ID", { 0 }, -EPROTO, "unexpected record DEVICE_DATA" },
	{ "IJn", { 0 }, -ENOTUNIQ, "moves 2 devices as one, and 1 is here" },
	{ "Xn", { 0 }, -ENOTUNIQ, "?fmig,sim-dma" },
	{ "In", { 0 }, -ECONNRESET, "data: the source has closed the connection" },
	{ "InD", { 0 }, -ECONNRESET, "data: " },
	{ "Ina", { 0 }, -EREMOTEIO, "data: source: bad?[2Jluck" },
	{ "InDn", { 0 }, -EPROTO, "unexpected record MEMORY_MAP" },
	{ "InDc", { 0 }, -EPROTO, "unexpected record COMMIT" },
	{ "InDl", { 0 }, -EPROTO, "unexpected record LOADED" },
	{ "InDu", { 0 }, -EPROTO, "unexpected record RUNNING" },
	{ "Ine", { 0 }, -EBADMSG, "load: " },
	{ "InDD", { 0 }, -EBADMSG, "data: " },
	{ "InDe", { 0 }, -ECONNRESET, "commit: " },
	{ "InDea", { 0 }, -EREMOTEIO, "commit: source: bad" },
	{ "InDep", { .phase = VFM_PHASE_STOP_COPY }, -EPROTO, "unexpected record PHASE" },
	{ "InDer", { 0 }, -EPROTO, "unexpected record READY" },
	{ "InDeC", { .flags = 2 }, -EPROTO, "commit: unexpected record COMMIT" },
	/* handovers */
	{ "Ix", { 0 }, -EPROTO, "the source's HANDOVER makes no sense" },
	{ "Ik", { 0 }, -EPROTO, "the source's HANDOVER makes no sense" },
	{ "Ihh", { 0 }, -EPROTO, "unexpected record HANDOVER" },
	{ "Ihn", { 0 }, -ECONNRESET, "data: the source has closed the connection" },
	{ "InDh", { 0 }, -EPROTO, "unexpected record HANDOVER" },
	{ "InDeh", { 0 }, -EPROTO, "commit: unexpected record HANDOVER" },
	/* phases */
	{ "Inp", { .phase = VFM_PHASE_SETUP }, -EPROTO, "unexpected record PHASE" },
	{ "Inp", { .phase = VFM_PHASE_LOAD }, -EPROTO, "unexpected record PHASE" },
	{ "Inp", { .phase = UINT32_MAX }, -EPROTO, "unexpected record PHASE" },
	/* maps */
	{ "IM", { .size = 4096, .flags = RW, .count = 0 }, -EPROTO, "0 ranges in 32 bytes" },
	{ "IM", { .size = 4096, .flags = RW, .count = 2 }, -EPROTO, "2 ranges in 32 bytes" },
	{ "IM", { .size = 4096, .flags = RW, .count = UINT32_MAX }, -EPROTO, "ranges in 32 bytes" },
	{ "IM", { .size = 0, .flags = RW, .count = 1 }, -EPROTO, "makes no sense" },
	{ "IM", { .size = 4095, .flags = RW, .count = 1 }, -EPROTO, "makes no sense" },
	{ "IM", { .iova = 1, .size = 4096, .flags = RW, .count = 1 }, -EPROTO, "makes no sense" },
	{ "IM", { .size = 4096, .flags = 0, .count = 1 }, -EPROTO, "makes no sense" },
	{ "IM", { .size = 4096, .flags = 8, .count = 1 }, -EPROTO, "makes no sense" },
	{ "IM", { .iova = -4096, .size = 8192, .flags = RW, .count = 1 }, -EPROTO, "makes no se" },
	{ "IM", { .size = 1ull << 62, .flags = RW, .count = 1 }, -ENOMEM, "larger than this mach" },
	{ "IMM", { GOOD }, -EPROTO, "unexpected record MEMORY_MAP" },
	/* places */
	{ "Inm", { .iova = RIG_IOVA, .size = 4096 }, -EPROTO, "not in the memory" },
	{ "Inz", { .iova = RIG_IOVA, .size = 4096 }, -EPROTO, "not in the memory" },
};

/* The device is what it was, or fresh; and so is the memory. */
static void check_unharmed(struct rig *r, const struct rig_half *half, const char *script)
{
	if (half->report.committed)
		fail_msg("%s: committed", script);
	assert_int_equal(rig_state(r->dst), VFM_STATE_RUNNING);
	assert_int_equal(half->report.state, VFM_STATE_RUNNING);
	assert_int_equal(vfm_memory_count(r->dst_mem), 0);
	assert_true(r->wd->orphan <= 0); /* KEEP, or never armed */
}

static void lies_are_refused(void **state)
{
	struct rig_half half;
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K,bar=8K", MEMORY);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct talk t = lies[i].talk;
		int ret = talk_to(&r, &t, lies[i].script, &half);

		if (ret != lies[i].expect || !strstr(half.err.msg, lies[i].text))
			fail_msg("%zu, %s: %d, %s", i, lies[i].script, ret, half.err.msg);
		check_unharmed(&r, &half, lies[i].script);
	}
	/* Nothing of this stuck: an honest one is still taken. */
	assert_int_equal(talk_to(&r, &(struct talk){ 0 }, "InDec", &half), 0);
	assert_int_equal(rig_state(r.dst), VFM_STATE_RUNNING);
	assert_int_equal(talk_to(&r, &(struct talk){ .flags = 1 }, "InDeC", &half), 0);
	assert_int_equal(rig_state(r.dst), VFM_STATE_STOP);
	rig_close(&r);
}

struct place {
	uint64_t iova, size;
	bool good;
};

/* Around every border of two ranges with a gap between them. */
static void writes_stay_inside(void **state)
{
	static const struct place places[] = {
		{ RIG_IOVA, 4096, true },
		{ RIG_IOVA, MEMORY / 2, true },
		{ RIG_IOVA + 1, 1, true },
		{ RIG_IOVA + MEMORY / 2 - 1, 1, true },
		{ RIG_IOVA + MEMORY / 2 - 1, 2, false },
		{ RIG_IOVA + MEMORY / 2, 1, false },
		{ RIG_IOVA - 1, 1, false },
		{ RIG_IOVA - 1, 2, false },
		{ RIG_IOVA, MEMORY / 2 + 1, false },
		{ RIG_IOVA, 0, false },
		{ 0, MEMORY / 2, true },
		{ 0, MEMORY / 2 + 1, false },
		{ MEMORY / 2, 4096, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX - 4094, 4095, false },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(places) / sizeof(places[0]); i++) {
		const struct place *place = &places[i / 2];
		struct talk t = { .iova = place->iova, .size = place->size };
		bool zero = i & 1;
		struct rig_half half;
		uint8_t *p;
		struct rig r;

		rig_open(&r, "state=64K,bar=8K", MEMORY);
		assert_int_equal(vfm_memory_add(r.dst_mem, 0, MEMORY / 2, RW, NULL), 0);
		assert_int_equal(vfm_memory_add(r.dst_mem, RIG_IOVA, MEMORY / 2, RW, NULL), 0);
		p = vfm_memory_at(r.dst_mem, RIG_IOVA, MEMORY / 2);
		memset(p, 0x11, MEMORY / 2);
		talk_to(&r, &t, zero ? "Inz" : "Inm", &half);
		if (half.ret != (place->good ? -ECONNRESET : -EPROTO))
			fail_msg("%zu: %d, %s", i, half.ret, half.err.msg);
		if (place->good && place->iova >= RIG_IOVA)
			p[place->iova - RIG_IOVA] = 0x11;
		for (size_t n = 0; n < MEMORY / 2; n++) {
			bool in = place->good && place->iova >= RIG_IOVA &&
				  n > place->iova - RIG_IOVA &&
				  n < place->iova - RIG_IOVA + place->size;

			assert_int_equal(p[n], in ? (zero ? 0 : 0xdd) : 0x11);
		}
		assert_int_equal(vfm_memory_count(r.dst_mem), 2);
		rig_close(&r);
	}
}

/* Any words in any order: never COMMIT unless they are the right ones. */
static void random_talk(void **state)
{
	static const char words[] = "IInnDDeeccdmzMpCarluJX";
	uint64_t seed = 20240611;
	unsigned int deep = 0;
	struct rig_half half;
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K,bar=8K", MEMORY);
	for (int run = 0; run < 1500; run++) {
		struct talk t = { .iova = test_random(&seed) << test_random_below(&seed, 64),
				  .size = test_random_below(&seed, 8192),
				  .flags = (uint32_t)test_random_below(&seed, 4),
				  .count = UINT32_MAX - 1, /* and skip what cannot be said */
				  .phase = (uint32_t)test_random_below(&seed, 6) };
		size_t n = 0, from = test_random_below(&seed, 5);
		char script[16] = "";

		memcpy(script, "InDe", from);
		for (n = from; n < 12; n++)
			script[n] = words[test_random_below(&seed, sizeof(words) - 1)];
		talk_to(&r, &t, script, &half);
		deep += half.report.phase >= VFM_PHASE_LOAD;
		if (half.report.committed) {
			const char *c = strpbrk(script, "cC");

			assert_non_null(c);
			assert_int_equal(half.ret, 0);
			assert_int_equal(vfm_device_reset(r.dst, NULL), 0);
			continue;
		}
		assert_true(half.ret < 0);
		check_unharmed(&r, &half, script);
	}
	assert_true(deep > 50);
	rig_close(&r);
}

/* ---- against the source -------------------------------------------------- */

/**
 * struct answer
 * @before: said at once
 * @after: said when END is there
 * @full: said when the socket is full, without ever reading more
 * @deaf: from then on we cannot be written to
 */
struct answer {
	const char *before;
	const char *after;
	int expect;
	const char *text;
	bool committed;
	const char *full;
	bool deaf;
};

static const struct answer answers[] = {
	{ "", NULL, -ECONNRESET, "setup: the destination has closed the connection", false },
	{ "l", NULL, -EPROTO, "setup: unexpected record LOADED", false },
	{ "u", NULL, -EPROTO, "setup: unexpected record RUNNING", false },
	{ "c", NULL, -EPROTO, "setup: unexpected record COMMIT", false },
	{ "I", NULL, -EPROTO, "setup: unexpected record IDENTITY", false },
	{ "a", NULL, -EREMOTEIO, "setup: destination: bad?[2Jluck", false },
	{ "rr", NULL, -EPROTO, "unexpected record READY", false },
	{ "rl", NULL, -EPROTO, "unexpected record LOADED", false },
	{ "ra", NULL, -EREMOTEIO, "destination: bad?[2Jluck", false },
	{ "r", "u", -EPROTO, "load: unexpected record RUNNING", false },
	{ "r", "r", -EPROTO, "load: unexpected record READY", false },
	{ "r", "a", -EREMOTEIO, "load: destination: bad?[2Jluck", false },
	{ "r", "", -ECONNRESET, "load: the destination has closed the connection", false },
	{ "r", "l", -ECONNRESET, "commit: the destination has closed the connection", true },
	{ "r", "ll", -EPROTO, "commit: unexpected record LOADED", true },
	{ "r", "la", -EREMOTEIO, "commit: destination: bad?[2Jluck", true },
	{ "x", NULL, -EPROTO, "setup: the destination's HANDOVER makes no sense", false },
	{ "h", NULL, -EPROTO, "setup: the destination's HANDOVER makes no sense", false },
	{ "kk", NULL, -EPROTO, "setup: unexpected record HANDOVER", false },
	{ "rk", NULL, -EPROTO, "unexpected record HANDOVER", false },
	{ "r", "k", -EPROTO, "load: unexpected record HANDOVER", false },
	/* a COMMIT that cannot be said is none */
	{ "r", "l", -EPIPE, "commit: ", false, NULL, true },
	{ "r", "la", -EREMOTEIO, "commit: destination: bad?[2Jluck", false, NULL, true },
	{ "r", NULL, -EREMOTEIO, "pre-copy: destination: bad?[2Jluck", false, "a", false },
	{ "r", NULL, -EREMOTEIO, "pre-copy: destination: bad?[2Jluck", false, "a", true },
	{ "r", NULL, -EPROTO, "pre-copy: unexpected record LOADED", false, "l", false },
};

struct fake {
	const struct answer *a;
	int fd;
	struct talk t;
};

static void say_all(struct talk *t, const char *words)
{
	for (const char *p = words; *p; p++)
		assert_true(say(t, *p));
}

/* The record after which this peer says more, or the end. */
static void read_until(struct vfm_stream_reader *r, uint32_t type)
{
	struct vfm_stream_record record;

	while (vfm_stream_read(r, &record, NULL) == 1 && record.type != type)
		continue;
}

/* The source's socket takes no more: what has arrived does not grow. */
static void wait_until_full(int fd)
{
	int before = -1, now = 0;

	while (now != before || !now) {
		poll(NULL, 0, 20);
		before = now;
		assert_int_equal(ioctl(fd, FIONREAD, &now), 0);
	}
}

static void say_after(struct fake *f, struct vfm_stream_reader *r, struct talk *t)
{
	read_until(r, VFM_STREAM_END);
	if (f->a->deaf)
		shutdown(f->fd, SHUT_RD);
	/* What is said after LOADED must not be heard before COMMIT. */
	for (const char *p = f->a->after; *p; p++) {
		assert_true(say(t, *p));
		if (*p == 'l' && p == f->a->after && !f->a->deaf)
			read_until(r, VFM_STREAM_COMMIT);
	}
}

static void *answer(void *arg)
{
	struct fake *f = arg;
	struct vfm_stream_reader *r;

	rig_hear_hello(f->fd);
	assert_int_equal(vfm_stream_reader_new(&r, f->fd, NULL, NULL), 0);
	if (f->a->after)
		say_after(f, r, &f->t);
	if (f->a->full) {
		wait_until_full(f->fd);
		if (f->a->deaf)
			shutdown(f->fd, SHUT_RD);
		say_all(&f->t, f->a->full);
	} else if (!f->a->deaf) {
		shutdown(f->fd, SHUT_WR);
		/* The source ends its side when it has failed. */
		read_until(r, UINT32_MAX);
	}
	vfm_stream_writer_free(f->t.w);
	vfm_stream_reader_free(r);
	return NULL;
}

static void answers_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct vfm_migrate_opts opts = rig_opts();
		const struct answer *a = &answers[i];
		struct fake f = { .a = a };
		pthread_t thread;
		int fds[2], ret;
		struct rig r;

		rig_open(&r, "state=64K,bar=8K", 16 * MIB);
		rig_start(&r, 0);
		rig_step(r.src, 100, 5);
		if (a->full)
			memset(vfm_memory_at(r.src_mem, 4096, 4 * MIB), 1, 4 * MIB);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		f.fd = fds[1];
		/* All of it is there before the source looks: it must not be past the moment for
		 * it. */
		rig_hello(f.fd, false);
		assert_int_equal(vfm_stream_writer_new(&f.t.w, f.fd, NULL, NULL), 0);
		say_all(&f.t, a->before);
		assert_int_equal(pthread_create(&thread, NULL, answer, &f), 0);
		opts.timeout_ms = 5000;
		ret = vfm_migrate_send(&r.ws->dev, r.src_mem, fds[0], &opts, &r.report, &r.err);
		pthread_join(thread, NULL);
		if (ret != a->expect || !strstr(r.err.msg, a->text))
			fail_msg("%zu: %d, %s", i, ret, r.err.msg);
		assert_int_equal(r.report.committed, a->committed);
		if (a->committed)
			assert_int_equal(rig_state(r.src), VFM_STATE_STOP);
		else
			rig_check_back(&r);
		close(fds[0]);
		close(fds[1]);
		rig_close(&r);
	}
}

/* No stream at all. */
static void strangers(void **state)
{
	static const char zeroes[40];
	static const struct {
		const char *bytes;
		size_t len;
	} hellos[] = {
		{ "", 0 },
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\x89VFM\r\n\x1a\n", 8 },
		{ zeroes, sizeof(zeroes) },
	};

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		size_t len = hellos[i / 2].len;
		struct rig r;
		int fds[2];

		rig_open(&r, "state=64K,bar=8K", MEMORY);
		rig_start(&r, 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(write(fds[1], hellos[i / 2].bytes, len), (ssize_t)len);
		shutdown(fds[1], SHUT_WR);
		if (i & 1)
			assert_true(vfm_migrate_send(&r.ws->dev, r.src_mem, fds[0], NULL, &r.report,
						     &r.err) < 0);
		else
			assert_true(vfm_migrate_receive(&r.ws->dev, r.dst_mem, fds[0], NULL,
							&r.report, &r.err) < 0);
		/* Either way it was not touched. */
		rig_check_back(&r);
		assert_int_equal(r.ws->orphan, -1);
		close(fds[0]);
		close(fds[1]);
		rig_close(&r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lies_are_refused), cmocka_unit_test(writes_stay_inside),
		cmocka_unit_test(random_talk),	    cmocka_unit_test(answers_are_refused),
		cmocka_unit_test(strangers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_image, NULL);
}
