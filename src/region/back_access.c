// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bytes of the migration region. Registers go through the device behind, each alone
 * and whole. Data goes the shortest way that cannot hurt us: through a mapping, if
 * whoever owns the memory cannot take it away (touching it then is SIGBUS); through
 * pread() and pwrite() of a file that can be made shorter; through the device
 * behind where neither works, and that always does.
 *
 * Nothing before VFM_V1_REGISTERS_END is touched in any other way than by a register's
 * access, also where the region says that all of it can be mapped.
 */

#include "region/back.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* ---- registers ------------------------------------------------------------------ */

int vfm_back_why(int ret, struct vfm_err *err, const char *what)
{
	if (!err->msg[0])
		vfm_fail(err, ret, "%s", strerror(-ret));
	vfm_fail_prefix(err, "%s", what);
	return ret == -ENOMSG ? -EIO : ret;
}

static int read_behind(struct vfm_back *b, uint64_t offset, void *buf, size_t len,
		       struct vfm_err *err)
{
	err->msg[0] = '\0';
	return VFM_PASS(b->pass.inner, read_region, err, b->region, offset, buf, len);
}

static int write_behind(struct vfm_back *b, uint64_t offset, const void *buf, size_t len,
			struct vfm_err *err)
{
	err->msg[0] = '\0';
	return VFM_PASS(b->pass.inner, write_region, err, b->region, offset, buf, len);
}

int vfm_back_get_word(struct vfm_back *b, struct vfm_v1_state *word, struct vfm_err *err)
{
	uint32_t value = 0;
	int ret = read_behind(b, VFM_V1_DEVICE_STATE, &value, sizeof(value), err);

	if (ret)
		return vfm_back_why(ret, err, "read device_state");
	*word = vfm_v1_state_of(value);
	return 0;
}

int vfm_back_put_word(struct vfm_back *b, struct vfm_v1_state word, struct vfm_err *err)
{
	char what[64];
	int ret = write_behind(b, VFM_V1_DEVICE_STATE, &word.word, sizeof(word.word), err);

	if (!ret)
		return 0;
	snprintf(what, sizeof(what), "write %" PRIu32 " (%s) of device_state", vfm_v1_bits(word),
		 vfm_v1_state_name(word));
	return vfm_back_why(ret, err, what);
}

int vfm_back_get_register(struct vfm_back *b, uint64_t reg, uint64_t *value, struct vfm_err *err)
{
	static const char *const what[] = {
		[VFM_V1_PENDING_BYTES / 8] = "read pending_bytes",
		[VFM_V1_DATA_OFFSET / 8] = "read data_offset",
		[VFM_V1_DATA_SIZE / 8] = "read data_size",
	};
	int ret = read_behind(b, reg, value, sizeof(*value), err);

	return ret ? vfm_back_why(ret, err, what[reg / 8]) : 0;
}

int vfm_back_put_size(struct vfm_back *b, uint64_t size, struct vfm_err *err)
{
	char what[64];
	int ret = write_behind(b, VFM_V1_DATA_SIZE, &size, sizeof(size), err);

	if (!ret)
		return 0;
	snprintf(what, sizeof(what), "write %" PRIu64 " of data_size", size);
	return vfm_back_why(ret, err, what);
}

/* ---- data ----------------------------------------------------------------------- */

/* The area that holds the byte at @offset, or NULL; and for how many bytes that is so. */
static const struct vfm_back_area *area_at(const struct vfm_back *b, uint64_t offset, uint64_t *run)
{
	for (uint32_t i = 0; i < b->nr_areas; i++) {
		const struct vfm_back_area *a = &b->areas[i];

		if (offset < a->offset) {
			*run = a->offset - offset;
			return NULL;
		}
		if (offset - a->offset < a->size) {
			*run = a->size - (offset - a->offset);
			return a;
		}
	}
	*run = UINT64_MAX;
	return NULL;
}

static int file_ended(const struct vfm_back *b, uint64_t at, struct vfm_err *err)
{
	return vfm_fail(err, -EIO, "the file behind region %" PRIu32 " ends before byte 0x%" PRIx64,
			b->region, at);
}

