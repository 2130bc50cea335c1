// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A source, by hand, that spreads records over three channels as it likes: what a destination makes
 * of numbers that are missing, repeated or far ahead, and of an END that does not prove all of it.
 */

#include "links.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/hello.h"
#include "engine/total.h"
#include "stream/format.h"

#define CHANNELS 3
#define PIECE 4096

/* What the handshake takes: IDENTITY and MEMORY_MAP. */
#define FIRST UINT64_C(2)

/** struct source - that, and the destination's half in a thread */
struct source {
	struct links l;
	struct vfm_stream_writer *w[CHANNELS];
	struct vfm_stream_reader *r;
	struct vfm_stream_end ends[CHANNELS];
};

static void say_hello(int fd, const uint8_t session[VFM_HELLO_SESSION_SIZE], uint16_t channel)
{
	struct vfm_hello hello = { .version = 2,
				   .compat_version = channel ? 2 : 1,
				   .role = VFM_HELLO_SOURCE,
				   .channels = CHANNELS,
				   .channel = channel };
	uint8_t wire[VFM_HELLO_SIZE];

	memcpy(hello.session, session, sizeof(hello.session));
	vfm_hello_to_wire(&hello, wire);
	assert_int_equal(send(fd, wire, sizeof(wire), MSG_NOSIGNAL), sizeof(wire));
}

static void hear_hello(int fd, struct vfm_hello *hello)
{
	uint8_t wire[VFM_HELLO_SIZE];

	assert_int_equal(recv(fd, wire, sizeof(wire), MSG_WAITALL), sizeof(wire));
	assert_int_equal(vfm_hello_from_wire(hello, wire, "destination", NULL), 0);
}

