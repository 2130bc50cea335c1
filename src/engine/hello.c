// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The hello as bytes and as fields, and what two of them make of each other. No
 * input or output, and nothing is allocated: this is all that somebody
 * gets to who is not one of ours.
 *
 * What surprises: it is neither secret nor proven, and nothing is believed
 * because it says so. A side that wants TLS does not do without, so
 * taking the flag away gains an attacker nothing but a refusal.
 */

#include "engine/hello.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/util.h"

#define RESERVED_SIZE 12
#define SUMMED_SIZE (VFM_HELLO_SIZE - 8)

void vfm_hello_to_wire(const struct vfm_hello *hello, uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_writer w = vfm_writer_of(wire, VFM_HELLO_SIZE);

	vfm_write_bytes(&w, VFM_HELLO_MAGIC, VFM_HELLO_MAGIC_SIZE);
	vfm_write_le16(&w, hello->version);
	vfm_write_le16(&w, hello->compat_version);
	vfm_write_le32(&w, VFM_HELLO_SIZE);
	vfm_write_le32(&w, hello->flags);
	vfm_write_le32(&w, hello->role);
	vfm_write_bytes(&w, hello->session, sizeof(hello->session));
	vfm_write_le16(&w, hello->channels);
	vfm_write_le16(&w, hello->channel);
	vfm_write_zeros(&w, RESERVED_SIZE);
	vfm_write_le64(&w, vfm_checksum(wire, SUMMED_SIZE, 0));
}

bool vfm_hello_is_ours(const uint8_t *wire, size_t have)
{
	return !memcmp(wire, VFM_HELLO_MAGIC, VFM_MIN(have, VFM_HELLO_MAGIC_SIZE));
}

/* Up to our version everything is known; of later ones that we may read, reserved fields are
 * theirs. */
static bool has_reserved(const struct vfm_hello *hello, const uint8_t *reserved)
{
	static const uint8_t zeros[RESERVED_SIZE];

	if (hello->version < VFM_HELLO_CHANNEL_VERSION && (hello->channels || hello->channel))
		return true;
	return hello->version <= VFM_HELLO_VERSION && memcmp(reserved, zeros, sizeof(zeros)) != 0;
}

int vfm_hello_from_wire(struct vfm_hello *hello, const uint8_t wire[VFM_HELLO_SIZE],
			const char *who, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(wire, VFM_HELLO_SIZE);
	const uint8_t *reserved;
	uint32_t size;

	if (!vfm_hello_is_ours(wire, VFM_HELLO_SIZE))
		return vfm_fail(err, -EPROTO, "the %s does not speak the protocol of vfmig", who);
	vfm_read_bytes(&r, VFM_HELLO_MAGIC_SIZE);
	hello->version = vfm_read_le16(&r);
	hello->compat_version = vfm_read_le16(&r);
	size = vfm_read_le32(&r);
	hello->flags = vfm_read_le32(&r);
	hello->role = vfm_read_le32(&r);
	vfm_read_copy(&r, hello->session, sizeof(hello->session));
	hello->channels = vfm_read_le16(&r);
	hello->channel = vfm_read_le16(&r);
	reserved = vfm_read_bytes(&r, RESERVED_SIZE);
	if (vfm_read_le64(&r) != vfm_checksum(wire, SUMMED_SIZE, 0))
		return vfm_fail(err, -EPROTO, "the hello of the %s is damaged", who);
	if (!hello->compat_version || hello->compat_version > hello->version ||
	    size != VFM_HELLO_SIZE || has_reserved(hello, reserved))
		return vfm_fail(err, -EPROTO, "the hello of the %s makes no sense", who);
	if (hello->compat_version > VFM_HELLO_VERSION || hello->flags & ~VFM_HELLO_TLS)
		return vfm_fail(err, -EOPNOTSUPP,
				"the %s speaks version %u of the protocol with flags 0x%x, we "
				"speak version %u",
				who, hello->version, hello->flags, VFM_HELLO_VERSION);
	return 0;
}

int vfm_hello_agree(const struct vfm_hello *ours, const struct vfm_hello *theirs, const char *who,
		    struct vfm_err *err)
{
	uint32_t other = ours->role == VFM_HELLO_SOURCE ? VFM_HELLO_DESTINATION : VFM_HELLO_SOURCE;

	if (theirs->role != other)
		return vfm_fail(err, -EPROTO, "the other side is no %s", who);
	if (theirs->channel)
		return vfm_fail(err, -EPROTO, "this is channel %u of another migration",
				theirs->channel);
	if (theirs->flags & ~ours->flags & VFM_HELLO_TLS)
		return vfm_fail(err, -EOPNOTSUPP, "the %s wants TLS, and we have none", who);
	if (ours->flags & ~theirs->flags & VFM_HELLO_TLS)
		return vfm_fail(err, -EOPNOTSUPP, "we want TLS, and the %s has none", who);
	return 0;
}

unsigned int vfm_hello_channels(const struct vfm_hello *ours, const struct vfm_hello *theirs)
{
	return VFM_MAX(VFM_MIN(ours->channels, theirs->channels), 1u);
}

bool vfm_hello_is_channel(const struct vfm_hello *ours, const struct vfm_hello *theirs,
			  const uint8_t session[VFM_HELLO_SESSION_SIZE])
{
	uint8_t differs = 0;

	for (size_t i = 0; i < VFM_HELLO_SESSION_SIZE; i++)
		differs |= theirs->session[i] ^ session[i];
	return !differs && theirs->channel && theirs->role != ours->role &&
	       theirs->flags == ours->flags;
}
