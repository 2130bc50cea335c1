/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * Inside vfmig_sim: one struct, and what its files call in each other. In reading order:
 * main.c (the module, its types), device.c (opening, ioctls), region.c, config.c, regs.c,
 * window.c, irq.c, engine.c, dma.c, state.c, clock.c; then migrate.c (states and arcs), image.c,
 * save.c, load.c, v2.c, v1.c, log.c; params.c, faults.c, sysfs.c.
 *
 * Locks, in their order:
 *	lock		everything but what is named below; held over whole calls, also over DMA
 *	log_lock	the dirty log
 *	pin_lock	pinned pages; dma_unmap() takes it alone, and must not wait for a call
 * The kernel's own locks (of the container, of memory) come after all of them.
 */

#ifndef VFMS_VFMIG_SIM_H
#define VFMS_VFMIG_SIM_H

#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/mdev.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "compat.h"
#include "faults.h"
#include "layout.h"
#include "model.h"

/* One chunk of memory that goes through a record or the scratch buffer. */
#define VFMS_CHUNK 65536u
#define VFMS_RECORD_PAGES (VFMS_CHUNK / VFMS_PAGE)
#define VFMS_RECORD_MAX (VFMS_CHUNK + 8u + 4u * VFMS_RECORD_PAGES)
#define VFMS_RECORD_HEADER 24u
#define VFMS_RECORD_ROOM (VFMS_RECORD_HEADER + VFMS_RECORD_MAX)

/* Longest text of parameters that decide what an image has. */
#define VFMS_PARAMS_TEXT 128u

/* Ranges that the core lets through to a dirty log are 256; we keep as many. */
#define VFMS_LOG_RANGES 256u

#define VFMS_UAPI_V1 1u
#define VFMS_UAPI_V2 2u

/* The numbers of v2, with those that 6.1 does not name. */
enum vfms_mig {
	MIG_ERROR,
	MIG_STOP,
	MIG_RUNNING,
	MIG_STOP_COPY,
	MIG_RESUMING,
	MIG_RUNNING_P2P,
	MIG_PRE_COPY,
	MIG_PRE_COPY_P2P,
	MIG_NR,
};

#define VFMS_FEATURES_ALL (VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY)

enum vfms_section_map { SECTION_TRAPPED, SECTION_MAPPED, SECTION_HALF };

/** struct vfms_params - what the parameters of the module were when the device was made */
struct vfms_params {
	u64 state;
	u64 bar;
	u64 initial;
	u64 dirty;
	u64 seed;
	u32 vectors;
	u32 features;
	u32 arc_us;
	u32 uapi;
	u32 section;
	enum vfms_section_map section_map;
	bool iobar;
	bool pin;
	bool log;
};

/** struct vfms_clock - turns time into units of work at a rate */
struct vfms_clock {
	u64 last_ns;
	u64 credit; /* bytes times nanoseconds, less than one unit's */
};

/** struct vfms_vector - one interrupt that a user can wire */
struct vfms_vector {
	struct eventfd_ctx *trigger;
	bool masked;
	bool pending;
};

/** struct vfms_save - how far the session has been read */
struct vfms_save {
	bool open;
	bool ended;	      /* the last record was made */
	bool initial;	      /* what is staged is initial data */
	u64 number;	      /* of the next record */
	u8 *record;	      /* VFMS_RECORD_ROOM bytes */
	size_t len, pos;      /* what of it there is, and was read */
	u64 initial_cap;      /* what was told of initial bytes may not rise */
	unsigned long *dirty; /* a bit for each page of the state */
	u64 dirty_count;
	u64 initial_next; /* initial pages before this one were given out */
	u64 cursor;	  /* where the search for a dirty page goes on */
	u64 bar_next;	  /* bytes of the memory given out */
	bool device_done;
};

/** struct vfms_load - what an image has brought so far */
struct vfms_load {
	bool open;
	bool ended;	     /* the END was seen */
	bool swallows;	     /* fault: the rest is dropped */
	int failed;	     /* why no more is taken */
	u64 number;	     /* of the record that is due */
	u8 *record;	     /* VFMS_RECORD_ROOM bytes */
	size_t len;	     /* of it that have come */
	unsigned long *seen; /* a bit for each page of the state */
	u64 bar_next;
	u32 last_type; /* records come in rising order of their types */
};

