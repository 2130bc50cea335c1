// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A statement: which handover is meant, which side speaks, and what it says of it.
 * It is the payload of the record HANDOVER, the heart of a message between two that
 * recover, and what a journal holds. Its bytes are in docs/handover.md.
 */

#ifndef VFM_ENGINE_STATEMENT_H
#define VFM_ENGINE_STATEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <vfmig/recover.h>

#include "base/bytes.h"

#define VFM_ID_SIZE 16
#define VFM_STATEMENT_SIZE 32

/**
 * struct vfm_statement
 * @id: of the migration, random
 * @epoch: not 0; rises with each handover where the owner is decided by somebody who
 *	remembers more than one. The journals of a pair do not: there it is 1
 * @role: whose words these are
 */
struct vfm_statement {
	uint8_t id[VFM_ID_SIZE];
	uint64_t epoch;
	enum vfm_role role;
	enum vfm_handover state;
};

void vfm_statement_write(struct vfm_writer *w, const struct vfm_statement *s);

/** vfm_statement_read() - false: there is not enough, or it makes no sense. */
bool vfm_statement_read(struct vfm_reader *r, struct vfm_statement *s);

/** vfm_statement_same() - whether both are of the same handover. */
bool vfm_statement_same(const struct vfm_statement *a, const struct vfm_statement *b);

/** vfm_statement_fits() - whether somebody in that role can be in that state. */
bool vfm_statement_fits(enum vfm_role role, enum vfm_handover state);

/** vfm_statement_id() - the name as text. */
void vfm_statement_id(char out[VFM_MIGRATION_ID], const uint8_t id[VFM_ID_SIZE]);

#endif
