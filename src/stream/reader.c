// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The reader: takes exactly the bytes of one record from the descriptor, two
 * reads for each, so that what stands behind it stays there for whoever comes
 * next. The header of a record is proven before its lengths are used, and its
 * payload before anything is made of it.
 *
 * What surprises: a call that ends with -ETIMEDOUT or -ECANCELED loses nothing.
 * What has arrived of a record is kept, and the next call goes on there. Every
 * other failure is final, for without its predecessor no record can be proven.
 */

#include <vfmig/stream.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/util.h"
#include "stream/compress.h"
#include "stream/format.h"

/**
 * struct vfm_stream_reader
 * @offset: of what has not been read yet
 * @start: of the record that is being read
 * @chain: checksum of the header before
 * @wire, @wire_have: a record's header as far as it is there
 * @head, @in_payload: the same, proven
 * @into, @payload_have: its payload as far as it is there
 * @payload: where that is, unless somebody has lent us another place
 * @file: see vfm_stream_set_file()
 * @flags: that its header must have
 * @sequence: the least number that the next record may have
 * @broken: what the failure that was final returned
 * @wait: of a transfer; @patience: what waits in it
 * @record_ms: see struct vfm_stream_opts; @begun_ns: when it was first waited for the rest of
 *	something that had begun, 0: it was not; @filling: how much of that is there
 * @dribbled: the last wait ended because that took too long
 */
struct vfm_stream_reader {
	int fd;
	struct vfm_wait wait, patience;
	unsigned int record_ms;
	uint64_t begun_ns;
	const size_t *filling;
	bool dribbled;
	struct vfm_io io; /* without functions: the descriptor */
	struct vfm_stream_header header;
	struct vfm_stream_tally tally;
	struct vfm_digest *digest;
	struct vfm_decompressor *decompressor;
	uint64_t offset, start;
	uint64_t chain;
	uint8_t wire[VFM_STREAM_HEAD_SIZE];
	size_t wire_have;
	struct vfm_stream_head head;
	bool in_payload;
	uint8_t *payload, *into;
	size_t payload_have;
	uint8_t end_digest[VFM_DIGEST_SIZE];
	bool file;
	uint32_t flags;
	uint64_t sequence;
	int broken;
};

/* In every wait of a reader with a limit for a record: a peer that is never silent long is not
 * thereby allowed to take for ever. */
static int wait_for_record(void *user, int fd, short events)
{
	struct vfm_stream_reader *r = user;
	uint64_t now = vfm_now_ns();

	if (!r->begun_ns && (r->in_payload || *r->filling))
		r->begun_ns = now;
	r->dribbled = r->begun_ns && now - r->begun_ns > r->record_ms * UINT64_C(1000000);
	return r->dribbled ? -ETIMEDOUT : vfm_wait_fd(fd, events, &r->patience);
}

/* Read on until @len bytes are there: 0, -ENODATA at the end of the stream, or an error. */
static int fill(struct vfm_stream_reader *r, uint8_t *buf, size_t *have, size_t len)
{
	size_t before = *have;
	int ret;

	r->filling = have;
	ret = r->io.read ? vfm_io_read_more(&r->io, r->fd, buf, have, len, &r->wait)
			 : vfm_read_more(r->fd, buf, have, len, &r->wait);
	r->offset += *have - before;
	if (!ret && *have < len)
		return -ENODATA;
	return ret;
}

/* In the text of a read that failed: what else is to be said of it. */
static const char *why_unread(const struct vfm_stream_reader *r)
{
	return r->dribbled ? ", of which a few bytes come now and then" : "";
}

/* ---- header of the stream ------------------------------------------------- */

static int read_header_bytes(struct vfm_stream_reader *r, uint8_t *wire, size_t *have, size_t len,
			     struct vfm_err *err)
{
	int ret = fill(r, wire, have, len);
	int wrong = vfm_stream_check_magic(wire, *have, err);

