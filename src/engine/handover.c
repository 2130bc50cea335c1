// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A migration's journal, step by step. What must be on disk before what is
 * docs/handover.md's, and so is why; here it is done.
 *
 * What surprises: a failed write is not the same as none. It may be on disk, so what
 * is done after it must be right in either case. Where that cannot be had, the device
 * stays as it is, for a recovery that has read what is really there.
 */

#include "engine/handover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"
#include "engine/journal.h"
#include "engine/owner.h"
#include "engine/unit.h"

/* What a pair of journals knows of epochs. */
#define EPOCH 1u

/* How long a destination that runs waits to hear that the source knows. */
#define PART_MS 1000u

static int say(struct vfm_engine *e, enum vfm_handover state, uint32_t flags, struct vfm_err *err)
{
	if (e->paused)
		flags |= VFM_JOURNAL_PAUSED;
	return e->owner->ops->say(e->owner, state, flags, err);
}

/* A journal that stays although nobody needs it is untidy, and no failure. */
static void forget(struct vfm_engine *e)
{
	(void)!e->owner->ops->forget(e->owner, NULL);
}

static int put_statement(struct vfm_engine *e, enum vfm_handover state)
{
	struct vfm_statement s = { .epoch = e->handover.epoch, .state = state };
	uint8_t buf[VFM_STATEMENT_SIZE];
	struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));

	memcpy(s.id, e->handover.id, sizeof(s.id));
	s.role = e->sink ? VFM_ROLE_DESTINATION : VFM_ROLE_SOURCE;
	vfm_statement_write(&w, &s);
	return vfm_engine_put(e, VFM_STREAM_HANDOVER, VFM_STREAM_OPTIONAL, buf, sizeof(buf));
}

/* The peer's words must be of its own role, and in this state. */
static int get_statement(struct vfm_engine *e, const struct vfm_stream_record *record,
			 enum vfm_handover state, struct vfm_statement *s)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	enum vfm_role role = e->sink ? VFM_ROLE_SOURCE : VFM_ROLE_DESTINATION;

	if (!vfm_statement_read(&r, s) || s->role != role || s->state != state)
		return vfm_fail(&e->err, -EPROTO, "the %s's HANDOVER makes no sense", e->peer);
	return 0;
}

/* ---- setup ---------------------------------------------------------------- */

int vfm_handover_offer(struct vfm_engine *e)
{
	if (!e->opts.journal)
		return 0;
	if (getrandom(e->handover.id, sizeof(e->handover.id), 0) != VFM_ID_SIZE)
		return vfm_fail(&e->err, -errno, "a name for the migration: %s", strerror(errno));
	e->handover.epoch = EPOCH;
	return put_statement(e, VFM_HANDOVER_BEGUN);
}

static int hear(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	struct vfm_statement s;
	int ret = get_statement(e, record, e->sink ? VFM_HANDOVER_BEGUN : VFM_HANDOVER_LOADING, &s);

	if (ret || !e->opts.journal)
		return ret;
	if (!e->sink && !vfm_statement_same(&s, &e->handover))
		return vfm_fail(&e->err, -EPROTO, "the destination names another migration");
	e->handover = s;
	e->agreed = true;
	return 0;
}

int vfm_handover_follow(struct vfm_engine *e, enum vfm_stream_type type,
			struct vfm_stream_record *record)
{
	int ret = 0;

	if (record->type == VFM_STREAM_HANDOVER) {
		ret = hear(e, record);
		if (!ret)
			ret = vfm_engine_read(e, record);
	}
	if (ret)
		return ret;
	return record->type == type ? 0 : vfm_engine_unexpected(e, record);
}

int vfm_handover_expect(struct vfm_engine *e, enum vfm_stream_type type,
			struct vfm_stream_record *record)
{
	int ret = vfm_engine_read(e, record);

	return ret ? ret : vfm_handover_follow(e, type, record);
}

/* Who is at the other end, for people; empty when that cannot be told. */
static void name_peer(int fd, char *out, size_t room)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} sa = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(sa) - 1;
	char host[INET6_ADDRSTRLEN] = "";

	*out = '\0';
	if (getpeername(fd, &sa.any, &len))
		return;
	if (sa.any.sa_family == AF_INET && inet_ntop(AF_INET, &sa.in.sin_addr, host, sizeof(host)))
		snprintf(out, room, "%s:%u", host, ntohs(sa.in.sin_port));
	else if (sa.any.sa_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &sa.in6.sin6_addr, host, sizeof(host)))
		snprintf(out, room, "[%s]:%u", host, ntohs(sa.in6.sin6_port));
	else if (sa.any.sa_family == AF_UNIX && len > sizeof(sa_family_t))
		snprintf(out, room, "unix:%s", sa.un.sun_path);
}

