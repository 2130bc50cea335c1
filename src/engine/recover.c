// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Recovery: goes through a folder of journals, settles each with what the other side
 * says, and tells what it could not. The rules are settle.c's.
 *
 * A journal is open only while it is worked on, so the folder may hold many. One side
 * asks and the other answers; either may be the source. A statement is only made when
 * it is on disk, and repeated until it does not change any more: what one side learns
 * may be what the other one waits for.
 */

#include "engine/recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "engine/settle.h"

/* A side changes what it says twice at most. */
#define ROUNDS_MAX 4

/* Whoever asks more than that means no good. */
#define QUESTIONS_MAX 65536

/* A store that did not answer is not asked again. */
struct silence {
	char store[VFM_JOURNAL_STORE];
	int ret;
	struct vfm_err err;
};

struct recovery {
	const struct vfm_recover_opts *opts;
	struct vfm_wait wait;
	int dir;
	int count;
	char (*names)[VFM_JOURNAL_NAME];
	struct vfm_recovered *out;
	struct silence *silence;
};

/* ---- one journal ------------------------------------------------------------ */

static void describe(struct vfm_recovered *one, const struct vfm_journal *j)
{
	if (!one->id[0]) {
		vfm_statement_id(one->id, j->head.who.id);
		one->role = j->head.who.role;
		one->before = j->head.who.state;
		snprintf(one->uri, sizeof(one->uri), "%s", j->head.uris[0]);
		one->nr_devices = (unsigned int)j->head.nr_uris;
		snprintf(one->peer, sizeof(one->peer), "%s", j->head.peer);
	}
	one->after = j->head.who.state;
	one->settled = j->flags & VFM_JOURNAL_DONE;
}

/* NULL: it cannot be read, and @one says why; or it is gone. */
static struct vfm_journal *open_journal(const struct recovery *r, const char *name,
					struct vfm_recovered *one, enum vfm_handover *say)
{
	struct vfm_journal *j;
	struct vfm_err err;
	int ret = vfm_journal_open(&j, r->dir, name, &err);

	*say = VFM_HANDOVER_DAMAGED;
	if (!ret) {
		describe(one, j);
		*say = j->head.who.state;
		return j;
	}
	one->settled = one->gone = ret == -ENOENT || ret == -ENODATA;
	if (one->gone)
		*say = VFM_HANDOVER_UNKNOWN;
	else if (ret == -EBUSY)
		*say = VFM_HANDOVER_BUSY;
	if (!one->id[0]) {
		snprintf(one->id, sizeof(one->id), "%.32s", name);
		one->role = strcmp(name + VFM_MIGRATION_ID, "source") ? VFM_ROLE_DESTINATION
								      : VFM_ROLE_SOURCE;
		one->before = *say;
	}
	one->after = *say;
	snprintf(one->text, sizeof(one->text), "%s", err.msg);
	return NULL;
}

static bool may_forget(const struct vfm_journal *j, enum vfm_handover other, bool asked,
		       bool by_store)
{
	enum vfm_handover own = j->head.who.state;

	if (!(j->flags & VFM_JOURNAL_DONE))
		return false;
	/*
	 * A destination that has taken it asks nobody, one without a journal cannot, and where
	 * there is a store both ask that.
	 */
	if (by_store || own == VFM_HANDOVER_GIVEN || j->flags & VFM_JOURNAL_ALONE)
		return true;
	return asked && vfm_settle_is_final(other);
}

/* Carry out what is decided: on disk first, then at the device, and that it was done. */
static int carry_out(const struct recovery *r, struct vfm_journal *j, enum vfm_handover next,
		     struct vfm_recovered *one, struct vfm_err *err)
{
	/* RUNNING is what is true when it runs; that it may run, COMMITTED says. */
	bool first = next != j->head.who.state && next != VFM_HANDOVER_RUNNING;
	int ret = first ? vfm_journal_append(j, next, 0, err) : 0;

	if (ret || (next == j->head.who.state && j->flags & VFM_JOURNAL_DONE))
		return ret;
	ret = vfm_recover_device(r->opts, j, next, &one->state, err);
	if (ret)
		return ret;
	return vfm_journal_append(j, next, VFM_JOURNAL_DONE, err);
}