	if (wrong)
		return wrong;
	if (ret == -ENODATA)
		return vfm_fail(err, ret, "stream ends after %zu bytes of its header", *have);
	return ret ? vfm_fail(err, ret, "read the header of a stream%s", why_unread(r)) : 0;
}

static int read_header(struct vfm_stream_reader *r, struct vfm_err *err)
{
	struct vfm_stream_header *h = &r->header;
	uint8_t *wire = r->payload;
	struct vfm_reader sum_field;
	size_t have = 0, sum_at;
	uint64_t told;
	int ret = read_header_bytes(r, wire, &have, VFM_STREAM_HEADER_SIZE, err);

	if (ret)
		return ret;
	vfm_stream_header_from_wire(h, wire, have);
	ret = vfm_stream_check_header_size(h, err);
	if (!ret)
		ret = read_header_bytes(r, wire, &have, h->size, err);
	if (ret)
		return ret;
	sum_at = h->size - sizeof(told);
	sum_field = vfm_reader_of(wire + sum_at, sizeof(told));
	told = vfm_read_le64(&sum_field);
	r->chain = vfm_checksum(wire, sum_at, 0);
	if (told != r->chain)
		return vfm_fail(err, -EBADMSG,
				"stream header is damaged: checksum %016" PRIx64
				", told %016" PRIx64,
				r->chain, told);
	vfm_digest_update(r->digest, wire, have);
	return vfm_stream_check_header(h, r->flags, err);
}

/* ---- making --------------------------------------------------------------- */

VFM_API void vfm_stream_reader_free(struct vfm_stream_reader *r)
{
	if (!r)
		return;
	vfm_decompressor_free(r->decompressor);
	vfm_digest_free(r->digest);
	free(r->payload);
	free(r);
}

static int set_up(struct vfm_stream_reader *r, int fd, const struct vfm_stream_opts *opts,
		  struct vfm_err *err)
{
	struct vfm_stream_opts o;
	struct stat st;
	int ret = vfm_stream_get_opts(&o, &r->wait, opts, err);

	if (ret)
		return ret;
	if (fstat(fd, &st))
		return vfm_fail(err, -errno, "read a stream from descriptor %d", fd);
	r->patience = r->wait;
	r->record_ms = o.record_ms;
	if (r->record_ms)
		r->wait = (struct vfm_wait){ .cancel_fd = r->patience.cancel_fd,
					     .fn = wait_for_record,
					     .user = r };
	r->fd = fd;
	r->file = S_ISREG(st.st_mode) && !o.io;
	if (o.io)
		r->io = *o.io;
	r->payload = r->into = malloc(VFM_STREAM_PAYLOAD_MAX);
	r->digest = vfm_digest_new();
	if (!r->payload || !r->digest)
		return vfm_fail(err, -ENOMEM, "no memory for a stream");
	return 0;
}

static int make(struct vfm_stream_reader **out, int fd, const struct vfm_stream_opts *opts,
		uint32_t flags, const struct vfm_stream_tally *tally, struct vfm_err *err)
{
	struct vfm_stream_reader *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return vfm_fail(err, -ENOMEM, "no memory for a stream");
	r->flags = flags;
	r->tally = *tally;
	ret = set_up(r, fd, opts, err);
	if (!ret)
		ret = read_header(r, err);
	if (ret) {
		vfm_stream_reader_free(r);
		return ret;
	}
	*out = r;
	return 0;
}

VFM_API int vfm_stream_reader_new(struct vfm_stream_reader **out, int fd,
				  const struct vfm_stream_opts *opts, struct vfm_err *err)
{
	const struct vfm_stream_tally tally = vfm_stream_tally_of(0);

	return make(out, fd, opts, 0, &tally, err);
}

int vfm_stream_reader_shared(struct vfm_stream_reader **out, int fd,
			     const struct vfm_stream_opts *opts, uint32_t nr_devices,
			     struct vfm_err *err)
{
	const struct vfm_stream_tally tally = vfm_stream_tally_of(nr_devices);