int vfm_handover_begin(struct vfm_engine *e)
{
	const char *uris[VFM_UNIT_MAX];
	struct vfm_journal_head head = { .who = e->handover,
					 .uris = uris,
					 .nr_uris = e->nr_members };
	uint32_t flags = e->paused ? VFM_JOURNAL_PAUSED : 0;
	int ret;

	/* A source without a journal has not told a name to keep one by. */
	if (!e->opts.journal || (e->sink && !e->agreed))
		return 0;
	for (size_t i = 0; i < e->nr_members; i++)
		uris[i] = vfm_device_uri(e->members[i].dev);
	head.who.role = e->sink ? VFM_ROLE_DESTINATION : VFM_ROLE_SOURCE;
	head.who.state = e->sink ? VFM_HANDOVER_LOADING : VFM_HANDOVER_BEGUN;
	if (!e->agreed)
		flags |= VFM_JOURNAL_ALONE;
	name_peer(e->fd, head.peer, sizeof(head.peer));
	ret = vfm_owner_pair_new(&e->owner, e->opts.journal, &head, flags, &e->err);
	if (ret || !e->sink)
		return ret;
	return put_statement(e, VFM_HANDOVER_LOADING);
}

void vfm_handover_end(struct vfm_engine *e)
{
	if (e->owner)
		e->owner->ops->close(e->owner);
	e->owner = NULL;
}

/* ---- source --------------------------------------------------------------- */

int vfm_handover_give(struct vfm_engine *e)
{
	return e->owner ? say(e, VFM_HANDOVER_GIVING, 0, &e->err) : 0;
}

void vfm_handover_given(struct vfm_engine *e, bool stopped)
{
	if (!e->owner || say(e, VFM_HANDOVER_GIVEN, stopped ? VFM_JOURNAL_DONE : 0, NULL))
		return;
	/* Not before it is on disk: the destination forgets what only it knows. */
	if (e->agreed)
		(void)!put_statement(e, VFM_HANDOVER_GIVEN);
	if (stopped)
		forget(e);
}

/*
 * If this cannot be written, the journal may go on to say that the device is being
 * given away. It runs all the same: no COMMIT is out, so the destination cannot have
 * taken it, and a recovery finds that out there.
 */
void vfm_handover_keep(struct vfm_engine *e)
{
	struct vfm_err second;

	if (e->owner && say(e, VFM_HANDOVER_KEPT, 0, &second))
		vfm_engine_also(e, &second);
}

void vfm_handover_kept(struct vfm_engine *e)
{
	/* Nobody will ask when the destination cannot have loaded all, or keeps no journal. */
	bool asked = e->agreed && e->report.phase >= VFM_PHASE_LOAD;

	if (!e->owner || vfm_unit_touched(e))
		return;
	if (asked)
		(void)!say(e, VFM_HANDOVER_KEPT, VFM_JOURNAL_DONE, NULL);
	else
		forget(e);
}

/* ---- destination ---------------------------------------------------------- */

int vfm_handover_loaded(struct vfm_engine *e)
{
	return e->owner ? say(e, VFM_HANDOVER_LOADED, 0, &e->err) : 0;
}

void vfm_handover_told(struct vfm_engine *e)
{
	e->doubt = e->owner;
}

/*
 * This is where the device changes its owner. If it cannot be written, the device
 * must not run: the source, when it asks, would be told that we have not taken it.
 * Nor is it reset: it may have been written after all.
 */
int vfm_handover_take(struct vfm_engine *e)
{
	return e->owner ? say(e, VFM_HANDOVER_COMMITTED, 0, &e->err) : 0;
}

/* COMMITTED says enough: whoever reads only that finds a device that runs already. */
void vfm_handover_ran(struct vfm_engine *e)
{
	if (e->owner)
		(void)!say(e, VFM_HANDOVER_RUNNING, VFM_JOURNAL_DONE, NULL);
}

void vfm_handover_part(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	struct vfm_statement s;

	if (!e->owner)
		return;
	/* The device may need us meanwhile, and its user may want to go. */
	e->deaf = false;
	e->opts.timeout_ms = PART_MS;
	if (!vfm_engine_expect(e, VFM_STREAM_HANDOVER, &record) &&
	    !get_statement(e, &record, VFM_HANDOVER_GIVEN, &s) &&
	    vfm_statement_same(&s, &e->handover))
		forget(e);
}

static bool has_said(const struct vfm_engine *e, enum vfm_handover state)
{
	return e->owner->who.state == state;
}

void vfm_handover_refuse(struct vfm_engine *e)
{
	struct vfm_err second;

	if (!e->owner || !has_said(e, VFM_HANDOVER_LOADED))
		return;
	/* A source that complains has kept it; and who cancels decides that it shall. */
	if (e->doubt && !e->aborted && e->err.code != -ECANCELED) {
		e->stay = true;
		vfm_fail(&second, 0,
			 "the source may have given the device away: it stays in STOP until "
			 "a recovery has found out");
		vfm_engine_also(e, &second);
	} else if (say(e, VFM_HANDOVER_RESET, 0, &second)) {
		e->stay = true;
		vfm_engine_also(e, &second);
	}
}

void vfm_handover_refused(struct vfm_engine *e, bool done)
{
	if (!e->owner || e->stay || !done)
		return;
	/* A source that could not write that it has kept the device asks, although it told us. */
	if (has_said(e, VFM_HANDOVER_RESET) && e->doubt)
		(void)!say(e, VFM_HANDOVER_RESET, VFM_JOURNAL_DONE, NULL);
	else
		forget(e);
}
