// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* --memory SIZE[@IOVA][=FILE]: from the text to memory that a device can use. */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/params.h"
#include "base/util.h"

#define MEMORY_PAGE 4096

static int bad_memory(const char *text, const char *why, struct vfm_err *err)
{
	return vfm_fail(err, CMD_MISUSE, "--memory=%s: %s", text, why);
}

/* Where a range goes that names no address: after the highest one so far. */
static uint64_t next_iova(const struct cmd_memory_list *list)
{
	uint64_t end = 0;

	for (size_t i = 0; i < list->count; i++)
		end = VFM_MAX(end, list->list[i].iova + list->list[i].size);
	return end;
}

static int check_range(const struct cmd_memory_list *list, const struct cmd_memory *m,
		       const char *text, struct vfm_err *err)
{
	if (!m->size || m->size % MEMORY_PAGE || m->iova % MEMORY_PAGE)
		return bad_memory(text, "size and address must be multiples of 4096", err);
	if (m->iova + m->size <= m->iova)
		return bad_memory(text, "the range leaves the address space", err);
	for (size_t i = 0; i < list->count; i++)
		if (m->iova < list->list[i].iova + list->list[i].size &&
		    list->list[i].iova < m->iova + m->size)
			return bad_memory(text, "overlaps the one before it", err);
	return 0;
}

int cmd_memory_parse(struct cmd_memory_list *list, const char *text, struct vfm_err *err)
{
	struct cmd_memory *m = &list->list[list->count];
	const char *file = strchr(text, '=');
	char range[64], *at;
	size_t len = file ? (size_t)(file - text) : strlen(text);
	int ret;

	if (list->count == VFM_ARRAY_SIZE(list->list))
		return bad_memory(text, "too many ranges", err);
	if (len >= sizeof(range) || (file && !file[1]))
		return bad_memory(text, "SIZE[@IOVA][=FILE] wanted", err);
	memcpy(range, text, len);
	range[len] = '\0';
	at = strchr(range, '@');
	if (at)
		*at++ = '\0';
	*m = (struct cmd_memory){ .iova = next_iova(list), .file = file ? file + 1 : NULL };
	if (vfm_parse_size(range, &m->size))
		return bad_memory(text, "SIZE must be a size such as 64M", err);
	if (at && vfm_parse_size(at, &m->iova))
		return bad_memory(text, "IOVA must be a number such as 0x100000", err);
	ret = check_range(list, m, text, err);
	list->count += !ret;
	return ret;
}

/* A file of memory; what is made is as long as it must be. */
static int open_file(const struct cmd_memory *m, bool create, struct vfm_err *err)
{
	vfm_auto_fd int fd = open(m->file, O_RDWR | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT || !create)
		return fd < 0 ? vfm_fail(err, -errno, "open %s", m->file) : vfm_take_fd(&fd);
	fd = open(m->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return vfm_fail(err, -errno, "create %s", m->file);
	if (ftruncate(fd, (off_t)m->size)) {
		int ret = vfm_fail(err, -errno, "make %s %" PRIu64 " bytes long", m->file, m->size);

		unlink(m->file);
		return ret;
	}
	return vfm_take_fd(&fd);
}

static int add_range(struct vfm_memory *mem, const struct cmd_memory *m, bool create,
		     struct vfm_err *err)
{
	vfm_auto_fd int fd = -1;
	int ret;

	if (!m->file)
		return vfm_memory_add(mem, m->iova, m->size, VFM_DMA_READ | VFM_DMA_WRITE, err);
	fd = open_file(m, create, err);
	if (fd < 0)
		return fd;
	ret = vfm_memory_add_fd(mem, m->iova, m->size, VFM_DMA_READ | VFM_DMA_WRITE, fd, 0, err);
	if (ret)
		vfm_fail_prefix(err, "memory in %s", m->file);
	return ret;
}

int cmd_memory_new(struct vfm_memory **out, const struct cmd_memory_list *list, bool create,
		   struct vfm_err *err)
{
	struct vfm_memory *mem;
	int ret = vfm_memory_new(&mem, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < list->count && !ret; i++)
		ret = add_range(mem, &list->list[i], create, err);
	if (ret)
		vfm_memory_free(mem);
	else
		*out = mem;
	return ret;
}
