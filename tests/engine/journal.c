// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The journal file: what was said is there again, whatever is torn off its end; what is
 * damaged is refused with the place; a disk that is full costs the last word at most.
 * And the table of verdicts, all of it, against the rules that it must not break.
 */

#include "test.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/util.h"
#include "engine/journal.h"
#include "engine/owner.h"
#include "engine/settle.h"
#include "fds.h"

#define RECORD 64

static char dir[32];
static char path[128];
static char name[VFM_JOURNAL_NAME];
static int folder;

/* Bytes of the fixed part, and of the header below: six attributes and a checksum more. */
#define FIXED 312
#define HEAD (FIXED + 16 + 32 + 32 + 24 + 24 + 24 + 8)

static const char *const uris[] = { "sim:dma", "vfio-user:/run/b.sock" };

static const struct vfm_journal_head head = {
	.who = { .id = { 1, 2, 0xab },
		 .epoch = 1,
		 .role = VFM_ROLE_SOURCE,
		 .state = VFM_HANDOVER_BEGUN },
	.uris = uris,
	.nr_uris = 2,
	.store = "http://127.0.0.1:2379",
	.key = "vfmig/owner/nic0",
	.store_tls = "/etc/vfmig",
	.store_node = "a.example",
	.peer = "unix:/run/peer",
};

/* begun, giving, given */
static void write_journal(void)
{
	struct vfm_journal *j;

	unlink(path);
	assert_int_equal(vfm_journal_create(&j, dir, &head, VFM_JOURNAL_PAUSED, NULL), 0);
	assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_GIVING, 0, NULL), 0);
	assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_GIVEN, VFM_JOURNAL_DONE, NULL), 0);
	vfm_journal_free(j);
}

/* What the journal says, or why it cannot be read. */
static int read_state(struct vfm_err *err)
{
	struct vfm_journal *j;
	int ret = vfm_journal_open(&j, folder, name, err);

	if (ret)
		return ret;
	assert_int_equal(j->head.nr_uris, head.nr_uris);
	for (size_t i = 0; i < head.nr_uris; i++)
		assert_string_equal(j->head.uris[i], head.uris[i]);
	assert_string_equal(j->head.store, head.store);
	assert_string_equal(j->head.key, head.key);
	assert_string_equal(j->head.store_tls, head.store_tls);
	assert_string_equal(j->head.store_node, head.store_node);
	assert_string_equal(j->head.peer, head.peer);
	assert_true(j->flags & VFM_JOURNAL_PAUSED);
	ret = (int)j->head.who.state;
	vfm_journal_free(j);
	return ret;
}

static void what_was_said_is_there(void **state)
{
	struct stat st;

	(void)state;
	write_journal();
	assert_int_equal(read_state(NULL), VFM_HANDOVER_GIVEN);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, HEAD + 3 * RECORD);
}

/* Every length that a crash may leave, with nothing or zeros where more was to be. */
static void a_torn_end_costs_the_last_word(void **state)
{
	static const enum vfm_handover said[] = { VFM_HANDOVER_BEGUN, VFM_HANDOVER_GIVING,
						  VFM_HANDOVER_GIVEN };

	(void)state;
	for (int zeros = 0; zeros < 2; zeros++) {
		for (int size = 0; size < HEAD + 3 * RECORD; size += size < HEAD - 70 ? 13 : 1) {
			int whole = size < HEAD ? 0 : (size - HEAD) / RECORD;
			/* the fixed part is on disk before the rest */
			int part = size < FIXED ? FIXED : HEAD;
			int next = size < HEAD ? part : HEAD + (whole + 1) * RECORD;
			struct vfm_err err;
			int got;

			write_journal();
			assert_int_equal(truncate(path, size), 0);
			/* of the checksum nothing may be there: a sector is not cut in it */
			if (zeros && next - size >= 8)
				assert_int_equal(truncate(path, next), 0);
			got = read_state(&err);
			if (got != (whole ? (int)said[whole - 1] : -ENODATA))
				fail_msg("%d bytes: %d: %s", size, got, err.msg);
			/* And it goes on from there. */
			if (!whole)
				continue;
			assert_int_equal(read_state(NULL), said[whole - 1]);
		}
	}
}

