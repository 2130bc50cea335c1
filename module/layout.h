/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * Numbers that a user of the device sees: identity, regions, registers, the I/O window,
 * the migration region. Those of BAR0 are the ones of sim:dma (include/vfmig/sim.h).
 */

#ifndef VFMS_LAYOUT_H
#define VFMS_LAYOUT_H

#define VFMS_MODEL "vfmig,sim-dma"
#define VFMS_MODEL_VERSION 1u

#define VFMS_PCI_VENDOR 0xfffau
#define VFMS_PCI_DEVICE 0x0d3au
#define VFMS_CONFIG_SIZE 256u
#define VFMS_CAP_MSIX 0x40u
#define VFMS_CAP_PCIE 0x50u

/* A region begins at its index times this in the device's descriptor. */
#define VFMS_REGION_SHIFT 40

#define VFMS_REG_BAR 0u
#define VFMS_MEM_BAR 2u
#define VFMS_MSIX_BAR 4u
#define VFMS_IO_BAR 5u
#define VFMS_V1_REGION 9u

#define VFMS_REG_SIZE 4096u
#define VFMS_MSIX_SIZE 4096u
#define VFMS_IO_SIZE 16u
#define VFMS_MSIX_ENTRY 16u
#define VFMS_MSIX_PBA 0x800u
#define VFMS_MAX_VECTORS 128u
/* The first page of the memory stays trapped, as the first of many real devices does. */
#define VFMS_MEM_TRAPPED 4096u

#define VFMS_MAGIC 0x616d642d676d6676ull

/* ---- BAR0: 64 bits each, little endian ------------------------------------------- */

enum vfms_reg {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x008,
	REG_STATE_SIZE = 0x010,
	REG_BAR_SIZE = 0x018,
	REG_VECTORS = 0x020,
	REG_SCRATCH = 0x028,

	REG_IRQ_STATUS = 0x040,
	REG_IRQ_MASK = 0x048,
	REG_IRQ_TEST = 0x050,
	REG_IRQ_COUNT = 0x058,

	REG_JOB_OP = 0x080,
	REG_JOB_IOVA = 0x088,
	REG_JOB_LEN = 0x090,
	REG_JOB_OFFSET = 0x098,
	REG_JOB_SEED = 0x0a0,
	REG_JOB_STATUS = 0x0a8,
	REG_JOB_ERROR = 0x0b0,
	REG_JOB_RESULT = 0x0b8,
	REG_JOB_COUNT = 0x0c0,
	REG_JOB_DOORBELL = 0x0c8,

	REG_RING_IOVA = 0x100,
	REG_RING_SIZE = 0x108,
	REG_RING_SEED = 0x110,
	REG_RING_RATE = 0x118,
	REG_RING_IRQ_EVERY = 0x120,
	REG_RING_CONTROL = 0x128,
	REG_RING_STATUS = 0x130,
	REG_RING_ERROR = 0x138,
	REG_RING_COUNT = 0x140,
	REG_RING_STEP = 0x148,

	REG_STATE_RATE = 0x180,
	REG_STATE_CHANGES = 0x188,
	REG_STATE_STEP = 0x190,
	REG_STATE_SEED = 0x198,
	REG_DIGEST_LATCH = 0x1a0,
	REG_DIGEST_CHANGES = 0x1a8,
	REG_DIGEST = 0x1b0,
	REG_DIGEST_LOW = 0x1b8,
};

#define VFMS_NR_REGS (REG_DIGEST_LOW / 8 + 1)

#define VFMS_IRQ_JOB (1u << 0)
#define VFMS_IRQ_RING (1u << 1)
#define VFMS_IRQ_ERROR (1u << 2)
#define VFMS_IRQ_TEST (1u << 3)
#define VFMS_IRQ_ALL (VFMS_IRQ_JOB | VFMS_IRQ_RING | VFMS_IRQ_ERROR | VFMS_IRQ_TEST)

enum vfms_job_op { JOB_FILL = 1, JOB_READ = 2, JOB_WRITE = 3, JOB_CHECKSUM = 4 };
enum vfms_job_status { JOB_IDLE, JOB_QUEUED, JOB_DONE, JOB_FAILED };
enum vfms_ring_control { RING_STOP, RING_START, RING_CONTINUE };

#define VFMS_JOB_MAX (64ull << 20)
#define VFMS_STEP_MAX (1ull << 20)
/* Bytes a second; with it no product of time and rate leaves 64 bits. */
#define VFMS_RATE_MAX (1ull << 36)

/* ---- BAR5 ------------------------------------------------------------------------ */

#define VFMS_IO_INDEX 0u
#define VFMS_IO_DATA 4u
#define VFMS_IO_DATA_NEXT 8u
#define VFMS_IO_MAGIC 12u
#define VFMS_IO_MAGIC_VALUE 0x676d6676u

/* ---- the migration region, as the kernel's header had it from 5.8 to 5.17 -------- */

#define V1_REGION_TYPE 3u
#define V1_REGION_SUBTYPE 1u

#define V1_DEVICE_STATE 0u
#define V1_RESERVED 4u
#define V1_PENDING_BYTES 8u
#define V1_DATA_OFFSET 16u
#define V1_DATA_SIZE 24u
/* Registers have a page of their own; the data section begins behind it. */
#define V1_SECTION 4096u

#define V1_STATE_MASK 7u

enum v1_state {
	V1_STOP = 0,
	V1_RUNNING = 1,
	V1_STOP_COPY = 2,
	V1_PRE_COPY = 3,
	V1_RESUMING = 4,
	V1_ERROR = 6,
};

#endif
