// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Memory for rules. It is a file, as that of a virtual machine is, so that a device in another
 * process can map it; sealed, so that such a device cannot end us by making it shorter.
 *
 * A device in this process works while it is called, so whoever waits for it must call it.
 */

#include "check/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/util.h"

uint8_t *vfm_trial_map_file(const struct vfm_trial_memory *mem)
{
	void *p = mmap(NULL, mem->size, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd,
		       (off_t)mem->fd_offset);

	return p == MAP_FAILED ? NULL : (uint8_t *)p;
}

int vfm_trial_new_memory(struct vfm_trial *t, struct vfm_trial_memory *mem, uint64_t iova,
			 uint64_t size)
{
	struct vfm_err err;

	*mem = (struct vfm_trial_memory){ .iova = iova, .size = size };
	mem->fd = memfd_create("vfmig-check", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mem->fd >= 0 && !ftruncate(mem->fd, (off_t)size) &&
	    !fcntl(mem->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		mem->at = vfm_trial_map_file(mem);
		if (mem->at)
			return 0;
	}
	vfm_fail(&err, -errno, "no memory of %" PRIu64 " bytes: %s", size, strerror(errno));
	vfm_close_fd(&mem->fd);
	return vfm_trial_blocked(t, &err);
}

int vfm_trial_try_map(struct vfm_trial *t, const struct vfm_trial_memory *mem, uint32_t flags,
		      struct vfm_err *err)
{
	const struct vfm_dma_map map = { .iova = mem->iova,
					 .size = mem->size,
					 .flags = flags,
					 .fd = mem->fd,
					 .fd_offset = mem->fd_offset,
					 .vaddr = mem->at };

	return vfm_device_map_dma(t->dev, &map, err);
}

int vfm_trial_map(struct vfm_trial *t, struct vfm_trial_memory *mem, uint64_t iova, uint64_t size)
{
	struct vfm_err err;
	int ret = vfm_trial_new_memory(t, mem, iova, size);

	if (ret)
		return ret;
	if (vfm_trial_try_map(t, mem, VFM_DMA_READ | VFM_DMA_WRITE, &err))
		return vfm_trial_blocked(t, &err);
	return 0;
}

int vfm_trial_try_write(struct vfm_trial *t, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	return t->opts->exercise->write(t->exercise, t->dev, iova, size, vfm_trial_random(t), err);
}

int vfm_trial_write_pages(struct vfm_trial *t, const struct vfm_trial_memory *mem, uint64_t first,
			  uint64_t count)
{
	struct vfm_err err;

	if (vfm_trial_try_write(t, mem->iova + first * VFM_TRIAL_PAGE, count * VFM_TRIAL_PAGE,
				&err))
		return vfm_trial_blocked(t, &err);
	return 0;
}

int vfm_trial_stream(struct vfm_trial *t, const struct vfm_trial_memory *mem)
{
	struct vfm_err err;
	uint64_t where;

	if (t->opts->exercise->stream(t->exercise, t->dev, true, mem->iova, mem->size, &err))
		return vfm_trial_blocked(t, &err);
	if (vfm_trial_changes(t, mem, VFM_TRIAL_WAIT_MS, &where))
		return 0;
	vfm_fail(&err, -ETIME, "the device was told to write all the time, and does not");
	return vfm_trial_blocked(t, &err);
}

int vfm_trial_begin_again(struct vfm_trial *t)
{
	struct vfm_err err;

	t->opts->exercise->end(t->exercise);
	t->exercise = NULL;
	if (t->opts->exercise->begin(t->dev, &t->exercise, &err))
		return vfm_trial_blocked(t, &err);
	return 0;
}

/* ---- watching ------------------------------------------------------------------------ */

bool vfm_trial_serve(struct vfm_trial *t, int fd, unsigned int ms)
{
	uint64_t end = vfm_now_ns() + (uint64_t)ms * 1000000;

	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN },
				      { .fd = vfm_device_get_fd(t->dev), .events = POLLIN } };
		uint64_t now = vfm_now_ns();
		int left = now < end ? (int)((end - now) / 1000000 + 1) : 0;

		if (poll(p, VFM_ARRAY_SIZE(p), left) < 0 && errno != EINTR)
			return false;
		if (p[0].revents)
			return true;
		/* a device that is gone says so for ever: no reason to ask it again */
		if (p[1].revents && vfm_device_process(t->dev, NULL))
			return false;
		if (!left)
			return false;
	}
}

/* Page by page: what is watched may be larger than what one wants to keep a copy of. */
static void take_sums(const struct vfm_trial_memory *mem, uint64_t *sums)
{
	for (uint64_t page = 0; page < mem->size / VFM_TRIAL_PAGE; page++)
		sums[page] = vfm_checksum(mem->at + page * VFM_TRIAL_PAGE, VFM_TRIAL_PAGE, 0);
}

static bool first_change(const struct vfm_trial_memory *mem, const uint64_t *before,
			 uint64_t *where)
{
	uint64_t now[VFM_TRIAL_MAX_PAGES];

	take_sums(mem, now);
	for (uint64_t page = 0; page < mem->size / VFM_TRIAL_PAGE; page++)
		if (now[page] != before[page]) {
			*where = mem->iova + page * VFM_TRIAL_PAGE;
			return true;
		}
	return false;
}

bool vfm_trial_changes(struct vfm_trial *t, const struct vfm_trial_memory *mem, unsigned int ms,
		       uint64_t *where)
{
	uint64_t end = vfm_now_ns() + (uint64_t)ms * 1000000;
	uint64_t before[VFM_TRIAL_MAX_PAGES];
	bool late = false;

	take_sums(mem, before);
	while (!late) {
		late = vfm_now_ns() >= end;
		vfm_trial_serve(t, -1, late ? 0 : 2);
		if (first_change(mem, before, where))
			return true;
	}
	return false;
}

int vfm_trial_quiet(struct vfm_trial *t, const struct vfm_trial_memory *mem, const char *when)
{
	uint64_t where;

	if (!vfm_trial_changes(t, mem, VFM_TRIAL_QUIET_MS, &where))
		return 0;
	return vfm_trial_fail(t,
			      "%s the device goes on writing by DMA: the page at IOVA 0x%" PRIx64
			      " has changed",
			      when, where);
}