	return make(out, fd, opts, VFM_STREAM_SHARED, &tally, err);
}

uint64_t vfm_stream_expected_number(const struct vfm_stream_reader *r)
{
	return r->sequence;
}

uint32_t vfm_stream_devices_seen(const struct vfm_stream_reader *r)
{
	return r->tally.nr_devices;
}

/* ---- records -------------------------------------------------------------- */

/* The record that is being read, in the words of every error about it. */
#define AT_RECORD "record %" PRIu64 " at offset %" PRIu64
#define AT_RECORD_ARGS(r) (r)->tally.records, (r)->start

/* For failures that come with a reason from the rules. */
static int fail_record(struct vfm_stream_reader *r, int code, const struct vfm_err *why,
		       struct vfm_err *err)
{
	return vfm_fail(err, code, AT_RECORD " (%s): %s", AT_RECORD_ARGS(r),
			vfm_stream_type_name(r->head.type), why->msg);
}

/* Whether the number of a record is one that it may have. */
static bool is_numbered(const struct vfm_stream_reader *r)
{
	if (r->flags & VFM_STREAM_SHARED)
		return r->head.sequence >= r->sequence && r->head.sequence != UINT64_MAX;
	return r->head.sequence == r->sequence;
}

/* A header that does not follow from the one before: damaged, or not the next one. */
static int fail_chain(struct vfm_stream_reader *r, uint64_t sum, struct vfm_err *err)
{
	const struct vfm_stream_head *head = &r->head;

	if (!is_numbered(r) && vfm_stream_type_known(head->type))
		return vfm_fail(err, -EBADMSG,
				AT_RECORD
				": the header says that it is record %" PRIu64
				"; records are lost, repeated or swapped, or it is damaged",
				AT_RECORD_ARGS(r), head->sequence);
	return vfm_fail(err, -EBADMSG,
			AT_RECORD ": header is damaged or of another stream: checksum %016" PRIx64
				  ", told %016" PRIx64,
			AT_RECORD_ARGS(r), sum, head->head_sum);
}

static int prove_head(struct vfm_stream_reader *r, struct vfm_err *err)
{
	struct vfm_err why;
	uint64_t sum = vfm_stream_head_from_wire(&r->head, r->chain, r->wire);
	int ret;

	if (sum != r->head.head_sum)
		return fail_chain(r, sum, err);
	ret = vfm_stream_check_head(&r->head, &why);
	if (ret)
		return fail_record(r, ret, &why, err);
	if (!is_numbered(r))
		return vfm_fail(err, -EBADMSG, AT_RECORD " (%s): it is numbered %" PRIu64,
				AT_RECORD_ARGS(r), vfm_stream_type_name(r->head.type),
				r->head.sequence);
	if (r->file && vfm_stream_type_is_wire(r->head.type))
		return vfm_fail(err, -EBADMSG,
				AT_RECORD " (%s): such a record has no place in a file",
				AT_RECORD_ARGS(r), vfm_stream_type_name(r->head.type));
	return 0;
}

/* Return: 1: a header; 0: the end, cleanly. */
static int read_head(struct vfm_stream_reader *r, struct vfm_err *err)
{
	int ret;

	if (!r->wire_have) {
		r->start = r->offset;
		r->begun_ns = 0;
	}
	ret = fill(r, r->wire, &r->wire_have, sizeof(r->wire));
	if (ret == -ENODATA && !r->wire_have)
		return r->tally.ended ? 0
				      : vfm_fail(err, ret,
						 "stream ends at offset %" PRIu64 " after %" PRIu64
						 " records, without END",
						 r->start, r->tally.records);
	if (r->wire_have && r->file && r->tally.ended)
		return vfm_fail(err, -EBADMSG, "something follows END at offset %" PRIu64,
				r->start);
	if (ret == -ENODATA)
		return vfm_fail(err, ret, AT_RECORD ": stream ends after %zu bytes of the header",
				AT_RECORD_ARGS(r), r->wire_have);
	if (ret)
		return vfm_fail(err, ret, AT_RECORD ": read the header%s", AT_RECORD_ARGS(r),
				why_unread(r));
	ret = prove_head(r, err);
	if (ret)
		return ret;
	r->in_payload = true;
	r->payload_have = 0;
	return 1;
}

