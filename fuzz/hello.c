// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The hello. The first byte of the input chooses: with bit 0 the checksum is made
 * right, as a fuzzer would never find one; bits 1 and 2 are our role and
 * whether we want TLS. What is taken must be what its fields say again.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/util.h"
#include "engine/hello.h"

#define SEAL (1u << 0)
#define SINK (1u << 1)
#define TLS (1u << 2)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_writer w = vfm_writer_of(wire + VFM_HELLO_SIZE - 8, 8);

	vfm_write_le64(&w, vfm_checksum(wire, VFM_HELLO_SIZE - 8, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfm_hello ours = { .version = 2, .compat_version = 1, .channels = 4 }, theirs;
	unsigned int channels;
	uint8_t wire[VFM_HELLO_SIZE] = { 0 }, again[VFM_HELLO_SIZE];
	uint8_t session[VFM_HELLO_SESSION_SIZE];
	struct vfm_err err;

	if (!size)
		return 0;
	ours.role = data[0] & SINK ? VFM_HELLO_DESTINATION : VFM_HELLO_SOURCE;
	ours.flags = data[0] & TLS ? VFM_HELLO_TLS : 0;
	memcpy(wire, data + 1, VFM_MIN(size - 1, sizeof(wire)));
	if (data[0] & SEAL)
		seal(wire);
	if (!vfm_hello_is_ours(data + 1, size - 1) && vfm_hello_is_ours(wire, sizeof(wire)))
		abort(); /* more bytes made one of what was none */
	if (vfm_hello_from_wire(&theirs, wire, "peer", &err))
		return 0;
	vfm_hello_to_wire(&theirs, again);
	if (theirs.version <= VFM_HELLO_VERSION && memcmp(again, wire, sizeof(wire)) != 0)
		abort();
	if (!vfm_hello_agree(&ours, &theirs, "peer", &err) &&
	    (theirs.flags != ours.flags || theirs.role == ours.role || theirs.channel))
		abort();
	channels = vfm_hello_channels(&ours, &theirs);
	if (channels < 1 || channels > ours.channels)
		abort();
	/* what belongs to one session belongs to no other */
	memcpy(session, theirs.session, sizeof(session));
	if (vfm_hello_is_channel(&ours, &theirs, session)) {
		session[data[0] % sizeof(session)] ^= 1;
		if (!theirs.channel || vfm_hello_is_channel(&ours, &theirs, session))
			abort();
	}
	return 0;
}
