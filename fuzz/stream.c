// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The stream reader. Checksums would keep a fuzzer out of everything behind
 * them, so the first byte of the input chooses: with bit 0 the rest is a stream
 * as it is; without it, it is a list of records whose sequence numbers and
 * checksums are made right here, and which END closes if bit 1 is set. With bit
 * 2 it arrives through a socket instead of a file, where other rules hold; with
 * bit 3 it is one of several there, and with bit 4 not the first of them.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/util.h"
#include "stream/format.h"

#define RAW (1u << 0)
#define ENDED (1u << 1)
#define WIRE (1u << 2)
#define SHARED (1u << 3)
#define FURTHER (1u << 4)

/* What a socket takes without a reader. */
#define WIRE_MAX 65536u
#define SEALED_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * A record of the input: type, flags, device, stored and plain of 2, 1, 1, 2 and 4 bytes. Where it
 * has no use, plain is a gap in the numbers of a shared stream.
 */
static bool take_record(struct vfm_reader *in, struct vfm_stream_head *head,
			const uint8_t **payload)
{
	*head = (struct vfm_stream_head){ .type = vfm_read_le16(in) };
	head->flags = vfm_read_u8(in);
	head->device = vfm_read_u8(in);
	head->stored = vfm_read_le16(in);
	head->plain = vfm_read_le32(in);
	if (!vfm_reader_ok(in))
		return false;
	head->stored = (uint32_t)VFM_MIN(head->stored, in->left);
	if (!(head->flags & VFM_STREAM_ZSTD)) {
		head->sequence = head->plain;
		head->plain = head->stored;
	}
	*payload = vfm_read_bytes(in, head->stored);
	return true;
}

/** struct seal - a stream that is made right */
struct seal {
	struct vfm_writer out;
	struct vfm_stream_tally tally;
	struct vfm_digest *digest;
	uint64_t chain, sequence;
	bool shared;
};

static void seal_record(struct seal *s, struct vfm_stream_head *head, const uint8_t *payload)
{
	uint8_t wire[VFM_STREAM_HEAD_SIZE];

	s->sequence += s->shared ? head->sequence : 0;
	head->sequence = s->sequence++;
	head->payload_sum = vfm_checksum(payload, head->stored, 0);
	vfm_stream_head_to_wire(head, s->chain, wire);
	s->chain = head->head_sum;
	vfm_digest_update(s->digest, wire, sizeof(wire));
	vfm_write_bytes(&s->out, wire, sizeof(wire));
	vfm_write_bytes(&s->out, payload, head->stored);
	/* Counted as the reader will; what it refuses ends its stream anyway. */
	if (vfm_stream_tally_add(&s->tally, head->type, head->device, payload, head->stored, NULL))
		s->tally.records++;
}

static void seal_end(struct seal *s)
{
	struct vfm_stream_end end = { .tally = s->tally };
	struct vfm_stream_head head = { .type = VFM_STREAM_END,
					.stored = VFM_STREAM_END_SIZE,
					.plain = VFM_STREAM_END_SIZE };
	uint8_t payload[VFM_STREAM_END_SIZE];

	vfm_digest_get(s->digest, end.digest);
	vfm_stream_end_to_wire(&end, payload);
	seal_record(s, &head, payload);
}

static size_t seal_stream(const uint8_t *data, size_t size, uint8_t how, uint8_t *out)
{
	const struct vfm_stream_header header = { 1, 1, VFM_STREAM_HEADER_SIZE,
						  how & SHARED ? VFM_STREAM_SHARED : 0 };
	struct seal s = { .out = vfm_writer_of(out, SEALED_MAX),
			  .digest = vfm_digest_new(),
			  .tally = vfm_stream_tally_of(how & FURTHER ? 1 : 0),
			  .shared = how & SHARED };
	struct vfm_reader in = vfm_reader_of(data, size);
	uint8_t wire[VFM_STREAM_HEADER_SIZE];
	struct vfm_stream_head head;
	const uint8_t *payload;

	if (!s.digest)
		return 0;
	s.chain = vfm_stream_header_to_wire(&header, wire);
	vfm_write_bytes(&s.out, wire, sizeof(wire));
	vfm_digest_update(s.digest, wire, sizeof(wire));
	while (in.left && take_record(&in, &head, &payload))
		seal_record(&s, &head, payload);
	if (how & ENDED)
		seal_end(&s);
	vfm_digest_free(s.digest);
	return s.out.len;
}

/* Everything about a record that a caller may look at. */
static int look_at(void *user, const struct vfm_stream_record *record)
{
	uint64_t *sum = (uint64_t *)user;
	struct vfm_identity id, ours = { .migration = VFM_MIGRATION_STOP_COPY };
	struct vfm_err err;

	*sum += vfm_checksum(record->data, record->size, record->type);
	if (record->type != VFM_STREAM_IDENTITY || vfm_stream_parse_identity(&id, record, &err))
		return 0;
	return vfm_identity_check(&ours, &id, &err) == 1;
}

static void read_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	struct vfm_stream_summary summary;
	struct vfm_err err;
	uint64_t sum = 0;

	if (fd >= 0 && write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET) &&
	    !vfm_stream_scan(fd, &summary, look_at, &sum, &err) && !summary.ended)
		abort(); /* found whole without its END */
	close(fd);
}

/* Numbers rise, and what was seen of a record is what comes. */
static int read_shared(struct vfm_stream_reader *r, struct vfm_stream_record *record)
{
	uint64_t least = vfm_stream_expected_number(r), number;
	struct vfm_err err;
	uint32_t type;
	int ret = vfm_stream_peek(r, &type, &number, &err);

	if (ret != 1)
		return ret;
	if (number < least)
		abort();
	ret = vfm_stream_next(r, record, &err);
	if (ret == 1 && (record->type != type || vfm_stream_expected_number(r) != number + 1))
		abort();
	return ret;
}

static int open_wire(struct vfm_stream_reader **r, int fd, uint8_t how)
{
	struct vfm_err err;

	if (how & SHARED)
		return vfm_stream_reader_shared(r, fd, NULL, how & FURTHER ? 1 : 0, &err);
	return vfm_stream_reader_new(r, fd, NULL, &err);
}

static void read_wire(const uint8_t *data, size_t size, uint8_t how)
{
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct vfm_err err;
	uint64_t sum = 0;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return;
	if (send(fds[0], data, VFM_MIN(size, WIRE_MAX), MSG_DONTWAIT) < 0)
		size = 0;
	close(fds[0]);
	if (!open_wire(&r, fds[1], how)) {
		while ((how & SHARED ? read_shared(r, &record)
				     : vfm_stream_read(r, &record, &err)) == 1)
			look_at(&sum, &record);
		vfm_stream_reader_free(r);
	}
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed;
	uint8_t how;

	if (!size)
		return 0;
	how = data[0];
	sealed = (uint8_t *)malloc(SEALED_MAX);
	if (!sealed)
		return 0;
	if (how & RAW) {
		size = VFM_MIN(size - 1, SEALED_MAX);
		memcpy(sealed, data + 1, size);
	} else {
		size = seal_stream(data + 1, size - 1, how, sealed);
	}
	if (how & WIRE)
		read_wire(sealed, size, how);
	else
		read_file(sealed, size);
	free(sealed);
	return 0;
}
