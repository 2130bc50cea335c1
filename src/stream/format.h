// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What writer, reader and scan share: the numbers of docs/stream-format.md, the
 * two headers as structs, and the rules about which record may stand where.
 */

#ifndef VFM_STREAM_FORMAT_H
#define VFM_STREAM_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/stream.h>

#include "base/checksum.h"
#include "base/io.h"

/* The format that is written, and the oldest reader that can make sense of it. */
#define VFM_STREAM_VERSION 1u
#define VFM_STREAM_COMPAT_VERSION 1u

/* A high bit, CR LF, end-of-file of old, and a lone LF: text modes break at least one. */
#define VFM_STREAM_MAGIC "\x89VFM\r\n\x1a\n"
#define VFM_STREAM_MAGIC_SIZE 8

/* Flag of the header: one of several streams over which the records of a migration are spread. */
#define VFM_STREAM_SHARED (1u << 0)

/* The header as version 1 writes it. What later versions append stands before its checksum. */
#define VFM_STREAM_HEADER_SIZE 32u
/* Room for what later versions append, and small enough to be read without a thought. */
#define VFM_STREAM_HEADER_MAX 4096u

#define VFM_STREAM_HEAD_SIZE 48u /* header of a record */
#define VFM_STREAM_END_SIZE 48u	 /* payload of END in version 1 */
#define VFM_STREAM_END_MORE 40u	 /* what may be appended to that here */

/* Of MEMORY_DATA: the address before the bytes. Of MEMORY_ZERO: address and size. */
#define VFM_STREAM_IOVA_SIZE 8u
#define VFM_STREAM_HANDOVER_SIZE 32u
#define VFM_STREAM_ZERO_SIZE 16u

/* So that whoever keeps something for each device is bounded; far more than a machine has. */
#define VFM_STREAM_DEVICES_MAX 4096u

/* Compressing less than this gains nothing that a record's header does not lose. */
#define VFM_STREAM_COMPRESS_MIN 256u

/** struct vfm_stream_header - the header of a stream */
struct vfm_stream_header {
	uint32_t version;
	uint32_t compat_version;
	uint32_t size;
	uint32_t flags;
};

/** struct vfm_stream_head - the header of a record */
struct vfm_stream_head {
	uint32_t type;
	uint32_t flags;
	uint32_t device;
	uint32_t stored;
	uint32_t plain;
	uint32_t reserved;
	uint64_t sequence;
	uint64_t payload_sum;
	uint64_t head_sum;
};

/** struct vfm_stream_tally - how far a stream has come: what END tells, and what may follow */
struct vfm_stream_tally {
	uint64_t records;
	uint64_t device_bytes;
	uint64_t memory_bytes;
	uint32_t nr_devices;
	bool has_data;
	bool ended;
};

/** vfm_stream_tally_of() - to begin with, after so many identities that are in another stream. */
static inline struct vfm_stream_tally vfm_stream_tally_of(uint32_t nr_devices)
{
	return (struct vfm_stream_tally){ .nr_devices = nr_devices, .has_data = nr_devices > 0 };
}

/** struct vfm_stream_end - the payload of END */
struct vfm_stream_end {
	struct vfm_stream_tally tally;
	uint8_t digest[VFM_DIGEST_SIZE];
};

/** vfm_stream_header_to_wire() - returns its checksum, the seed of the first record's. */
uint64_t vfm_stream_header_to_wire(const struct vfm_stream_header *h,
				   uint8_t wire[VFM_STREAM_HEADER_SIZE]);

/** vfm_stream_header_from_wire() - of all @size bytes of it; what it means is not judged. */
void vfm_stream_header_from_wire(struct vfm_stream_header *h, const uint8_t *wire, size_t size);

