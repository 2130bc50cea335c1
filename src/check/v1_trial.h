// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What rules about the migration region call: registers, states of v1 and iterations, of the
 * raw form of a device. Nothing here needs the semantics of v2, which a device of that
 * time does not have.
 *
 * Two kinds: vfm_v1_*() return 0 or a negative errno value and leave the verdict to the rule;
 * vfm_trial_v1_*() are ways to where a rule begins, and block it when they fail.
 */

#ifndef VFM_CHECK_V1_TRIAL_H
#define VFM_CHECK_V1_TRIAL_H

#include <vfmig/v1.h>

#include "check/check.h"

/* Where the text stands that rules cite. */
#define VFM_V1_CITE_REGISTERS "the thread, struct vfio_device_migration_info: "
#define VFM_V1_CITE_STATE "the thread, device_state: "
#define VFM_V1_CITE_LAYOUT "the thread, format of the migration region: "
#define VFM_V1_CITE_SAVING "the thread, sequence in pre-copy and stop-and-copy: "
#define VFM_V1_CITE_RESUMING "the thread, sequence while resuming: "
#define VFM_V1_CITE_QEMU "QEMU 5.2 to 7.2, hw/vfio/migration.c: "

/* ---- one access ------------------------------------------------------------ */

/** vfm_v1_read(), vfm_v1_write() - bytes of the migration region. */
int vfm_v1_read(struct vfm_trial *t, uint64_t offset, void *buf, size_t len, struct vfm_err *err);
int vfm_v1_write(struct vfm_trial *t, uint64_t offset, const void *buf, size_t len,
		 struct vfm_err *err);

/** vfm_v1_get(), vfm_v1_put() - a register of 8 bytes, VFM_V1_*. */
int vfm_v1_get(struct vfm_trial *t, uint64_t reg, uint64_t *value, struct vfm_err *err);
int vfm_v1_put(struct vfm_trial *t, uint64_t reg, uint64_t value, struct vfm_err *err);

/** vfm_v1_get_word(), vfm_v1_put_word() - device_state, all of it. */
int vfm_v1_get_word(struct vfm_trial *t, struct vfm_v1_state *word, struct vfm_err *err);
int vfm_v1_put_word(struct vfm_trial *t, struct vfm_v1_state word, struct vfm_err *err);

/** vfm_v1_set_state() - as a user does: read, change the three bits, write. */
int vfm_v1_set_state(struct vfm_trial *t, struct vfm_v1_state state, struct vfm_err *err);

/* ---- states ---------------------------------------------------------------- */

/** vfm_v1_bring_to_running() - from wherever it is; by a reset where no write leads out. */
int vfm_v1_bring_to_running(struct vfm_trial *t, struct vfm_err *err);

/** vfm_trial_v1_go() - to a state, by arrows of the specification as far as there are. */
int vfm_trial_v1_go(struct vfm_trial *t, struct vfm_v1_state state) VFM_MUST_CHECK;

/** vfm_trial_v1_fresh() - reset, and RUNNING. */
int vfm_trial_v1_fresh(struct vfm_trial *t) VFM_MUST_CHECK;

/** vfm_trial_v1_state() - which it is in now. */
int vfm_trial_v1_state(struct vfm_trial *t, struct vfm_v1_state *state) VFM_MUST_CHECK;

/** vfm_trial_v1_arc() - this write must work and lead there: the rule is about it. */
int vfm_trial_v1_arc(struct vfm_trial *t, struct vfm_v1_state from,
		     struct vfm_v1_state to) VFM_MUST_CHECK;

/* ---- data ------------------------------------------------------------------ */

/** struct vfm_v1_chunk - what an iteration found; @size 0: no data */
struct vfm_v1_chunk {
	uint64_t pending;
	uint64_t offset;
	uint64_t size;
};

/** struct vfm_v1_image - all that was saved, and how it was cut; zero it, free it */
struct vfm_v1_image {
	uint8_t *data;
	size_t size;
	size_t room;
	size_t *chunks; /* their sizes */
	size_t nr_chunks;
};

