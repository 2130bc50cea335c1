// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How to make one kind of device do something: write memory, interrupt, change its
 * own state. The checker needs that for rules about DMA, interrupts and the dirty log,
 * and knows no device. The author of a device fills in one struct, and exports it
 * from a shared object with VFM_EXERCISE(); "sim:dma" has one.
 */

#ifndef VFMIG_EXERCISE_H
#define VFMIG_EXERCISE_H

#include <vfmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfm_exercise - what can be made to happen; members that are NULL cannot
 *
 * All of it goes through @dev, as a driver of the device would. Each returns 0 or a
 * negative errno value with a text.
 */
struct vfm_exercise {
	size_t size; /* sizeof(struct vfm_exercise); VFM_EXERCISE_INIT sets it */

	/** @begin: required. The device is RUNNING, fresh or reset: enable DMA and interrupts. */
	int (*begin)(struct vfm_device *dev, void **priv, struct vfm_err *err);

	/** @end: required. Free @priv; the device may be gone. */
	void (*end)(void *priv);

	/**
	 * @write: write a part of memory by DMA
	 * @iova, @size: mapped, multiples of 4096, at most 1 MiB
	 * @seed: another one is other content
	 *
	 * Guarantees: when it returns every page of it was written, by the device.
	 */
	int (*write)(void *priv, struct vfm_device *dev, uint64_t iova, uint64_t size,
		     uint64_t seed, struct vfm_err *err);

	/**
	 * @stream: write somewhere in that part all the time, by DMA, until told otherwise
	 * @on: begin; else stop, and @iova and @size have no meaning
	 *
	 * The memory is all zeros when it begins. It goes on by itself, whether the device is
	 * called or not, unless vfm_device_get_fd() gives a descriptor to be served.
	 */
	int (*stream)(void *priv, struct vfm_device *dev, bool on, uint64_t iova, uint64_t size,
		      struct vfm_err *err);

	/** @interrupt: cause one, of index @irq_index and vector @irq_vector. */
	int (*interrupt)(void *priv, struct vfm_device *dev, struct vfm_err *err);
	uint32_t irq_index, irq_vector;

	/** @change: change the device's own state, so that there is something to save. */
	int (*change)(void *priv, struct vfm_device *dev, struct vfm_err *err);
};

#define VFM_EXERCISE_INIT .size = sizeof(struct vfm_exercise)

/** Version of this interface, checked when a shared object is loaded. */
#define VFM_EXERCISE_API 1

/** What a shared object exports. */
struct vfm_exercise_entry {
	uint32_t api;
	const struct vfm_exercise *exercise;
};

/** VFM_EXERCISE() - export it from a shared object, once in it. */
#define VFM_EXERCISE(ex)                                                                           \
	__attribute__((                                                                            \
		visibility("default"))) extern const struct vfm_exercise_entry vfm_exercise_entry; \
	const struct vfm_exercise_entry vfm_exercise_entry = { VFM_EXERCISE_API, &(ex) }

/**
 * vfm_exercise_load() - from a shared object that uses VFM_EXERCISE()
 * @out: to be given to vfm_exercise_unload()
 * @file: its path; a name without a slash is one in the working directory
 *
 * What is in it runs in this process. -ENOENT: it cannot be loaded; -EINVAL: it has no exercise,
 * one of another version, or one that lacks what is required.
 */
int vfm_exercise_load(const struct vfm_exercise **out, const char *file,
		      struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_exercise_unload() - no more of its calls may be made or running; accepts NULL. */
void vfm_exercise_unload(const struct vfm_exercise *exercise);

#ifdef __cplusplus
}
#endif

#endif