static void one_that_never_began_is_gone(void **state)
{
	(void)state;
	write_journal();
	assert_int_equal(truncate(path, HEAD), 0);
	assert_int_equal(read_state(NULL), -ENODATA);
	assert_int_equal(access(path, F_OK), -1);
}

static void every_damaged_byte_is_found(void **state)
{
	(void)state;
	for (int at = 0; at < HEAD + 3 * RECORD; at++) {
		struct vfm_err err;
		char want[64];
		uint8_t byte;
		int fd;

		write_journal();
		fd = open(path, O_RDWR | O_CLOEXEC);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		assert_int_equal(read_state(&err), -EBADMSG);
		snprintf(want, sizeof(want),
			 "damaged at %d:", at < HEAD ? 0 : at - (at - HEAD) % RECORD);
		if (!strstr(err.msg, want))
			fail_msg("byte %d: %s", at, err.msg);
	}
}

static void records_of_another_journal_are_damage(void **state)
{
	struct vfm_journal_head other = head;
	char from[128], second[VFM_JOURNAL_NAME];
	uint8_t record[RECORD];
	struct vfm_journal *j;
	struct vfm_err err;
	int fd;

	(void)state;
	write_journal();
	other.who.id[15] = 7;
	vfm_journal_name(second, other.who.id, other.who.role);
	snprintf(from, sizeof(from), "%s/%s", dir, second);
	assert_int_equal(vfm_journal_create(&j, dir, &other, 0, NULL), 0);
	assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_KEPT, 0, NULL), 0);
	vfm_journal_free(j);
	fd = open(from, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, record, RECORD, HEAD + RECORD), RECORD);
	close(fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, record, RECORD, HEAD + RECORD), RECORD);
	close(fd);
	assert_int_equal(read_state(&err), -EBADMSG);
	/* nor is the whole file good under another name */
	assert_int_equal(rename(from, path), 0);
	assert_int_equal(read_state(&err), -EBADMSG);
}

static void it_is_opened_once(void **state)
{
	struct vfm_journal *j, *k;

	(void)state;
	write_journal();
	assert_int_equal(vfm_journal_open(&j, folder, name, NULL), 0);
	assert_int_equal(vfm_journal_open(&k, folder, name, NULL), -EBUSY);
	assert_int_equal(vfm_journal_create(&k, dir, &head, 0, NULL), -EEXIST);
	assert_int_equal(vfm_journal_remove(j, NULL), 0);
	assert_int_equal(vfm_journal_open(&k, folder, name, NULL), -ENOENT);
	vfm_journal_free(j);
}

/*
 * What is left open of a device stands in the way of its next migration: not if it is settled, if a
 * store knows better, if its migration is under way, if it is of another device or cannot be read.
 */
static void what_was_left_is_in_the_way(void **state)
{
	static const char *const others[] = { "sim:other" }, *const ours[] = { "x", "sim:dma" };
	struct vfm_journal_head old = head, next = head;
	struct vfm_owner *owner;
	struct vfm_journal *j;
	struct vfm_err err;

	(void)state;
	unlink(path);
	next.who.id[15] = 9;
	next.uris = ours;
	old.store = old.key = old.store_tls = old.store_node = NULL;
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), 0);
	assert_int_equal(vfm_journal_create(&j, dir, &old, 0, NULL), 0);
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), 0);
	vfm_journal_free(j);
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "sim:dma: an earlier migration"));
	assert_non_null(strstr(err.msg, name));
	next.uris = others;
	next.nr_uris = 1;
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), 0);
	next = head;
	next.who.id[15] = 9;
	/* also if the next one has a store: that knows nothing of the one before */
	assert_int_equal(vfm_owner_pair_new(&owner, dir, &next, 0, &err), -EBUSY);
	/* looking has changed nothing, and is in nobody's way */
	assert_int_equal(vfm_journal_open(&j, folder, name, &err), 0);
	assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_KEPT, 0, &err), 0);
	vfm_journal_free(j);
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), -EBUSY);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), 0);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_int_equal(vfm_journal_create(&j, dir, &old, 0, NULL), 0);
	assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_KEPT, VFM_JOURNAL_DONE, &err), 0);
	vfm_journal_free(j);
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), 0);
	write_journal();
	assert_int_equal(vfm_journal_open(&j, folder, name, &err), 0);
	assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_GIVEN, 0, &err), 0);
	vfm_journal_free(j);
	assert_int_equal(vfm_journal_check_left(dir, &next, &err), 0);
}