static int ask_store(const struct recovery *r, struct vfm_journal *j, struct vfm_err *err)
{
	struct silence *silence = r->silence;
	int ret;

	if (silence->ret && !strcmp(silence->store, j->head.store)) {
		*err = silence->err;
		return silence->ret;
	}
	ret = vfm_recover_by_store(r->opts, j, &r->wait, err);
	if (ret == -ETIMEDOUT || ret == -ECONNREFUSED || ret == -EHOSTUNREACH) {
		snprintf(silence->store, sizeof(silence->store), "%s", j->head.store);
		silence->ret = ret;
		silence->err = *err;
	}
	return ret;
}

/*
 * Whether @j may go on: it has no store, or that has said what is true, or a person has. If not,
 * all that can be said of it is said.
 */
static bool pass_store(const struct recovery *r, struct vfm_journal *j, struct vfm_recovered *one)
{
	struct vfm_err err;
	int ret;

	if (!j->head.store)
		return true;
	ret = ask_store(r, j, &err);
	if (j->flags & VFM_JOURNAL_PERSON)
		return true;
	one->by_store = !ret;
	describe(one, j);
	if (!ret || (ret < 0 && j->flags & VFM_JOURNAL_DONE))
		return true;
	if (ret > 0) {
		one->gone = !vfm_journal_remove(j, NULL);
		one->settled = one->gone;
		snprintf(one->text, sizeof(one->text),
			 "a later migration of this device has taken its key in the store");
		return false;
	}
	one->open = true;
	snprintf(one->text, sizeof(one->text), "%s", err.msg);
	return false;
}

/* What follows for @j from what the other side says. */
static void advance(const struct recovery *r, struct vfm_journal *j, enum vfm_handover other,
		    bool asked, struct vfm_recovered *one)
{
	enum vfm_handover own = j->head.who.state;
	struct vfm_verdict v;
	struct vfm_err err;
	int ret = 0;

	one->other = other;
	one->asked |= asked;
	one->open = false;
	if (!pass_store(r, j, one))
		return;
	v = vfm_settle(j->head.who.role, j->head.who.state, other);
	if (v.decided)
		ret = carry_out(r, j, v.next, one, &err);
	describe(one, j);
	one->open = !v.decided;
	one->settled &= v.decided;
	snprintf(one->text, sizeof(one->text), "%s%s%.400s", v.why, ret ? ", but: " : "",
		 ret ? err.msg : "");
	/* Whoever asks must first say what has become of it: the other side may wait for that. */
	if (ret || !v.decided || (own != j->head.who.state && !r->opts->answer && !one->by_store))
		return;
	if (may_forget(j, other, asked, one->by_store))
		one->gone = !vfm_journal_remove(j, NULL);
}

/* ---- the other side ----------------------------------------------------------- */

static enum vfm_role opposite(enum vfm_role role)
{
	return role == VFM_ROLE_SOURCE ? VFM_ROLE_DESTINATION : VFM_ROLE_SOURCE;
}

static int find(const struct recovery *r, const char *name)
{
	for (int i = 0; i < r->count; i++)
		if (!strcmp(r->names[i], name))
			return i;
	return -1;
}

/* Both sides are in this folder: they tell each other until neither changes. */
static bool settle_here(const struct recovery *r, struct vfm_journal *j, struct vfm_recovered *one)
{
	char name[VFM_JOURNAL_NAME];
	enum vfm_handover said, own;
	struct vfm_recovered *two;
	struct vfm_journal *k;
	int i;

	vfm_journal_name(name, j->head.who.id, opposite(j->head.who.role));
	i = find(r, name);
	if (i < 0)
		return false;
	two = &r->out[i];
	k = open_journal(r, name, two, &said);
	if (k && k->head.who.epoch != j->head.who.epoch)
		said = VFM_HANDOVER_DAMAGED;
	for (int n = 0; n < ROUNDS_MAX; n++) {
		own = j->head.who.state;
		if (!one->gone)
			advance(r, j, said, true, one);
		if (!k || said == VFM_HANDOVER_DAMAGED)
			break;
		if (!two->gone)
			advance(r, k, j->head.who.state, true, two);
		if (k->head.who.state == said && j->head.who.state == own)
			break;
		said = k->head.who.state;
	}
	vfm_journal_free(k);
	return true;
}

