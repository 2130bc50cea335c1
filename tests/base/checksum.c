// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Known answers. Streams carry these values, so another answer is another file
 * format. Lengths are chosen around the places where XXH3 changes its ways: 0,
 * 3, 4, 8, 16, 128, 240 bytes and beyond a block.
 */

#include "base/checksum.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "test.h"

static const struct {
	size_t len;
	uint64_t plain, seeded; /* seeds 0 and 0x0123456789abcdef */
	const char *digest;
} answers[] = {
	{ 0, UINT64_C(0x2d06800538d394c2), UINT64_C(0xcc1ca35a1b089c5c),
	  "99aa06d3014798d86001c324468d497f" },
	{ 1, UINT64_C(0xc44bdff4074eecdb), UINT64_C(0xd5dd68911c7f195d),
	  "a6cd5e9392000f6ac44bdff4074eecdb" },
	{ 3, UINT64_C(0xa1c4a8259b827291), UINT64_C(0x2dc58c246ee3d12e),
	  "95c705060a313bf8a1c4a8259b827291" },
	{ 4, UINT64_C(0xbb4e3d89ee0b271d), UINT64_C(0x471de3aa0a520ef9),
	  "afbf64f9281b8de2fde8d93ae8794d8e" },
	{ 8, UINT64_C(0x79d02238b80e37b1), UINT64_C(0x1f38fe6f418e3d07),
	  "2761698c33953c430234362aaf47b71a" },
	{ 9, UINT64_C(0xf64cecc4271ff461), UINT64_C(0x33410e5f3e844592),
	  "0d39db6431d37a74895c8a562da51412" },
	{ 16, UINT64_C(0x222e9aead6bddd51), UINT64_C(0x5736574191315846),
	  "29be75b0bbbb5284aafffcec5df2cb27" },
	{ 17, UINT64_C(0x47aad6b375eb4bba), UINT64_C(0xf111b3b1f714caf8),
	  "db7e8f77961e47fd878751509ecfdb8b" },
	{ 128, UINT64_C(0x421a9c905c6e66ba), UINT64_C(0xc4da012bbc8d64eb),
	  "ba44fd018231af4cbbe087d879edcc78" },
	{ 129, UINT64_C(0x9e2414800f83768a), UINT64_C(0xe2340b16a555f0c5),
	  "522c922743fd67f1b8075934107218e5" },
	{ 240, UINT64_C(0xb714c5fd22744964), UINT64_C(0xdf26758760e82108),
	  "4f49ccc8526aa7ad407883ea5ef95b9a" },
	{ 241, UINT64_C(0xbc424a2c480dd281), UINT64_C(0xae3beafb3ac2f987),
	  "50b62ee1ee6455a7bc424a2c480dd281" },
	{ 1024, UINT64_C(0x1fd15e7d36f5e1bc), UINT64_C(0xb75b005f39bf9183),
	  "53bd178b75ab292e1fd15e7d36f5e1bc" },
	{ 4097, UINT64_C(0x52606c941adb173b), UINT64_C(0x8d703250520fb84a),
	  "1487c90386606b4552606c941adb173b" },
};

static uint8_t data[100000];

static void make_data(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)((i * 2654435761u) >> 13);
}

static void assert_digest(const struct vfm_digest *d, const char *want)
{
	uint8_t bytes[VFM_DIGEST_SIZE];
	char text[2 * VFM_DIGEST_SIZE + 1];

	vfm_digest_get(d, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	assert_string_equal(text, want);
}

static void checksums(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(answers); i++) {
		assert_int_equal(vfm_checksum(data, answers[i].len, 0), answers[i].plain);
		assert_int_equal(vfm_checksum(data, answers[i].len, UINT64_C(0x0123456789abcdef)),
				 answers[i].seeded);
	}
}

static void checksum_of_unaligned_data(void **state)
{
	static uint8_t copy[5000 + 8];

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		memcpy(copy + shift, data, 5000);
		assert_int_equal(vfm_checksum(copy + shift, 5000, 3), vfm_checksum(data, 5000, 3));
	}
}

static void digests(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(answers); i++) {
		struct vfm_digest *d = vfm_digest_new();

		assert_non_null(d);
		vfm_digest_update(d, data, answers[i].len);
		assert_digest(d, answers[i].digest);
		vfm_digest_free(d);
	}
}

/* Cut into pieces of every size, with a look at it after each piece. */
static void digests_in_pieces(void **state)
{
	const size_t last = VFM_ARRAY_SIZE(answers) - 1;
	uint8_t ignored[VFM_DIGEST_SIZE];

	(void)state;
	for (size_t piece = 1; piece <= answers[last].len; piece = piece * 3 + 1) {
		struct vfm_digest *d = vfm_digest_new();
		size_t done = 0, n;

		assert_non_null(d);
		vfm_digest_update(d, NULL, 0);
		for (; done < answers[last].len; done += n) {
			n = VFM_MIN(piece, answers[last].len - done);
			vfm_digest_update(d, data + done, n);
			vfm_digest_get(d, ignored);
		}
		assert_digest(d, answers[last].digest);
		vfm_digest_free(d);
	}
	vfm_digest_free(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums),
		cmocka_unit_test(checksum_of_unaligned_data),
		cmocka_unit_test(digests),
		cmocka_unit_test(digests_in_pieces),
	};

	make_data();
	return RUN_TESTS(tests);
}
