// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The device that is filled: checking who the image is of, writing it, proving
 * it, running it, and resetting the device when that fails. A load does this
 * from a file; receive.c does it for a peer.
 *
 * A file is read twice: once to prove all of it, and once for the device, which
 * is not touched before the identity was compared. The second reading checks
 * everything again, so a file that changes in between does no more harm than a
 * device that refuses: it is reset. What cannot be read twice is put into a file
 * without a name first.
 */

#include "engine/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/util.h"

/* m->identity is whose image comes. */
static int check(struct vfm_member *m, int unused)
{
	struct vfm_identity ours;
	int ret = vfm_identity_get(&ours, m->dev, &m->err);

	(void)unused;
	return ret ? ret : vfm_identity_check(&ours, &m->identity, &m->err);
}

int vfm_sink_check(struct vfm_engine *e)
{
	return vfm_unit_each(e, check, 0);
}

static int begin(struct vfm_member *m, int unused)
{
	int ret = vfm_member_arm(m, VFM_ORPHAN_RESET);

	(void)unused;
	return ret ? ret : vfm_member_walk(m, VFM_STATE_RESUMING);
}

int vfm_sink_begin(struct vfm_engine *e)
{
	vfm_unit_touch(e);
	return vfm_unit_each(e, begin, 0);
}

int vfm_sink_prove(struct vfm_engine *e)
{
	return vfm_unit_each(e, vfm_member_set, VFM_STATE_STOP);
}

static int run(struct vfm_member *m, int level)
{
	bool p2p = m->migration & VFM_MIGRATION_P2P;

	if (!m->ready || (level != VFM_LEVEL_LAST && p2p != (level == VFM_LEVEL_P2P)))
		return 0;
	return vfm_member_set(m,
			      level == VFM_LEVEL_P2P ? VFM_STATE_RUNNING_P2P : VFM_STATE_RUNNING);
}

/* Each device on its own: one that is not ready is left, and keeps none of the others. */
static int prepare(struct vfm_engine *e)
{
	struct vfm_err first = { 0 };

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];
		int ret = 0;

		if (e->opts.before_run)
			ret = e->opts.before_run(e->opts.user, m->dev, &m->err);
		m->ready = !ret;
		if (!ret)
			continue;
		vfm_unit_failed(e, m, ret);
		e->err.code = ret;
		if (first.code)
			vfm_err_also(&first, &e->err);
		else
			first = e->err;
	}
	e->err = first;
	return first.code;
}

int vfm_sink_run(struct vfm_engine *e)
{
	int ret = prepare(e);
	struct vfm_err second;
	int ran = 0;

	e->stay = ret;
	if (!e->paused)
		ran = vfm_unit_start(e, run, &second);
	if (ran && ret)
		vfm_engine_also(e, &second);
	else if (ran)
		e->err = second;
	return ret ? ret : ran;
}

bool vfm_sink_reset(struct vfm_engine *e)
{
	struct vfm_err second;

	if (e->stay || !vfm_unit_touched(e))
		return !vfm_unit_touched(e);
	if (!vfm_unit_all(e, vfm_member_reset, 0, &second))
		return true;
	vfm_engine_also(e, &second);
	return false;
}

/* ---- load ---------------------------------------------------------------- */

/* A load, and the file that stands for a pipe. */
struct load {
	struct vfm_engine e; /* first, so that stages find the rest */
	int spool;
	off_t start;
};

static struct load *load_of(struct vfm_engine *e)
{
	return (struct load *)e;
}

/* A file without a name in the directory for such. */
static int open_spool(struct vfm_err *err)
{
	const char *dir = getenv("TMPDIR");
	char path[PATH_MAX];
	int fd;

	if (!dir || !*dir)
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* Not every file system has those. */
	snprintf(path, sizeof(path), "%s/vfmig-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return vfm_fail(err, -errno, "spool the stream to a file in %s: %s", dir,
				strerror(errno));
	unlink(path);
	return fd;
}

/* What is no stream at all may have no end either: let it not fill the disk first. */
static int look_at_header(int spool, struct vfm_err *err)
{
	const struct vfm_stream_opts opts = { .size = sizeof(opts) };
	struct vfm_stream_reader *reader;
	off_t end = lseek(spool, 0, SEEK_CUR);
	int ret;

	if (end < 0 || lseek(spool, 0, SEEK_SET) < 0)
		return vfm_fail(err, -errno, "look at what was spooled: %s", strerror(errno));
	ret = vfm_stream_reader_new(&reader, spool, &opts, err);
	if (ret)
		return ret;
	vfm_stream_reader_free(reader);
	if (lseek(spool, end, SEEK_SET) < 0)
		return vfm_fail(err, -errno, "look at what was spooled: %s", strerror(errno));
	return 0;
}

static int copy_to_spool(struct vfm_engine *e, int spool)
{
	struct vfm_wait wait = { .timeout_ms = e->opts.timeout_ms, .cancel_fd = e->opts.cancel_fd };
	size_t room = VFM_STREAM_PAYLOAD_MAX;
	bool looked = false;
	vfm_auto_free void *buf = malloc(room);
	ssize_t n;

	if (!buf)
		return vfm_fail(&e->err, -ENOMEM, "spool the stream: no memory");
	do {
		int ret;

		n = vfm_read_full(e->fd, buf, room, &wait);
		if (n < 0)
			return vfm_fail(&e->err, (int)n, "read the stream: %s", strerror((int)-n));
		ret = vfm_write_full(spool, buf, (size_t)n, NULL);
		if (ret)
			return vfm_fail(&e->err, ret, "spool the stream to a file: %s",
					strerror(-ret));
		ret = looked ? 0 : look_at_header(spool, &e->err);
		if (ret)
			return ret;
		looked = true;
	} while ((size_t)n == room);
	return 0;
}

