// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A migration's journal, step by step. What must be on disk before what is
 * docs/handover.md's, and so is why; here it is done.
 *
 * Where a store decides, it is asked here: for an epoch when the migration is named, whether that
 * is there before the destination begins, who has the device when it changes its owner or the other
 * side is lost, and to be told that the source keeps it when that is known without it.
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

#include "base/io.h"
#include "base/util.h"
#include "engine/claim.h"
#include "engine/journal.h"
#include "engine/owner.h"
#include "engine/unit.h"

/* What a pair of journals knows of epochs. */
#define EPOCH 1u

/* What may follow a statement: a key, with this and its length before it. */
#define KEY_TYPE 3u
#define KEY_HEAD 8u

/* How long to tell the store what is true without it. */
#define TELL_MS 2000u

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

static enum vfm_role own_role(const struct vfm_engine *e)
{
	return e->sink ? VFM_ROLE_DESTINATION : VFM_ROLE_SOURCE;
}

static int put_statement(struct vfm_engine *e, enum vfm_handover state)
{
	struct vfm_statement s = { .epoch = e->handover.epoch, .state = state };
	uint8_t buf[VFM_STATEMENT_SIZE + KEY_HEAD + VFM_JOURNAL_KEY];
	struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));

	memcpy(s.id, e->handover.id, sizeof(s.id));
	s.role = own_role(e);
	vfm_statement_write(&w, &s);
	if (e->claim) {
		vfm_write_le32(&w, KEY_TYPE);
		vfm_write_le32(&w, (uint32_t)strlen(e->claim->key));
		vfm_write_bytes(&w, e->claim->key, strlen(e->claim->key));
	}
	return vfm_engine_put(e, VFM_STREAM_HANDOVER, VFM_STREAM_OPTIONAL, buf, w.len);
}

/* The key, if the peer tells one. What else follows a statement is skipped. */
static int get_key(struct vfm_engine *e, struct vfm_reader *r)
{
	uint32_t type = r->left ? vfm_read_le32(r) : 0;
	uint32_t len = type == KEY_TYPE ? vfm_read_le32(r) : 0;

	if (type != KEY_TYPE)
		return 0;
	if (!len || len >= sizeof(e->peer_key) || len > r->left || memchr(r->p, 0, len))
		return vfm_fail(&e->err, -EPROTO, "the key that the %s tells is none", e->peer);
	vfm_read_copy(r, e->peer_key, len);
	e->peer_key[len] = '\0';
	return 0;
}

/* The peer's words must be of its own role, and in this state. */
static int get_statement(struct vfm_engine *e, const struct vfm_stream_record *record,
			 enum vfm_handover state, struct vfm_statement *s)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	enum vfm_role role = e->sink ? VFM_ROLE_SOURCE : VFM_ROLE_DESTINATION;

	if (!vfm_statement_read(&r, s) || s->role != role || s->state != state)
		return vfm_fail(&e->err, -EPROTO, "the %s's HANDOVER makes no sense", e->peer);
	return get_key(e, &r);
}

/* ---- the store -------------------------------------------------------------- */

static int wait_for_store(void *user, int fd, short events)
{
	(void)events; /* a store is only waited for to be readable */
	return vfm_engine_await((struct vfm_engine *)user, fd);
}

/* Waiting for the store, the device is served, and one may cancel, unless it is too late. */
static struct vfm_wait store_wait(struct vfm_engine *e)
{
	return (struct vfm_wait){ .cancel_fd = -1, .fn = wait_for_store, .user = e };
}

/*
 * No COMMIT is out, or RESET is known, so the source keeps it whatever the store does. It is
 * told so that others need not find that out. Return: whether it says so.
 */
static bool tell_kept(struct vfm_engine *e)
{
	struct vfm_wait wait = store_wait(e);
	struct vfm_err first = e->err;
	int ret;

	if (!e->claim)
		return false;
	/* the device runs, or is reset, and nothing can be cancelled any more */
	e->closing = e->deaf = e->listen = false;
	e->opts.cancel_fd = -1;
	e->claim->timeout_ms = VFM_MIN(e->claim->timeout_ms, TELL_MS);
	ret = vfm_claim_decide(e->claim, VFM_DECISION_KEPT, &wait, &e->err);
	e->err = first;
	return !ret;
}

static int new_claim(struct vfm_engine *e, const char *key)
{
	struct vfm_statement who = e->handover;

	who.role = own_role(e);
	return vfm_claim_new(&e->claim, e->opts.store, &who, key, vfm_device_uri(e->members[0].dev),
			     &e->err);
}

