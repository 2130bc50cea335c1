// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Files that are journals, or not. The first byte of the input chooses: with bit 0 all
 * checksums are made right, as a fuzzer would never find one. The file gets the name that it
 * says it has. What can be opened makes sense, goes on, and is the same when it is opened again.
 */

#include <endian.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/util.h"
#include "engine/journal.h"

#define SEAL (1u << 0)
#define V1_HEAD 2048u
#define RECORD 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a folder for this process alone, in memory, if that can be had. */
static int folder = -1;
static char path[64];

static void remove_folder(void)
{
	rmdir(path);
}

static void make_folder(void)
{
	snprintf(path, sizeof(path), "%s/vfmig-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (mkdtemp(path))
		folder = vfm_journal_open_dir(path, NULL);
	if (folder < 0)
		abort();
	atexit(remove_folder);
}

static uint64_t seal(uint8_t *bytes, size_t size, uint64_t seed)
{
	uint64_t sum = vfm_checksum(bytes, size - 8, seed);
	uint64_t wire = htole64(sum);

	memcpy(bytes + size - 8, &wire, sizeof(wire));
	return sum;
}

static uint32_t number_at(const uint8_t *bytes, size_t offset)
{
	uint32_t n;

	memcpy(&n, bytes + offset, sizeof(n));
	return le32toh(n);
}

static void seal_all(uint8_t *bytes, size_t size)
{
	size_t head = V1_HEAD;
	uint64_t sum;

	if (size < VFM_JOURNAL_FIXED)
		return;
	if (number_at(bytes, 8) != 1) {
		head = number_at(bytes, 12);
		seal(bytes, VFM_JOURNAL_FIXED, 0);
	}
	if (head < VFM_JOURNAL_FIXED + 8 || head > size)
		return;
	sum = seal(bytes, head, 0);
	for (; head + RECORD <= size; head += RECORD)
		sum = seal(bytes + head, RECORD, sum);
}

static void name_of(char name[VFM_JOURNAL_NAME], const uint8_t *bytes, size_t size)
{
	uint8_t id[VFM_ID_SIZE] = { 0 };
	enum vfm_role role = VFM_ROLE_SOURCE;

	if (size >= VFM_JOURNAL_FIXED) {
		memcpy(id, bytes + 16, sizeof(id));
		if (number_at(bytes, 40) == VFM_ROLE_DESTINATION)
			role = VFM_ROLE_DESTINATION;
	}
	vfm_journal_name(name, id, role);
}

static void check_head(const struct vfm_journal *j)
{
	if (!j->head.nr_uris || j->head.nr_uris > VFM_JOURNAL_DEVICES_MAX)
		abort();
	for (size_t i = 0; i < j->head.nr_uris; i++)
		if (!j->head.uris[i][0] || strlen(j->head.uris[i]) >= VFM_JOURNAL_URI)
			abort();
	if (!j->head.store != !j->head.key || strlen(j->head.peer) >= VFM_JOURNAL_PEER)
		abort();
	if (!vfm_statement_fits(j->head.who.role, j->head.who.state) || !j->head.who.epoch)
		abort();
}

static void check_file(const char *name)
{
	struct vfm_journal *j, *again;
	enum vfm_handover state;
	int said;

	if (vfm_journal_open(&j, folder, name, NULL))
		return;
	check_head(j);
	state = j->head.who.state;
	said = vfm_journal_append(j, state, VFM_JOURNAL_DONE, NULL);
	vfm_journal_free(j);
	if (vfm_journal_open(&again, folder, name, NULL))
		abort();
	if (again->head.who.state != state || (!said && !(again->flags & VFM_JOURNAL_DONE)))
		abort();
	vfm_journal_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[1u << 17];
	char name[VFM_JOURNAL_NAME];
	int fd;

	if (!size || size > sizeof(bytes))
		return 0;
	if (folder < 0)
		make_folder();
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & SEAL)
		seal_all(bytes, size - 1);
	name_of(name, bytes, size - 1);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, size - 1) != (ssize_t)(size - 1))
		abort();
	close(fd);
	check_file(name);
	unlinkat(folder, name, 0);
	return 0;
}
