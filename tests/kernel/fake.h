// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A host with one device, behind the system calls of src/kernel: what files there are, what
 * the kernel says, and which call fails. It writes down every call in a word or two, counts
 * what is open and mapped, and believes nothing: a request with a wrong size, a wrong
 * descriptor or a flag that no kernel knows ends the test.
 *
 * There is one at a time.
 */

#ifndef VFM_TESTS_KERNEL_FAKE_H
#define VFM_TESTS_KERNEL_FAKE_H

#include <stdbool.h>

#include <vfmig/device.h>

#include "abi/iommufd.h"
#include "abi/vfio.h"
#include "kernel/kernel.h"

#include "test.h"

#define FAKE_PCI "0000:3b:00.2"
#define FAKE_UUID "c9d7ec44-5c0e-4f36-a5f5-3a3f9a1d8c01"
#define FAKE_REGION_SIZE 0x10000
#define FAKE_PAGES 64

enum fake_kind { FAKE_CONTAINER, FAKE_GROUP, FAKE_DEVICE, FAKE_IOMMUFD, FAKE_DATA, FAKE_NR_KINDS };

/** struct fake_map - a range that the kernel has; @dirty: a bit for each of its pages of 4 KiB */
struct fake_map {
	uint64_t iova;
	uint64_t size;
	uint64_t vaddr;
	uint32_t flags;
	uint64_t dirty[FAKE_PAGES / 64];
};

/** struct fake - set what is to be otherwise before the device is opened */
struct fake {
	/* the host */
	const char *driver;  /* NULL: bound to none */
	const char *group;   /* NULL: in none */
	const char *members; /* of the group: names, each terminated */
	unsigned int nr_members;
	const char *member_driver; /* of those that are not our device */
	bool exists;
	bool cdev;
	bool no_cdev_file; /* the class in sysfs without its files, as kernels without iommufd have
			      it */
	bool no_sysfs;
	bool not_viable;
	bool no_type1;
	int version;

	/* which calls fail: the @fail_at-th of all, or those whose word is @fail_word */
	unsigned int fail_at;
	const char *fail_word;
	unsigned int fail_times; /* 0: always */
	int fail_code;
	unsigned int calls;

	/* the container or the address space */
	uint64_t pgsizes;
	bool container_log;
	bool container_caps;
	uint64_t max_bitmap;
	uint32_t avail;
	uint64_t span_last;
	uint64_t damage;   /* of what the container says of itself: the seed of it, 0: none */
	uint32_t nr_spans; /* of the container: more are those before the last one, in pages */
	bool hwpt_log;
	bool hwpt_attach_fails;
	bool iommu_logs;
	bool unmaps_half;
	bool no_unmap_report; /* unmapping tells no dirty pages */
	uint32_t hwpts;
	struct fake_map maps[16];
	unsigned int nr_maps;
	uint32_t attached;

	/* the device */
	uint32_t flags;
	uint32_t nr_regions;
	uint32_t nr_irqs;
	uint8_t region_info[1024]; /* behind struct vfm_abi_region_info, of region 0 */
	size_t region_info_len;
	uint32_t region_flags;
	uint32_t region_cap;
	uint64_t region_size;
	uint64_t region_offset;
	uint8_t memory[FAKE_REGION_SIZE];
	size_t most_bytes; /* in one access, 0: all */
	size_t last_width;
	uint8_t irq_request[256];
	unsigned int resets;

	/* its migration */
	bool migrates;
	uint64_t migration;
	bool knows_reinit;
	bool opted_in;
	uint32_t state;
	uint32_t state_after_failure; /* with @fail_word "set-state" */
	bool keeps_state;	      /* over a reset */
	bool gives_fd, keeps_fd;      /* against the rules: always, never */
	uint64_t data_size;
	uint64_t initial, dirty;
	uint32_t info_flags;

	/* its data: what reads and writes give, one after the other, then the last for ever */
	const ssize_t *gives;
	unsigned int nr_gives;
	unsigned int given;
	unsigned int polls;
	unsigned int pauses;
	int poll_gives; /* 0: the time passes */
	uint64_t now;

	/* its log */
	bool device_logs;
	bool report_missing; /* the kernel has no reports */
	bool logging;
	uint64_t log_page;
	uint64_t log_dirty; /* pages from address 0 */
	bool log_spills;    /* sets bits behind the end */

	/* what was seen */
	char log[8192];
	size_t log_len;
	unsigned int open_count;
	unsigned int mmaps;
	enum fake_kind kinds[64];
	bool is_open[64];
	bool nonblock;
};

extern struct fake fake;
extern const struct vfm_sys fake_sys;

/** fake_begin() - a host where everything works: PCI device in group 12, bound, v2 with all of it.
 */
void fake_begin(void);

/** fake_open() - open a device on it, which must work. */
struct vfm_device *fake_open(const char *rest);

/** fake_fail() - calls of that word fail from now on; @times 0: always. */
void fake_fail(const char *word, int code, unsigned int times);

/** fake_forget() - empty the list of calls. */
void fake_forget(void);

/** fake_expect() - the calls since then were these; and forget them. */
void fake_expect(const char *calls);

/** fake_end() - close @dev, which may be NULL: nothing is left open or mapped. */
void fake_end(struct vfm_device *dev);

#endif