/* Before the peer hears of the migration: so it can see that the epoch is there. */
static int take_epoch(struct vfm_engine *e)
{
	struct vfm_wait wait = store_wait(e);
	int ret = new_claim(e, NULL);

	if (!ret)
		ret = vfm_claim_take(e->claim, &wait, &e->err);
	e->handover.epoch = ret ? EPOCH : e->claim->who.epoch;
	return ret;
}

/* Whether both sides decide alike. */
static int check_keys(struct vfm_engine *e)
{
	const char *other = e->peer_key;

	if (!e->opts.store && other[0])
		return vfm_fail(&e->err, -EOPNOTSUPP,
				"the %s decides by key %.200s in a store, and we use none", e->peer,
				other);
	if (e->opts.store && !other[0])
		return vfm_fail(&e->err, -EOPNOTSUPP, "we decide by a store, and the %s uses none",
				e->peer);
	if (!e->opts.store)
		return 0;
	if (e->claim ? !strcmp(e->claim->key, other) : vfm_store_is_key(e->opts.store, other))
		return 0;
	return vfm_fail(&e->err, -ENOTUNIQ, "the %s uses key %.200s in the store, and we %.200s%s",
			e->peer, other, e->claim ? e->claim->key : e->opts.store->prefix,
			!e->claim && e->opts.store->key ? e->opts.store->key : "");
}

static int join_epoch(struct vfm_engine *e)
{
	struct vfm_wait wait = store_wait(e);
	int ret = check_keys(e);

	if (ret || e->claim || !e->opts.store)
		return ret;
	ret = new_claim(e, e->peer_key);
	return ret ? ret : vfm_claim_join(e->claim, &wait, &e->err);
}

/* ---- setup ---------------------------------------------------------------- */

int vfm_handover_offer(struct vfm_engine *e)
{
	if (e->opts.store && !e->opts.journal)
		return vfm_fail(&e->err, -EINVAL, "a store without a journal");
	if (!e->opts.journal)
		return 0;
	if (getrandom(e->handover.id, sizeof(e->handover.id), 0) != VFM_ID_SIZE)
		return vfm_fail(&e->err, -errno, "a name for the migration: %s", strerror(errno));
	e->handover.epoch = EPOCH;
	if (e->opts.store && take_epoch(e))
		return e->err.code;
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
	struct vfm_wait wait = store_wait(e);
	int ret = join_epoch(e);
	uint64_t start = vfm_now_ns();

	/* A source without a journal has not told a name to keep one by. */
	if (ret || !e->opts.journal || (e->sink && !e->agreed))
		return ret;
	for (size_t i = 0; i < e->nr_members; i++)
		uris[i] = vfm_device_uri(e->members[i].dev);
	head.who.role = own_role(e);
	head.who.state = e->sink ? VFM_HANDOVER_LOADING : VFM_HANDOVER_BEGUN;
	if (!e->agreed)
		flags |= VFM_JOURNAL_ALONE;
	name_peer(e->fd, head.peer, sizeof(head.peer));
	if (e->claim) {
		head.store = e->opts.store->endpoints;
		head.store_tls = e->opts.store->tls;
		head.store_node = e->opts.store->node;
		head.key = e->claim->key;
		ret = vfm_owner_store_new(&e->owner, e->opts.journal, &head, flags, e->claim, &wait,
					  &e->err);
	} else {
		ret = vfm_owner_pair_new(&e->owner, e->opts.journal, &head, flags, &e->err);
	}
	e->write_ns = (vfm_now_ns() - start) / VFM_JOURNAL_FIRST_WRITES;
	if (ret || !e->sink)
		return ret;
	return put_statement(e, VFM_HANDOVER_LOADING);
}

void vfm_handover_end(struct vfm_engine *e)
{
	/* one that failed before there was a journal has an epoch all the same */
	if (!e->sink && !e->report.committed && e->claim && e->claim->outcome == VFM_OUTCOME_MOVING)
		(void)!tell_kept(e);
	if (e->owner)
		e->owner->ops->close(e->owner);
	e->owner = NULL;
	vfm_claim_free(e->claim);
	e->claim = NULL;
}

static bool has_said(const struct vfm_engine *e, enum vfm_handover state)
{
	return e->owner->who.state == state;
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

	if (e->owner && !has_said(e, VFM_HANDOVER_KEPT) && say(e, VFM_HANDOVER_KEPT, 0, &second))
		vfm_engine_also(e, &second);
}

