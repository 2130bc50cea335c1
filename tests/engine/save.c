// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Files and pipes: what is saved can be loaded, and what is not whole or not ours is refused. */

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "random.h"

#define SMALL "state=64K,bar=8K"

static int new_file(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Save @dev into a file that begins at @offset. */
static int save_at(struct vfm_device *dev, off_t offset, const struct vfm_migrate_opts *opts)
{
	struct vfm_migration_report report;
	struct vfm_err err;
	int fd = new_file();

	assert_int_equal(lseek(fd, offset, SEEK_SET), offset);
	if (vfm_save(dev, fd, opts, &report, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(report.phase, VFM_PHASE_DONE);
	assert_int_equal(report.wire_bytes, lseek(fd, 0, SEEK_CUR) - offset);
	assert_int_equal(report.state, rig_state(dev));
	assert_int_equal(lseek(fd, offset, SEEK_SET), offset);
	return fd;
}

static void same_state(struct vfm_device *a, struct vfm_device *b)
{
	struct vfm_sim_state sa, sb;

	assert_int_equal(vfm_sim_get_state(a, &sa, NULL), 0);
	assert_int_equal(vfm_sim_get_state(b, &sb, NULL), 0);
	assert_int_equal(sa.changes, sb.changes);
	assert_memory_equal(sa.digest, sb.digest, sizeof(sa.digest));
}

static void there_and_back(void **state)
{
	static const unsigned int features[] = { 1, 3, 5, 7 };

	(void)state;
	for (int i = 0; i < 16; i++) {
		struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
		bool stopped = i & 4;
		char params[64];
		struct rig r;
		int fd;

		snprintf(params, sizeof(params), "state=3M,features=%u", features[i % 4]);
		rig_open(&r, params, 0);
		rig_start(&r, 0);
		rig_step(r.src, 0, 77);
		if (stopped)
			assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_STOP, NULL), 0);
		opts.compress = i & 8 ? 1 : 0;
		fd = save_at(r.src, i & 1 ? 12345 : 0, &opts);
		assert_int_equal(rig_state(r.src), stopped ? VFM_STATE_STOP : VFM_STATE_RUNNING);
		if (vfm_load(&r.wd->dev, fd, NULL, &r.report, &r.err))
			fail_msg("%s", r.err.msg);
		assert_int_equal(r.report.state, VFM_STATE_RUNNING);
		assert_int_equal(r.wd->orphan, VFM_ORPHAN_KEEP);
		same_state(r.src, r.dst);
		assert_true(rig_owns(r.dst));
		close(fd);
		rig_close(&r);
	}
}

/* ---- descriptors that can be read once ----------------------------------- */

struct pump {
	int from, to;
};

static void *pump(void *arg)
{
	struct pump *p = arg;
	uint8_t buf[5000];
	ssize_t n;

	while ((n = read(p->from, buf, sizeof(buf))) > 0)
		if (vfm_write_full(p->to, buf, (size_t)n, NULL))
			break;
	close(p->to);
	return NULL;
}

static void through_a_pipe(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct pump p;
		pthread_t thread;
		struct rig r;
		int fds[2];

		rig_open(&r, "state=3M", 0);
		rig_start(&r, 0);
		rig_step(r.src, 0, 77);
		/* 1: a directory without files that have no name, nor any others */
		if (i == 1)
			setenv("TMPDIR", "/nonexistent", 1);
		if (i == 2)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
					 0);
		else
			assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		p = (struct pump){ save_at(r.src, 0, NULL), fds[1] };
		assert_int_equal(pthread_create(&thread, NULL, pump, &p), 0);
		assert_int_equal(vfm_load(&r.wd->dev, fds[0], NULL, &r.report, &r.err),
				 i == 1 ? -ENOENT : 0);
		close(fds[0]);
		pthread_join(thread, NULL);
		unsetenv("TMPDIR");
		if (i == 1)
			assert_non_null(
				strstr(r.err.msg, "spool the stream to a file in /nonexis"));
		else
			same_state(r.src, r.dst);
		close(p.from);
		rig_close(&r);
	}
}

