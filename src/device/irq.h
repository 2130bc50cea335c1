// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The interrupt wiring of a device in this process. */

#ifndef VFM_DEVICE_IRQ_H
#define VFM_DEVICE_IRQ_H

#include <vfmig/device.h>

/** One vector. */
struct vfm_vector {
	int fd; /* ours, -1: nobody listens */
	bool masked;
	bool pending;
};

/** One interrupt index. */
struct vfm_wiring {
	struct vfm_irq info;
	struct vfm_vector *vectors;
};

int vfm_wiring_init(struct vfm_wiring *w, const struct vfm_irq *info,
		    struct vfm_err *err) VFM_MUST_CHECK;
void vfm_wiring_free(struct vfm_wiring *w);

/** vfm_wiring_set() - what vfm_device_set_irqs() asks for. All of it happens or nothing. */
int vfm_wiring_set(struct vfm_wiring *w, const struct vfm_irq_set *set,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_wiring_raise() - signal a vector, or keep it pending while it is masked. */
int vfm_wiring_raise(struct vfm_wiring *w, uint32_t vector, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_wiring_reset() - nothing is masked or pending any more; listeners stay. */
void vfm_wiring_reset(struct vfm_wiring *w);

#endif
