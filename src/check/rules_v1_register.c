// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rules about the migration region itself: how it is described, and how its registers are reached.
 */

#include "check/v1_trial.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/util.h"

/* ---- the description ---------------------------------------------------------- */

static int one_region(struct vfm_trial *t)
{
	struct vfm_region region;

	for (uint32_t i = t->region + 1; i < t->info.nr_regions; i++)
		if (!vfm_device_get_region(t->dev, i, &region, NULL) && region.size &&
		    region.type == VFM_V1_REGION_TYPE && region.subtype == VFM_V1_REGION_SUBTYPE)
			return vfm_trial_fail(t,
					      "regions %u and %u both have type %u, subtype %u and "
					      "a size; one region was to be found",
					      t->region, i, region.type, region.subtype);
	return 0;
}

static int usable_region(struct vfm_trial *t)
{
	const uint32_t both = VFM_REGION_READ | VFM_REGION_WRITE;
	const struct vfm_region *region = &t->described;

	if ((region->flags & both) != both)
		return vfm_trial_fail(t, "its flags are 0x%x; READ and WRITE, 0x%x, must be there",
				      region->flags, both);
	if (region->size <= VFM_V1_REGISTERS_END)
		return vfm_trial_fail(t,
				      "it has %" PRIu64 " bytes; %u of registers and a data "
				      "section must fit",
				      region->size, VFM_V1_REGISTERS_END);
	return 0;
}

/* Of a region of which a part can be mapped. */
static int needs_mapping(struct vfm_trial *t)
{
	return t->described.flags & VFM_REGION_MMAP
		       ? 0
		       : vfm_trial_skip(t, "nothing of the region can be mapped");
}

static int areas_are_pages(struct vfm_trial *t)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = 0;
	const struct vfm_region *region = &t->described;
	int ret = needs_mapping(t);

	for (uint32_t i = 0; !ret && i < region->nr_areas; i++) {
		const struct vfm_area *a = &region->areas[i];

		if (!a->size || (a->offset | a->size) % page)
			ret = vfm_trial_fail(t,
					     "area %u is 0x%" PRIx64 "+0x%" PRIx64
					     "; it must be whole pages of 0x%" PRIx64 " bytes",
					     i, a->offset, a->size, page);
		else if (a->offset < end || !vfm_range_inside(a->offset, a->size, region->size))
			ret = vfm_trial_fail(t,
					     "area %u is 0x%" PRIx64 "+0x%" PRIx64
					     "; it must lie behind 0x%" PRIx64
					     " and in the 0x%" PRIx64 " bytes of the region",
					     i, a->offset, a->size, end, region->size);
		end = a->offset + a->size;
	}
	return ret;
}

static int registers_are_trapped(struct vfm_trial *t)
{
	const struct vfm_region *region = &t->described;
	int ret = needs_mapping(t);

	if (ret)
		return ret;
	if (!region->nr_areas)
		return vfm_trial_fail(t, "it can be mapped and names no areas, which means all of "
					 "it; the registers must not be in what can be mapped");
	for (uint32_t i = 0; i < region->nr_areas; i++)
		if (region->areas[i].offset < VFM_V1_REGISTERS_END)
			return vfm_trial_fail(t,
					      "area %u begins at 0x%" PRIx64
					      "; the registers end at 0x%x",
					      i, region->areas[i].offset, VFM_V1_REGISTERS_END);
	return 0;
}

/* ---- registers ------------------------------------------------------------------- */

static int read_reserved(struct vfm_trial *t, const char *when)
{
	struct vfm_err err;
	uint32_t word;

	if (vfm_v1_read(t, VFM_V1_RESERVED, &word, sizeof(word), &err))
		return vfm_trial_fail(t, "%s, a read of the reserved word failed: %s", when,
				      err.msg);
	if (word)
		return vfm_trial_fail(t, "%s, the reserved word reads 0x%x; it must read 0", when,
				      word);
	return 0;
}

static int reserved_word(struct vfm_trial *t)
{
	const uint32_t ones = UINT32_MAX;
	struct vfm_err err;
	int ret = read_reserved(t, "in RUNNING");

	if (ret)
		return ret;
	if (vfm_v1_write(t, VFM_V1_RESERVED, &ones, sizeof(ones), &err))
		return vfm_trial_fail(t, "a write of 0x%x to the reserved word failed: %s", ones,
				      err.msg);
	return read_reserved(t, "after 0xffffffff was written to it");
}

/* Whether the writes themselves are refused does not matter here. */
static int read_only(struct vfm_trial *t)
{
	uint64_t pending = 0, before = 0, offset = 0;
	struct vfm_err err;
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &before);
	if (!ret && !before)
		ret = vfm_trial_skip(t, "the device has nothing to save");
	if (ret)
		return ret;
	vfm_v1_put(t, VFM_V1_PENDING_BYTES, 0, &err);
	ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &pending);
	if (!ret && !pending)
		return vfm_trial_fail(t,
				      "pending_bytes read %" PRIu64 "; 0 was written to it, and "
				      "then it read 0",
				      before);
	if (!ret)
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &before);
	if (ret)
		return ret;
	vfm_v1_put(t, VFM_V1_DATA_OFFSET, before + 8, &err);
	ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &offset);
	if (!ret && offset != before)
		ret = vfm_trial_fail(t,
				     "data_offset read 0x%" PRIx64 "; 0x%" PRIx64
				     " was written to it, and then it read 0x%" PRIx64,
				     before, before + 8, offset);
	return ret;
}

