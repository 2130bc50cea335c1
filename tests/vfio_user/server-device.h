// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device for the tests of the server, by hand and not by the framework: it records what the
 * server does to it, checks that the server keeps to the contract, and fails on demand.
 */

#ifndef VFM_TESTS_SERVER_DEVICE_H
#define VFM_TESTS_SERVER_DEVICE_H

#include "device/device.h"

#define TEST_REGION_SIZE 4096u
#define TEST_MAPPED_SIZE 12288u /* of TEST_MAPPED_REGION, which is accessed at its begin only */
#define TEST_MAX_MAPS 600u

/* Registers of region 0. A write of 16 bytes, iova and length, starts a DMA from or to the
 * device's buffer; what came of it can be read, 4 bytes. */
#define TEST_REG_DMA_READ 0x100u
#define TEST_REG_DMA_WRITE 0x110u
#define TEST_REG_DMA_RESULT 0x120u

#define TEST_NR_REGIONS 5
#define TEST_MAPPED_REGION 1 /* sparse, typed, with a descriptor */
#define TEST_WHOLE_REGION 2  /* mappable altogether */
#define TEST_READ_ONLY_REGION 3
#define TEST_NR_IRQS 3
#define TEST_VECTORS 40

#define TEST_LOG_PAGES 1024u

#define TEST_DATA_SIZE 300000u /* of the session: byte n is (uint8_t)(n * 7 + (n >> 8)) */

struct test_map {
	uint64_t iova, size;
	uint32_t flags;
	uint64_t fd_offset;
	int fd;
	struct vfm_dma_access access;
};

struct test_device {
	struct vfm_device dev;
	uint64_t migration;
	enum vfm_state state;
	size_t data_at;	      /* read or written so far */
	size_t data_size;     /* what there is now */
	size_t largest_piece; /* that one read gives; 0: any */
	uint8_t *written;     /* TEST_DATA_SIZE bytes */
	uint8_t region[TEST_REGION_SIZE];
	uint8_t buffer[65536];
	int dma_result;
	int memfd;
	int io_fds[3];
	struct test_map maps[TEST_MAX_MAPS];
	unsigned int nr_maps;
	int irqs[TEST_NR_IRQS][TEST_VECTORS];
	uint32_t last_irq_flags;
	uint8_t last_bools[TEST_VECTORS];
	uint64_t log_page_size; /* 0: none is running */
	struct vfm_range log_ranges[VFM_MAX_LOG_RANGES];
	size_t nr_log_ranges;
	unsigned int resets, set_states, processed;
	int work_fd; /* an eventfd: readable when process() has something to do */
	/* what a test may set */
	int fail;	       /* the answer of every call but those that clean up, when not 0 */
	bool no_log, no_reset; /* it has none */
	bool dma_in_process;   /* process() does a DMA read of 8 bytes from 0 */
	bool careless;	       /* it accepts what it should refuse, and says what cannot be */
	/* A log that is exact: pages from address 0 that are dirty, and what it was asked. */
	bool log_exact;
	int fail_report;
	bool log_written[TEST_LOG_PAGES];
	unsigned int starts, stops, reports, maps_at_report;
};

struct test_device *test_device_new(void);

/** test_device_wired() - vectors with an eventfd. */
unsigned int test_device_wired(const struct test_device *t);

uint8_t test_data_byte(size_t at);

#endif
