// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * What vfmig_sim says at the edges of the interface, and that each fault which a good client
 * hides is there for others to see: `edges UUID`, of a device of type v2 with dma=pin, which is
 * removed in the end. Prints TAP.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../xxh3.h"
#include "raw.h"

#define IOVA 0x100000u
#define SIZE 0x10000u
#define JOB_OP 0x80
#define JOB_IOVA 0x88
#define JOB_LEN 0x90
#define JOB_SEED 0xa0
#define JOB_STATUS 0xa8
#define JOB_DOORBELL 0xc8

static struct raw dev;
static char why[256];

static bool is(const char *what, long got, long want)
{
	if (got != want)
		snprintf(why, sizeof(why), "%s: %ld, not %ld", what, got, want);
	return got == want;
}

static long read_once(int fd, size_t len)
{
	static char buf[65536];
	ssize_t n = read(fd, buf, len);

	return n < 0 ? -errno : n;
}

/* What the last read says, when all that there is has been read. */
static long drain(int fd)
{
	long n;

	do
		n = read_once(fd, 65536);
	while (n > 0);
	return n;
}

static int go(uint32_t state)
{
	int fd, ret = raw_set_state(&dev, state, &fd);

	return ret < 0 ? ret : fd;
}

static bool starts(const char *fault)
{
	return is("fault", raw_set_fault(&dev, fault), 0) && is("reset", raw_reset(&dev), 0) &&
	       is("state after a reset", raw_get_state(&dev), ST_RUNNING);
}

static bool session_ends_with_saving(const char *fault, long want)
{
	int fd;
	bool ok;

	if (!starts(fault))
		return false;
	fd = go(ST_STOP_COPY);
	ok = is("read in STOP_COPY", read_once(fd, 100), 100) && is("STOP", go(ST_STOP), -1) &&
	     is("read in STOP", read_once(fd, 100), want);
	close(fd);
	return ok;
}

static bool dead_session(void)
{
	return session_ends_with_saving("", -ENODEV);
}

static bool fault_outlives(void)
{
	return session_ends_with_saving("session-outlives-saving", 100);
}

static bool dead_session_polls(void)
{
	struct pollfd p = { .events = POLLIN };
	bool ok;

	if (!starts(""))
		return false;
	p.fd = go(ST_PRE_COPY);
	ok = is("poll with data", poll(&p, 1, 0), 1) && is("drained", drain(p.fd), -ENOMSG) &&
	     is("poll without data", poll(&p, 1, 0), 0) && is("RUNNING", go(ST_RUNNING), -1) &&
	     is("poll of a dead session", poll(&p, 1, 0), 1);
	close(p.fd);
	return ok;
}

static bool change_wakes(void)
{
	struct pollfd p = { .events = POLLIN };
	bool ok;

	if (!starts(""))
		return false;
	p.fd = go(ST_PRE_COPY);
	ok = is("drained", drain(p.fd), -ENOMSG) && is("poll", poll(&p, 1, 0), 0) &&
	     is("change", raw_put(&dev, REGS + 0x190, 1, 8), 0) &&
	     is("poll after a change", poll(&p, 1, 0), 1);
	close(p.fd);
	return ok;
}

static bool info_flags(const char *fault, uint32_t want)
{
	struct raw_info info = { .flags = 0xffffffff };
	int fd;
	bool ok;

	if (!starts(fault))
		return false;
	fd = go(ST_PRE_COPY);
	ok = is("info", raw_precopy_info(fd, &info), 0) && is("flags", info.flags, want);
	close(fd);
	return ok;
}

static bool info_has_no_flags(void)
{
	return info_flags("", 0);
}

static bool fault_echoes_flags(void)
{
	return info_flags("precopy-flags-echoed", 0xffffffff);
}

static bool info_in_stop_copy(const char *fault, int want)
{
	struct raw_info info = { 0 };
	int fd;
	bool ok;

	if (!starts(fault))
		return false;
	fd = go(ST_STOP_COPY);
	ok = is("info in STOP_COPY", raw_precopy_info(fd, &info), want);
	close(fd);
	return ok;
}

static bool info_is_refused(void)
{
	return info_in_stop_copy("", -EINVAL);
}