static void a_link_is_not_followed(void **state)
{
	char target[64];

	(void)state;
	write_journal();
	snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(read_state(NULL), -ELOOP);
	unlink(target);
}

/* A limit on the size of files is as good as a disk that is full. */
static void limit_files(rlim_t size)
{
	const struct rlimit limit = { size, RLIM_INFINITY };

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_costs_the_last_word(void **state)
{
	struct vfm_journal *j;
	struct vfm_err err;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	for (int room = 0; room < RECORD; room += 9) {
		unlink(path);
		assert_int_equal(vfm_journal_create(&j, dir, &head, VFM_JOURNAL_PAUSED, NULL), 0);
		limit_files((rlim_t)(HEAD + RECORD + room));
		assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_GIVING, 0, &err), -EFBIG);
		assert_int_equal(j->head.who.state, VFM_HANDOVER_BEGUN);
		limit_files(RLIM_INFINITY);
		/* with room again it goes on, as if that had never been begun */
		if (room % 2)
			assert_int_equal(vfm_journal_append(j, VFM_HANDOVER_KEPT, 0, NULL), 0);
		vfm_journal_free(j);
		assert_int_equal(read_state(NULL),
				 room % 2 ? VFM_HANDOVER_KEPT : VFM_HANDOVER_BEGUN);
	}
	unlink(path);
	limit_files(100);
	assert_int_equal(vfm_journal_create(&j, dir, &head, 0, NULL), -EFBIG);
	limit_files(RLIM_INFINITY);
	/* nothing is left of one that could not be begun */
	assert_int_equal(access(path, F_OK), -1);
}

static void it_does_not_grow_without_an_end(void **state)
{
	struct vfm_journal *j;
	int n = 0;

	(void)state;
	unlink(path);
	assert_int_equal(vfm_journal_create(&j, dir, &head, VFM_JOURNAL_PAUSED, NULL), 0);
	while (!vfm_journal_append(j, VFM_HANDOVER_BEGUN, 0, NULL))
		assert_true(++n < 1000);
	vfm_journal_free(j);
	assert_int_equal(read_state(NULL), VFM_HANDOVER_BEGUN);
}

/* ---- headers -------------------------------------------------------------------- */

static void a_page_that_never_came_is_no_damage(void **state)
{
	int fd;

	(void)state;
	write_journal();
	assert_int_equal(truncate(path, HEAD), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "\0\0\0\0\0\0\0\0\0", 9, FIXED + 7), 9);
	close(fd);
	assert_int_equal(read_state(NULL), -ENODATA);
}

static void the_largest_unit_has_room(void **state)
{
	static char texts[VFM_JOURNAL_DEVICES_MAX][VFM_JOURNAL_URI];
	static char store[VFM_JOURNAL_STORE], key[VFM_JOURNAL_KEY];
	const char *list[VFM_JOURNAL_DEVICES_MAX + 1] = { NULL };
	struct vfm_journal_head large = head;
	struct vfm_journal *j;
	struct stat st;

	(void)state;
	for (unsigned int i = 0; i < VFM_JOURNAL_DEVICES_MAX; i++) {
		memset(texts[i], 'a' + (int)(i % 26), VFM_JOURNAL_URI - 1);
		list[i] = texts[i];
	}
	memset(store, 's', sizeof(store) - 1);
	memset(key, 'k', sizeof(key) - 1);
	large.uris = list;
	large.nr_uris = VFM_JOURNAL_DEVICES_MAX;
	large.store = store;
	large.key = key;
	unlink(path);
	assert_int_equal(vfm_journal_create(&j, dir, &large, 0, NULL), 0);
	vfm_journal_free(j);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= VFM_JOURNAL_HEAD_MAX + RECORD);
	assert_int_equal(vfm_journal_open(&j, folder, name, NULL), 0);
	assert_int_equal(j->head.nr_uris, large.nr_uris);
	for (size_t i = 0; i < large.nr_uris; i++)
		assert_string_equal(j->head.uris[i], texts[i]);
	assert_string_equal(j->head.store, store);
	assert_string_equal(j->head.key, key);
	vfm_journal_free(j);
}

