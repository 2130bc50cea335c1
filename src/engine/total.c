// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The digest is of the ENDs, each of which has a digest of its own channel: so every byte is
 * hashed once, by the helper that has it anyway.
 */

#include "engine/total.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"

int vfm_total_of(struct vfm_total *total, const struct vfm_stream_end *const *ends,
		 unsigned int count, struct vfm_err *err)
{
	struct vfm_digest *digest = vfm_digest_new();

	if (!digest)
		return vfm_fail(err, -ENOMEM, "no memory for a digest");
	*total = (struct vfm_total){ .channels = count + 1 };
	for (unsigned int i = 0; i < count; i++) {
		uint8_t wire[VFM_STREAM_END_SIZE];

		vfm_stream_end_to_wire(ends[i], wire);
		vfm_digest_update(digest, wire, sizeof(wire));
		total->device_bytes += ends[i]->tally.device_bytes;
		total->memory_bytes += ends[i]->tally.memory_bytes;
	}
	vfm_digest_get(digest, total->digest);
	vfm_digest_free(digest);
	return 0;
}

void vfm_total_to_wire(const struct vfm_total *total, uint8_t wire[VFM_TOTAL_SIZE])
{
	struct vfm_writer w = vfm_writer_of(wire, VFM_TOTAL_SIZE);

	vfm_write_le64(&w, total->channels);
	vfm_write_le64(&w, total->device_bytes);
	vfm_write_le64(&w, total->memory_bytes);
	vfm_write_bytes(&w, total->digest, sizeof(total->digest));
}

int vfm_total_check(const struct vfm_total *total, const uint8_t *wire, size_t size,
		    struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(wire, size);
	uint64_t channels = vfm_read_le64(&r);
	uint64_t device_bytes = vfm_read_le64(&r);
	uint64_t memory_bytes = vfm_read_le64(&r);
	uint8_t digest[VFM_DIGEST_SIZE];

	vfm_read_copy(&r, digest, sizeof(digest));
	if (!vfm_reader_ok(&r))
		return vfm_fail(err, -EBADMSG, "END says nothing of the other channels");
	if (channels != total->channels)
		return vfm_fail(err, -EBADMSG, "END of %" PRIu64 " channels, there are %" PRIu64,
				channels, total->channels);
	if (device_bytes != total->device_bytes || memory_bytes != total->memory_bytes)
		return vfm_fail(err, -EBADMSG,
				"END counts %" PRIu64 " device bytes and %" PRIu64
				" memory bytes on other channels, there were %" PRIu64
				" and %" PRIu64,
				device_bytes, memory_bytes, total->device_bytes,
				total->memory_bytes);
	if (memcmp(digest, total->digest, sizeof(digest)) != 0)
		return vfm_fail(err, -EBADMSG, "END has the digest of other channels than these");
	return 0;
}
