// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Software devices, for tests, demonstrations and everybody's CI.
 *
 * "sim:dma" is a PCI device whose every byte can be told beforehand: what it
 * writes into the memory of its user follows from seed and count, what its own
 * state holds follows from seed and number of changes. So whoever has moved one
 * can prove that nothing was lost, doubled, reordered or misplaced on the way.
 * docs/sim-dma.md is the manual of the device; here are its registers, the model
 * that recomputes those bytes, and calls that work its registers through any
 * struct vfm_device.
 */

#ifndef VFMIG_SIM_H
#define VFMIG_SIM_H

#include <vfmig/device.h>
#include <vfmig/driver.h>
#include <vfmig/exercise.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- which there are ---------------------------------------------------- */

/** vfm_sim_find() - the driver behind "sim:NAME", or NULL. */
const struct vfm_driver *vfm_sim_find(const char *name);

/** vfm_sim_name() - name number @n, NULL beyond the last. */
const char *vfm_sim_name(size_t n);

/**
 * struct vfm_sim_param - a parameter that a software device understands
 * @name: before the =
 * @value: what may stand behind it, "SIZE", "N", "0|1|3|5|7"
 * @fallback: what it is when it is not given
 * @help: one line
 */
struct vfm_sim_param {
	const char *name;
	const char *value;
	const char *fallback;
	const char *help;
};

/**
 * vfm_sim_get_param() - parameter number @n of a software device
 *
 * Return: false beyond the last one, and when there is no such device.
 */
bool vfm_sim_get_param(const char *name, size_t n, struct vfm_sim_param *param);

/* ---- sim:dma: regions and registers ------------------------------------- */

#define VFM_SIM_DMA_MODEL "vfmig,sim-dma"
#define VFM_SIM_PCI_VENDOR 0xfffau
#define VFM_SIM_PCI_DEVICE 0x0d3au

/* Capabilities in the configuration space (256 bytes). */
#define VFM_SIM_CAP_MSIX 0x40
#define VFM_SIM_CAP_PCIE 0x50

#define VFM_SIM_REG_BAR VFM_PCI_BAR0  /* registers, 4 KiB, trapped */
#define VFM_SIM_MEM_BAR VFM_PCI_BAR2  /* memory, bar= bytes, all but the first page mappable */
#define VFM_SIM_MSIX_BAR VFM_PCI_BAR4 /* MSI-X table and pending bits, 4 KiB, trapped */
#define VFM_SIM_MSIX_TABLE 0x000
#define VFM_SIM_MSIX_PBA 0x800
#define VFM_SIM_MAX_VECTORS 128

#define VFM_SIM_MAGIC UINT64_C(0x616d642d676d6676) /* "vfmg-dma" */

/**
 * enum vfm_sim_reg - registers in VFM_SIM_REG_BAR, 64 bits each, little endian
 *
 * Read them with any width; write them with 8 bytes, or 4 bytes at either half.
 * ro: writes are ignored. wo: reads give 0. All of rw, and all counters, travel
 * with the device.
 */
enum vfm_sim_reg {
	VFM_SIM_REG_MAGIC = 0x000,	/* ro: VFM_SIM_MAGIC */
	VFM_SIM_REG_VERSION = 0x008,	/* ro: of this layout, 1 */
	VFM_SIM_REG_STATE_SIZE = 0x010, /* ro: state= */
	VFM_SIM_REG_BAR_SIZE = 0x018,	/* ro: bar= */
	VFM_SIM_REG_VECTORS = 0x020,	/* ro: vectors= */
	VFM_SIM_REG_SCRATCH = 0x028,	/* rw: yours */

	VFM_SIM_REG_IRQ_STATUS = 0x040, /* rw: causes VFM_SIM_IRQ_*; writing a 1 clears it */
	VFM_SIM_REG_IRQ_MASK = 0x048,	/* rw: causes that do not interrupt; 0 after reset */
	VFM_SIM_REG_IRQ_TEST = 0x050,	/* wo: raise this MSI-X vector (or INTx) */
	VFM_SIM_REG_IRQ_COUNT = 0x058,	/* ro: interrupts given out since reset */

	VFM_SIM_REG_JOB_OP = 0x080,	  /* rw: enum vfm_sim_job */
	VFM_SIM_REG_JOB_IOVA = 0x088,	  /* rw */
	VFM_SIM_REG_JOB_LEN = 0x090,	  /* rw: bytes, at most VFM_SIM_JOB_MAX */
	VFM_SIM_REG_JOB_OFFSET = 0x098,	  /* rw: in VFM_SIM_MEM_BAR */
	VFM_SIM_REG_JOB_SEED = 0x0a0,	  /* rw */
	VFM_SIM_REG_JOB_STATUS = 0x0a8,	  /* ro: enum vfm_sim_job_status */
	VFM_SIM_REG_JOB_ERROR = 0x0b0,	  /* ro: errno value of the last job, or 0 */
	VFM_SIM_REG_JOB_RESULT = 0x0b8,	  /* ro: checksum, or bytes moved */
	VFM_SIM_REG_JOB_COUNT = 0x0c0,	  /* ro: jobs that ended since reset */
	VFM_SIM_REG_JOB_DOORBELL = 0x0c8, /* wo: any value begins the job; has an io_fd */