static void a_pipe_that_is_stuck(void **state)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	uint64_t one = 1;
	struct rig r;
	int fds[2], cancel;

	(void)state;
	cancel = eventfd(0, EFD_CLOEXEC);
	rig_open(&r, "state=3M", 0);
	rig_start(&r, 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	opts.timeout_ms = 20;
	/* Full when we write; empty when we read. */
	assert_int_equal(vfm_save(r.src, fds[1], &opts, &r.report, &r.err), -ETIMEDOUT);
	assert_true(rig_owns(r.src));
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(vfm_load(r.dst, fds[0], &opts, &r.report, &r.err), -ETIMEDOUT);
	opts.timeout_ms = 0;
	opts.cancel_fd = cancel;
	assert_int_equal(write(cancel, &one, sizeof(one)), sizeof(one));
	assert_int_equal(vfm_load(r.dst, fds[0], &opts, &r.report, &r.err), -ECANCELED);
	assert_int_equal(vfm_save(r.src, fds[1], &opts, &r.report, &r.err), -ECANCELED);
	assert_true(rig_owns(r.src));
	close(fds[0]);
	close(fds[1]);
	rig_close(&r);
	close(cancel);
}

static void a_full_disk(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct rig r;

	(void)state;
	rig_open(&r, SMALL, 0);
	rig_start(&r, 0);
	assert_int_equal(vfm_save(r.src, full, NULL, &r.report, &r.err), -ENOSPC);
	assert_true(rig_owns(r.src));
	rig_close(&r);
	close(full);
}

/* ---- what must be refused ------------------------------------------------ */

static void watch_touch(struct wrap *w, const char *call)
{
	if (!strcmp(call, "set_state") || !strcmp(call, "reset") || !strcmp(call, "set_orphan"))
		w->user = w;
}

/* @fd is refused, the device does not notice. */
static void refused(struct rig *r, int fd, int expect, const char *text)
{
	struct vfm_err err = { .msg = "" };
	int ret;

	r->wd->hook = watch_touch;
	r->wd->user = NULL;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	ret = vfm_load(&r->wd->dev, fd, NULL, &r->report, &err);
	if ((expect && ret != expect) || ret >= 0 || (text && !strstr(err.msg, text)))
		fail_msg("%d, not %d: %s", ret, expect, err.msg);
	assert_null(r->wd->user);
	assert_int_equal(r->report.state, VFM_STATE_RUNNING);
	assert_true(rig_owns(r->dst));
}

static void mark(struct vfm_device *dev)
{
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_SCRATCH, RIG_TOKEN, NULL), 0);
}

static void cut_anywhere(void **state)
{
	off_t size;
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r, SMALL, 0);
	rig_start(&r, 0);
	mark(r.dst);
	fd = save_at(r.src, 0, NULL);
	size = lseek(fd, 0, SEEK_END);
	for (off_t at = size; at-- > 0; at -= at > 4000 && at < size - 200 ? 611 : 0) {
		assert_int_equal(ftruncate(fd, at), 0);
		refused(&r, fd, -ENODATA, NULL);
	}
	close(fd);
	rig_close(&r);
}

static void flipped_anywhere(void **state)
{
	uint64_t seed = 99;
	off_t size;
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r, SMALL, 0);
	rig_start(&r, 0);
	mark(r.dst);
	fd = save_at(r.src, 0, NULL);
	size = lseek(fd, 0, SEEK_END);
	for (int i = 0; i < 600; i++) {
		off_t at = i < 200 ? i : (off_t)test_random_below(&seed, (uint64_t)size);
		uint8_t byte, bad;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		bad = byte ^ (uint8_t)(1u << test_random_below(&seed, 8));
		assert_int_equal(pwrite(fd, &bad, 1, at), 1);
		refused(&r, fd, 0, NULL);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	rig_close(&r);
}