static int ask(const struct recovery *r, struct vfm_journal *j, enum vfm_handover *other,
	       struct vfm_err *err)
{
	struct vfm_statement theirs = { 0 };
	int ret = vfm_recover_say(r->opts->fd, &j->head.who, &r->wait, err);

	if (!ret)
		ret = vfm_recover_hear(r->opts->fd, &theirs, &r->wait, err);
	if (ret == 0)
		return vfm_fail(err, -ECONNRESET, "the other side has ended");
	if (ret < 0)
		return ret;
	if (memcmp(theirs.id, j->head.who.id, sizeof(theirs.id)) != 0 ||
	    theirs.role != opposite(j->head.who.role))
		return vfm_fail(err, -EPROTO, "the other side answers what was not asked");
	*other = vfm_statement_same(&theirs, &j->head.who) ? theirs.state : VFM_HANDOVER_DAMAGED;
	return 0;
}

static int settle_by_asking(const struct recovery *r, struct vfm_journal *j,
			    struct vfm_recovered *one, struct vfm_err *err)
{
	for (int n = 0; n < ROUNDS_MAX && !one->gone; n++) {
		enum vfm_handover own = j->head.who.state;
		enum vfm_handover other = VFM_HANDOVER_UNKNOWN;
		int ret = ask(r, j, &other, err);

		if (ret)
			return ret;
		advance(r, j, other, true, one);
		if (j->head.who.state == own)
			break;
	}
	return 0;
}

static int settle_one(const struct recovery *r, int i, struct vfm_err *err)
{
	struct vfm_recovered *one = &r->out[i];
	enum vfm_handover said;
	struct vfm_journal *j;
	int ret = 0;

	/* It was settled with its other half. */
	if (one->gone)
		return 0;
	j = open_journal(r, r->names[i], one, &said);
	if (!j)
		return 0;
	/* What can be decided without asking is, before anybody hears of it. */
	if (!settle_here(r, j, one)) {
		advance(r, j, VFM_HANDOVER_UNKNOWN, false, one);
		if (r->opts->fd >= 0 && !r->opts->answer)
			ret = settle_by_asking(r, j, one, err);
	}
	vfm_journal_free(j);
	return ret;
}

/* ---- answering ------------------------------------------------------------------ */

static enum vfm_handover answer_one(const struct recovery *r, const struct vfm_statement *q)
{
	struct vfm_recovered unlisted = { 0 };
	char name[VFM_JOURNAL_NAME];
	struct vfm_recovered *one;
	enum vfm_handover said;
	struct vfm_journal *j;
	int i;

	vfm_journal_name(name, q->id, opposite(q->role));
	i = find(r, name);
	one = i < 0 ? &unlisted : &r->out[i];
	/* What it said last, if it has just been forgotten. */
	if (one->gone && one->id[0])
		return one->after;
	j = open_journal(r, name, one, &said);
	if (!j)
		return said;
	if (q->epoch != j->head.who.epoch)
		said = VFM_HANDOVER_DAMAGED;
	else if (i >= 0)
		advance(r, j, q->state, true, one);
	if (said != VFM_HANDOVER_DAMAGED)
		said = j->head.who.state;
	vfm_journal_free(j);
	return said;
}

static int answer(const struct recovery *r, struct vfm_err *err)
{
	for (int n = 0; n < QUESTIONS_MAX; n++) {
		struct vfm_statement q;
		int ret = vfm_recover_hear(r->opts->fd, &q, &r->wait, err);

		if (ret <= 0)
			return ret;
		q.state = answer_one(r, &q);
		q.role = opposite(q.role);
		ret = vfm_recover_say(r->opts->fd, &q, &r->wait, err);
		if (ret)
			return ret;
	}
	return vfm_fail(err, -E2BIG, "the other side asks without an end");
}

/* ---- a person --------------------------------------------------------------------- */

/* A decision was looked for and not found. */
static bool is_open(const struct vfm_recovered *one)
{
	return one->open && !one->settled && one->after >= VFM_HANDOVER_BEGUN;
}

static int decide_one(const struct recovery *r, int i, struct vfm_err *err)
{
	struct vfm_recovered *one = &r->out[i];
	enum vfm_handover said;
	struct vfm_journal *j = open_journal(r, r->names[i], one, &said);
	int ret;

	if (!j)
		return 0;
	ret = vfm_journal_append(j, vfm_settle_by_person(one->role, r->opts->owner),
				 VFM_JOURNAL_PERSON, err);
	if (!ret)
		advance(r, j, VFM_HANDOVER_UNKNOWN, false, one);
	vfm_journal_free(j);
	return ret;
}