	VFM_SIM_REG_RING_IOVA = 0x100,	    /* rw: taken over when started */
	VFM_SIM_REG_RING_SIZE = 0x108,	    /* rw: multiple of VFM_SIM_SPAN; taken over too */
	VFM_SIM_REG_RING_SEED = 0x110,	    /* rw: taken over too */
	VFM_SIM_REG_RING_RATE = 0x118,	    /* rw: bytes a second; 0: only by RING_STEP */
	VFM_SIM_REG_RING_IRQ_EVERY = 0x120, /* rw: interrupt after so many writes; 0: never */
	VFM_SIM_REG_RING_CONTROL = 0x128,   /* wo: enum vfm_sim_ring_control */
	VFM_SIM_REG_RING_STATUS = 0x130,    /* ro: 1 while running */
	VFM_SIM_REG_RING_ERROR = 0x138,	    /* ro: errno value that stopped it, or 0 */
	VFM_SIM_REG_RING_COUNT = 0x140,	    /* ro: writes done since started */
	VFM_SIM_REG_RING_STEP = 0x148,	    /* wo: do so many now, at most VFM_SIM_STEP_MAX */

	VFM_SIM_REG_STATE_RATE = 0x180,	    /* rw: dirty=, bytes a second */
	VFM_SIM_REG_STATE_CHANGES = 0x188,  /* ro: pages changed since reset */
	VFM_SIM_REG_STATE_STEP = 0x190,	    /* wo: change so many pages now, as RING_STEP */
	VFM_SIM_REG_STATE_SEED = 0x198,	    /* ro: seed= of the device that this state began in */
	VFM_SIM_REG_DIGEST_LATCH = 0x1a0,   /* wo: any value takes the digest of the state */
	VFM_SIM_REG_DIGEST_CHANGES = 0x1a8, /* ro: STATE_CHANGES when it was taken */
	VFM_SIM_REG_DIGEST = 0x1b0,	    /* ro: 16 bytes, XXH3-128 in canonical order */
};

/* Causes, and the vector that each one raises (modulo the number of vectors). */
#define VFM_SIM_IRQ_JOB (1u << 0)   /* a job ended: vector 0 */
#define VFM_SIM_IRQ_RING (1u << 1)  /* RING_IRQ_EVERY: vector 1 */
#define VFM_SIM_IRQ_ERROR (1u << 2) /* DMA failed: vector 2 */
#define VFM_SIM_IRQ_TEST (1u << 3)  /* IRQ_TEST: the vector written there */

enum vfm_sim_job {
	VFM_SIM_JOB_FILL = 1,	  /* memory := vfm_sim_fill(JOB_SEED); seed 0: zeros */
	VFM_SIM_JOB_READ = 2,	  /* memory bar := memory */
	VFM_SIM_JOB_WRITE = 3,	  /* memory := memory bar */
	VFM_SIM_JOB_CHECKSUM = 4, /* JOB_RESULT := vfm_sim_checksum(memory) */
};

enum vfm_sim_job_status {
	VFM_SIM_JOB_IDLE = 0,
	VFM_SIM_JOB_QUEUED = 1, /* waits until the device may do DMA */
	VFM_SIM_JOB_DONE = 2,
	VFM_SIM_JOB_FAILED = 3, /* JOB_ERROR tells why */
};

enum vfm_sim_ring_control {
	VFM_SIM_RING_STOP = 0,	   /* what is due is done first */
	VFM_SIM_RING_START = 1,	   /* count from 0; the memory is to be all zeros */
	VFM_SIM_RING_CONTINUE = 2, /* go on where it was stopped */
};

/** Longest job, and most writes or page changes by one step register. */
#define VFM_SIM_JOB_MAX (UINT64_C(64) << 20)
#define VFM_SIM_STEP_MAX (UINT64_C(1) << 20)

/* ---- sim:dma: the model --------------------------------------------------
 *
 * Writes of the ring are numbered from 1. Each is one block of 256 bytes: its
 * number, a chain value made of the chain value that the device read there just
 * before and of the number, and a seeded payload. Sixteen writes in a row fill a
 * span of 4096 bytes, in an order of its own; the next span may be any.
 */

#define VFM_SIM_BLOCK 256u
#define VFM_SIM_SPAN 4096u
#define VFM_SIM_DIGEST 16

/** struct vfm_sim_ring - what decides the content of the memory behind the ring */
struct vfm_sim_ring {
	uint64_t iova;
	uint64_t size;
	uint64_t seed;
	uint64_t count; /* writes done */
};

