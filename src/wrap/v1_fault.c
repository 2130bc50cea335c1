// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What bugs of the migration region share. */

#include "wrap/v1_fault.h"

#include <string.h>

#include "base/util.h"

bool vfm_v1_is_region(struct vfm_device *dev, uint32_t index)
{
	struct vfm_region region;
	struct vfm_err err;

	return !vfm_pass_get_region(dev, index, &region, &err) &&
	       region.type == VFM_V1_REGION_TYPE && region.subtype == VFM_V1_REGION_SUBTYPE;
}

enum vfm_v1_target vfm_v1_target(struct vfm_device *dev, uint32_t index, uint64_t offset,
				 size_t len)
{
	static const struct {
		uint64_t offset;
		size_t len;
		enum vfm_v1_target target;
	} registers[] = {
		{ VFM_V1_DEVICE_STATE, 4, VFM_V1_AT_STATE },
		{ VFM_V1_RESERVED, 4, VFM_V1_AT_RESERVED },
		{ VFM_V1_PENDING_BYTES, 8, VFM_V1_AT_PENDING },
		{ VFM_V1_DATA_OFFSET, 8, VFM_V1_AT_OFFSET },
		{ VFM_V1_DATA_SIZE, 8, VFM_V1_AT_SIZE },
	};

	if (!vfm_v1_is_region(dev, index))
		return VFM_V1_OTHER;
	if (offset >= VFM_V1_REGISTERS_END)
		return VFM_V1_AT_DATA;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(registers); i++)
		if (registers[i].offset == offset && registers[i].len == len)
			return registers[i].target;
	return VFM_V1_OTHER;
}

uint64_t vfm_v1_ask(struct vfm_device *dev, uint32_t index, uint64_t reg)
{
	struct vfm_err err;
	uint64_t value;

	return vfm_pass_read_region(dev, index, reg, &value, sizeof(value), &err) ? 0 : value;
}

uint32_t vfm_v1_ask_word(struct vfm_device *dev, uint32_t index)
{
	struct vfm_err err;
	uint32_t word;

	return vfm_pass_read_region(dev, index, VFM_V1_DEVICE_STATE, &word, sizeof(word), &err)
		       ? 0
		       : word & VFM_V1_MASK;
}

void vfm_v1_skip_chunk(struct vfm_device *dev, uint32_t index)
{
	vfm_v1_ask(dev, index, VFM_V1_PENDING_BYTES);
	vfm_v1_ask(dev, index, VFM_V1_DATA_OFFSET);
	vfm_v1_ask(dev, index, VFM_V1_DATA_SIZE);
	vfm_v1_ask(dev, index, VFM_V1_PENDING_BYTES);
}

int vfm_v1_answer(void *buf, size_t len, uint64_t value)
{
	uint32_t word = (uint32_t)value;

	memcpy(buf, len == sizeof(word) ? (const void *)&word : &value,
	       VFM_MIN(len, sizeof(value)));
	return 0;
}

uint64_t vfm_v1_written(const void *buf, size_t len)
{
	uint64_t value = 0;
	uint32_t word = 0;

	if (len == sizeof(word)) {
		memcpy(&word, buf, sizeof(word));
		return word;
	}
	memcpy(&value, buf, VFM_MIN(len, sizeof(value)));
	return value;
}
