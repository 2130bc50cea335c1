// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Inside the model: what it knows, and what its files call in each other. model.c has
 * states and the making of it, model_region.c the registers and the section, model_v2.c
 * what is done with the semantics of v2 or to the device itself.
 */

#ifndef VFM_TESTS_MODEL_IMPL_H
#define VFM_TESTS_MODEL_IMPL_H

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "front-inner.h"
#include "model.h"

struct model {
	model_pick_fn pick;
	void *user;
	struct inner *in;
	struct vfm_device *dev;
	uint32_t index;
	bool chunks;
	uint64_t page; /* where the section starts */
	size_t size;
	uint8_t *map; /* the part of it that can be mapped */
	size_t map_size;
	uint8_t *buf;
	unsigned int puts; /* what the next data to be loaded looks like */
	char wrong[256];
	const char *what; /* is being done */

	/* what must be so */
	enum vfm_state state; /* as the front heard last */
	bool known;
	uint32_t mask; /* the word that is shown instead of that of @state; 0: none */
	uint32_t reserved;
	uint64_t from; /* where in the session the chunk in the section is from */
	size_t len;
	bool ends, handed;
	bool cut; /* the device is inside of a chunk */
	bool finished;
	int failed;
	uint64_t given;
	unsigned int asked, set, questions; /* calls of the device */
};

static inline uint32_t model_pick(struct model *m, uint32_t below)
{
	return m->pick(m->user, below);
}

static inline bool model_is_saving(const struct model *m)
{
	return vfm_state_is_saving(m->state);
}

/** model_first_piece() - what is left of the piece that the device gives next. */
static inline size_t model_first_piece(const struct inner *in)
{
	return in->nr_pieces ? in->pieces[0] - in->piece_at : 0;
}

/* model.c */

/** model_same() - compare; the first difference is what model_wrong() tells. */
bool model_same(struct model *m, const char *what, int64_t got, int64_t want);
bool model_check_bytes(struct model *m, const uint8_t *buf, size_t len, uint64_t from);
void model_drop_chunk(struct model *m);

/** model_ask(), model_know() - foretell a question for the state, if need be. */
int model_ask(struct model *m);
int model_know(struct model *m);

/** model_will_set() - what will come of a change of the device's state. */
int model_will_set(struct model *m, enum vfm_state to);

/** model_stops_at() - where a change that will fail leaves the device. */
enum vfm_state model_stops_at(const struct model *m, enum vfm_state to);

/** model_was_set() - after it was done. */
void model_was_set(struct model *m, enum vfm_state to, int ret);

/** model_brought_back() - after one by the region has failed, in @at, that began in @from. */
void model_brought_back(struct model *m, enum vfm_state from, enum vfm_state at);

/** model_shown() - the word of device_state, without its reserved bits. */
uint32_t model_shown(const struct model *m);

/* the others: an operation */
bool model_region_step(struct model *m);
bool model_v2_step(struct model *m);

#endif
