// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Whether an earlier migration of a device was left open, before the next one begins. */

#include "engine/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

/* The first device of @a that is one of @b's; NULL: none. */
static const char *shared(const struct vfm_journal_head *a, const struct vfm_journal_head *b)
{
	for (size_t i = 0; i < a->nr_uris; i++)
		for (size_t k = 0; k < b->nr_uris; k++)
			if (!strcmp(a->uris[i], b->uris[k]))
				return a->uris[i];
	return NULL;
}

static int check(const struct vfm_journal *j, const char *dir, const struct vfm_journal_head *head,
		 struct vfm_err *err)
{
	const char *uri = shared(head, &j->head);

	if (!uri || j->head.store || j->flags & VFM_JOURNAL_DONE)
		return 0;
	return vfm_fail(err, -EBUSY,
			"%s: an earlier migration of it was left open (%s, %s, journal %s): "
			"settle it first, by vfmig recover %s",
			uri, vfm_role_name(j->head.who.role), vfm_handover_name(j->head.who.state),
			j->name, dir);
}

int vfm_journal_check_left(const char *dir, const struct vfm_journal_head *head,
			   struct vfm_err *err)
{
	vfm_auto_free char(*names)[VFM_JOURNAL_NAME] = NULL;
	vfm_auto_fd int fd = vfm_journal_open_dir(dir, err);
	int count = fd < 0 ? fd : vfm_journal_list(&names, fd, err);
	int ret = count < 0 ? count : 0;

	for (int i = 0; i < count && !ret; i++) {
		struct vfm_journal *j;

		if (vfm_journal_look(&j, fd, names[i], NULL))
			continue;
		ret = check(j, dir, head, err);
		vfm_journal_free(j);
	}
	return ret;
}