static int decide_by_person(const struct recovery *r, struct vfm_err *err)
{
	const char *id = NULL;
	int ret = 0;

	for (int i = 0; i < r->count; i++) {
		if (!is_open(&r->out[i]))
			continue;
		if (id && strcmp(id, r->out[i].id))
			return vfm_fail(err, -EINVAL,
					"more than one migration is in question (%s, %s): name one",
					id, r->out[i].id);
		id = r->out[i].id;
	}
	for (int i = 0; !ret && i < r->count; i++)
		if (is_open(&r->out[i]))
			ret = decide_one(r, i, err);
	return ret;
}

/* ---- all ---------------------------------------------------------------------------- */

/* Leave those whose name begins with @id. */
static void choose(struct recovery *r, const char *id)
{
	int kept = 0;

	for (int i = 0; id && i < r->count; i++)
		if (!strncmp(r->names[i], id, strlen(id)))
			memmove(r->names[kept++], r->names[i], sizeof(r->names[i]));
	if (id)
		r->count = kept;
}

/* What a person needs to know of what is left: where its device is. */
static void look(const struct recovery *r, int i)
{
	struct vfm_recovered *one = &r->out[i];
	struct vfm_recovered scratch = { 0 };
	enum vfm_handover said;
	struct vfm_journal *j;

	if (one->settled || one->after < VFM_HANDOVER_BEGUN)
		return;
	j = open_journal(r, r->names[i], &scratch, &said);
	if (j)
		one->state = vfm_recover_look(r->opts, j);
	vfm_journal_free(j);
}

static int report(const struct recovery *r, struct vfm_err *err)
{
	int left = 0;

	for (int i = 0; i < r->count; i++) {
		look(r, i);
		left += !r->out[i].settled;
		if (r->opts->each)
			r->opts->each(r->opts->user, &r->out[i]);
	}
	return left ? vfm_fail(err, -EUCLEAN, "%d of %d journals are not settled", left, r->count)
		    : 0;
}

static int settle_all(struct recovery *r, struct vfm_err *err)
{
	struct vfm_err second;
	int ret = 0;
	int told;

	for (int i = 0; !ret && i < r->count; i++)
		ret = settle_one(r, i, err);
	if (!ret && r->opts->answer)
		ret = answer(r, err);
	/* With the connection gone, all that could be decided without it is, by now or here. */
	for (int i = 0; ret && i < r->count; i++)
		if (!r->out[i].id[0]) {
			struct vfm_recover_opts alone = *r->opts;
			struct recovery rest = *r;

			alone.fd = -1;
			rest.opts = &alone;
			(void)!settle_one(&rest, i, NULL);
		}
	if (!ret && r->opts->owner)
		ret = decide_by_person(r, err);
	told = report(r, &second);
	if (!ret && told && err)
		*err = second;
	return ret ? ret : told;
}

VFM_API int vfm_recover(const char *dir, const struct vfm_recover_opts *opts, struct vfm_err *err)
{
	struct silence silence = { .ret = 0 };
	struct recovery r = { .opts = opts, .silence = &silence };
	int ret;

	if (!opts || opts->size < sizeof(*opts) || !opts->open)
		return vfm_fail(err, -EINVAL, "options that VFM_RECOVER_OPTS() did not make");
	if (opts->answer && opts->fd < 0)
		return vfm_fail(err, -EINVAL, "nobody is there to be answered");
	r.wait = (struct vfm_wait){ .timeout_ms = opts->timeout_ms, .cancel_fd = opts->cancel_fd };
	r.dir = vfm_journal_open_dir(dir, err);
	if (r.dir < 0)
		return r.dir;
	ret = r.count = vfm_journal_list(&r.names, r.dir, err);
	if (ret >= 0) {
		choose(&r, opts->id);
		r.out = calloc((size_t)r.count + 1, sizeof(*r.out));
		ret = r.out ? settle_all(&r, err) : vfm_fail(err, -ENOMEM, "journals: no memory");
	}
	free(r.out);
	free(r.names);
	vfm_close_fd(&r.dir);
	return ret;
}
