// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Statements as bytes, and the names of roles and states. No I/O. */

#include "engine/statement.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const struct {
	enum vfm_handover state;
	unsigned int roles; /* 1 << role of those who can say so */
	const char *name;
} states[] = {
	{ VFM_HANDOVER_UNKNOWN, 6, "unknown" }, { VFM_HANDOVER_BUSY, 6, "busy" },
	{ VFM_HANDOVER_DAMAGED, 6, "damaged" }, { VFM_HANDOVER_BEGUN, 2, "begun" },
	{ VFM_HANDOVER_GIVING, 2, "giving" },	{ VFM_HANDOVER_GIVEN, 2, "given" },
	{ VFM_HANDOVER_KEPT, 2, "kept" },	{ VFM_HANDOVER_LOADING, 4, "loading" },
	{ VFM_HANDOVER_LOADED, 4, "loaded" },	{ VFM_HANDOVER_COMMITTED, 4, "committed" },
	{ VFM_HANDOVER_RUNNING, 4, "running" }, { VFM_HANDOVER_RESET, 4, "reset" },
};

VFM_API const char *vfm_role_name(enum vfm_role role)
{
	if (role == VFM_ROLE_SOURCE)
		return "source";
	return role == VFM_ROLE_DESTINATION ? "destination" : "invalid";
}

VFM_API const char *vfm_handover_name(enum vfm_handover state)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(states); i++)
		if (states[i].state == state)
			return states[i].name;
	return "invalid";
}

bool vfm_statement_fits(enum vfm_role role, enum vfm_handover state)
{
	if (role != VFM_ROLE_SOURCE && role != VFM_ROLE_DESTINATION)
		return false;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(states); i++)
		if (states[i].state == state)
			return states[i].roles >> role & 1;
	return false;
}

void vfm_statement_write(struct vfm_writer *w, const struct vfm_statement *s)
{
	vfm_write_bytes(w, s->id, sizeof(s->id));
	vfm_write_le64(w, s->epoch);
	vfm_write_le32(w, s->role);
	vfm_write_le32(w, s->state);
}

bool vfm_statement_read(struct vfm_reader *r, struct vfm_statement *s)
{
	vfm_read_copy(r, s->id, sizeof(s->id));
	s->epoch = vfm_read_le64(r);
	s->role = (enum vfm_role)vfm_read_le32(r);
	s->state = (enum vfm_handover)vfm_read_le32(r);
	return vfm_reader_ok(r) && s->epoch && vfm_statement_fits(s->role, s->state);
}

bool vfm_statement_same(const struct vfm_statement *a, const struct vfm_statement *b)
{
	return a->epoch == b->epoch && !memcmp(a->id, b->id, sizeof(a->id));
}

void vfm_statement_id(char out[VFM_MIGRATION_ID], const uint8_t id[VFM_ID_SIZE])
{
	for (int i = 0; i < VFM_ID_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}