/* Accesses that are no register, whole and alone. */
static const struct {
	uint64_t offset;
	size_t len;
	bool write; /* harmless if it is taken for one */
} misfits[] = {
	{ 0, 1, true },	  { 0, 2, true },   { 0, 8, true },   { 0, 16, false }, { 0, 32, false },
	{ 1, 1, false },  { 2, 2, false },  { 2, 4, false },  { 4, 1, true },	{ 4, 2, true },
	{ 4, 8, false },  { 8, 1, false },  { 8, 2, false },  { 8, 4, false },	{ 8, 16, false },
	{ 12, 4, false }, { 12, 8, false }, { 16, 1, false }, { 16, 4, false }, { 20, 4, false },
	{ 24, 1, false }, { 24, 2, false }, { 24, 4, false }, { 28, 4, false },
};

/* What a write of a part of device_state puts there is what is there. */
static int native_width(struct vfm_trial *t)
{
	uint8_t buf[32] = { VFM_V1_RUNNING };

	for (size_t i = 0; i < VFM_ARRAY_SIZE(misfits); i++) {
		uint64_t offset = misfits[i].offset;
		size_t len = misfits[i].len;

		if (misfits[i].write && !vfm_v1_write(t, offset, buf, len, NULL))
			return vfm_trial_fail(t,
					      "a write of %zu bytes at %" PRIu64
					      " was taken; no register begins there and is as wide",
					      len, offset);
	}
	for (size_t i = 0; i < VFM_ARRAY_SIZE(misfits); i++)
		if (!vfm_v1_read(t, misfits[i].offset, buf, misfits[i].len, NULL))
			return vfm_trial_fail(t,
					      "a read of %zu bytes at %" PRIu64
					      " was answered; no register begins there and is as "
					      "wide",
					      misfits[i].len, misfits[i].offset);
	return 0;
}

const struct vfm_rule vfm_rules_v1_register[] = {
	{
		.is = { .name = "v1.region.one",
			.title = "a device has one migration region",
			.source = "the thread, sub-types of VFIO_REGION_TYPE_MIGRATION: a region "
				  "is found by type 3 and subtype 1, and by nothing else",
			.text = "A user walks over all regions and takes the one that has the "
				"type. Two of them would be two states of one device, and which "
				"one a user finds would depend on the user.\n"
				"All regions are described; those of size 0 do not count.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = one_region,
	},
	{
		.is = { .name = "v1.region.usable",
			.title = "the migration region can be read and written, and has a data "
				 "section",
			.source = VFM_V1_CITE_REGISTERS
			"the registers are always followed by a data section",
			.text = "Users in the field refuse a region that is not READ and WRITE, "
				"or that ends with its 32 bytes of registers.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = usable_region,
	},
	{
		.is = { .name = "v1.region.areas-are-pages",
			.title = "what can be mapped is whole pages within the region",
			.source = VFM_V1_CITE_REGISTERS
			"data that is mapped is page aligned; the sparse mmap "
			"capability says what is",
			.text = "mmap() takes whole pages. An area that begins or ends within one "
				"cannot be mapped, or brings its neighbours along.\n"
				"Each area must be in the region, not empty, page aligned at both "
				"ends, and behind the one before.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = areas_are_pages,
	},
	{
		.is = { .name = "v1.region.registers-are-trapped",
			.title = "the registers are not in what can be mapped",
			.source = VFM_V1_CITE_REGISTERS "the part from offset 0 is trapped",
			.text = "An access to a register is a request, and memory hears none. A "
				"region with the flag MMAP and without areas can be mapped whole, "
				"with its registers, and users in the field do that.\n"
				"Give the data section pages of its own and name them by the "
				"sparse mmap capability.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = registers_are_trapped,
	},
	{
		.is = { .name = "v1.register.reserved-word",
			.title = "the reserved word reads 0, and a write to it does nothing",
			.source = VFM_V1_CITE_REGISTERS
			"reserved: reads return zero, writes are ignored",
			.text = "So that the word can get a meaning one day and old users do no "
				"harm. It is a register like the others: an access of 4 bytes at "
				"4 must succeed.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = reserved_word,
	},
	{
		.is = { .name = "v1.register.read-only",
			.title = "writes to pending_bytes and data_offset change nothing",
			.source =
				VFM_V1_CITE_REGISTERS "pending_bytes and data_offset are read only",
			.text = "Both are written in STOP_COPY and read again; they must say what "
				"they said before. To refuse the writes is best.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = read_only,
	},
	{
		.is = { .name = "v1.register.native-width",
			.title = "accesses that are not one register, whole, are refused",
			.source = VFM_V1_CITE_REGISTERS
			"fields are accessed in their native width and alignment; "
			"for all else drivers should return an error",
			.text = "A counter of 64 bits that is read in two halves is torn, and a "
				"byte that is written to device_state is no state. What the "
				"result would be is undefined, so an error is the only answer "
				"that a user can do something with.\n"
				"Tried are narrower, wider and misaligned reads of all registers, "
				"and writes of device_state and the reserved word, in RUNNING.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = native_width,
	},
};
const size_t vfm_nr_rules_v1_register = VFM_ARRAY_SIZE(vfm_rules_v1_register);