static void what_does_not_fit_is_refused(void **state)
{
	static char text[VFM_JOURNAL_URI + 1];
	const char *list[VFM_JOURNAL_DEVICES_MAX + 1];
	struct vfm_journal_head bad = head;
	struct vfm_journal *j;

	(void)state;
	unlink(path);
	for (size_t i = 0; i <= VFM_JOURNAL_DEVICES_MAX; i++)
		list[i] = "sim:dma";
	bad.uris = list;
	bad.nr_uris = VFM_JOURNAL_DEVICES_MAX + 1;
	assert_int_equal(vfm_journal_create(&j, dir, &bad, 0, NULL), -EINVAL);
	bad.nr_uris = 0;
	assert_int_equal(vfm_journal_create(&j, dir, &bad, 0, NULL), -EINVAL);
	memset(text, 'x', VFM_JOURNAL_URI);
	list[3] = text;
	bad.nr_uris = 4;
	assert_int_equal(vfm_journal_create(&j, dir, &bad, 0, NULL), -ENAMETOOLONG);
	list[3] = "";
	assert_int_equal(vfm_journal_create(&j, dir, &bad, 0, NULL), -EINVAL);
	/* nothing is left of it */
	assert_int_equal(access(path, F_OK), -1);
}

/*
 * Attributes as nobody writes them, each with a checksum that is right: the bytes stand in
 * place of those of a header with the device "a".
 */
static const struct {
	const char *bytes;
	size_t size;
	int ret;
} forged[] = {
#define FORGED(text, ret)                                                                          \
	{                                                                                          \
		text, sizeof(text) - 1, ret                                                        \
	}
#define ONE "\1\0\0\0\1\0\0\0a\0\0\0\0\0\0\0"
	FORGED(ONE, 0),
	FORGED(ONE ONE, 0),
	/* not known, and optional */
	FORGED(ONE "\7\0\0\x80\3\0\0\0abc\0\0\0\0\0", 0),
	/* an optional URI is not a URI */
	FORGED("\1\0\0\x80\1\0\0\0a\0\0\0\0\0\0\0", -EBADMSG),
	FORGED(ONE "\7\0\0\0\0\0\0\0", -ENOTSUP),
	FORGED("", -EBADMSG),
	/* empty, with a zero in it, too long for what is there, for 32 bits, cut in its head */
	FORGED("\1\0\0\0\0\0\0\0", -EBADMSG),
	FORGED("\1\0\0\0\3\0\0\0a\0b\0\0\0\0\0", -EBADMSG),
	FORGED("\1\0\0\0\x09\0\0\0abcdefgh", -EBADMSG),
	FORGED("\1\0\0\0\xff\xff\xff\xff"
	       "a\0\0\0\0\0\0\0",
	       -EBADMSG),
	FORGED("\1\0\0\0\xf9\xff\xff\xff"
	       "a\0\0\0\0\0\0\0",
	       -EBADMSG),
	/* a store without a key, a key alone, a store twice */
	FORGED(ONE "\2\0\0\0\1\0\0\0s\0\0\0\0\0\0\0", -EBADMSG),
	FORGED(ONE "\3\0\0\0\1\0\0\0k\0\0\0\0\0\0\0", -EBADMSG),
	FORGED(ONE "\2\0\0\0\1\0\0\0s\0\0\0\0\0\0\0"
		   "\3\0\0\0\1\0\0\0k\0\0\0\0\0\0\0",
	       0),
	FORGED(ONE "\2\0\0\0\1\0\0\0s\0\0\0\0\0\0\0"
		   "\2\0\0\0\1\0\0\0t\0\0\0\0\0\0\0"
		   "\3\0\0\0\1\0\0\0k\0\0\0\0\0\0\0",
	       -EBADMSG),
};