/** struct vfms_v1 - the migration region */
struct vfms_v1 {
	u8 *section;
	u32 reserved_bits; /* bits 3 to 31 of device_state, given back as they came */
	int shown;	   /* fault: the word of device_state after a reset; else -1 */
	bool handed_out;   /* data_size of the staged chunk was read */
	u32 staged;	   /* bytes of the chunk in the section */
	bool zero;	   /* fault: pending_bytes was 0 once */
};

/** struct vfms_session - what is behind a data descriptor of v2 */
struct vfms_session {
	struct vfms *device; /* referenced */
	bool dead;
};

struct vfms {
	struct vfio_device vdev; /* the core wants it first */
	struct vfms_params params;
	char params_text[VFMS_PARAMS_TEXT];
	unsigned long faults[BITS_TO_LONGS(VFMS_NR_FAULTS)];

	struct mutex lock;
	bool opened;
	struct delayed_work tick;

	u64 reg[VFMS_NR_REGS];
	u32 io_index;
	u8 config[VFMS_CONFIG_SIZE];
	u8 config_mask[VFMS_CONFIG_SIZE]; /* bits that can be written */
	bool flr;			  /* a reset was asked for by the configuration space */

	struct vfms_vector intx, request;
	struct vfms_vector msix[VFMS_MAX_VECTORS];
	u8 msix_table[VFMS_MAX_VECTORS * VFMS_MSIX_ENTRY];
	unsigned long msix_pending[BITS_TO_LONGS(VFMS_MAX_VECTORS)];
	bool intx_pending;

	struct vfms_ring ring; /* as started; its count is in the register */
	struct vfms_plan plan;
	struct vfms_clock ring_clock;

	u8 *mem; /* BAR2 */
	u8 *state;
	u64 pages; /* of it */
	struct vfms_clock state_clock;
	u8 *scratch; /* VFMS_CHUNK bytes */

	enum vfms_mig mig;
	struct vfms_save save;
	struct vfms_load load;
	struct vfms_session *session;
	u64 sessions_begun;
	wait_queue_head_t readable;
	struct vfms_v1 v1;

	struct mutex log_lock;
	bool logging, log_lost;
	u32 log_nr;
	struct vfms_log_range {
		u64 first, last;
	} log_ranges[VFMS_LOG_RANGES];
	struct xarray log_pages;

	struct mutex pin_lock;
	struct xarray pins;
	u32 nr_pins;
	unsigned long pins_barred_until;
};

/** vfms_reg() - a register's storage. */
static inline u64 *vfms_reg(struct vfms *d, enum vfms_reg reg)
{
	return &d->reg[reg / 8];
}

static inline u64 vfms_get(const struct vfms *d, enum vfms_reg reg)
{
	return d->reg[reg / 8];
}

/** vfms_inside() - whether [@offset, @offset + @len) is within @size, without wrapping. */
static inline bool vfms_inside(u64 offset, u64 len, u64 size)
{
	return len <= size && offset <= size - len;
}

static inline bool vfms_fault(const struct vfms *d, enum vfms_fault fault)
{
	return test_bit(fault, d->faults);
}

/* params.c: parameters of the module. */
int vfms_params_take(struct vfms_params *p, u32 type_uapi, unsigned long *faults,
		     struct device *dev) __must_check;
unsigned int vfms_params_instances(void);

/* main.c */
int vfms_init(struct vfio_device *vdev);
void vfms_release(struct vfio_device *vdev);

/* sysfs.c */
extern const struct attribute_group *vfms_attr_groups[];

/* device.c */
extern const struct vfio_device_ops vfms_device_ops;
/** vfms_reset() - as after power on, in RUNNING; mappings, wiring and the log stay. */
void vfms_reset(struct vfms *d);

/* region.c */
ssize_t vfms_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *pos);
ssize_t vfms_write(struct vfio_device *vdev, const char __user *buf, size_t count, loff_t *pos);
int vfms_mmap(struct vfio_device *vdev, struct vm_area_struct *vma);
u32 vfms_nr_regions(const struct vfms *d);
int vfms_region_info(struct vfms *d, struct vfio_region_info *info, struct vfio_info_cap *caps);

