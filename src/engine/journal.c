// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A journal file: a header (journal_head.c), then records of 64 bytes, each sealed by a
 * checksum whose seed is the one before it. docs/handover.md has the bytes.
 *
 * Torn and damaged are told apart by what a crash can do: it leaves a record out, cuts
 * it, or leaves zeros where its last bytes were to be. Anything else that does not
 * agree is damage, at the end of the file too, and is refused: a state that is lost
 * there might be the one that gave the device away.
 *
 * What surprises: to open writes. A record that was read may be in the page cache
 * alone, and after a failed fsync() the kernel forgets that it has to be written. So
 * the last one is written again before anybody acts on it.
 */

#include "engine/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/util.h"

#define SUM_SIZE 8u
#define RECORD_SIZE 64u
#define RECORDS_MAX 256u /* a migration needs five, a recovery three */
#define FILE_MAX (VFM_JOURNAL_HEAD_MAX + RECORDS_MAX * RECORD_SIZE)
#define FILES_MAX 4096

#define FLAGS_STAY (VFM_JOURNAL_PAUSED | VFM_JOURNAL_ALONE)
#define FLAGS_KNOWN (FLAGS_STAY | VFM_JOURNAL_DONE | VFM_JOURNAL_PERSON)

void vfm_journal_name(char out[VFM_JOURNAL_NAME], const uint8_t id[VFM_ID_SIZE], enum vfm_role role)
{
	char text[VFM_MIGRATION_ID];

	vfm_statement_id(text, id);
	snprintf(out, VFM_JOURNAL_NAME, "%s.%s", text, vfm_role_name(role));
}

int vfm_journal_open_dir(const char *dir, struct vfm_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? vfm_fail(err, -errno, "folder of journals %s: %s", dir, strerror(errno))
		      : fd;
}

void vfm_journal_free(struct vfm_journal *j)
{
	if (!j)
		return;
	vfm_close_fd(&j->fd);
	vfm_close_fd(&j->dir);
	free(j->texts);
	free(j);
}

/* Takes @dir. */
static struct vfm_journal *new_journal(int dir, const char *name)
{
	struct vfm_journal *j = calloc(1, sizeof(*j));

	if (!j) {
		vfm_close_fd(&dir);
		return NULL;
	}
	j->dir = dir;
	j->fd = -1;
	snprintf(j->name, sizeof(j->name), "%s", name);
	return j;
}

static int fail_io(struct vfm_journal *j, const char *what, struct vfm_err *err)
{
	int failed = errno ? errno : EIO;

	return vfm_fail(err, -failed, "%s journal %s: %s", what, j->name, strerror(failed));
}

/* ---- bytes ---------------------------------------------------------------- */

static uint64_t seal(uint8_t *bytes, size_t size, uint64_t seed)
{
	struct vfm_writer w = vfm_writer_of(bytes + size - SUM_SIZE, SUM_SIZE);
	uint64_t sum = vfm_checksum(bytes, size - SUM_SIZE, seed);

	vfm_write_le64(&w, sum);
	return sum;
}

static bool is_sealed(const uint8_t *bytes, size_t size, uint64_t seed, uint64_t *sum)
{
	struct vfm_reader r = vfm_reader_of(bytes + size - SUM_SIZE, SUM_SIZE);

	*sum = vfm_checksum(bytes, size - SUM_SIZE, seed);
	return vfm_read_le64(&r) == *sum;
}

