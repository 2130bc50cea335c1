// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The owner is decided by two journals, one on each side. Nobody has to be asked
 * while all goes well: what each side may say by itself, and what it must ask the
 * other one for, is the protocol's.
 */

#include "engine/owner.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/journal.h"

struct pair {
	struct vfm_owner owner;
	struct vfm_journal *journal;
};

static struct vfm_journal *journal_of(struct vfm_owner *o)
{
	return ((struct pair *)o)->journal;
}

static int say(struct vfm_owner *o, enum vfm_handover state, uint32_t flags, struct vfm_err *err)
{
	int ret = vfm_journal_append(journal_of(o), state, flags, err);

	if (!ret)
		o->who.state = state;
	return ret;
}

static int forget(struct vfm_owner *o, struct vfm_err *err)
{
	return vfm_journal_remove(journal_of(o), err);
}

static void close_pair(struct vfm_owner *o)
{
	vfm_journal_free(journal_of(o));
	free(o);
}

static const struct vfm_owner_ops ops = { .say = say, .forget = forget, .close = close_pair };

int vfm_owner_pair_new(struct vfm_owner **out, const char *dir, const struct vfm_journal_head *head,
		       uint32_t flags, struct vfm_err *err)
{
	struct pair *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return vfm_fail(err, -ENOMEM, "journal: no memory");
	p->owner = (struct vfm_owner){ .ops = &ops, .who = head->who };
	ret = vfm_journal_check_left(dir, head, err);
	if (!ret)
		ret = vfm_journal_create(&p->journal, dir, head, flags, err);
	if (ret) {
		free(p);
		return ret;
	}
	*out = &p->owner;
	return 0;
}
