// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Streams made by hand, from docs/stream-format.md and xxHash alone, so that a
 * misreading in src/stream shows here, and so that wrong streams can be made
 * whose checksums are right. Nothing here is checked: that is the point.
 */

#ifndef TESTS_STREAM_FORGE_H
#define TESTS_STREAM_FORGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include <vfmig/stream.h>

/** struct forge - a stream that grows; zero it to begin */
struct forge {
	uint8_t *data;
	size_t len, room;
	uint64_t chain;
	uint64_t sequence;
	XXH3_state_t *digest;
};

/** struct forge_record - a record; stored, sequence and sums are made if they are zero */
struct forge_record {
	uint32_t type, flags, device, reserved;
	const void *data;
	uint32_t stored, plain;
	uint32_t told_stored, told_plain; /* lies; 0: none */
	uint64_t sequence;
	uint64_t payload_sum;
};

static inline void forge_bytes(struct forge *f, const void *data, size_t len)
{
	if (f->len + len > f->room) {
		f->room = 2 * (f->len + len);
		f->data = (uint8_t *)realloc(f->data, f->room);
		assert_non_null(f->data);
	}
	if (len)
		memcpy(f->data + f->len, data, len);
	f->len += len;
}

static inline void forge_int(struct forge *f, uint64_t value, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(value >> (8 * i));
	forge_bytes(f, le, bytes);
}

static inline void forge_header(struct forge *f, uint32_t version, uint32_t compat, uint32_t size,
				uint32_t flags)
{
	static const uint8_t magic[8] = { 0x89, 'V', 'F', 'M', 0x0d, 0x0a, 0x1a, 0x0a };
	size_t start = f->len;

	f->digest = XXH3_createState();
	XXH3_128bits_reset(f->digest);
	forge_bytes(f, magic, sizeof(magic));
	forge_int(f, version, 4);
	forge_int(f, compat, 4);
	forge_int(f, size, 4);
	forge_int(f, flags, 4);
	while (f->len - start + 8 < size && f->len - start < 8192)
		forge_int(f, 0x1122334455667788, 8);
	f->chain = XXH3_64bits(f->data + start, f->len - start);
	forge_int(f, f->chain, 8);
	XXH3_128bits_update(f->digest, f->data + start, f->len - start);
}

static inline void forge_start(struct forge *f)
{
	*f = (struct forge){ 0 };
	forge_header(f, 1, 1, 32, 0);
}

static inline void forge_put(struct forge *f, struct forge_record r)
{
	size_t start = f->len;

	forge_int(f, r.type, 4);
	forge_int(f, r.flags, 4);
	forge_int(f, r.device, 4);
	forge_int(f, r.told_stored ? r.told_stored : r.stored, 4);
	forge_int(f, r.told_plain ? r.told_plain : r.plain ? r.plain : r.stored, 4);
	forge_int(f, r.reserved, 4);
	forge_int(f, r.sequence ? r.sequence : f->sequence, 8);
	forge_int(f, r.payload_sum ? r.payload_sum : XXH3_64bits(r.data, r.stored), 8);
	f->chain = XXH3_64bits_withSeed(f->data + start, 40, f->chain);
	forge_int(f, f->chain, 8);
	XXH3_128bits_update(f->digest, f->data + start, 48);
	forge_bytes(f, r.data, r.stored);
	f->sequence++;
}

#define FORGE_PUT(f, ...) forge_put(f, (struct forge_record){ __VA_ARGS__ })

/** forge_data() - a record of some bytes */
static inline void forge_data(struct forge *f, uint32_t type, const void *data, size_t len)
{
	FORGE_PUT(f, .type = type, .data = data, .stored = (uint32_t)len);
}

/** forge_identity() - of a device that tells nothing */
static inline void forge_identity(struct forge *f, uint32_t device)
{
	uint8_t wire[40] = { 1 };

	FORGE_PUT(f, .type = VFM_STREAM_IDENTITY, .device = device, .data = wire,
		  .stored = sizeof(wire));
}

/** struct forge_end - what END tells */
struct forge_counts {
	uint64_t records, device_bytes, memory_bytes;
	uint32_t nr_devices, reserved;
	uint8_t digest_flip;
};

static inline void forge_end(struct forge *f, struct forge_counts c)
{
	XXH128_canonical_t digest;
	struct forge payload = { 0 };

	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(f->digest));
	digest.digest[7] ^= c.digest_flip;
	forge_int(&payload, c.records, 8);
	forge_int(&payload, c.device_bytes, 8);
	forge_int(&payload, c.memory_bytes, 8);
	forge_int(&payload, c.nr_devices, 4);
	forge_int(&payload, c.reserved, 4);
	forge_bytes(&payload, digest.digest, sizeof(digest.digest));
	forge_data(f, VFM_STREAM_END, payload.data, payload.len);
	free(payload.data);
}

static inline void forge_free(struct forge *f)
{
	XXH3_freeState(f->digest);
	free(f->data);
	*f = (struct forge){ 0 };
}

/** stream_file() - bytes as a file, read from its start; close it */
static inline int stream_file(const void *data, size_t len)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/** scan_bytes() - vfm_stream_scan() of bytes */
static inline int scan_bytes(const void *data, size_t len, struct vfm_stream_summary *summary,
			     struct vfm_err *err)
{
	struct vfm_stream_summary unused;
	int fd = stream_file(data, len);
	int ret = vfm_stream_scan(fd, summary ? summary : &unused, NULL, NULL, err);

	close(fd);
	return ret;
}

/** assert_scan() - what a scan returns, and what its text says */
#define assert_scan(f, code, text)                                                                 \
	do {                                                                                       \
		struct vfm_err scan_err = { 0 };                                                   \
		int scan_ret = scan_bytes((f)->data, (f)->len, NULL, &scan_err);                   \
                                                                                                   \
		if (scan_ret != (code) || !strstr(scan_err.msg, text))                             \
			fail_msg("%d \"%s\", not %d \"%s\"", scan_ret, scan_err.msg, code, text);  \
	} while (0)

/** stream_bytes() - what was written to a file so far; free it */
static inline uint8_t *stream_bytes(int fd, size_t *len)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *data = (uint8_t *)malloc((size_t)size);

	assert_non_null(data);
	assert_int_equal(pread(fd, data, (size_t)size, 0), size);
	*len = (size_t)size;
	return data;
}

/** next_random() - a small generator, the same everywhere */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#endif