static int read_payload(struct vfm_stream_reader *r, struct vfm_err *err)
{
	const struct vfm_stream_head *head = &r->head;
	const char *name = vfm_stream_type_name(head->type);
	uint64_t sum;
	int ret = fill(r, r->into, &r->payload_have, head->stored);

	if (ret == -ENODATA)
		return vfm_fail(err, ret,
				AT_RECORD " (%s): stream ends after %zu of %u bytes of payload",
				AT_RECORD_ARGS(r), name, r->payload_have, head->stored);
	if (ret)
		return vfm_fail(err, ret, AT_RECORD " (%s): read the payload%s", AT_RECORD_ARGS(r),
				name, why_unread(r));
	sum = vfm_checksum(r->into, head->stored, 0);
	if (sum != head->payload_sum)
		return vfm_fail(err, -EBADMSG,
				AT_RECORD " (%s): %u bytes of payload are damaged: checksum "
					  "%016" PRIx64 ", told %016" PRIx64,
				AT_RECORD_ARGS(r), name, head->stored, sum, head->payload_sum);
	return 0;
}

static int decompress(struct vfm_stream_reader *r, const uint8_t **data, struct vfm_err *err)
{
	struct vfm_err why;

	if (!r->decompressor)
		r->decompressor = vfm_decompressor_new();
	if (!r->decompressor)
		return vfm_fail(err, -ENOMEM, "no memory for decompression");
	*data = vfm_decompress(r->decompressor, r->into, r->head.stored, r->head.plain, &why);
	return *data ? 0 : fail_record(r, -EBADMSG, &why, err);
}

static int compare_count(struct vfm_stream_reader *r, const char *what, uint64_t told,
			 uint64_t found, struct vfm_err *err)
{
	if (told == found)
		return 0;
	return vfm_fail(err, -EBADMSG,
			AT_RECORD " (END): %" PRIu64 " %s counted, there were %" PRIu64,
			AT_RECORD_ARGS(r), told, what, found);
}

/* END against what was read; its own header is not part of the digest yet. */
static int check_end(struct vfm_stream_reader *r, const uint8_t *data, struct vfm_err *err)
{
	const struct vfm_stream_tally *t = &r->tally;
	struct vfm_stream_end end;
	int ret;

	if (!vfm_stream_end_from_wire(&end, data, r->head.plain))
		return vfm_fail(err, -EBADMSG, AT_RECORD " (END): reserved field is not zero",
				AT_RECORD_ARGS(r));
	ret = compare_count(r, "records", end.tally.records, t->records, err);
	if (!ret)
		ret = compare_count(r, "devices", end.tally.nr_devices, t->nr_devices, err);
	if (!ret)
		ret = compare_count(r, "device bytes", end.tally.device_bytes, t->device_bytes,
				    err);
	if (!ret)
		ret = compare_count(r, "memory bytes", end.tally.memory_bytes, t->memory_bytes,
				    err);
	if (ret)
		return ret;
	vfm_digest_get(r->digest, r->end_digest);
	if (memcmp(r->end_digest, end.digest, sizeof(end.digest)))
		return vfm_fail(err, -EBADMSG, AT_RECORD " (END): the digest is of another stream",
				AT_RECORD_ARGS(r));
	return 0;
}

/* A whole record is there: decompress, judge its place, count it. */
static int admit(struct vfm_stream_reader *r, const uint8_t **data, size_t *size,
		 struct vfm_err *err)
{
	const struct vfm_stream_head *head = &r->head;
	struct vfm_stream_tally next = r->tally;
	struct vfm_err why;
	int ret = 0;