static void seal(uint8_t *bytes, size_t size)
{
	uint64_t sum = htole64(vfm_checksum(bytes, size - 8, 0));

	memcpy(bytes + size - 8, &sum, sizeof(sum));
}

static int read_forged(const char *attributes, size_t len, size_t *used)
{
	struct vfm_journal_head out;
	size_t size, all = FIXED + len + 8;
	uint32_t told = htole32((uint32_t)all);
	uint8_t bytes[512] = { 0 };
	uint8_t *real;
	void *texts;
	uint64_t sum;
	int ret;

	assert_int_equal(vfm_journal_head_write(&real, &size, &sum, &head, NULL), 0);
	memcpy(bytes, real, FIXED);
	free(real);
	memcpy(bytes + 12, &told, sizeof(told));
	seal(bytes, FIXED);
	memcpy(bytes + FIXED, attributes, len);
	seal(bytes, all);
	ret = vfm_journal_head_read(&out, &texts, used, &sum, bytes, all, "it", NULL);
	if (!ret)
		free(texts);
	return ret;
}

static void forged_attributes_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(forged); i++) {
		size_t used = 0;
		int ret = read_forged(forged[i].bytes, forged[i].size, &used);

		if (ret != forged[i].ret)
			fail_msg("%zu: %d", i, ret);
		assert_true(ret || used == FIXED + forged[i].size + 8);
	}
}

static void a_later_version_is_not_damage(void **state)
{
	struct vfm_journal_head out;
	uint8_t *bytes;
	size_t size, used;
	uint64_t sum;
	void *texts;

	(void)state;
	assert_int_equal(vfm_journal_head_write(&bytes, &size, &sum, &head, NULL), 0);
	bytes[8] = 3;
	seal(bytes, FIXED);
	assert_int_equal(vfm_journal_head_read(&out, &texts, &used, &sum, bytes, size, "it", NULL),
			 -ENOTSUP);
	free(bytes);
}

/* ---- version 1 ------------------------------------------------------------------ */

/* What version 1 left of a source that was killed, and of its destination, which runs. */
static const struct {
	const char *file, *uri, *peer;
	enum vfm_handover state, next;
} recorded[] = {
	{ "cf7789bcf0835eefa555bfa8f7b4c367.source", "vfio-user:a.sock", "unix:w.sock",
	  VFM_HANDOVER_GIVING, VFM_HANDOVER_GIVEN },
	{ "cf7789bcf0835eefa555bfa8f7b4c367.destination", "vfio-user:b.sock", "",
	  VFM_HANDOVER_RUNNING, VFM_HANDOVER_RUNNING },
};

static const char *recordings;

static void copy_recorded(const char *file)
{
	char from[512], to[128];
	uint8_t bytes[4096];
	ssize_t n;
	int fd;

	snprintf(from, sizeof(from), "%s/%s", recordings, file);
	snprintf(to, sizeof(to), "%s/%s", dir, file);
	fd = open(from, O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, (size_t)n), n);
	close(fd);
}

static void version_1_is_still_read(void **state)
{
	struct vfm_journal *j;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(recorded); i++) {
		copy_recorded(recorded[i].file);
		assert_int_equal(vfm_journal_open(&j, folder, recorded[i].file, NULL), 0);
		assert_int_equal(j->head.nr_uris, 1);
		assert_string_equal(j->head.uris[0], recorded[i].uri);
		assert_string_equal(j->head.peer, recorded[i].peer);
		assert_null(j->head.store);
		assert_int_equal(j->head.who.state, recorded[i].state);
		assert_int_equal(j->head.who.epoch, 1);
		/* and goes on */
		assert_int_equal(vfm_journal_append(j, recorded[i].next, VFM_JOURNAL_DONE, NULL),
				 0);
		vfm_journal_free(j);
		assert_int_equal(vfm_journal_open(&j, folder, recorded[i].file, NULL), 0);
		assert_int_equal(j->head.who.state, recorded[i].next);
		assert_int_equal(vfm_journal_remove(j, NULL), 0);
		vfm_journal_free(j);
	}
}

