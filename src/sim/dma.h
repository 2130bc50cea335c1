// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Inside sim:dma: one struct, and what its files call in each other. In reading
 * order: dma.c (the driver's callbacks), dma_params.c, dma_regs.c, dma_config.c,
 * dma_irq.c, dma_engine.c, dma_state.c, dma_image.c.
 *
 * The device does its work when somebody calls into it: vfm_sim_dma_sync() does
 * what time has made due, vfm_sim_dma_settle() delivers what can be delivered and
 * sets the timer.
 */

#ifndef VFM_SIM_DMA_H
#define VFM_SIM_DMA_H

#include <vfmig/sim.h>

#include "base/bytes.h"
#include "sim/model.h"

#define VFM_SIM_DMA_CONFIG_SIZE 256u
#define VFM_SIM_DMA_REG_SIZE 4096u
#define VFM_SIM_DMA_NR_REGS (VFM_SIM_REG_DIGEST / 8 + 2)
#define VFM_SIM_DMA_MSIX_SIZE 4096u
#define VFM_SIM_DMA_MSIX_ENTRY 16u

/* The first page of the memory BAR stays trapped, as the first of many real devices does. */
#define VFM_SIM_DMA_TRAPPED 4096u

/* One chunk of memory that goes through a record or the scratch buffer. */
#define VFM_SIM_DMA_CHUNK 65536u
#define VFM_SIM_DMA_RECORD_PAGES (VFM_SIM_DMA_CHUNK / VFM_SIM_PAGE)
#define VFM_SIM_DMA_RECORD_MAX (VFM_SIM_DMA_CHUNK + 8 + 4 * VFM_SIM_DMA_RECORD_PAGES)

/* Bytes a second; with it no product of time and rate leaves 64 bits. */
#define VFM_SIM_DMA_RATE_MAX (UINT64_C(1) << 36)

/** struct vfm_sim_dma_params - what the URI said; names as there */
struct vfm_sim_dma_params {
	uint64_t state;
	uint64_t dirty;
	uint64_t initial;
	uint64_t features;
	uint64_t seed;
	uint64_t bar;
	uint64_t vectors;
	uint64_t save_rate;
	uint64_t load_rate;
	uint64_t arc_us;
};

/** struct vfm_sim_dma_clock - turns time into units of work at a rate */
struct vfm_sim_dma_clock {
	uint64_t last_ns;
	uint64_t credit; /* bytes times nanoseconds, less than one unit's */
};

/** struct vfm_sim_dma_save - how far the data session has been read */
struct vfm_sim_dma_save {
	bool open;
	uint64_t *dirty;       /* a bit for each page of the state */
	uint64_t dirty_count;  /* bits set */
	uint64_t initial_next; /* initial pages before this one were given out */
	uint64_t cursor;       /* where the search for a dirty page goes on */
	uint64_t bar_next;     /* bytes of the memory BAR given out */
	bool device_done;      /* the last record was given out */
};

/** struct vfm_sim_dma_load - what an image has brought so far */
struct vfm_sim_dma_load {
	uint64_t *seen; /* a bit for each page of the state */
	uint64_t bar_next;
	uint32_t last_type; /* records come in rising order of their types */
};

enum vfm_sim_dma_timer { VFM_SIM_DMA_TIMER_OFF, VFM_SIM_DMA_TIMER_TICK, VFM_SIM_DMA_TIMER_NOW };

struct vfm_sim_dma {
	struct vfm_host *host;
	struct vfm_sim_dma_params params;

	uint64_t reg[VFM_SIM_DMA_NR_REGS];

	uint8_t config[VFM_SIM_DMA_CONFIG_SIZE];
	uint8_t config_mask[VFM_SIM_DMA_CONFIG_SIZE]; /* bits that can be written */

	uint8_t msix_table[VFM_SIM_MAX_VECTORS * VFM_SIM_DMA_MSIX_ENTRY];
	uint64_t msix_pending[VFM_SIM_MAX_VECTORS / 64];
	bool intx_pending;

	struct vfm_sim_ring ring; /* as started; its count is in the register */
	struct vfm_sim_plan plan; /* follows from it */
	struct vfm_sim_dma_clock ring_clock;

	uint8_t *mem; /* the memory BAR, a mapping of mem_fd */
	int mem_fd;

	uint8_t *state;
	uint64_t pages; /* of it */
	struct vfm_sim_dma_clock state_clock;

	struct vfm_sim_dma_save save;
	struct vfm_sim_dma_load load;
	uint64_t record_pages; /* pages in one record; fewer when save-rate= is low */
	uint64_t save_clock;   /* when a device of that rate would be done */
	uint64_t load_clock;

	int epoll_fd; /* the two others */
	int timer_fd;
	int doorbell_fd;
	enum vfm_sim_dma_timer timer;

	uint8_t scratch[VFM_SIM_DMA_CHUNK];
};

/** vfm_sim_dma_reg() - a register's storage. */
static inline uint64_t *vfm_sim_dma_reg(struct vfm_sim_dma *d, enum vfm_sim_reg reg)
{
	return &d->reg[reg / 8];
}

extern const struct vfm_driver vfm_sim_dma_driver;

/* dma_params.c */
int vfm_sim_dma_parse(struct vfm_sim_dma_params *params, const char *text,
		      struct vfm_err *err) VFM_MUST_CHECK;
bool vfm_sim_dma_get_param(size_t n, struct vfm_sim_param *param);

/* dma.c */

/** vfm_sim_dma_sync() - do what time has made due. */
void vfm_sim_dma_sync(struct vfm_sim_dma *d);

/** vfm_sim_dma_settle() - run a job that waits, deliver interrupts, set the timer. */
void vfm_sim_dma_settle(struct vfm_sim_dma *d);

/** vfm_sim_dma_active() - whether time passes for the device. */
bool vfm_sim_dma_active(const struct vfm_sim_dma *d);

/** vfm_sim_dma_take_doorbell() - whether the doorbell's eventfd was signalled. */
bool vfm_sim_dma_take_doorbell(struct vfm_sim_dma *d);

/** vfm_sim_dma_clock_due() - whole units of @unit bytes due at @rate; at most 100 ms worth. */
uint64_t vfm_sim_dma_clock_due(struct vfm_sim_dma_clock *clock, uint64_t now_ns, uint64_t rate,
			       uint64_t unit);

/* dma_regs.c */
void vfm_sim_dma_regs_reset(struct vfm_sim_dma *d);
void vfm_sim_dma_regs_read(struct vfm_sim_dma *d, uint64_t offset, void *buf, size_t len);
int vfm_sim_dma_regs_write(struct vfm_sim_dma *d, uint64_t offset, const void *buf, size_t len,
			   struct vfm_err *err) VFM_MUST_CHECK;
size_t vfm_sim_dma_regs_image_size(void);
void vfm_sim_dma_regs_save(const struct vfm_sim_dma *d, struct vfm_writer *w);
/** vfm_sim_dma_regs_load() - into @reg, all of them; -EBADMSG when a value cannot be. */
int vfm_sim_dma_regs_load(const struct vfm_sim_dma *d, struct vfm_reader *r, uint64_t *reg,
			  struct vfm_err *err) VFM_MUST_CHECK;

/* dma_config.c */
void vfm_sim_dma_config_reset(struct vfm_sim_dma *d);
void vfm_sim_dma_config_read(struct vfm_sim_dma *d, uint64_t offset, void *buf, size_t len);
void vfm_sim_dma_config_write(struct vfm_sim_dma *d, uint64_t offset, const void *buf, size_t len);
/** vfm_sim_dma_config_check() - another device's configuration could be ours: or -EBADMSG. */
int vfm_sim_dma_config_check(const struct vfm_sim_dma *d, const uint8_t *theirs,
			     struct vfm_err *err) VFM_MUST_CHECK;
bool vfm_sim_dma_bus_master(const struct vfm_sim_dma *d);
bool vfm_sim_dma_intx_disabled(const struct vfm_sim_dma *d);
bool vfm_sim_dma_msix_enabled(const struct vfm_sim_dma *d);
bool vfm_sim_dma_msix_masked(const struct vfm_sim_dma *d);

/* dma_irq.c */
void vfm_sim_dma_irq_reset(struct vfm_sim_dma *d);
/** vfm_sim_dma_irq_cause() - something happened that interrupts: one of VFM_SIM_IRQ_*. */
void vfm_sim_dma_irq_cause(struct vfm_sim_dma *d, uint32_t cause);
/** vfm_sim_dma_irq_test() - VFM_SIM_IRQ_TEST, with a vector of the guest's choice. */
void vfm_sim_dma_irq_test(struct vfm_sim_dma *d, uint64_t vector);
/** vfm_sim_dma_irq_ack() - causes cleared by the guest. */
void vfm_sim_dma_irq_ack(struct vfm_sim_dma *d, uint64_t causes);
/** vfm_sim_dma_irq_mask() - the mask changed from @old; those unmasked interrupt now. */
void vfm_sim_dma_irq_mask(struct vfm_sim_dma *d, uint64_t old);
bool vfm_sim_dma_irq_deliverable(const struct vfm_sim_dma *d);
void vfm_sim_dma_irq_deliver(struct vfm_sim_dma *d);
void vfm_sim_dma_msix_read(const struct vfm_sim_dma *d, uint64_t offset, void *buf, size_t len);
void vfm_sim_dma_msix_write(struct vfm_sim_dma *d, uint64_t offset, const void *buf, size_t len);

/* dma_engine.c */
/** vfm_sim_dma_state_allows() - whether a device may do DMA that cannot tell peers from memory. */
bool vfm_sim_dma_state_allows(enum vfm_state state);
void vfm_sim_dma_doorbell(struct vfm_sim_dma *d);
void vfm_sim_dma_run_job(struct vfm_sim_dma *d);
void vfm_sim_dma_ring_control(struct vfm_sim_dma *d, uint64_t command);
void vfm_sim_dma_ring_step(struct vfm_sim_dma *d, uint64_t count);
void vfm_sim_dma_ring_sync(struct vfm_sim_dma *d, uint64_t now_ns);

/* dma_state.c */
int vfm_sim_dma_state_new(struct vfm_sim_dma *d, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_sim_dma_state_free(struct vfm_sim_dma *d);
void vfm_sim_dma_state_reset(struct vfm_sim_dma *d);
void vfm_sim_dma_state_step(struct vfm_sim_dma *d, uint64_t count);
void vfm_sim_dma_state_sync(struct vfm_sim_dma *d, uint64_t now_ns);
int vfm_sim_dma_state_digest(struct vfm_sim_dma *d, struct vfm_err *err) VFM_MUST_CHECK;

/* dma_image.c */
int vfm_sim_dma_image_new(struct vfm_sim_dma *d, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_sim_dma_image_free(struct vfm_sim_dma *d);
void vfm_sim_dma_save_begin(struct vfm_sim_dma *d);
void vfm_sim_dma_load_begin(struct vfm_sim_dma *d);
ssize_t vfm_sim_dma_save(void *priv, void *buf, struct vfm_err *err);
int vfm_sim_dma_load(void *priv, const void *buf, size_t len, struct vfm_err *err);
int vfm_sim_dma_load_end(void *priv, struct vfm_err *err);
int vfm_sim_dma_pending(void *priv, struct vfm_precopy_info *info, struct vfm_err *err);
int vfm_sim_dma_data_size(void *priv, uint64_t *bytes, struct vfm_err *err);

#endif
