/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * The kernel's interface without anything between: for what a good client of it hides, as it
 * must. One device, opened by its group and a type1 container.
 */

#ifndef RAW_H
#define RAW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { ST_ERROR, ST_STOP, ST_RUNNING, ST_STOP_COPY, ST_RESUMING, ST_P2P, ST_PRE_COPY, ST_PRE_P2P };

#define REGS ((off_t)0)
#define MEMORY ((off_t)2 << 40)
#define CONFIG ((off_t)7 << 40)
#define V1_REGION ((off_t)9 << 40)

struct raw {
	const char *uuid;
	int container, group, device;
};

struct raw_info {
	uint32_t argsz, flags;
	uint64_t initial, dirty;
};

/* All of them: 0 or more on success, a negative errno value otherwise. */
int raw_open(struct raw *r, const char *uuid);
void raw_close(struct raw *r);
int raw_set_fault(const struct raw *r, const char *names);
long raw_pinned(const struct raw *r);
int raw_map(struct raw *r, void *memory, uint64_t iova, uint64_t size);
int raw_unmap(struct raw *r, uint64_t iova, uint64_t size);
/* The new state; the descriptor of a session in @fd, -1 if there is none. */
int raw_set_state(struct raw *r, uint32_t state, int *fd);
int raw_get_state(struct raw *r);
int raw_data_size(struct raw *r, uint64_t *bytes);
int raw_reset(struct raw *r);
int raw_precopy_info(int fd, struct raw_info *info);
int raw_log_start(struct raw *r, uint64_t iova, uint64_t size);
int raw_log_stop(struct raw *r);
int raw_log_report(struct raw *r, uint64_t iova, uint64_t size, uint64_t *bitmap);
int raw_put(struct raw *r, off_t at, uint64_t value, size_t width);
int raw_get(struct raw *r, off_t at, uint64_t *value, size_t width);

#endif
