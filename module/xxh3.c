// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * XXH3 in its plain form: no vectors, as the kernel has none to give away. See
 * xxh3.h for what it is for.
 *
 * Surprise: it is five hashes. Which one is used depends on the length alone, and
 * of 64 and 128 bits only the last, for more than 240 bytes, has the same core.
 */

#include "xxh3.h"

#define P32_1 0x9e3779b1u
#define P32_2 0x85ebca77u
#define P32_3 0xc2b2ae3du
#define P64_1 0x9e3779b185ebca87ull
#define P64_2 0xc2b2ae3d27d4eb4full
#define P64_3 0x165667b19e3779f9ull
#define P64_4 0x85ebca77c2b2ae63ull
#define P64_5 0x27d4eb2f165667c5ull
#define MX1 0x165667919e3779f9ull
#define MX2 0x9fb21c651e98df25ull

#define SECRET 192u
#define LANES 8u
#define STRIPES 16u /* of a block, after which the lanes are scrambled */
#define LAST_SECRET (SECRET - XXH3_STRIPE - 7u)
#define MID_MAX 240u

static const u8 secret[SECRET] = {
	0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad,
	0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3,
	0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc,
	0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6,
	0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65,
	0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19,
	0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9,
	0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31,
	0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb,
	0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0,
	0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d,
	0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
	0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

/* ---- mixing ---------------------------------------------------------------------- */

static struct xxh3_128 mul128(u64 a, u64 b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (struct xxh3_128){ .low = (u64)product, .high = (u64)(product >> 64) };
}

static u64 fold(u64 a, u64 b)
{
	struct xxh3_128 m = mul128(a, b);

	return m.low ^ m.high;
}

static u64 finish64(u64 h)
{
	h = (h ^ h >> 33) * P64_2;
	h = (h ^ h >> 29) * P64_3;
	return h ^ h >> 32;
}

static u64 finish(u64 h)
{
	h = (h ^ h >> 37) * MX1;
	return h ^ h >> 32;
}

static u64 mix16(const u8 *in, const u8 *sec, u64 seed)
{
	return fold(get64(in) ^ (get64(sec) + seed), get64(in + 8) ^ (get64(sec + 8) - seed));
}

static void mix32(struct xxh3_128 *acc, const u8 *a, const u8 *b, const u8 *sec)
{
	acc->low = (acc->low + mix16(a, sec, 0)) ^ (get64(b) + get64(b + 8));
	acc->high = (acc->high + mix16(b, sec + 16, 0)) ^ (get64(a) + get64(a + 8));
}

/* One to three bytes, and their number, as a word. */
static u32 tiny_word(const u8 *in, size_t len)
{
	return (u32)in[0] << 16 | (u32)in[len >> 1] << 24 | in[len - 1] | (u32)len << 8;
}

/* ---- more than 240 bytes --------------------------------------------------------- */

static void lanes_begin(u64 acc[LANES])
{
	static const u64 start[LANES] = { P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1 };

	memcpy(acc, start, sizeof(start));
}

static void take_stripe(u64 acc[LANES], const u8 *in, const u8 *sec)
{
	u32 i;

	for (i = 0; i < LANES; i++) {
		u64 data = get64(in + 8 * i), key = data ^ get64(sec + 8 * i);

		acc[i ^ 1] += data;
		acc[i] += (key & 0xffffffffu) * (key >> 32);
	}
}

static void scramble(u64 acc[LANES], const u8 *sec)
{
	u32 i;

	for (i = 0; i < LANES; i++)
		acc[i] =
			(acc[i] ^ acc[i] >> 47 ^ get64(sec + SECRET - XXH3_STRIPE + 8 * i)) * P32_1;
}

/* Stripe number @n of all; the last one of the input is not taken by this. */
static void take_numbered(u64 acc[LANES], u64 n, const u8 *in, const u8 *sec)
{
	take_stripe(acc, in, sec + n % STRIPES * 8);
	if (n % STRIPES == STRIPES - 1)
		scramble(acc, sec);
}

static u64 merge(const u64 acc[LANES], const u8 *sec, u64 start)
{
	u32 i;

	for (i = 0; i < LANES / 2; i++)
		start += fold(acc[2 * i] ^ get64(sec + 16 * i),
			      acc[2 * i + 1] ^ get64(sec + 16 * i + 8));
	return finish(start);
}

static u64 long64(const u8 *in, size_t len, u64 seed)
{
	u8 sec[SECRET];
	u64 acc[LANES], n;
	u32 i;

	for (i = 0; i < SECRET; i += 16) {
		put64(sec + i, get64(secret + i) + seed);
		put64(sec + i + 8, get64(secret + i + 8) - seed);
	}
	lanes_begin(acc);
	for (n = 0; n < (len - 1) / XXH3_STRIPE; n++)
		take_numbered(acc, n, in + n * XXH3_STRIPE, sec);
	take_stripe(acc, in + len - XXH3_STRIPE, sec + LAST_SECRET);
	return merge(acc, sec + 11, len * P64_1);
}

/* ---- 64 bits --------------------------------------------------------------------- */

static u64 tiny64(const u8 *in, size_t len, u64 seed)
{
	if (!len)
		return finish64(seed ^ get64(secret + 56) ^ get64(secret + 64));
	return finish64(tiny_word(in, len) ^ ((get32(secret) ^ get32(secret + 4)) + seed));
}

static u64 four64(const u8 *in, size_t len, u64 seed)
{
	u64 h = get32(in + len - 4) + ((u64)get32(in) << 32);

	seed ^= (u64)swab32((u32)seed) << 32;
	h ^= (get64(secret + 8) ^ get64(secret + 16)) - seed;
	h ^= rol64(h, 49) ^ rol64(h, 24);
	h *= MX2;
	h = (h ^ ((h >> 35) + len)) * MX2;
	return h ^ h >> 28;
}

static u64 nine64(const u8 *in, size_t len, u64 seed)
{
	u64 low = get64(in) ^ ((get64(secret + 24) ^ get64(secret + 32)) + seed);
	u64 high = get64(in + len - 8) ^ ((get64(secret + 40) ^ get64(secret + 48)) - seed);

	return finish(len + swab64(low) + high + fold(low, high));
}

static u64 mid64(const u8 *in, size_t len, u64 seed)
{
	u64 acc = len * P64_1;
	size_t i;

	if (len <= 128) {
		for (i = (len - 1) / 32 + 1; i-- > 0;) {
			acc += mix16(in + 16 * i, secret + 32 * i, seed);
			acc += mix16(in + len - 16 * (i + 1), secret + 32 * i + 16, seed);
		}
		return finish(acc);
	}
	for (i = 0; i < 8; i++)
		acc += mix16(in + 16 * i, secret + 16 * i, seed);
	acc = finish(acc);
	for (i = 8; i < len / 16; i++)
		acc += mix16(in + 16 * i, secret + 16 * (i - 8) + 3, seed);
	acc += mix16(in + len - 16, secret + 136 - 17, seed);
	return finish(acc);
}

u64 xxh3_64(const void *data, size_t len, u64 seed)
{
	const u8 *in = data;

	if (len < 4)
		return tiny64(in, len, seed);
	if (len <= 8)
		return four64(in, len, seed);
	if (len <= 16)
		return nine64(in, len, seed);
	return len <= MID_MAX ? mid64(in, len, seed) : long64(in, len, seed);
}

/* ---- 128 bits, seed 0 ------------------------------------------------------------ */

static struct xxh3_128 tiny128(const u8 *in, size_t len)
{
	struct xxh3_128 h;
	u32 word;

	if (!len) {
		h.low = finish64(get64(secret + 64) ^ get64(secret + 72));
		h.high = finish64(get64(secret + 80) ^ get64(secret + 88));
		return h;
	}
	word = tiny_word(in, len);
	h.low = finish64(word ^ (u64)(get32(secret) ^ get32(secret + 4)));
	word = swab32(word);
	h.high = finish64(rol32(word, 13) ^ (u64)(get32(secret + 8) ^ get32(secret + 12)));
	return h;
}

static struct xxh3_128 four128(const u8 *in, size_t len)
{
	u64 key = get32(in) + ((u64)get32(in + len - 4) << 32);
	struct xxh3_128 m;

	key ^= get64(secret + 16) ^ get64(secret + 24);
	m = mul128(key, P64_1 + ((u64)len << 2));
	m.high += m.low << 1;
	m.low ^= m.high >> 3;
	m.low = (m.low ^ m.low >> 35) * MX2;
	m.low ^= m.low >> 28;
	m.high = finish(m.high);
	return m;
}

static struct xxh3_128 nine128(const u8 *in, size_t len)
{
	u64 low = get64(in), high = get64(in + len - 8);
	struct xxh3_128 m, h;

	m = mul128(low ^ high ^ get64(secret + 32) ^ get64(secret + 40), P64_1);
	m.low += (u64)(len - 1) << 54;
	high ^= get64(secret + 48) ^ get64(secret + 56);
	m.high += high + (high & 0xffffffffu) * (P32_2 - 1);
	m.low ^= swab64(m.high);
	h = mul128(m.low, P64_2);
	h.high += m.high * P64_2;
	h.low = finish(h.low);
	h.high = finish(h.high);
	return h;
}

static struct xxh3_128 mid128_end(struct xxh3_128 acc, size_t len)
{
	struct xxh3_128 h = {
		.low = finish(acc.low + acc.high),
		.high = 0 - finish(acc.low * P64_1 + acc.high * P64_4 + len * P64_2),
	};

	return h;
}

static struct xxh3_128 mid128(const u8 *in, size_t len)
{
	struct xxh3_128 acc = { .low = len * P64_1 };
	size_t i;

	if (len <= 128) {
		for (i = (len - 1) / 32 + 1; i-- > 0;)
			mix32(&acc, in + 16 * i, in + len - 16 * (i + 1), secret + 32 * i);
		return mid128_end(acc, len);
	}
	for (i = 0; i < 4; i++)
		mix32(&acc, in + 32 * i, in + 32 * i + 16, secret + 32 * i);
	acc.low = finish(acc.low);
	acc.high = finish(acc.high);
	for (i = 4; i < len / 32; i++)
		mix32(&acc, in + 32 * i, in + 32 * i + 16, secret + 32 * (i - 4) + 3);
	mix32(&acc, in + len - 16, in + len - 32, secret + 136 - 17 - 16);
	return mid128_end(acc, len);
}

static struct xxh3_128 brief128(const u8 *in, size_t len)
{
	if (len < 4)
		return tiny128(in, len);
	if (len <= 8)
		return four128(in, len);
	return len <= 16 ? nine128(in, len) : mid128(in, len);
}

void xxh3_begin(struct xxh3_stream *s, u64 total)
{
	memset(s, 0, sizeof(*s));
	s->total = total;
	lanes_begin(s->acc);
	if (!total)
		s->brief = tiny128(NULL, 0);
}

/* The last 64 bytes of everything so far, of which @len come just now. */
static void keep_tail(struct xxh3_stream *s, const u8 *in, size_t len)
{
	if (len < XXH3_STRIPE) {
		memmove(s->tail, s->tail + len, XXH3_STRIPE - len);
		memcpy(s->tail + XXH3_STRIPE - len, in, len);
	} else {
		memcpy(s->tail, in + len - XXH3_STRIPE, XXH3_STRIPE);
	}
}

void xxh3_feed(struct xxh3_stream *s, const void *data, size_t len)
{
	u64 stripes = s->total ? (s->total - 1) / XXH3_STRIPE : 0;
	u64 n = s->done / XXH3_STRIPE;
	const u8 *in = data;
	size_t at;

	if (s->total <= MID_MAX) {
		s->brief = brief128(in, len);
		return;
	}
	for (at = 0; n < stripes && len - at >= XXH3_STRIPE; at += XXH3_STRIPE)
		take_numbered(s->acc, n++, in + at, secret);
	keep_tail(s, in, len);
	s->done += len;
	if (s->done == s->total)
		take_stripe(s->acc, s->tail, secret + LAST_SECRET);
}

struct xxh3_128 xxh3_end(const struct xxh3_stream *s)
{
	struct xxh3_128 h = s->brief;

	if (s->total > MID_MAX) {
		h.low = merge(s->acc, secret + 11, s->total * P64_1);
		h.high = merge(s->acc, secret + SECRET - XXH3_STRIPE - 11, ~(s->total * P64_2));
	}
	return h;
}