/* What a crash leaves of a write that was not finished. */
static bool is_torn(const uint8_t *bytes, size_t have, size_t size)
{
	for (size_t i = size - SUM_SIZE; have == size && i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static void record_to_bytes(const struct vfm_journal *j, enum vfm_handover state, uint32_t flags,
			    uint8_t bytes[RECORD_SIZE])
{
	struct vfm_writer w = vfm_writer_of(bytes, RECORD_SIZE);

	memset(bytes, 0, RECORD_SIZE);
	vfm_write_le32(&w, state);
	vfm_write_le32(&w, flags);
	vfm_write_le64(&w, j->sequence);
	vfm_write_le64(&w, (uint64_t)time(NULL));
}

/* ---- writing -------------------------------------------------------------- */

static int write_at(struct vfm_journal *j, const uint8_t *bytes, size_t size, uint64_t at,
		    struct vfm_err *err)
{
	while (size) {
		ssize_t n = pwrite(j->fd, bytes, size, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_io(j, "write", err);
		bytes += n;
		size -= (size_t)n;
		at += (uint64_t)n;
	}
	return fsync(j->fd) ? fail_io(j, "write to disk", err) : 0;
}

/* A record that failed shall not be taken for one later, if that can still be had. */
static void take_back(struct vfm_journal *j)
{
	if (!ftruncate(j->fd, (off_t)j->end))
		(void)!fsync(j->fd);
}

int vfm_journal_append(struct vfm_journal *j, enum vfm_handover state, uint32_t flags,
		       struct vfm_err *err)
{
	uint8_t bytes[RECORD_SIZE];
	uint64_t chain;
	int ret;

	flags |= j->flags & FLAGS_STAY;
	if (j->sequence >= RECORDS_MAX)
		return vfm_fail(err, -EFBIG, "journal %s has %u records already", j->name,
				RECORDS_MAX);
	record_to_bytes(j, state, flags, bytes);
	chain = seal(bytes, RECORD_SIZE, j->chain);
	ret = write_at(j, bytes, sizeof(bytes), j->end, err);
	if (ret) {
		take_back(j);
		return ret;
	}
	j->head.who.state = state;
	j->flags = flags;
	j->chain = chain;
	j->sequence++;
	j->end += RECORD_SIZE;
	return 0;
}

int vfm_journal_remove(struct vfm_journal *j, struct vfm_err *err)
{
	if (unlinkat(j->dir, j->name, 0) || fsync(j->dir))
		return fail_io(j, "remove", err);
	return 0;
}

static int lock(struct vfm_journal *j, int how, struct vfm_err *err)
{
	if (!flock(j->fd, how | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return vfm_fail(err, -EBUSY, "journal %s is in use: its migration is under way",
				j->name);
	return fail_io(j, "lock", err);
}

static int create_file(struct vfm_journal *j, struct vfm_err *err)
{
	j->fd = openat(j->dir, j->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return j->fd < 0 ? fail_io(j, "create", err) : lock(j, LOCK_EX, err);
}

/*
 * The fixed part of the header first: the rest may be more than one page, which a crash
 * leaves in any order, and whether the file ends in its header that part alone tells.
 */
static int write_head(struct vfm_journal *j, const struct vfm_journal_head *head,
		      struct vfm_err *err)
{
	vfm_auto_free uint8_t *bytes = NULL;
	enum vfm_handover state = head->who.state;
	size_t size, used;
	int ret = vfm_journal_head_write(&bytes, &size, &j->chain, head, err);

	if (!ret)
		ret = vfm_journal_head_read(&j->head, &j->texts, &used, &j->chain, bytes, size,
					    j->name, err);
	if (!ret)
		ret = write_at(j, bytes, VFM_JOURNAL_FIXED, 0, err);
	if (!ret)
		ret = write_at(j, bytes + VFM_JOURNAL_FIXED, size - VFM_JOURNAL_FIXED,
			       VFM_JOURNAL_FIXED, err);
	j->end = size;
	j->head.who.state = state;
	return ret;
}

static int write_first(struct vfm_journal *j, const struct vfm_journal_head *head, uint32_t flags,
		       struct vfm_err *err)
{
	int ret = write_head(j, head, err);

	if (!ret)
		ret = vfm_journal_append(j, head->who.state, flags, err);
	if (!ret && fsync(j->dir))
		ret = fail_io(j, "write to disk the folder of", err);
	return ret;
}

int vfm_journal_create(struct vfm_journal **out, const char *dir,
		       const struct vfm_journal_head *head, uint32_t flags, struct vfm_err *err)
{
	char name[VFM_JOURNAL_NAME];
	struct vfm_journal *j;
	int fd = vfm_journal_open_dir(dir, err);
	int ret;

	if (fd < 0)
		return fd;
	vfm_journal_name(name, head->who.id, head->who.role);
	j = new_journal(fd, name);
	if (!j)
		return vfm_fail(err, -ENOMEM, "journal: no memory");
	j->flags = flags & FLAGS_STAY;
	ret = create_file(j, err);
	if (!ret) {
		ret = write_first(j, head, flags, err);
		if (ret)
			unlinkat(j->dir, j->name, 0);
	}
	if (ret) {
		vfm_journal_free(j);
		return ret;
	}
	*out = j;
	return 0;
}

/* ---- reading -------------------------------------------------------------- */

static int damaged(const struct vfm_journal *j, uint64_t offset, const char *what,
		   struct vfm_err *err)
{
	return vfm_fail(err, -EBADMSG, "journal %s is damaged at %" PRIu64 ": %s", j->name, offset,
			what);
}

static int open_file(struct vfm_journal *j, int mode, struct vfm_err *err)
{
	j->fd = openat(j->dir, j->name, mode | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return j->fd < 0 ? fail_io(j, "open", err) : 0;
}

static int check_file(struct vfm_journal *j, size_t *size, struct vfm_err *err)
{
	struct stat st;

	if (fstat(j->fd, &st))
		return fail_io(j, "look at", err);
	/* Whoever had it may just have removed it. */
	if (!st.st_nlink)
		return vfm_fail(err, -ENOENT, "journal %s is gone", j->name);
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return vfm_fail(err, -EBADMSG, "journal %s is no file of at most %u bytes", j->name,
				FILE_MAX);
	*size = (size_t)st.st_size;
	return 0;
}

static int read_file(struct vfm_journal *j, uint8_t *bytes, size_t size, struct vfm_err *err)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = pread(j->fd, bytes + have, size - have, (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_io(j, "read", err);
		have += (size_t)n;
	}
	return 0;
}

static int parse_head(struct vfm_journal *j, const uint8_t *bytes, size_t size, struct vfm_err *err)
{
	char name[VFM_JOURNAL_NAME];
	size_t used;
	int ret = vfm_journal_head_read(&j->head, &j->texts, &used, &j->chain, bytes, size, j->name,
					err);

	if (ret)
		return ret;
	vfm_journal_name(name, j->head.who.id, j->head.who.role);
	if (strcmp(name, j->name))
		return damaged(j, 16, "it is of another migration", err);
	j->end = used;
	return 0;
}

static int parse_record(struct vfm_journal *j, const uint8_t *bytes, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(bytes, RECORD_SIZE);
	enum vfm_handover state = (enum vfm_handover)vfm_read_le32(&r);
	uint32_t flags = vfm_read_le32(&r);

	if (!vfm_statement_fits(j->head.who.role, state) || state < VFM_HANDOVER_BEGUN ||
	    flags & ~FLAGS_KNOWN || vfm_read_le64(&r) != j->sequence)
		return damaged(j, j->end, "a record that cannot stand there", err);
	j->head.who.state = state;
	j->flags = flags | (j->flags & FLAGS_STAY);
	return 0;
}

static int parse_records(struct vfm_journal *j, const uint8_t *bytes, size_t size,
			 struct vfm_err *err)
{
	while (j->end < size) {
		const uint8_t *record = bytes + j->end;
		size_t have = VFM_MIN(size - j->end, RECORD_SIZE);
		uint64_t sum = 0;
		int ret;

		if (have < RECORD_SIZE || !is_sealed(record, RECORD_SIZE, j->chain, &sum)) {
			if (j->end + have == size && is_torn(record, have, RECORD_SIZE))
				break;
			return damaged(j, j->end, "a record does not agree with its checksum", err);
		}
		ret = parse_record(j, record, err);
		if (ret)
			return ret;
		j->chain = sum;
		j->sequence++;
		j->end += RECORD_SIZE;
	}
	if (!j->sequence)
		return vfm_fail(err, -ENODATA, "journal %s has no record yet", j->name);
	return 0;
}

static int parse(struct vfm_journal *j, uint8_t *bytes, struct vfm_err *err)
{
	size_t size = 0;
	int ret = check_file(j, &size, err);

	if (!ret)
		ret = read_file(j, bytes, size, err);
	if (!ret)
		ret = parse_head(j, bytes, size, err);
	return ret ? ret : parse_records(j, bytes, size, err);
}

static int load(struct vfm_journal *j, struct vfm_err *err)
{
	vfm_auto_free uint8_t *bytes = malloc(FILE_MAX);
	int ret = bytes ? open_file(j, O_RDWR, err) : vfm_fail(err, -ENOMEM, "journal: no memory");

	if (!ret)
		ret = lock(j, LOCK_EX, err);
	if (!ret)
		ret = parse(j, bytes, err);
	if (!ret)
		ret = write_at(j, bytes + j->end - RECORD_SIZE, RECORD_SIZE, j->end - RECORD_SIZE,
			       err);
	if (!ret && fsync(j->dir))
		ret = fail_io(j, "write to disk the folder of", err);
	return ret;
}

/*
 * One that is being made is not locked for a moment, and whoever locked it then would be in its
 * maker's way: what can be read whole is locked by its maker, if that lives.
 */
static int look(struct vfm_journal *j, struct vfm_err *err)
{
	vfm_auto_free uint8_t *bytes = malloc(FILE_MAX);
	size_t size;
	int ret =
		bytes ? open_file(j, O_RDONLY, err) : vfm_fail(err, -ENOMEM, "journal: no memory");

	if (!ret)
		ret = parse(j, bytes, err);
	if (!ret)
		ret = lock(j, LOCK_SH, err);
	return ret ? ret : check_file(j, &size, err);
}

/* A journal that is in the folder, but not read. */
static int find(struct vfm_journal **out, int dir, const char *name, struct vfm_err *err)
{
	int own = fcntl(dir, F_DUPFD_CLOEXEC, 0);

	if (own < 0)
		return vfm_fail(err, -errno, "open journal %s: %s", name, strerror(errno));
	*out = new_journal(own, name);
	return *out ? 0 : vfm_fail(err, -ENOMEM, "journal: no memory");
}

int vfm_journal_look(struct vfm_journal **out, int dir, const char *name, struct vfm_err *err)
{
	struct vfm_journal *j;
	int ret = find(&j, dir, name, err);

	if (ret)
		return ret;
	ret = look(j, err);
	if (ret) {
		vfm_journal_free(j);
		return ret;
	}
	*out = j;
	return 0;
}

int vfm_journal_open(struct vfm_journal **out, int dir, const char *name, struct vfm_err *err)
{
	struct vfm_journal *j;
	int ret = find(&j, dir, name, err);

	if (ret)
		return ret;
	ret = load(j, err);
	/* Nothing has begun, so there is nothing to remember. */
	if (ret == -ENODATA)
		unlinkat(j->dir, j->name, 0);
	if (ret) {
		vfm_journal_free(j);
		return ret;
	}
	*out = j;
	return 0;
}

/* ---- a folder ------------------------------------------------------------- */

static bool is_journal(const char *name)
{
	size_t hex = strspn(name, "0123456789abcdef");

	return hex == VFM_MIGRATION_ID - 1 &&
	       (!strcmp(name + hex, ".source") || !strcmp(name + hex, ".destination"));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int list(char (*names)[VFM_JOURNAL_NAME], DIR *folder, struct vfm_err *err)
{
	const struct dirent *entry;
	int count = 0;

	while ((errno = 0, entry = readdir(folder))) {
		if (!is_journal(entry->d_name))
			continue;
		if (count == FILES_MAX)
			return vfm_fail(err, -E2BIG, "more than %d journals in one folder",
					FILES_MAX);
		snprintf(names[count++], VFM_JOURNAL_NAME, "%.47s", entry->d_name);
	}
	if (errno)
		return vfm_fail(err, -errno, "read the folder of journals: %s", strerror(errno));
	qsort(names, (size_t)count, sizeof(*names), by_name);
	return count;
}

int vfm_journal_list(char (**out)[VFM_JOURNAL_NAME], int dir, struct vfm_err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int count;

	if (!folder) {
		vfm_close_fd(&fd);
		return vfm_fail(err, -errno, "read the folder of journals: %s", strerror(errno));
	}
	*out = calloc(FILES_MAX, sizeof(**out));
	count = *out ? list(*out, folder, err) : vfm_fail(err, -ENOMEM, "journals: no memory");
	if (count < 0) {
		free(*out);
		*out = NULL;
	}
	closedir(folder);
	return count;
}