/* config.c */
void vfms_config_reset(struct vfms *d);
void vfms_config_read(const struct vfms *d, u64 offset, void *buf, size_t len);
void vfms_config_write(struct vfms *d, u64 offset, const void *buf, size_t len);
/** vfms_config_check() - whether another device's configuration could be ours: or -EBADMSG. */
int vfms_config_check(const struct vfms *d, const u8 *theirs);
bool vfms_bus_master(const struct vfms *d);
bool vfms_intx_disabled(const struct vfms *d);
bool vfms_msix_enabled(const struct vfms *d);
bool vfms_msix_masked(const struct vfms *d);

/* regs.c */
void vfms_regs_reset(struct vfms *d);
void vfms_regs_read(struct vfms *d, u64 offset, void *buf, size_t len);
int vfms_regs_write(struct vfms *d, u64 offset, const void *buf, size_t len);
size_t vfms_regs_image_size(void);
/** vfms_regs_save() / vfms_regs_load() - to and from vfms_regs_image_size() bytes. */
void vfms_regs_save(const struct vfms *d, u8 *out);
int vfms_regs_load(const struct vfms *d, const u8 *in, u64 *reg);

/* window.c */
int vfms_window_read(struct vfms *d, u64 offset, void *buf, size_t len);
int vfms_window_write(struct vfms *d, u64 offset, const void *buf, size_t len);

/* irq.c */
void vfms_irq_reset(struct vfms *d);
void vfms_irq_cause(struct vfms *d, u32 cause);
void vfms_irq_test(struct vfms *d, u64 vector);
void vfms_irq_ack(struct vfms *d, u64 causes);
void vfms_irq_mask(struct vfms *d, u64 old);
void vfms_irq_deliver(struct vfms *d);
void vfms_msix_read(const struct vfms *d, u64 offset, void *buf, size_t len);
void vfms_msix_write(struct vfms *d, u64 offset, const void *buf, size_t len);
int vfms_irq_info(const struct vfms *d, struct vfio_irq_info *info);
int vfms_irq_set(struct vfms *d, const struct vfio_irq_set *hdr, const void *data);
void vfms_irq_unwire_all(struct vfms *d);
void vfms_irq_request(struct vfms *d);

/* engine.c */
bool vfms_dma_allowed(const struct vfms *d, enum vfms_mig state);
void vfms_job_ring_doorbell(struct vfms *d);
void vfms_job_run(struct vfms *d);
void vfms_ring_control(struct vfms *d, u64 command);
void vfms_ring_step(struct vfms *d, u64 count);
void vfms_ring_sync(struct vfms *d, u64 now_ns);

/* dma.c */
int vfms_dma_read(struct vfms *d, u64 iova, void *buf, size_t len);
int vfms_dma_write(struct vfms *d, u64 iova, const void *buf, size_t len);
void vfms_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length);
void vfms_unpin_all(struct vfms *d);
/** vfms_pins_begin() - for a new user pages may be pinned at once. */
void vfms_pins_begin(struct vfms *d);

/* state.c */
void vfms_state_reset(struct vfms *d);
void vfms_state_step(struct vfms *d, u64 count);
void vfms_state_sync(struct vfms *d, u64 now_ns);
void vfms_state_digest(struct vfms *d);

/* clock.c */
/** vfms_clock_due() - whole units of @unit bytes due at @rate; at most 100 ms worth. */
u64 vfms_clock_due(struct vfms_clock *clock, u64 now_ns, u64 rate, u64 unit);
/** vfms_overdue() - whether work that began at @start_ns has had its 10 ms, or is to die. */
bool vfms_overdue(u64 start_ns);
/** vfms_clocks_restart() - the time until now was not the device's own. */
void vfms_clocks_restart(struct vfms *d);
/** vfms_sync() - do what time has made due. */
void vfms_sync(struct vfms *d);
/** vfms_settle() - run a job that waits, deliver interrupts, keep the clock ticking. */
void vfms_settle(struct vfms *d);
void vfms_tick(struct work_struct *work);