	*data = r->into;
	*size = head->stored;
	if (head->flags & VFM_STREAM_ZSTD && vfm_stream_type_known(head->type)) {
		ret = decompress(r, data, err);
		*size = head->plain;
	}
	if (ret)
		return ret;
	ret = vfm_stream_tally_add(&next, head->type, head->device, *data, *size, &why);
	if (ret)
		return fail_record(r, ret, &why, err);
	if (head->type == VFM_STREAM_END)
		ret = check_end(r, *data, err);
	if (!ret)
		r->tally = next;
	return ret;
}

static int next_record(struct vfm_stream_reader *r, struct vfm_stream_record *record,
		       struct vfm_err *err)
{
	const struct vfm_stream_head *head = &r->head;
	const uint8_t *data;
	size_t size;
	int ret;

	if (!r->in_payload) {
		ret = read_head(r, err);
		if (ret <= 0)
			return ret;
	}
	ret = read_payload(r, err);
	if (!ret)
		ret = admit(r, &data, &size, err);
	if (ret)
		return ret;
	vfm_digest_update(r->digest, r->wire, sizeof(r->wire));
	r->chain = head->head_sum;
	r->sequence = head->sequence + 1;
	r->in_payload = false;
	r->wire_have = 0;
	*record = (struct vfm_stream_record){
		.type = head->type,
		.flags = head->flags,
		.device = head->device,
		.offset = r->start,
		.stored = head->stored,
		.size = size,
		.data = data,
	};
	return 1;
}

static bool may_go_on(int ret)
{
	return ret >= 0 || ret == -ETIMEDOUT || ret == -ECANCELED;
}

static int check_alive(const struct vfm_stream_reader *r, struct vfm_err *err)
{
	if (!r->broken)
		return 0;
	return vfm_fail(err, r->broken,
			"read a stream that failed already in its record %" PRIu64
			" at offset %" PRIu64,
			AT_RECORD_ARGS(r));
}

int vfm_stream_peek(struct vfm_stream_reader *r, uint32_t *type, uint64_t *sequence,
		    struct vfm_err *err)
{
	int ret = check_alive(r, err);

	if (!ret)
		ret = r->in_payload ? 1 : read_head(r, err);
	if (!may_go_on(ret))
		r->broken = ret;
	r->begun_ns = 0; /* how long it takes until the rest is wanted is not the peer's doing */
	*type = r->head.type;
	*sequence = r->head.sequence;
	return ret;
}

int vfm_stream_next(struct vfm_stream_reader *r, struct vfm_stream_record *record,
		    struct vfm_err *err)
{
	int ret = check_alive(r, err);

	if (ret)
		return ret;
	ret = next_record(r, record, err);
	if (!may_go_on(ret))
		r->broken = ret;
	return ret;
}

VFM_API int vfm_stream_read(struct vfm_stream_reader *r, struct vfm_stream_record *record,
			    struct vfm_err *err)
{
	int ret;

	do {
		ret = vfm_stream_next(r, record, err);
	} while (ret == 1 && !vfm_stream_type_known(record->type));
	return ret;
}

void vfm_stream_lend(struct vfm_stream_reader *r, uint8_t *buf)
{
	r->into = buf ? buf : r->payload;
}

void vfm_stream_set_file(struct vfm_stream_reader *r)
{
	r->file = true;
}

void vfm_stream_progress(const struct vfm_stream_reader *r, struct vfm_stream_summary *summary)
{
	const struct vfm_stream_tally *t = &r->tally;

	summary->version = r->header.version;
	summary->records = t->records;
	summary->bytes = r->offset;
	summary->device_bytes = t->device_bytes;
	summary->memory_bytes = t->memory_bytes;
	summary->nr_devices = t->nr_devices;
	summary->ended = t->ended;
	for (size_t i = 0; t->ended && i < sizeof(r->end_digest); i++)
		snprintf(summary->digest + 2 * i, 3, "%02x", r->end_digest[i]);
}