/* As far as READY, with a destination whose state has @size bytes. */
static void begin(struct source *s, uint64_t size, unsigned int timeout_ms)
{
	static const uint8_t no_memory[8], session[VFM_HELLO_SESSION_SIZE] = { 1 };
	int *fds = s->l.ends[0].fds;
	struct vfm_stream_record record;
	struct vfm_hello theirs, again;
	struct vfm_identity id;

	links_open(&s->l, CHANNELS, size, PIECE);
	s->l.opts[1].timeout_ms = timeout_ms;
	s->l.half.fd = s->l.ends[1].fds[0];
	rig_receive_begin(&s->l.half);
	say_hello(fds[0], session, 0);
	hear_hello(fds[0], &theirs);
	for (uint16_t i = 1; i < CHANNELS; i++) {
		say_hello(fds[i], theirs.session, i);
		hear_hello(fds[i], &again);
	}
	assert_int_equal(vfm_identity_get(&id, &s->l.src->dev, NULL), 0);
	assert_int_equal(vfm_stream_writer_shared(&s->w[0], fds[0], NULL, 0, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(s->w[0], 0, &id, NULL), 0);
	assert_int_equal(vfm_stream_write(s->w[0], VFM_STREAM_MEMORY_MAP, 0, 0, no_memory, 8, NULL),
			 0);
	assert_int_equal(vfm_stream_reader_new(&s->r, fds[0], NULL, NULL), 0);
	assert_int_equal(vfm_stream_read(s->r, &record, NULL), 1);
	assert_int_equal(record.type, VFM_STREAM_READY);
	for (unsigned int i = 1; i < CHANNELS; i++)
		assert_int_equal(vfm_stream_writer_shared(&s->w[i], fds[i], NULL, 1, NULL), 0);
}

/* What the destination says at last, and what became of its half. */
static void end(struct source *s, int expect, const char *says)
{
	rig_join(&s->l.half);
	if (s->l.half.ret != expect || !strstr(s->l.half.err.msg, says))
		fail_msg("%d, %s; expected %d, %s", s->l.half.ret, s->l.half.err.msg, expect, says);
	if (expect) {
		assert_int_equal(s->l.dst->state, VFM_STATE_RUNNING);
		assert_int_equal(s->l.dst->resets, 1);
	}
	for (unsigned int i = 0; i < CHANNELS; i++)
		vfm_stream_writer_free(s->w[i]);
	vfm_stream_reader_free(s->r);
	links_close(&s->l);
}

/* A record is refused by the destination's end of the socket, too, once that is closed. */
static void put(struct source *s, unsigned int channel, uint64_t number, uint32_t type,
		const void *data, size_t size)
{
	uint32_t flags = type == VFM_STREAM_PHASE || type > 0x8000 ? VFM_STREAM_OPTIONAL : 0;
	int ret;

	vfm_stream_number(s->w[channel], number);
	ret = vfm_stream_write(s->w[channel], type, flags, 0, data, size, NULL);
	assert_true(!ret || ret == -EPIPE || ret == -ECONNRESET);
}

/* Piece number @n of the flow, as record FIRST + @n. */
static void put_piece(struct source *s, unsigned int channel, uint64_t n)
{
	uint64_t words[PIECE / 8];

	for (uint64_t i = 0; i < PIECE / 8; i++)
		words[i] = n * PIECE + i;
	put(s, channel, FIRST + n, VFM_STREAM_DEVICE_DATA, words, PIECE);
}

static void seal(struct source *s, unsigned int channel, uint64_t number)
{
	vfm_stream_number(s->w[channel], number);
	assert_int_equal(vfm_stream_seal(s->w[channel], NULL, 0, &s->ends[channel], NULL), 0);
}

/* What END of the first channel should say of the others. */
static struct vfm_total total_of(const struct source *s)
{
	const struct vfm_stream_end *ends[] = { &s->ends[1], &s->ends[2] };
	struct vfm_total total;

	assert_int_equal(vfm_total_of(&total, ends, 2, NULL), 0);
	return total;
}

static void seal_first(struct source *s, uint64_t number, const struct vfm_total *total)
{
	uint8_t wire[VFM_TOTAL_SIZE];

	vfm_total_to_wire(total, wire);
	vfm_stream_number(s->w[0], number);
	assert_int_equal(vfm_stream_seal(s->w[0], wire, sizeof(wire), NULL, NULL), 0);
}

/* Nine pieces, in three orders that are none, and records of others among them. */
static void any_order_will_do(void **state)
{
	static const struct {
		unsigned int channel;
		uint64_t piece;
	} orders[][9] = {
		{ { 0, 0 },
		  { 1, 1 },
		  { 2, 2 },
		  { 0, 3 },
		  { 1, 4 },
		  { 2, 5 },
		  { 0, 6 },
		  { 1, 7 },
		  { 2, 8 } },
		{ { 2, 3 },
		  { 1, 1 },
		  { 1, 2 },
		  { 2, 4 },
		  { 2, 7 },
		  { 1, 8 },
		  { 0, 0 },
		  { 0, 5 },
		  { 0, 6 } },
		{ { 1, 0 },
		  { 1, 1 },
		  { 1, 2 },
		  { 1, 3 },
		  { 1, 4 },
		  { 1, 5 },
		  { 1, 6 },
		  { 1, 7 },
		  { 1, 8 } },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct vfm_stream_record record;
		struct vfm_total total;
		struct source s;

		begin(&s, 9 * PIECE, 10000);
		for (size_t j = 0; j < 9; j++)
			put_piece(&s, orders[i][j].channel, orders[i][j].piece);
		put(&s, 2, FIRST + 10, 0x8001, "a note", 6);
		put(&s, 1, FIRST + 9, 0x8001, NULL, 0);
		seal(&s, 2, FIRST + 12);
		seal(&s, 1, FIRST + 11);
		total = total_of(&s);
		seal_first(&s, FIRST + 13, &total);
		assert_int_equal(vfm_stream_read(s.r, &record, NULL), 1);
		assert_int_equal(record.type, VFM_STREAM_LOADED);
		assert_int_equal(vfm_stream_write(s.w[0], VFM_STREAM_COMMIT, 0, 0, NULL, 0, NULL),
				 0);
		assert_int_equal(vfm_stream_read(s.r, &record, NULL), 1);
		assert_int_equal(record.type, VFM_STREAM_RUNNING);
		assert_int_equal(s.l.dst->at, 9 * PIECE);
		end(&s, 0, "");
	}
}

/* ---- numbers ------------------------------------------------------------------- */

static void one_is_missing(struct source *s)
{
	put_piece(s, 0, 1);
	put_piece(s, 1, 2);
	put_piece(s, 2, 3);
}

/* All are past it, as three have ended and one has come. */
static void one_is_missing_at_the_end(struct source *s)
{
	struct vfm_total total;

	put_piece(s, 0, 0);
	put_piece(s, 1, 2);
	seal(s, 1, FIRST + 3);
	seal(s, 2, FIRST + 4);
	total = total_of(s);
	seal_first(s, FIRST + 5, &total);
}

static void twice_on_two_channels(struct source *s)
{
	put_piece(s, 1, 1);
	put_piece(s, 2, 1);
}

static void one_that_was_loaded(struct source *s)
{
	put_piece(s, 0, 0);
	put_piece(s, 0, 1);
	while (s->l.dst->at < 2 * PIECE)
		poll(NULL, 0, 5);
	put_piece(s, 2, 0);
}

static void one_of_the_handshake(struct source *s)
{
	put_piece(s, 1, UINT64_MAX); /* FIRST - 1 */
}

static void all_far_ahead(struct source *s)
{
	put_piece(s, 0, 1000);
	put_piece(s, 1, UINT64_C(1) << 40);
	put_piece(s, 2, UINT64_MAX - 4);
}

static void one_far_ahead(struct source *s)
{
	put_piece(s, 1, UINT64_C(1) << 40);
}

/* ---- what does not belong there ------------------------------------------------- */

static void words_on_another_channel(struct source *s)
{
	put(s, 2, FIRST, VFM_STREAM_COMMIT, NULL, 0);
}

static void an_abort_on_another_channel(struct source *s)
{
	put(s, 2, FIRST, VFM_STREAM_ABORT, "\5\0\0\0no", 6);
}

static void a_phase_on_another_channel(struct source *s)
{
	put(s, 1, FIRST, VFM_STREAM_PHASE, "\3\0\0\0\0\0\0\0\0\0\0\0", 12);
}

/* Enough of them for the header of a record. */
static void a_stream_within_a_stream(struct source *s)
{
	for (int i = 0; i < 2; i++) {
		struct vfm_stream_writer *w;

		assert_int_equal(vfm_stream_writer_shared(&w, s->l.ends[0].fds[2], NULL, 1, NULL),
				 0);
		vfm_stream_writer_free(w);
	}
}

/* ---- END --------------------------------------------------------------------------- */

static void seal_others(struct source *s)
{
	put_piece(s, 0, 0);
	put_piece(s, 1, 1);
	seal(s, 1, FIRST + 2);
	seal(s, 2, FIRST + 3);
}

static void end_without_the_others(struct source *s)
{
	struct vfm_total total = { .channels = CHANNELS };

	put_piece(s, 0, 0);
	put_piece(s, 1, 1);
	seal(s, 1, FIRST + 2);
	seal_first(s, FIRST + 3, &total);
}

static void end_that_says_nothing_of_them(struct source *s)
{
	seal_others(s);
	seal(s, 0, FIRST + 4);
}

static void end_of_fewer(struct source *s)
{
	struct vfm_total total;

	seal_others(s);
	total = total_of(s);
	total.channels = 2;
	seal_first(s, FIRST + 4, &total);
}

static void end_that_counts_wrongly(struct source *s)
{
	struct vfm_total total;

	seal_others(s);
	total = total_of(s);
	total.device_bytes++;
	seal_first(s, FIRST + 4, &total);
}

static void end_with_another_digest(struct source *s)
{
	struct vfm_total total;

	seal_others(s);
	total = total_of(s);
	total.digest[7] ^= 1;
	seal_first(s, FIRST + 4, &total);
}

/* ---- silence ------------------------------------------------------------------------ */

static void begun_and_not_ended(struct source *s)
{
	uint8_t half[20] = { 0 };

	put_piece(s, 0, 1);
	put_piece(s, 1, 2);
	assert_int_equal(send(s->l.ends[0].fds[2], half, sizeof(half), MSG_NOSIGNAL), 20);
}

static const struct {
	const char *name;
	void (*run)(struct source *s);
	int expect;
	const char *says;
	bool closed; /* the last channel, afterwards */
} cases[] = {
	{ "missing", one_is_missing, -EBADMSG, "record 2 is missing: all channels are past it" },
	{ "missing at the end", one_is_missing_at_the_end, -EBADMSG, "record 3 is missing" },
	{ "twice", twice_on_two_channels, -EBADMSG, "record 3 came already" },
	{ "loaded already", one_that_was_loaded, -EBADMSG, "channel 2: record 2 came already" },
	{ "of the handshake", one_of_the_handshake, -EBADMSG, "channel 1: record 1 came already" },
	{ "all far ahead", all_far_ahead, -EBADMSG, "record 2 is missing" },
	{ "one far ahead", one_far_ahead, -ETIMEDOUT, "the source was silent for 400 ms" },
	{ "a word elsewhere", words_on_another_channel, -EPROTO,
	  "channel 2: COMMIT belongs on the first channel" },
	{ "ABORT elsewhere", an_abort_on_another_channel, -EPROTO,
	  "channel 2: ABORT belongs on the first channel" },
	{ "PHASE elsewhere", a_phase_on_another_channel, -EPROTO,
	  "channel 1: PHASE belongs on the first channel" },
	{ "a header", a_stream_within_a_stream, -EBADMSG, "channel 2: record 0 at offset 32" },
	{ "END alone", end_without_the_others, -EBADMSG, "END, and channel 2 has not ended" },
	{ "bare END", end_that_says_nothing_of_them, -EBADMSG,
	  "END says nothing of the other channels" },
	{ "END of fewer", end_of_fewer, -EBADMSG, "END of 2 channels, there are 3" },
	{ "END miscounts", end_that_counts_wrongly, -EBADMSG,
	  "END counts 4097 device bytes and 0 memory bytes on other channels, there were 4096 and "
	  "0" },
	{ "END of others", end_with_another_digest, -EBADMSG,
	  "END has the digest of other channels than these" },
	{ "begun", begun_and_not_ended, -ETIMEDOUT, "channel 2: the source was silent for 400 ms" },
	{ "begun and closed", begun_and_not_ended, -ECONNRESET,
	  "channel 2: the source has closed the connection", true },
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct source s;

		print_message("# %s\n", cases[i].name);
		begin(&s, 2 * PIECE, 400);
		cases[i].run(&s);
		if (cases[i].closed)
			shutdown(s.l.ends[0].fds[2], SHUT_WR);
		end(&s, cases[i].expect, cases[i].says);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_will_do),
		cmocka_unit_test(refused),
	};

	return RUN_TESTS(tests);
}