/*
 * COMMIT is out, and whether it was heard is not known. The destination has it, or never will,
 * by the first swap of the two.
 */
void vfm_handover_settle(struct vfm_engine *e, bool stopped)
{
	struct vfm_err first = e->err, second;
	int ret;

	if (!e->owner || !e->owner->ops->settle)
		return;
	ret = e->owner->ops->settle(e->owner, &second);
	e->err = first;
	if (ret) {
		vfm_fail_prefix(&second, "whose the device is, the store could not tell");
		vfm_engine_also(e, &second);
	} else if (has_said(e, VFM_HANDOVER_KEPT)) {
		e->report.committed = e->deaf = false;
		vfm_fail(&second, 0,
			 "the store says that the destination has not taken the device");
		vfm_engine_also(e, &second);
	} else if (stopped && !say(e, VFM_HANDOVER_GIVEN, VFM_JOURNAL_DONE, NULL)) {
		forget(e);
	}
}

void vfm_handover_kept(struct vfm_engine *e)
{
	/* Nobody will ask when the destination cannot have loaded all, or keeps no journal. */
	bool asked = e->agreed && e->report.phase >= VFM_PHASE_LOAD;

	if (!e->owner || vfm_unit_touched(e))
		return;
	/* nor if it can ask the store */
	if (asked && !tell_kept(e))
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
	int ret = e->owner ? say(e, VFM_HANDOVER_COMMITTED, 0, &e->err) : 0;

	/* the source has given us up meanwhile */
	if (ret == -ESTALE)
		e->report.committed = e->deaf = false;
	return ret;
}

/* COMMITTED says enough: whoever reads only that finds a device that runs already. */
void vfm_handover_ran(struct vfm_engine *e)
{
	if (e->owner)
		(void)!say(e, VFM_HANDOVER_RUNNING, VFM_JOURNAL_DONE, NULL);
}

void vfm_handover_part(struct vfm_engine *e)
{
	struct vfm_wait wait = store_wait(e);
	struct vfm_stream_record record;
	struct vfm_statement s;

	if (!e->owner)
		return;
	/* The device may need us meanwhile, and its user may want to go. */
	e->deaf = false;
	e->opts.timeout_ms = PART_MS;
	if (vfm_engine_expect(e, VFM_STREAM_HANDOVER, &record) ||
	    get_statement(e, &record, VFM_HANDOVER_GIVEN, &s) ||
	    !vfm_statement_same(&s, &e->handover))
		return;
	forget(e);
	if (!e->claim)
		return;
	e->claim->timeout_ms = VFM_MIN(e->claim->timeout_ms, TELL_MS);
	(void)!vfm_claim_remove(e->claim, &wait, NULL);
}

/* The source is lost, and may have given the device away. Whether it is known that it has not. */
static bool was_kept(struct vfm_engine *e, struct vfm_err *why)
{
	struct vfm_err first = e->err;
	int ret;

	vfm_fail(why, 0,
		 "the source may have given the device away: it stays in STOP until "
		 "a recovery has found out");
	if (!e->owner->ops->settle)
		return false;
	ret = e->owner->ops->settle(e->owner, why);
	e->err = first;
	if (ret)
		vfm_fail_prefix(why, "whose the device is, the store could not tell");
	return !ret && has_said(e, VFM_HANDOVER_RESET);
}

void vfm_handover_refuse(struct vfm_engine *e)
{
	struct vfm_err second;

	if (!e->owner || !has_said(e, VFM_HANDOVER_LOADED))
		return;
	/* A source that complains has kept it; and who cancels decides that it shall. */
	if (e->doubt && !e->aborted && e->err.code != -ECANCELED)
		e->stay = !was_kept(e, &second);
	else
		e->stay = say(e, VFM_HANDOVER_RESET, 0, &second);
	if (e->stay)
		vfm_engine_also(e, &second);
}

void vfm_handover_refused(struct vfm_engine *e, bool done)
{
	if (!e->owner || e->stay || !done)
		return;
	/*
	 * A source that could not write that it has kept the device asks, although it told us;
	 * but not us, if it can ask the store.
	 */
	if (has_said(e, VFM_HANDOVER_RESET) && e->doubt && !tell_kept(e))
		(void)!say(e, VFM_HANDOVER_RESET, VFM_JOURNAL_DONE, NULL);
	else
		forget(e);
}
