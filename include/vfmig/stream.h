// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The container: one format for files and for the wire, specified in
 * docs/stream-format.md. A writer and a reader over a descriptor, and the two
 * things that people do with a file: inspect and verify.
 */

#ifndef VFMIG_STREAM_H
#define VFMIG_STREAM_H

#include <vfmig/device.h>
#include <vfmig/io.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Largest payload of a record, before compression. */
#define VFM_STREAM_PAYLOAD_MAX (1u << 20)

/* Kinds of records. Below 0x8000 they belong to this library. */
enum vfm_stream_type {
	VFM_STREAM_IDENTITY = 1,    /* struct vfm_identity; first in every stream */
	VFM_STREAM_MEMORY_MAP = 2,  /* the ranges of the memory that follows */
	VFM_STREAM_DEVICE_DATA = 3, /* bytes of the data session */
	VFM_STREAM_MEMORY_DATA = 4, /* le64 iova, then bytes */
	VFM_STREAM_MEMORY_ZERO = 5, /* le64 iova, le64 size: bytes that are all zero */
	VFM_STREAM_PHASE = 6,	    /* optional: a phase of the migration begins */
	VFM_STREAM_END = 7,	    /* counts and digest; nothing follows in a file */
	VFM_STREAM_COMMIT = 8,	    /* wire: the destination is the owner now */
	VFM_STREAM_ABORT = 9,	    /* wire: le32 code, text */
	VFM_STREAM_READY = 10,	    /* wire, from the destination: identity accepted */
	VFM_STREAM_LOADED = 11,	    /* wire, from the destination: image proven, device in STOP */
	VFM_STREAM_RUNNING = 12,    /* wire, from the destination: device in RUNNING */
	VFM_STREAM_RATES = 13,	    /* wire, optional, from the destination: how far and how fast */
	VFM_STREAM_HANDOVER = 14,   /* wire, optional: which handover this is, by both journals */
};

#define VFM_STREAM_OPTIONAL (1u << 0)  /* a reader that does not know the type skips it */
#define VFM_STREAM_CHUNK_END (1u << 1) /* DEVICE_DATA: a v1 transaction ends here */
#define VFM_STREAM_ZSTD (1u << 2)      /* the payload is compressed */

/** vfm_stream_type_name() - "DEVICE_DATA" and so on; "unknown" for types of others. */
const char *vfm_stream_type_name(uint32_t type);

/**
 * struct vfm_stream_record - one record, as the reader gives it
 * @type: enum vfm_stream_type, or an unknown one that is optional
 * @flags: VFM_STREAM_*
 * @device: which device it belongs to, from 0
 * @offset: of its header in the stream
 * @stored: bytes of payload in the stream
 * @size: bytes of @data
 * @data: the payload, proven and decompressed; valid until the next read
 */
struct vfm_stream_record {
	uint32_t type;
	uint32_t flags;
	uint32_t device;
	uint64_t offset;
	uint64_t stored;
	uint64_t size;
	const uint8_t *data;
};

/** Most regions that an identity describes. */
#define VFM_IDENTITY_REGIONS 16

/**
 * struct vfm_identity - what a device is, so that a stream finds only its like
 * @vendor, @device, @subvendor, @subdevice, @class_code, @revision: from the
 *	configuration space; all 0xffff.. when it is not a PCI device
 * @migration: VFM_MIGRATION_*
 * @nr_regions, @region_size: sizes of its regions
 * @has_compat, @compat: what the device itself tells, if it can
 * @data_size: its estimate when the stream began
 */
struct vfm_identity {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;
	uint8_t revision;
	uint64_t migration;
	uint32_t nr_regions;
	uint64_t region_size[VFM_IDENTITY_REGIONS];
	bool has_compat;
	struct vfm_compat compat;
	uint64_t data_size;
};