static bool fault_info_anywhere(void)
{
	return info_in_stop_copy("precopy-info-anywhere", 0);
}

static bool ends(const char *fault, uint32_t state, long want)
{
	int fd;
	bool ok;

	if (!starts(fault))
		return false;
	fd = go(state);
	ok = is("end of data", drain(fd), want) && is("once more", drain(fd), want);
	close(fd);
	return ok;
}

static bool pre_copy_ends(void)
{
	return ends("", ST_PRE_COPY, -ENOMSG) && ends("precopy-end-zero", ST_PRE_COPY, 0);
}

static bool stop_copy_ends(void)
{
	return ends("", ST_STOP_COPY, 0) && ends("stop-copy-enomsg", ST_STOP_COPY, -ENOMSG);
}

static bool states_that_are_none(void)
{
	return starts("") && is("state 8", go(8), -EINVAL) && is("ERROR", go(ST_ERROR), -EINVAL) &&
	       is("state 2^31", go(0x80000000u), -EINVAL) &&
	       is("off by one", raw_set_fault(&dev, "state-off-by-one"), 0) &&
	       is("state 8 with the fault", go(8), -1);
}

static bool stop_copy_to_pre_copy(void)
{
	int fd;
	bool ok;

	if (!starts(""))
		return false;
	fd = go(ST_STOP_COPY);
	ok = is("STOP_COPY to PRE_COPY", go(ST_PRE_COPY), -EINVAL) &&
	     is("state", raw_get_state(&dev), ST_STOP_COPY) &&
	     is("the same state", go(ST_STOP_COPY), -1) && is("read", read_once(fd, 10), 10);
	close(fd);
	return ok;
}

/* Bytes that are no image: into ERROR, which a reset leads out of. */
static bool breaks(const char *fault, int stop, int running)
{
	static const char noise[64] = "not an image";
	int fd;
	bool ok;

	if (!starts(fault))
		return false;
	fd = go(ST_RESUMING);
	ok = is("write", write(fd, noise, sizeof(noise)) < 0 ? -errno : 0, -EBADMSG) &&
	     is("write again", write(fd, noise, sizeof(noise)) < 0 ? -errno : 0, -EBADMSG) &&
	     is("STOP", go(ST_STOP), stop) &&
	     is("state", raw_get_state(&dev), stop < -1 ? ST_ERROR : ST_STOP) &&
	     is("RUNNING", go(ST_RUNNING), running) && is("reset", raw_reset(&dev), 0) &&
	     is("state after it", raw_get_state(&dev), ST_RUNNING);
	close(fd);
	return ok;
}

static bool bad_image_is_error(void)
{
	return breaks("", -EBADMSG, -EIO);
}

static bool fault_error_left(void)
{
	return breaks("error-left-without-reset", -EBADMSG, -1);
}

static bool fault_refusal_forgotten(void)
{
	return breaks("refusal-forgotten", -1, -1);
}

static bool reset_kills(const char *fault, long want)
{
	int fd;
	bool ok;

	if (!starts(""))
		return false;
	fd = go(ST_STOP_COPY);
	ok = is("fault", raw_set_fault(&dev, fault), 0) && is("reset", raw_reset(&dev), 0) &&
	     is("read after a reset", read_once(fd, 10), want);
	close(fd);
	return ok;
}

static bool reset_ends_sessions(void)
{
	return reset_kills("", -ENODEV) && reset_kills("reset-keeps-session", 10);
}

static bool data_size_is(const char *fault, bool zero)
{
	uint64_t bytes = 0;

	return starts(fault) && is("data size", raw_data_size(&dev, &bytes), 0) &&
	       is("is 0", !bytes, zero);
}

static bool data_size(void)
{
	return data_size_is("", false) && data_size_is("size-zero", true);
}