/* migrate.c */
const char *vfms_mig_name(enum vfms_mig state);
bool vfms_mig_active(enum vfms_mig state);
bool vfms_mig_saving(enum vfms_mig state);
bool vfms_mig_precopy(enum vfms_mig state);
/** vfms_go() - walk to @want, arc by arc; stays where the last arc that was done led. */
int vfms_go(struct vfms *d, enum vfms_mig want, u32 features);
/** vfms_end_sessions() - of both kinds, and of their descriptor. */
void vfms_end_sessions(struct vfms *d);

/* image.c: records. */
enum vfms_record { RECORD_COMPAT = 0x504d4643, RECORD_DATA = 0x54414456, RECORD_END = 0x444e4556 };

struct vfms_header {
	u32 type;
	u32 length;
	u64 number;
	u64 checksum;
};

void vfms_record_seal(u8 *record, enum vfms_record type, u32 length, u64 number);
struct vfms_header vfms_record_header(const u8 *record);
bool vfms_record_intact(const u8 *record, const struct vfms_header *header);
size_t vfms_compat_size(const struct vfms *d);
void vfms_compat_write(const struct vfms *d, u8 *payload);
/** vfms_compat_check() - -EBADMSG: makes no sense; -ENOTUNIQ: of another model, or parameters. */
int vfms_compat_check(const struct vfms *d, const u8 *payload, size_t len);

enum vfms_data { DATA_PAGES = 1, DATA_MEMORY = 2, DATA_DEVICE = 3 };
#define VFMS_PAGES_HEADER 8u
#define VFMS_PAGES_EACH (4u + VFMS_PAGE)
#define VFMS_MEMORY_HEADER 16u
size_t vfms_device_size(const struct vfms *d);

/* save.c */
int vfms_save_new(struct vfms *d);
void vfms_save_free(struct vfms *d);
void vfms_save_begin(struct vfms *d);
/**
 * vfms_save_peek() - the next bytes of the session, at @at: how many
 *
 * They stay the next ones until vfms_save_take(). 0: the end. -ENOMSG: none now.
 */
ssize_t vfms_save_peek(struct vfms *d, const u8 **at);
void vfms_save_take(struct vfms *d, size_t len);
/** vfms_save_ready() - whether vfms_save_peek() would give bytes, or the end. */
bool vfms_save_ready(const struct vfms *d);
/** vfms_save_dirtied() - a page of the state has changed. */
void vfms_save_dirtied(struct vfms *d, u64 page);
void vfms_save_precopy_info(struct vfms *d, u64 *initial, u64 *dirty);
u64 vfms_save_data_size(struct vfms *d);

/* load.c */
int vfms_load_new(struct vfms *d);
void vfms_load_free(struct vfms *d);
void vfms_load_begin(struct vfms *d);
int vfms_load_write(struct vfms *d, const u8 *buf, size_t len);
/** vfms_load_prove() - whether all of an image has come. */
int vfms_load_prove(const struct vfms *d);

/* v2.c */
extern const struct vfio_migration_ops vfms_migration_ops;
int vfms_device_feature(struct vfio_device *vdev, u32 flags, void __user *arg, size_t argsz);
void vfms_session_kill(struct vfms *d);

/* v1.c */
int vfms_v1_new(struct vfms *d);
void vfms_v1_free(struct vfms *d);
void vfms_v1_reset(struct vfms *d);
int vfms_v1_read(struct vfms *d, u64 offset, void *buf, size_t len);
int vfms_v1_write(struct vfms *d, u64 offset, const void *buf, size_t len);
u64 vfms_v1_size(const struct vfms *d);
/** vfms_v1_mappable() - bytes of the data section that can be mapped, from its start. */
u64 vfms_v1_mappable(const struct vfms *d);

/* log.c */
extern const struct vfio_log_ops vfms_log_ops;
void vfms_log_init(struct vfms *d);
/** vfms_log_end() - no more logging; vfms_log_forget(): it goes on, with nothing dirty. */
void vfms_log_end(struct vfms *d);
void vfms_log_forget(struct vfms *d);
/** vfms_log_written() - DMA went to these bytes. */
void vfms_log_written(struct vfms *d, u64 iova, u64 len);

#endif