void vfm_v1_free_image(struct vfm_v1_image *image);
#define vfm_auto_image __attribute__((cleanup(vfm_v1_free_image)))

/** vfm_trial_v1_get() - a register of 8 bytes. */
int vfm_trial_v1_get(struct vfm_trial *t, uint64_t reg, uint64_t *value) VFM_MUST_CHECK;

/** vfm_trial_v1_chunk() - steps a to c; the chunk lies in the region and behind the registers. */
int vfm_trial_v1_chunk(struct vfm_trial *t, struct vfm_v1_chunk *chunk) VFM_MUST_CHECK;

/** vfm_trial_v1_first() - the same to begin with; a device that has no chunk blocks the rule. */
int vfm_trial_v1_first(struct vfm_trial *t, struct vfm_v1_chunk *chunk) VFM_MUST_CHECK;

/** vfm_trial_v1_append() - step d: the bytes of a chunk, to the end of an image. */
int vfm_trial_v1_append(struct vfm_trial *t, const struct vfm_v1_chunk *chunk,
			struct vfm_v1_image *image) VFM_MUST_CHECK;

/** vfm_trial_v1_collect() - iterate until nothing is pending, or for @most chunks. */
int vfm_trial_v1_collect(struct vfm_trial *t, size_t most,
			 struct vfm_v1_image *image) VFM_MUST_CHECK;

/** vfm_trial_v1_save() - to STOP_COPY, and all there is. */
int vfm_trial_v1_save(struct vfm_trial *t, struct vfm_v1_image *image) VFM_MUST_CHECK;

/**
 * struct vfm_v1_pair - two images that must be the same
 * @how: what was done between them
 * @nothing: there is nothing to compare
 */
struct vfm_v1_pair {
	struct vfm_v1_image first, second;
	const char *how;
	bool nothing;
};

/**
 * vfm_trial_v1_equal() - the rule holds if what @make saves is the same
 * @make: called in RUNNING, up to three times
 *
 * A device may change by itself while it runs: then nothing can be said, and the rule is blocked.
 * So a difference counts when it is there each time, and the device is seen to stand still.
 */
int vfm_trial_v1_equal(struct vfm_trial *t,
		       int (*make)(struct vfm_trial *t, const void *user, struct vfm_v1_pair *pair),
		       const void *user) VFM_MUST_CHECK;

/** vfm_trial_v1_resuming() - fresh, in RESUMING, and there is a place for data. */
int vfm_trial_v1_resuming(struct vfm_trial *t) VFM_MUST_CHECK;

/** vfm_v1_give() - one transaction. */
int vfm_v1_give(struct vfm_trial *t, const void *data, size_t len, struct vfm_err *err);

/** vfm_v1_send() - in RESUMING: the first @size bytes, by the chunks that they came in. */
int vfm_v1_send(struct vfm_trial *t, const struct vfm_v1_image *image, size_t size,
		struct vfm_err *err);

/** vfm_v1_resume() - all of it, and then RUNNING. */
int vfm_v1_resume(struct vfm_trial *t, const struct vfm_v1_image *image, struct vfm_err *err);

/** vfm_trial_v1_load() - fresh, all of it, and running. */
int vfm_trial_v1_load(struct vfm_trial *t, const struct vfm_v1_image *image) VFM_MUST_CHECK;

/** struct vfm_v1_map - where the areas of @region that can be mapped stand; zero it, unmap it */
struct vfm_v1_map {
	struct vfm_region region;
	uint8_t *mem[VFM_MAX_AREAS];
};

/** vfm_trial_v1_map() - all areas; a device that has none is skipped. */
int vfm_trial_v1_map(struct vfm_trial *t, struct vfm_v1_map *map) VFM_MUST_CHECK;
void vfm_v1_unmap(struct vfm_v1_map *map);
#define vfm_auto_map __attribute__((cleanup(vfm_v1_unmap)))

/**
 * vfm_v1_mapped() - where @offset of the region is mapped; NULL: it is not
 * @len: how much is wanted; made less where an area begins or ends before that
 */
uint8_t *vfm_v1_mapped(const struct vfm_v1_map *map, uint64_t offset, size_t *len);

#endif