static bool a_stream(void)
{
	char byte;
	int fd;
	bool ok;

	if (!starts(""))
		return false;
	fd = go(ST_STOP_COPY);
	ok = is("pread", pread(fd, &byte, 1, 0) < 0 ? -errno : 0, -ESPIPE) &&
	     is("write to it", write(fd, &byte, 1) < 0 ? -errno : 0, -EBADF) &&
	     is("lseek", lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0, -ESPIPE) &&
	     is("close-on-exec", fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	return ok;
}

static bool outlives_the_device(void)
{
	int fd;
	bool ok;

	if (!starts(""))
		return false;
	fd = go(ST_STOP_COPY);
	raw_close(&dev);
	ok = is("read after the device was closed", read_once(fd, 10), -ENODEV);
	if (!is("open again", raw_open(&dev, dev.uuid) < 0, 0))
		return false;
	ok = ok && is("state", raw_get_state(&dev), ST_RUNNING) &&
	     is("read of the old session", read_once(fd, 10), -ENODEV);
	close(fd);
	return ok;
}

static bool begin_fill(void)
{
	return is("master", raw_put(&dev, CONFIG + 4, 6, 2), 0) &&
	       is("op", raw_put(&dev, REGS + JOB_OP, 1, 8), 0) &&
	       is("iova", raw_put(&dev, REGS + JOB_IOVA, IOVA, 8), 0) &&
	       is("len", raw_put(&dev, REGS + JOB_LEN, SIZE, 8), 0) &&
	       is("seed", raw_put(&dev, REGS + JOB_SEED, 1, 8), 0) &&
	       is("doorbell", raw_put(&dev, REGS + JOB_DOORBELL, 1, 8), 0);
}

static bool job_is(uint64_t want)
{
	uint64_t status = 0;

	return is("job status", raw_get(&dev, REGS + JOB_STATUS, &status, 8), 0) &&
	       is("job", (long)status, (long)want);
}

/* Written memory is pinned, until it is taken away; then it is written no more. */
static bool pins(void *memory)
{
	return starts("") && is("map", raw_map(&dev, memory, IOVA, SIZE), 0) && begin_fill() &&
	       job_is(2) && is("pinned", raw_pinned(&dev), SIZE / 4096) &&
	       is("unmap", raw_unmap(&dev, IOVA, SIZE), 0) &&
	       is("pinned after it", raw_pinned(&dev), 0) && begin_fill() && job_is(3);
}

static bool pinned_pages(void)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok = memory != MAP_FAILED && pins(memory) && is("written", memory[8] != 0, true);

	raw_unmap(&dev, IOVA, SIZE);
	munmap(memory, SIZE);
	return ok;
}

static bool p2p_waits(const char *fault, uint64_t in_p2p)
{
	static char memory[SIZE] __attribute__((aligned(4096)));
	bool ok = starts(fault) && is("map", raw_map(&dev, memory, IOVA, SIZE), 0) &&
		  is("RUNNING_P2P", go(ST_P2P), -1) && begin_fill() && job_is(in_p2p) &&
		  is("RUNNING", go(ST_RUNNING), -1) && job_is(2);

	raw_unmap(&dev, IOVA, SIZE);
	return ok;
}

static bool no_dma_in_p2p(void)
{
	return p2p_waits("", 1) && p2p_waits("dma-in-p2p", 2);
}

/* Far more than an image behind an impossible length: refused, or swallowed as the bug would. */
static bool overflow(const char *fault, long want)
{
	static char bytes[65536];
	long ret = 0;
	int fd, i;

	if (!starts(fault))
		return false;
	memset(bytes, 0x7f, sizeof(bytes));
	fd = go(ST_RESUMING);
	for (i = 0; i < 64 && ret >= 0; i++)
		ret = write(fd, bytes, sizeof(bytes)) < 0 ? -errno : 0;
	close(fd);
	return is("write", ret, want) && is("STOP", go(ST_STOP), -EBADMSG);
}

static bool resume_overflow(void)
{
	return overflow("", -EBADMSG) && overflow("resume-overflow", 0);
}

#define IMAGE_MAX (4u << 20)
#define HEADER 24u /* of a record; its checksum is at 16 */