static int read_file(const struct vfm_back *b, uint64_t at, void *buf, size_t len,
		     struct vfm_err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(b->fd, (uint8_t *)buf + done, len - done, (off_t)(at + done));

		if (n == 0)
			return file_ended(b, at + done, err);
		if (n < 0 && errno != EINTR)
			return vfm_fail(err, -errno, "file offset 0x%" PRIx64 ": %s", at + done,
					strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* A write behind the end would make the file longer, and nobody would ever see the bytes. */
static int write_file(const struct vfm_back *b, uint64_t at, const void *buf, size_t len,
		      struct vfm_err *err)
{
	struct stat st;

	if (fstat(b->fd, &st) || !vfm_range_inside(at, len, (uint64_t)st.st_size))
		return file_ended(b, at + len, err);
	for (size_t done = 0; done < len;) {
		ssize_t n =
			pwrite(b->fd, (const uint8_t *)buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno != EINTR)
			return vfm_fail(err, -errno, "file offset 0x%" PRIx64 ": %s", at + done,
					strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int read_piece(struct vfm_back *b, const struct vfm_back_area *area, uint64_t offset,
		      void *buf, size_t len, struct vfm_err *err)
{
	if (!area)
		return read_behind(b, offset, buf, len, err);
	if (!area->mem)
		return read_file(b, area->file_offset + (offset - area->offset), buf, len, err);
	memcpy(buf, area->mem + (offset - area->offset), len);
	return 0;
}

static int write_piece(struct vfm_back *b, const struct vfm_back_area *area, uint64_t offset,
		       const void *buf, size_t len, struct vfm_err *err)
{
	if (!area)
		return write_behind(b, offset, buf, len, err);
	if (!area->mem)
		return write_file(b, area->file_offset + (offset - area->offset), buf, len, err);
	memcpy(area->mem + (offset - area->offset), buf, len);
	return 0;
}

static int copy_failed(int ret, const char *verb, uint64_t offset, size_t len, struct vfm_err *err)
{
	char what[96];

	snprintf(what, sizeof(what), "%s %zu bytes of data at 0x%" PRIx64, verb, len, offset);
	return vfm_back_why(ret, err, what);
}

int vfm_back_read_bytes(struct vfm_back *b, uint64_t offset, void *buf, size_t len,
			struct vfm_err *err)
{
	uint8_t *to = buf;

	while (len) {
		uint64_t run;
		const struct vfm_back_area *area = area_at(b, offset, &run);
		size_t n = (size_t)VFM_MIN(run, len);
		int ret = read_piece(b, area, offset, to, n, err);

		if (ret)
			return copy_failed(ret, "read", offset, n, err);
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int vfm_back_write_bytes(struct vfm_back *b, uint64_t offset, const void *buf, size_t len,
			 struct vfm_err *err)
{
	const uint8_t *from = buf;

	while (len) {
		uint64_t run;
		const struct vfm_back_area *area = area_at(b, offset, &run);
		size_t n = (size_t)VFM_MIN(run, len);
		int ret = write_piece(b, area, offset, from, n, err);

		if (ret)
			return copy_failed(ret, "write", offset, n, err);
		from += n;
		offset += n;
		len -= n;
	}
	return 0;
}

/* ---- areas ---------------------------------------------------------------------- */

/* How the file of the region may be used. */
enum reach { REACH_NOT, REACH_FILE, REACH_MAPPING };

/* @size: of the file, if it is one. */
static enum reach reach_of(int fd, uint64_t *size)
{
	struct stat st;
	int seals;

	*size = UINT64_MAX;
	if (fstat(fd, &st) || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return REACH_NOT;
	if (!S_ISREG(st.st_mode))
		return REACH_MAPPING;
	*size = (uint64_t)st.st_size;
	seals = fcntl(fd, F_GET_SEALS);
	return seals >= 0 && seals & F_SEAL_SHRINK ? REACH_MAPPING : REACH_FILE;
}

/* @skip: bytes of the area that are registers. An offset between pages is refused by mmap(). */
static bool map_area(struct vfm_back_area *area, int fd, uint64_t file_offset, uint64_t skip)
{
	uint64_t size = area->size + skip;

	if (size > SIZE_MAX)
		return false;
	area->map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 (off_t)file_offset);
	if (area->map == MAP_FAILED)
		return false;
	area->map_size = (size_t)size;
	area->mem = (uint8_t *)area->map + skip;
	return true;
}

/* An area that cannot be reached otherwise is left to the device behind. */
static void add_area(struct vfm_back *b, const struct vfm_region *region,
		     const struct vfm_area *from)
{
	uint64_t skip =
		from->offset < VFM_V1_REGISTERS_END ? VFM_V1_REGISTERS_END - from->offset : 0;
	struct vfm_back_area area = { .offset = from->offset + skip };
	uint64_t file_size, file_offset;
	enum reach reach = reach_of(region->fd, &file_size);

	if (from->size <= skip || reach == REACH_NOT ||
	    __builtin_add_overflow(region->fd_offset, from->offset, &file_offset) ||
	    !vfm_range_inside(file_offset, from->size, VFM_MIN(file_size, (uint64_t)INT64_MAX)))
		return;
	area.size = from->size - skip;
	area.file_offset = file_offset + skip;
	if (reach == REACH_MAPPING && !map_area(&area, region->fd, file_offset, skip))
		return;
	b->areas[b->nr_areas++] = area;
}

static int check_areas(const struct vfm_region *region, struct vfm_err *err)
{
	uint64_t end = 0;

	if (region->nr_areas > VFM_MAX_AREAS)
		return vfm_fail(err, -EPROTO,
				"the migration region %" PRIu32 " has %" PRIu32
				" areas that can be mapped, at most %d are taken",
				region->index, region->nr_areas, VFM_MAX_AREAS);
	for (uint32_t i = 0; i < region->nr_areas; i++) {
		const struct vfm_area *a = &region->areas[i];

		if (!vfm_range_inside(a->offset, a->size, region->size) || a->offset < end)
			return vfm_fail(err, -EPROTO,
					"area 0x%" PRIx64 "+0x%" PRIx64
					" of the migration region %" PRIu32 " leaves its 0x%" PRIx64
					" bytes or is out of order",
					a->offset, a->size, region->index, region->size);
		end = a->offset + a->size;
	}
	return 0;
}

int vfm_back_map(struct vfm_back *b, const struct vfm_region *region, struct vfm_err *err)
{
	const struct vfm_area whole = { .size = region->size };
	int ret;

	b->fd = region->fd;
	if (!(region->flags & VFM_REGION_MMAP) || region->fd < 0)
		return 0;
	ret = check_areas(region, err);
	if (ret)
		return ret;
	if (!region->nr_areas)
		add_area(b, region, &whole);
	for (uint32_t i = 0; i < region->nr_areas; i++)
		add_area(b, region, &region->areas[i]);
	return 0;
}

void vfm_back_unmap(struct vfm_back *b)
{
	for (uint32_t i = 0; i < b->nr_areas; i++) {
		if (b->areas[i].map)
			munmap(b->areas[i].map, b->areas[i].map_size);
	}
	b->nr_areas = 0;
}