/** vfm_stream_check_magic() - as far as it is there; -EBADMSG says what it is instead. */
int vfm_stream_check_magic(const uint8_t *wire, size_t have, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_check_header_size() - before the rest of the header is read. */
int vfm_stream_check_header_size(const struct vfm_stream_header *h,
				 struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_check_header() - when its checksum was found right; @flags: those it must have. */
int vfm_stream_check_header(const struct vfm_stream_header *h, uint32_t flags,
			    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_head_to_wire() - fills in head_sum, beginning from that of the record before. */
void vfm_stream_head_to_wire(struct vfm_stream_head *head, uint64_t chain,
			     uint8_t wire[VFM_STREAM_HEAD_SIZE]);

/** vfm_stream_head_from_wire() - returns what head_sum should be. */
uint64_t vfm_stream_head_from_wire(struct vfm_stream_head *head, uint64_t chain,
				   const uint8_t wire[VFM_STREAM_HEAD_SIZE]);

void vfm_stream_end_to_wire(const struct vfm_stream_end *end, uint8_t wire[VFM_STREAM_END_SIZE]);

/** vfm_stream_end_from_wire() - false: not an END of any version. */
bool vfm_stream_end_from_wire(struct vfm_stream_end *end, const uint8_t *wire, size_t size);

bool vfm_stream_type_known(uint32_t type);

/** vfm_stream_type_is_wire() - a record of a conversation, which has no place in a file. */
bool vfm_stream_type_is_wire(uint32_t type);

/** vfm_stream_type_compresses() - whether its payload is worth it. */
bool vfm_stream_type_compresses(uint32_t type);

/**
 * vfm_stream_check_head() - what can be said before the payload is there
 *
 * -EBADMSG: never right; -ENOTSUP: of a later version. @err gets the reason
 * alone; who and where is for the caller to put in front.
 */
int vfm_stream_check_head(const struct vfm_stream_head *head, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_stream_tally_add() - whether a record may stand here, and count it
 * @payload: @size bytes, plain
 *
 * -EBADMSG: it may not; @err gets the reason alone, and the tally is as before.
 */
int vfm_stream_tally_add(struct vfm_stream_tally *t, uint32_t type, uint32_t device,
			 const uint8_t *payload, size_t size, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_get_opts() - a caller's options, of whatever size, as ours and as a wait. */
int vfm_stream_get_opts(struct vfm_stream_opts *out, struct vfm_wait *wait,
			const struct vfm_stream_opts *opts, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_stream_next() - as vfm_stream_read(), but gives optional records that are unknown, too
 *
 * Their payload is proven; it is not decompressed.
 */
int vfm_stream_next(struct vfm_stream_reader *r, struct vfm_stream_record *record,
		    struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_stream_lend() - before a payload: where that and the next ones are read to
 * @buf: VFM_STREAM_PAYLOAD_MAX bytes; NULL: the reader's own, as at the beginning
 *
 * What arrives compressed is elsewhere in the end.
 */
void vfm_stream_lend(struct vfm_stream_reader *r, uint8_t *buf);

/**
 * vfm_stream_writer_shared(), vfm_stream_reader_shared() - of one stream of several
 * @nr_devices: of a stream that is not the first: so many identities are in that; else 0
 *
 * As vfm_stream_writer_new() and vfm_stream_reader_new(). The numbers of the records rise through
 * all of them, so in each they have gaps.
 */
int vfm_stream_writer_shared(struct vfm_stream_writer **out, int fd,
			     const struct vfm_stream_opts *opts, uint32_t nr_devices,
			     struct vfm_err *err) VFM_MUST_CHECK;
int vfm_stream_reader_shared(struct vfm_stream_reader **out, int fd,
			     const struct vfm_stream_opts *opts, uint32_t nr_devices,
			     struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_number() - of a shared stream: the number of the next record, which only rises. */
void vfm_stream_number(struct vfm_stream_writer *w, uint64_t sequence);

/** vfm_stream_next_number() - the next record's, unless another is given to it. */
uint64_t vfm_stream_next_number(const struct vfm_stream_writer *w);

/** vfm_stream_expected_number() - the least that the next record can have. */
uint64_t vfm_stream_expected_number(const struct vfm_stream_reader *r);

/** vfm_stream_devices(), vfm_stream_devices_seen() - identities so far. */
uint32_t vfm_stream_devices(const struct vfm_stream_writer *w);
uint32_t vfm_stream_devices_seen(const struct vfm_stream_reader *r);

/**
 * vfm_stream_seal() - END, with what somebody appends to it
 * @more: @size bytes, at most VFM_STREAM_END_MORE
 * @end: what it says of this stream; NULL: not wanted
 */
int vfm_stream_seal(struct vfm_stream_writer *w, const void *more, size_t size,
		    struct vfm_stream_end *end, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_stream_peek() - the header of the next record, whose payload stays where it is
 *
 * Return: 1, with its type and number; 0: the end; or an error. Between this and the next
 * vfm_stream_next() it may be asked again.
 */
int vfm_stream_peek(struct vfm_stream_reader *r, uint32_t *type, uint64_t *sequence,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_set_file() - nothing may follow END, nor may records of a conversation be there. */
void vfm_stream_set_file(struct vfm_stream_reader *r);

/** vfm_stream_progress() - version, counts and bytes so far; digest once END was there. */
void vfm_stream_progress(const struct vfm_stream_reader *r, struct vfm_stream_summary *summary);

#endif