/* All of an image, up to IMAGE_MAX bytes. */
static size_t save_all(char *image)
{
	size_t len = 0;
	ssize_t n = 1;
	int fd = go(ST_STOP_COPY);

	while (n > 0 && len < IMAGE_MAX) {
		n = read(fd, image + len, IMAGE_MAX - len);
		len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return len;
}

/* The first letter of the model, which stands behind two versions and its length. */
static void rename_model(char *image)
{
	u32 len = get32(image + 4);

	image[HEADER + 12] ^= 1;
	put64(image + 16, xxh3_64(image + HEADER, len, xxh3_64(image, 16, 0)));
}

static bool load_all(const char *image, size_t len, long want)
{
	int fd = go(ST_RESUMING);
	bool ok = is("write", write(fd, image, len) < 0 ? -errno : 0, want);

	close(fd);
	return ok && is("STOP", go(ST_STOP), want ? -EBADMSG : -1);
}

static bool other_model(void)
{
	char *image = malloc(IMAGE_MAX);
	size_t len;
	bool ok = image && starts("");

	if (ok) {
		len = save_all(image);
		ok = load_all(image, len, 0);
		rename_model(image);
		ok = ok && load_all(image, len, -ENOTUNIQ) && starts("model-unchecked") &&
		     load_all(image, len, 0);
	}
	free(image);
	return ok;
}

/* The last test: there is no device any more after it. */
static bool outlives_removal(void)
{
	char path[256];
	int fd, file;
	bool ok;

	if (!starts(""))
		return false;
	fd = go(ST_PRE_COPY);
	raw_close(&dev);
	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/remove", dev.uuid);
	file = open(path, O_WRONLY | O_CLOEXEC);
	ok = is("remove", write(file, "1", 1), 1) &&
	     is("read after the device was removed", read_once(fd, 10), -ENODEV);
	close(file);
	ok = ok && is("close", close(fd), 0);
	return ok && is("open again", raw_open(&dev, dev.uuid) < 0, 1);
}

static const struct {
	const char *name;
	bool (*run)(void);
} tests[] = {
	{ "a session that has ended is ENODEV", dead_session },
	{ "fault session-outlives-saving", fault_outlives },
	{ "poll tells data, none, and the end", dead_session_polls },
	{ "a change of the state wakes a poll", change_wakes },
	{ "flags of the pre-copy info are ours", info_has_no_flags },
	{ "fault precopy-flags-echoed", fault_echoes_flags },
	{ "no pre-copy info in STOP_COPY", info_is_refused },
	{ "fault precopy-info-anywhere", fault_info_anywhere },
	{ "pre-copy ends with ENOMSG; fault precopy-end-zero", pre_copy_ends },
	{ "STOP_COPY ends with 0; fault stop-copy-enomsg", stop_copy_ends },
	{ "no state beyond the last; fault state-off-by-one", states_that_are_none },
	{ "STOP_COPY to PRE_COPY is refused, and nothing is lost", stop_copy_to_pre_copy },
	{ "a bad image leads to ERROR, and a reset out of it", bad_image_is_error },
	{ "fault error-left-without-reset", fault_error_left },
	{ "fault refusal-forgotten", fault_refusal_forgotten },
	{ "a reset ends sessions; fault reset-keeps-session", reset_ends_sessions },
	{ "the size of the data; fault size-zero", data_size },
	{ "a session is a stream, one way, close-on-exec", a_stream },
	{ "a session outlives its device without harm", outlives_the_device },
	{ "pages are pinned, and let go when they are unmapped", pinned_pages },
	{ "no DMA in P2P; fault dma-in-p2p", no_dma_in_p2p },
	{ "too long a record is refused; fault resume-overflow", resume_overflow },
	{ "another model is refused; fault model-unchecked", other_model },
	{ "a session outlives the removal of its device without harm", outlives_removal },
};

int main(int argc, char **argv)
{
	const unsigned int count = sizeof(tests) / sizeof(tests[0]);
	unsigned int i, failed = 0;

	if (argc != 2 || raw_open(&dev, argv[1]) < 0) {
		fprintf(stderr, "usage: edges UUID: %s\n", strerror(errno));
		return 2;
	}
	printf("1..%u\n", count);
	for (i = 0; i < count; i++) {
		bool ok = tests[i].run();

		failed += !ok;
		printf("%sok %u - %s\n", ok ? "" : "not ", i + 1, tests[i].name);
		if (!ok)
			printf("# %s\n", why);
	}
	return failed != 0;
}