/** vfm_identity_get() - ask a device who it is; what it cannot tell (-ENOTTY) is left out. */
int vfm_identity_get(struct vfm_identity *id, struct vfm_device *dev,
		     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_identity_check() - whether an image of @theirs may be loaded into @ours
 *
 * -ENOTUNIQ: no; the text says what differs and how.
 */
int vfm_identity_check(const struct vfm_identity *ours, const struct vfm_identity *theirs,
		       struct vfm_err *err) VFM_MUST_CHECK;

/* ---- writer -------------------------------------------------------------- */

struct vfm_stream_writer;

/**
 * struct vfm_stream_opts - zero it, then fill in
 * @size: sizeof(struct vfm_stream_opts)
 * @compress: zstd level, 0: none
 * @timeout_ms: longest wait for the other end of a socket or pipe; 0: for ever
 * @cancel_fd: when readable, every wait ends with -ECANCELED; 0 or -1: none
 * @wait: does every wait for the descriptor instead, so that others can be served
 *	meanwhile; the two above are then its business. May be NULL. Returns 0 when
 *	@fd has one of @events (poll's), or an error, which the stream call returns
 * @user: for @wait
 * @io: what to read from and write to instead of the descriptor, which is then only waited
 *	for; copied. NULL: the descriptor
 * @record_ms: reader: longest time from a record's first byte to its last, however steadily
 *	they come; 0: for ever
 */
struct vfm_stream_opts {
	size_t size;
	int compress;
	unsigned int timeout_ms;
	int cancel_fd;
	int (*wait)(void *user, int fd, short events);
	void *user;
	const struct vfm_io *io;
	unsigned int record_ms;
};

/** vfm_stream_writer_new() - over a descriptor, which is borrowed. Writes the header. */
int vfm_stream_writer_new(struct vfm_stream_writer **out, int fd,
			  const struct vfm_stream_opts *opts, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_stream_writer_free(struct vfm_stream_writer *w);

/**
 * vfm_stream_write() - one record
 * @data, @size: the payload, at most VFM_STREAM_PAYLOAD_MAX bytes
 *
 * -EINVAL: such a record may not be written, or not here; nothing was. Any other
 * failure breaks the stream for good.
 */
int vfm_stream_write(struct vfm_stream_writer *w, uint32_t type, uint32_t flags, uint32_t device,
		     const void *data, size_t size, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_stream_buffer() - where a payload may be put so that it is not copied
 *
 * Return: VFM_STREAM_PAYLOAD_MAX bytes, valid until the next write, which may
 * be given this address as its data.
 */
void *vfm_stream_buffer(struct vfm_stream_writer *w);

/** vfm_stream_write_end() - counts and digest of everything so far. */
int vfm_stream_write_end(struct vfm_stream_writer *w, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_written() - bytes given to the descriptor. */
uint64_t vfm_stream_written(const struct vfm_stream_writer *w);

/**
 * vfm_stream_compressed() - bytes of payload that were compressed, and what they became
 *
 * Records that do not shrink are not. On a socket, and through @io of the options, none are for
 * a while when that does not shorten the time until they are out.
 */
uint64_t vfm_stream_compressed(const struct vfm_stream_writer *w, uint64_t *to);

/* ---- reader -------------------------------------------------------------- */

struct vfm_stream_reader;

/** vfm_stream_reader_new() - over a descriptor, which is borrowed. Reads and checks the header. */
int vfm_stream_reader_new(struct vfm_stream_reader **out, int fd,
			  const struct vfm_stream_opts *opts, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_stream_reader_free(struct vfm_stream_reader *r);

/**
 * vfm_stream_read() - the next record that matters
 *
 * Unknown optional records are skipped. -EBADMSG: damaged, with the offset;
 * -ENODATA: it ends in the middle or without its END; -ENOTSUP: a record or
 * version that must be understood and is not; the END record has been compared
 * with what was read when it is returned. No byte behind the record is taken from
 * the descriptor. -ETIMEDOUT and -ECANCELED lose nothing, and the next call goes
 * on; every other failure is final.
 *
 * From a regular file, nothing may follow END.
 *
 * Return: 1: a record; 0: the stream ended after its END, cleanly.
 */
int vfm_stream_read(struct vfm_stream_reader *r, struct vfm_stream_record *record,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_parse_identity() - of an IDENTITY record. */
int vfm_stream_parse_identity(struct vfm_identity *id, const struct vfm_stream_record *record,
			      struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_stream_write_identity() - the IDENTITY record of @device. */
int vfm_stream_write_identity(struct vfm_stream_writer *w, uint32_t device,
			      const struct vfm_identity *id, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- whole files --------------------------------------------------------- */

/**
 * struct vfm_stream_summary - what a whole stream holds
 * @version: of the format
 * @records: all records with END
 * @bytes: all bytes
 * @device_bytes, @memory_bytes: payload, decompressed; zero ranges count as memory
 * @ended: END was there and agrees
 * @digest: 16 bytes of the END record, as text
 */
struct vfm_stream_summary {
	uint32_t version;
	uint64_t records;
	uint64_t bytes;
	uint64_t device_bytes;
	uint64_t memory_bytes;
	bool ended;
	char digest[33];
	uint32_t nr_devices;
	struct vfm_identity identity; /* of device 0 */
};

/**
 * vfm_stream_scan() - read a whole stream and prove it
 * @each: called for every record, may be NULL; what it returns other than 0 ends the scan.
 *	Optional records that are unknown are among them; their data is as it is stored
 *
 * @summary holds what was found so far when it fails, too.
 */
int vfm_stream_scan(int fd, struct vfm_stream_summary *summary,
		    int (*each)(void *user, const struct vfm_stream_record *record), void *user,
		    struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