static int spool(struct vfm_engine *e)
{
	struct load *l = load_of(e);
	int ret;

	l->spool = open_spool(&e->err);
	if (l->spool < 0)
		return l->spool;
	ret = copy_to_spool(e, l->spool);
	if (ret)
		return ret;
	e->fd = l->spool;
	l->start = 0;
	return 0;
}

static int rewind_stream(struct vfm_engine *e)
{
	if (lseek(e->fd, load_of(e)->start, SEEK_SET) < 0)
		return vfm_fail(&e->err, -errno, "read the stream from its start: %s",
				strerror(errno));
	return 0;
}

static int open_stream(struct vfm_engine *e)
{
	struct load *l = load_of(e);
	struct stat st;
	int ret;

	/* Terminals and the like can be told to seek, and do not. */
	if (!fstat(e->fd, &st) && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		l->start = lseek(e->fd, 0, SEEK_CUR);
	if (l->start >= 0)
		return 0;
	ret = spool(e);
	return ret ? ret : rewind_stream(e);
}

/* Records that a load makes something of. */
static int check_record(void *user, const struct vfm_stream_record *record)
{
	struct vfm_engine *e = user;
	struct pollfd cancel = { .fd = e->opts.cancel_fd, .events = POLLIN };

	if (poll(&cancel, 1, 0) > 0)
		return vfm_fail(&e->err, -ECANCELED, "cancelled");
	switch (record->type) {
	case VFM_STREAM_MEMORY_MAP:
	case VFM_STREAM_MEMORY_DATA:
	case VFM_STREAM_MEMORY_ZERO:
		return vfm_fail(
			&e->err, -ENOTSUP,
			"the stream holds DMA memory, which has no place to go to in a load");
	case VFM_STREAM_IDENTITY:
	case VFM_STREAM_DEVICE_DATA:
	case VFM_STREAM_PHASE:
	case VFM_STREAM_END:
		return 0;
	}
	return record->flags & VFM_STREAM_OPTIONAL ? 0 : vfm_engine_unexpected(e, record);
}

static int load_scan(struct vfm_engine *e)
{
	struct vfm_stream_summary summary;
	struct vfm_err err;
	int ret = vfm_unit_ask(e);

	if (!ret)
		ret = open_stream(e);
	if (ret)
		return ret;
	e->err.code = 0;
	ret = vfm_stream_scan(e->fd, &summary, check_record, e, &err);
	if (ret && !e->err.code)
		e->err = err;
	if (!ret && summary.nr_devices != 1)
		ret = vfm_fail(&e->err, -ENOTSUP, "a stream of %u devices", summary.nr_devices);
	return ret ? ret : rewind_stream(e);
}

static int load_begin(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	int ret = vfm_engine_open_in(e);

	if (!ret)
		ret = vfm_engine_expect(e, VFM_STREAM_IDENTITY, &record);
	if (!ret)
		ret = vfm_stream_parse_identity(&e->members[0].identity, &record, &e->err);
	if (!ret)
		ret = vfm_sink_check(e);
	e->stopped_ns = vfm_now_ns();
	return ret ? ret : vfm_sink_begin(e);
}

static int load_data(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	int ret;

	while (!(ret = vfm_engine_read(e, &record))) {
		ret = check_record(e, &record);
		if (!ret && record.type == VFM_STREAM_DEVICE_DATA)
			ret = vfm_data_write(e, &record);
		if (ret || record.type == VFM_STREAM_END)
			break;
	}
	return ret;
}

static int load_run(struct vfm_engine *e)
{
	int ret = vfm_unit_each(e, vfm_member_disarm, 0);

	if (!ret)
		ret = vfm_sink_run(e);
	if (!ret)
		e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	return ret;
}

static const struct vfm_stage load_stages[] = {
	{ VFM_PHASE_SETUP, "check the stream", load_scan },
	{ VFM_PHASE_SETUP, "setup", load_begin },
	{ VFM_PHASE_STOP_COPY, "data", load_data },
	{ VFM_PHASE_LOAD, "load", vfm_sink_prove },
	{ VFM_PHASE_COMMIT, "run", load_run },
};

VFM_API int vfm_load(struct vfm_device *dev, int fd, const struct vfm_migrate_opts *opts,
		     struct vfm_migration_report *report, struct vfm_err *err)
{
	struct load l = { .spool = -1, .start = -1 };
	struct vfm_err second;
	int ret = vfm_engine_init(&l.e, &VFM_UNIT_OF(dev, NULL), fd, opts);

	l.e.sink = true;
	if (!ret)
		ret = vfm_engine_run(&l.e, load_stages, VFM_ARRAY_SIZE(load_stages));
	if (ret) {
		vfm_sink_reset(&l.e);
		if (vfm_unit_all(&l.e, vfm_member_disarm, 0, &second))
			vfm_engine_also(&l.e, &second);
	}
	vfm_close_fd(&l.spool);
	return vfm_engine_finish(&l.e, ret, report, err);
}