/* ---- verdicts ------------------------------------------------------------------- */

static bool runs(struct vfm_verdict v)
{
	return v.decided && (v.next == VFM_HANDOVER_KEPT || v.next == VFM_HANDOVER_RUNNING);
}

static bool is_taken(enum vfm_handover s)
{
	return s == VFM_HANDOVER_COMMITTED || s == VFM_HANDOVER_RUNNING;
}

static void no_verdict_breaks_a_rule(void **state)
{
	unsigned int seen = 0;

	(void)state;
	for (enum vfm_handover s = 0; s < 64; s++) {
		for (enum vfm_handover d = 0; d < 64; d++) {
			struct vfm_verdict vs = vfm_settle(VFM_ROLE_SOURCE, s, d);
			struct vfm_verdict vd = vfm_settle(VFM_ROLE_DESTINATION, d, s);
			bool known_s =
				vfm_statement_fits(VFM_ROLE_SOURCE, s) && s >= VFM_HANDOVER_BEGUN;
			bool known_d = vfm_statement_fits(VFM_ROLE_DESTINATION, d) &&
				       d >= VFM_HANDOVER_BEGUN;

			assert_true(vs.why && vd.why);
			if (!known_s)
				assert_false(vs.decided);
			if (!known_d)
				assert_false(vd.decided);
			if (!known_s || !known_d)
				continue;
			seen++;
			/* never both; the source never against what was taken */
			assert_false(runs(vs) && runs(vd));
			if (is_taken(d))
				assert_false(runs(vs));
			/* a source that gives asks; a destination runs what it has taken alone */
			if (s == VFM_HANDOVER_GIVING && runs(vs))
				assert_int_equal(d, VFM_HANDOVER_RESET);
			if (runs(vd))
				assert_true(is_taken(d));
			/* what is final stays */
			if (vfm_settle_is_final(s))
				assert_int_equal(vs.next, s);
			if (vfm_settle_is_final(d))
				assert_int_equal(vd.next, d);
		}
	}
	assert_int_equal(seen, 4 * 5);
}

static int set_up(void **state)
{
	(void)state;
	/* in memory, if that can be had: to wait for a disk tests nothing here */
	snprintf(dir, sizeof(dir), "%s/vfmig-journal-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(dir))
		return -1;
	vfm_journal_name(name, head.who.id, head.who.role);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	folder = vfm_journal_open_dir(dir, NULL);
	return folder < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(folder);
	unlink(path);
	return rmdir(dir);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_said_is_there),
		cmocka_unit_test(a_torn_end_costs_the_last_word),
		cmocka_unit_test(one_that_never_began_is_gone),
		cmocka_unit_test(every_damaged_byte_is_found),
		cmocka_unit_test(records_of_another_journal_are_damage),
		cmocka_unit_test(it_is_opened_once),
		cmocka_unit_test(what_was_left_is_in_the_way),
		cmocka_unit_test(a_link_is_not_followed),
		cmocka_unit_test(a_full_disk_costs_the_last_word),
		cmocka_unit_test(it_does_not_grow_without_an_end),
		cmocka_unit_test(a_page_that_never_came_is_no_damage),
		cmocka_unit_test(the_largest_unit_has_room),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(forged_attributes_are_found),
		cmocka_unit_test(a_later_version_is_not_damage),
		cmocka_unit_test(version_1_is_still_read),
		cmocka_unit_test(no_verdict_breaks_a_rule),
	};

	if (argc != 2)
		return 2;
	recordings = argv[1];
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
