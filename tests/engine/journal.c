// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The journal file: what was said is there again, whatever is torn off its end; what is
 * damaged is refused with the place; a disk that is full costs the last word at most.
 * And the table of verdicts, all of it, against the rules that it must not break.
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "engine/journal.h"
#include "engine/settle.h"
#include "fds.h"

#define HEAD 2048
#define RECORD 64

static char dir[32];
static char path[128];
static char name[VFM_JOURNAL_NAME];
static int folder;

static const struct vfm_journal_head head = {
	.who = { .id = { 1, 2, 0xab },
		 .epoch = 1,
		 .role = VFM_ROLE_SOURCE,
		 .state = VFM_HANDOVER_BEGUN },
	.uri = "sim:dma",
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
	assert_string_equal(j->head.uri, head.uri);
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
		for (int size = 0; size < HEAD + 3 * RECORD; size += size < HEAD - 70 ? 61 : 1) {
			int whole = size < HEAD ? 0 : (size - HEAD) / RECORD;
			int next = size < HEAD ? HEAD : HEAD + (whole + 1) * RECORD;
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
	for (int at = 0; at < HEAD + 3 * RECORD; at += at == 200 ? 1700 : 1) {
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_said_is_there),
		cmocka_unit_test(a_torn_end_costs_the_last_word),
		cmocka_unit_test(one_that_never_began_is_gone),
		cmocka_unit_test(every_damaged_byte_is_found),
		cmocka_unit_test(records_of_another_journal_are_damage),
		cmocka_unit_test(it_is_opened_once),
		cmocka_unit_test(a_link_is_not_followed),
		cmocka_unit_test(a_full_disk_costs_the_last_word),
		cmocka_unit_test(it_does_not_grow_without_an_end),
		cmocka_unit_test(no_verdict_breaks_a_rule),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