static int write_stream(const uint32_t *types, size_t count)
{
	static const uint8_t zeros[64];
	struct vfm_identity id = { .migration = 1 };
	struct vfm_stream_writer *w;
	int fd = new_file();

	assert_int_equal(vfm_stream_writer_new(&w, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	for (size_t i = 0; i < count; i++) {
		if (types[i] == VFM_STREAM_IDENTITY)
			assert_int_equal(vfm_stream_write_identity(w, 1, &id, NULL), 0);
		else
			assert_int_equal(vfm_stream_write(w, types[i], 0, 0, zeros, 16, NULL), 0);
	}
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
	vfm_stream_writer_free(w);
	return fd;
}

static void foreign_streams(void **state)
{
	static const struct {
		uint32_t type;
		int expect;
		const char *text;
	} strange[] = {
		{ VFM_STREAM_MEMORY_MAP, -ENOTSUP, "holds DMA memory" },
		{ VFM_STREAM_MEMORY_DATA, -ENOTSUP, "holds DMA memory" },
		{ VFM_STREAM_MEMORY_ZERO, -ENOTSUP, "holds DMA memory" },
		{ VFM_STREAM_COMMIT, 0, NULL },
		{ VFM_STREAM_ABORT, 0, NULL },
		{ VFM_STREAM_IDENTITY, -ENOTSUP, "2 devices" },
		{ VFM_STREAM_DEVICE_DATA, -ENOTUNIQ, NULL },
	};
	struct rig r, other;
	int fd;

	(void)state;
	rig_open(&r, SMALL, 0);
	mark(r.dst);
	rig_open(&other, "state=128K,bar=8K", 0);
	fd = save_at(other.src, 0, NULL);
	refused(&r, fd, -ENOTUNIQ, "state");
	close(fd);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		fd = write_stream(&strange[i].type, 1);
		refused(&r, fd, strange[i].expect, strange[i].text);
		close(fd);
	}
	fd = new_file();
	refused(&r, fd, -ENODATA, NULL);
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	refused(&r, fd, -EBADMSG, "not a vfmig stream");
	close(fd);
	rig_close(&other);
	rig_close(&r);
}

/* A file that is whole, of this device, and that the device itself does not like. */
static void refused_by_the_device(void **state)
{
	struct vfm_identity id;
	struct vfm_stream_writer *w;
	struct rig r;
	int fd;

	(void)state;
	fd = new_file();
	rig_open(&r, SMALL, 0);
	mark(r.dst);
	assert_int_equal(vfm_identity_get(&id, r.src, NULL), 0);
	assert_int_equal(vfm_stream_writer_new(&w, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
	vfm_stream_writer_free(w);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(vfm_load(&r.wd->dev, fd, NULL, &r.report, &r.err), -EBADMSG);
	assert_true(!strncmp(r.err.msg, "load: ", 6));
	assert_int_equal(r.report.state, VFM_STATE_RUNNING);
	assert_false(rig_owns(r.dst));
	assert_int_equal(r.wd->orphan, VFM_ORPHAN_KEEP);
	rig_close(&r);
	close(fd);
}

/* ---- each call fails ----------------------------------------------------- */

static bool fail_save(unsigned int n, enum wrap_fault fault)
{
	int fd = new_file();
	bool failed;
	struct rig r;
	int ret;

	rig_open(&r, SMALL, 0);
	rig_start(&r, 0);
	r.ws->fault = fault;
	r.ws->at = n;
	ret = vfm_save(&r.ws->dev, fd, NULL, &r.report, &r.err);
	failed = r.ws->failed;
	assert_true(rig_owns(r.src) || fault == WRAP_GONE);
	/* Whatever it returned: a file that is not whole is not taken for whole. */
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	if (!ret)
		assert_int_equal(vfm_load(r.dst, fd, NULL, NULL, NULL), 0);
	rig_close(&r);
	close(fd);
	return failed;
}

static bool fail_load(unsigned int n, enum wrap_fault fault)
{
	bool failed;
	struct rig r;
	int fd, ret;

	rig_open(&r, SMALL, 0);
	rig_start(&r, 0);
	fd = save_at(r.src, 0, NULL);
	r.wd->fault = fault;
	r.wd->at = n;
	ret = vfm_load(&r.wd->dev, fd, NULL, &r.report, &r.err);
	failed = r.wd->failed;
	if (!ret)
		assert_true(rig_owns(r.dst));
	else if (fault != WRAP_GONE && strcmp(r.wd->failed_call, "reset"))
		assert_int_equal(rig_state(r.dst), VFM_STATE_RUNNING);
	r.wd->fault = WRAP_NONE;
	assert_int_equal(vfm_device_reset(r.dst, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(vfm_load(&r.wd->dev, fd, NULL, &r.report, &r.err), 0);
	assert_true(rig_owns(r.dst));
	close(fd);
	rig_close(&r);
	return failed;
}

static void each_call_fails(void **state)
{
	static bool (*const fns[])(unsigned int, enum wrap_fault) = { fail_save, fail_load };

	(void)state;
	for (int i = 0; i < 6; i++) {
		unsigned int n = 1;

		while (fns[i / 3](n, WRAP_BEFORE + i % 3))
			assert_true(++n < 200);
		assert_true(n > 15);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),	cmocka_unit_test(through_a_pipe),
		cmocka_unit_test(a_pipe_that_is_stuck), cmocka_unit_test(a_full_disk),
		cmocka_unit_test(cut_anywhere),		cmocka_unit_test(flipped_anywhere),
		cmocka_unit_test(foreign_streams),	cmocka_unit_test(refused_by_the_device),
		cmocka_unit_test(each_call_fails),
	};

	signal(SIGPIPE, SIG_IGN); /* of the pumps */
	return RUN_TESTS(tests);
}
