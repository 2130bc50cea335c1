// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The memory of a data section. What can be mapped is a file in memory as large as the
 * whole region, so that offsets in both are the same; the page of the registers is in it
 * and means nothing. Its size is sealed: a user that could cut it short could kill us
 * with our next access.
 */

#include "region/front.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

static int check_opts(const struct vfm_section_mem *s, struct vfm_err *err)
{
	if ((unsigned int)s->mode > VFM_SECTION_SPARSE)
		return vfm_fail(err, -EINVAL, "there is no data section of kind %u",
				(unsigned int)s->mode);
	if (s->size < VFM_SECTION_SIZE_MIN || s->size > VFM_SECTION_SIZE_MAX || s->size % s->offset)
		return vfm_fail(err, -EINVAL,
				"a data section of %" PRIu64 " bytes: must be %u to %" PRIu64
				", and whole pages of %" PRIu64,
				s->size, VFM_SECTION_SIZE_MIN, VFM_SECTION_SIZE_MAX, s->offset);
	if (s->mode == VFM_SECTION_SPARSE && s->size < 2 * s->offset)
		return vfm_fail(err, -EINVAL,
				"a data section of %" PRIu64
				" bytes has no two pages, of which one could be mapped",
				s->size);
	return 0;
}

static int new_file(uint64_t size, struct vfm_err *err)
{
	vfm_auto_fd int fd = memfd_create("vfmig-section", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return vfm_fail(err, -errno,
				"no file in memory of %" PRIu64 " bytes for a data section: %s",
				size, strerror(errno));
	return vfm_take_fd(&fd);
}

static int map_memory(struct vfm_section_mem *s, struct vfm_err *err)
{
	int flags = s->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	off_t offset = s->fd < 0 ? 0 : (off_t)s->offset;
	void *mem = mmap(NULL, s->size, PROT_READ | PROT_WRITE, flags, s->fd, offset);

	if (mem == MAP_FAILED)
		return vfm_fail(err, -errno, "no %" PRIu64 " bytes for a data section: %s", s->size,
				strerror(errno));
	s->mem = mem;
	return 0;
}

int vfm_section_open(struct vfm_section_mem *s, const struct vfm_front_opts *opts,
		     struct vfm_err *err)
{
	int ret;

	*s = (struct vfm_section_mem){
		.mode = opts->section,
		.offset = (uint64_t)sysconf(_SC_PAGESIZE),
		.size = opts->size ? opts->size : VFM_SECTION_SIZE_DEFAULT,
		.fd = -1,
	};
	ret = check_opts(s, err);
	if (!ret && s->mode != VFM_SECTION_TRAPPED) {
		s->fd = new_file(s->offset + s->size, err);
		ret = s->fd < 0 ? s->fd : 0;
	}
	if (!ret)
		ret = map_memory(s, err);
	if (ret)
		vfm_section_close(s);
	return ret;
}

void vfm_section_close(struct vfm_section_mem *s)
{
	if (s->mem)
		munmap(s->mem, s->size);
	s->mem = NULL;
	vfm_close_fd(&s->fd);
}

void vfm_section_describe(const struct vfm_section_mem *s, struct vfm_region *region)
{
	uint64_t half = s->size / 2 / s->offset * s->offset;

	region->flags = VFM_REGION_READ | VFM_REGION_WRITE;
	region->size = s->offset + s->size;
	region->fd = s->fd;
	if (s->mode == VFM_SECTION_TRAPPED)
		return;
	region->flags |= VFM_REGION_MMAP;
	region->nr_areas = 1;
	region->areas[0] = (struct vfm_area){
		.offset = s->offset,
		.size = s->mode == VFM_SECTION_MMAP ? s->size : half,
	};
}