/** enum vfm_sim_fault - what can be wrong with a block of memory */
enum vfm_sim_fault {
	VFM_SIM_FAULT_NONE,
	VFM_SIM_FAULT_LOST,	 /* is all zeros, but was written */
	VFM_SIM_FAULT_STALE,	 /* holds an earlier write than the last one that went there */
	VFM_SIM_FAULT_EARLY,	 /* holds a write that goes there, but later than count */
	VFM_SIM_FAULT_MISPLACED, /* holds a write that goes to another block */
	VFM_SIM_FAULT_DOUBLED,	 /* the right write, done twice */
	VFM_SIM_FAULT_HISTORY,	 /* the right write, but those before it were lost, doubled or
				    reordered */
	VFM_SIM_FAULT_FOREIGN,	 /* bytes that the device never wrote there */
};

/** vfm_sim_fault_name() - "lost" and so on; "none". */
const char *vfm_sim_fault_name(enum vfm_sim_fault fault);

/**
 * vfm_sim_position() - the block, counted from the start of the ring, that write @number goes to
 * @number: from 1
 */
uint64_t vfm_sim_position(const struct vfm_sim_ring *ring, uint64_t number);

/** vfm_sim_expect_memory() - what the memory holds; fills all ring->size bytes of @buf. */
int vfm_sim_expect_memory(const struct vfm_sim_ring *ring, void *buf,
			  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_sim_check_memory() - compare the memory with what it must hold
 * @mem: ring->size bytes
 * @fault: what is wrong with the first wrong block; may be NULL
 *
 * -EBADMSG: the text names the first wrong block, what is wrong with it, and how
 * many there are.
 */
int vfm_sim_check_memory(const struct vfm_sim_ring *ring, const void *mem,
			 enum vfm_sim_fault *fault, struct vfm_err *err) VFM_MUST_CHECK;

/** struct vfm_sim_state - the state of the device, and what decides it */
struct vfm_sim_state {
	uint64_t size;
	uint64_t seed;
	uint64_t changes; /* pages changed since reset */
	uint8_t digest[VFM_SIM_DIGEST];
};

/** vfm_sim_expect_state_digest() - fills in state->digest from the other three. */
int vfm_sim_expect_state_digest(struct vfm_sim_state *state, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_sim_check_state() - whether the digest is the one that must be: -EBADMSG. */
int vfm_sim_check_state(const struct vfm_sim_state *state, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_sim_fill() - what VFM_SIM_JOB_FILL writes, from byte @offset of the job on. */
void vfm_sim_fill(uint64_t seed, uint64_t offset, void *buf, size_t len);

/** vfm_sim_checksum() - what VFM_SIM_JOB_CHECKSUM gives; 0 when there is no memory for it. */
uint64_t vfm_sim_checksum(const void *buf, size_t len);

/* ---- sim:dma: working it through a device -------------------------------- */

/** vfm_sim_read() / vfm_sim_write() - one register, 8 bytes. */
int vfm_sim_read(struct vfm_device *dev, enum vfm_sim_reg reg, uint64_t *value,
		 struct vfm_err *err) VFM_MUST_CHECK;
int vfm_sim_write(struct vfm_device *dev, enum vfm_sim_reg reg, uint64_t value,
		  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_sim_enable() - memory space and bus mastering on, and MSI-X (else INTx)
 *
 * After reset a PCI device may not do DMA; this is what its guest does first.
 */
int vfm_sim_enable(struct vfm_device *dev, bool msix, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_sim_start_ring() - begin to write into memory that is mapped and all zeros
 * @ring: iova, size and seed; count is not looked at
 * @rate: bytes a second, 0: only by VFM_SIM_REG_RING_STEP
 * @irq_every: interrupt after so many writes, 0: never
 *
 * -EIO: the device refused; the text tells RING_ERROR.
 */
int vfm_sim_start_ring(struct vfm_device *dev, const struct vfm_sim_ring *ring, uint64_t rate,
		       uint64_t irq_every, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_sim_stop_ring() - no more writes; it can be continued. */
int vfm_sim_stop_ring(struct vfm_device *dev, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_sim_get_ring() - as the device has it now; stop it first, or count will run on. */
int vfm_sim_get_ring(struct vfm_device *dev, struct vfm_sim_ring *ring,
		     struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_sim_get_state() - take the digest and read it, with the count of changes it stands for. */
int vfm_sim_get_state(struct vfm_device *dev, struct vfm_sim_state *state,
		      struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_sim_exercise() - how to make a device of that model do something, for the checker; or NULL.
 */
const struct vfm_exercise *vfm_sim_exercise(const char *model);

/**
 * vfm_sim_find_exercise() - the same for a device that is open
 *
 * By the model that it tells, and by its PCI identity where none is told: protocol v1, drivers
 * of the kernel and other servers than ours have no word for it. NULL: it is none of ours.
 */
const struct vfm_exercise *vfm_sim_find_exercise(struct vfm_device *dev);

#ifdef __cplusplus
}
#endif

#endif
