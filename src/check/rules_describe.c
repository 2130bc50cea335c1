// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about what a device says of its regions and interrupts. What a region means is
 * the device's own: only the descriptions are looked at, and the ends of regions.
 */

#include "check/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

/* How many of each are looked at, of a device that says that it has more. */
#define LOOK_MAX 64u

static uint32_t nr_regions(const struct vfm_trial *t)
{
	return VFM_MIN(t->info.nr_regions, LOOK_MAX);
}

static uint32_t nr_irqs(const struct vfm_trial *t)
{
	return VFM_MIN(t->info.nr_irqs, LOOK_MAX);
}

/* ---- each region for itself --------------------------------------------------------- */

#define REGION_FLAGS (VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP)

static bool known_flags(const struct vfm_region *r)
{
	return !(r->flags & ~REGION_FLAGS);
}

static bool accessible(const struct vfm_region *r)
{
	return !r->size || r->flags & (VFM_REGION_READ | VFM_REGION_WRITE);
}

static bool has_descriptor(const struct vfm_region *r)
{
	return !(r->flags & VFM_REGION_MMAP) || (r->fd >= 0 && r->size);
}

static bool areas_of_mmap(const struct vfm_region *r)
{
	return r->flags & VFM_REGION_MMAP || !r->nr_areas;
}

static bool few_areas(const struct vfm_region *r)
{
	return r->nr_areas <= VFM_MAX_AREAS;
}

static const struct {
	bool (*holds)(const struct vfm_region *r);
	const char *broken;
} laws[] = {
	{ known_flags, "has flags that there are not" },
	{ accessible, "has a size, and can be neither read nor written" },
	{ has_descriptor, "can be mapped, and has nothing that could be" },
	{ areas_of_mmap, "has areas to be mapped, and cannot be mapped" },
	{ few_areas, "has more areas than are taken" },
};

/* What it is about is the answer: one that there is not is another rule's. */
static int get_region(struct vfm_trial *t, uint32_t index, struct vfm_region *region)
{
	struct vfm_err err;

	return vfm_device_get_region(t->dev, index, region, &err) ? vfm_trial_blocked(t, &err) : 0;
}

static int regions_consistent(struct vfm_trial *t)
{
	for (uint32_t i = 0; i < nr_regions(t); i++) {
		struct vfm_region r;
		int ret = get_region(t, i, &r);

		if (ret)
			return ret;
		if (r.index != i)
			return vfm_trial_fail(t,
					      "asked for region %" PRIu32
					      ", it describes region %" PRIu32,
					      i, r.index);
		for (size_t j = 0; j < VFM_ARRAY_SIZE(laws); j++)
			if (!laws[j].holds(&r))
				return vfm_trial_fail(t,
						      "region %" PRIu32 " of %" PRIu64
						      " bytes, flags 0x%" PRIx32
						      ", descriptor %d, %" PRIu32 " areas, %s",
						      i, r.size, r.flags, r.fd, r.nr_areas,
						      laws[j].broken);
	}
	return 0;
}

/* All areas of a region that can be mapped; @out has room for VFM_MAX_AREAS. */
static size_t get_areas(const struct vfm_region *r, struct vfm_area *out)
{
	if (!(r->flags & VFM_REGION_MMAP) || r->nr_areas > VFM_MAX_AREAS)
		return 0;
	out[0] = (struct vfm_area){ .offset = 0, .size = r->size };
	if (r->nr_areas)
		memcpy(out, r->areas, r->nr_areas * sizeof(*out));
	return r->nr_areas ? r->nr_areas : 1;
}

static int check_areas(struct vfm_trial *t, const struct vfm_region *r)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = 0;
	struct vfm_area areas[VFM_MAX_AREAS];
	size_t count = get_areas(r, areas);

	for (size_t i = 0; i < count; i++) {
		const struct vfm_area *a = &areas[i];
		const char *broken = NULL;

		if (!vfm_range_inside(a->offset, a->size, r->size))
			broken = "is not inside of the region";
		else if (!a->size || a->offset % page || (r->fd_offset + a->offset) % page)
			broken = "is empty, or does not begin at a page";
		else if (a->offset < end)
			broken = "begins before the end of the one before it";
		if (broken)
			return vfm_trial_fail(t,
					      "area %zu of region %" PRIu32 ", at 0x%" PRIx64
					      ", 0x%" PRIx64 " bytes, of 0x%" PRIx64 " bytes, %s",
					      i, r->index, a->offset, a->size, r->size, broken);
		end = a->offset + a->size;
	}
	return 0;
}

/* The way to a device may notice before us that what the device says cannot be. */
static int unsound(struct vfm_trial *t, int code, const struct vfm_err *err)
{
	return code == -EPROTO ? vfm_trial_fail(t, "%s", err->msg) : vfm_trial_blocked(t, err);
}

static int areas_inside(struct vfm_trial *t)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < nr_regions(t); i++) {
		struct vfm_region r;
		struct vfm_err err;
		int code = vfm_device_get_region(t->dev, i, &r, &err);

		ret = code ? unsound(t, code, &err) : check_areas(t, &r);
	}
	return ret;
}

/* Not touched: what is behind the end of a file would be the end of us. */
static int map_area(struct vfm_trial *t, const struct vfm_region *r, const struct vfm_area *a)
{
	size_t size = (size_t)VFM_MIN(a->size, (uint64_t)1 << 20);
	int prot = (r->flags & VFM_REGION_READ ? PROT_READ : 0) |
		   (r->flags & VFM_REGION_WRITE ? PROT_WRITE : 0);
	void *p = mmap(NULL, size, prot, MAP_SHARED, r->fd, (off_t)(r->fd_offset + a->offset));

	if (p == MAP_FAILED)
		return vfm_trial_fail(t,
				      "region %" PRIu32 " says that 0x%" PRIx64
				      " bytes at 0x%" PRIx64 " can be mapped; that failed",
				      r->index, a->size, a->offset);
	munmap(p, size);
	return 0;
}

static int map_areas(struct vfm_trial *t, const struct vfm_region *r)
{
	struct vfm_area areas[VFM_MAX_AREAS];
	size_t count = r->fd < 0 ? 0 : get_areas(r, areas);
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++)
		ret = map_area(t, r, &areas[i]);
	return ret;
}

static int areas_map(struct vfm_trial *t)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < nr_regions(t); i++) {
		struct vfm_region r;

		ret = get_region(t, i, &r);
		if (!ret)
			ret = map_areas(t, &r);
	}
	return ret;
}

/* ---- interrupts, and descriptors for registers ---------------------------------------- */

#define IRQ_FLAGS (VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED | VFM_IRQ_NORESIZE)

static int irqs_consistent(struct vfm_trial *t)
{
	for (uint32_t i = 0; i < nr_irqs(t); i++) {
		struct vfm_irq irq;
		struct vfm_err err;

		if (vfm_device_get_irq(t->dev, i, &irq, &err))
			return vfm_trial_blocked(t, &err);
		if (irq.index != i)
			return vfm_trial_fail(t,
					      "asked for interrupt %" PRIu32
					      ", it describes interrupt %" PRIu32,
					      i, irq.index);
		if (irq.flags & ~IRQ_FLAGS || (irq.count && !(irq.flags & VFM_IRQ_EVENTFD)))
			return vfm_trial_fail(t,
					      "interrupt %" PRIu32 " has %" PRIu32
					      " vectors and flags 0x%" PRIx32
					      "; there are 0xf, and 0x1, an eventfd, is the way to "
					      "hear of it",
					      i, irq.count, irq.flags);
	}
	return 0;
}

static int check_io_fds(struct vfm_trial *t, uint32_t index, uint64_t size)
{
	struct vfm_io_fd list[LOOK_MAX];
	struct vfm_err err;
	int n = vfm_device_get_io_fds(t->dev, index, list, LOOK_MAX, &err);

	if (n == -EPROTO)
		return unsound(t, n, &err);
	for (int i = 0; i < VFM_MIN(n, (int)LOOK_MAX); i++)
		if (!vfm_range_inside(list[i].offset, list[i].size, size) ||
		    fcntl(list[i].fd, F_GETFD) < 0)
			return vfm_trial_fail(t,
					      "region %" PRIu32 " of 0x%" PRIx64
					      " bytes has a descriptor %d for 0x%" PRIx64
					      " bytes at 0x%" PRIx64
					      ", which is not open, or not inside",
					      index, size, list[i].fd, list[i].size,
					      list[i].offset);
	return 0;
}

static int io_fds_inside(struct vfm_trial *t)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < nr_regions(t); i++) {
		struct vfm_region r;

		ret = get_region(t, i, &r);
		if (!ret)
			ret = check_io_fds(t, i, r.size);
	}
	return ret;
}

/* ---- the ends -------------------------------------------------------------------- */

static int index_beyond(struct vfm_trial *t)
{
	const uint32_t step[] = { 0, 1, UINT32_C(1) << 31 };
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(step); i++) {
		struct vfm_region region;
		struct vfm_irq irq;

		ret = vfm_trial_refused(t,
					vfm_device_get_region(t->dev, t->info.nr_regions + step[i],
							      &region, NULL),
					"describing a region beyond the last");
		if (!ret)
			ret = vfm_trial_refused(
				t,
				vfm_device_get_irq(t->dev, t->info.nr_irqs + step[i], &irq, NULL),
				"describing an interrupt beyond the last");
	}
	return ret;
}

static int access_beyond(struct vfm_trial *t)
{
	uint8_t buf[8];
	int ret = 0;

	for (uint32_t i = 0; !ret && i < nr_regions(t); i++) {
		struct vfm_region r;

		ret = get_region(t, i, &r);
		if (ret || !(r.flags & VFM_REGION_READ) || r.size < sizeof(buf))
			continue;
		if (!vfm_device_read_region(t->dev, i, r.size, buf, 4, NULL) ||
		    !vfm_device_read_region(t->dev, i, r.size - 4, buf, 8, NULL))
			ret = vfm_trial_fail(t,
					     "region %" PRIu32 " has 0x%" PRIx64
					     " bytes, and was read beyond its end",
					     i, r.size);
	}
	if (!ret)
		ret = vfm_trial_refused(
			t, vfm_device_read_region(t->dev, t->info.nr_regions, 0, buf, 4, NULL),
			"reading a region beyond the last");
	return ret;
}

/* ---- in every state -------------------------------------------------------------- */

/* What was said in RUNNING. */
struct description {
	struct vfm_device_info info;
	struct vfm_region regions[LOOK_MAX];
	struct vfm_irq irqs[LOOK_MAX];
};

static int describe(struct vfm_trial *t, struct description *d, struct vfm_err *err)
{
	int ret = vfm_device_get_info(t->dev, &d->info, err);

	for (uint32_t i = 0; !ret && i < nr_regions(t); i++)
		ret = vfm_device_get_region(t->dev, i, &d->regions[i], err);
	for (uint32_t i = 0; !ret && i < nr_irqs(t); i++)
		ret = vfm_device_get_irq(t->dev, i, &d->irqs[i], err);
	return ret;
}

static bool same_region(const struct vfm_region *a, const struct vfm_region *b)
{
	return a->flags == b->flags && a->size == b->size && a->type == b->type &&
	       a->subtype == b->subtype && a->nr_areas == b->nr_areas &&
	       !memcmp(a->areas, b->areas,
		       VFM_MIN(a->nr_areas, VFM_MAX_AREAS) * sizeof(a->areas[0]));
}

static bool same_irq(const struct vfm_irq *a, const struct vfm_irq *b)
{
	return a->flags == b->flags && a->count == b->count;
}

static int compare(struct vfm_trial *t, enum vfm_state state, const struct description *was,
		   const struct description *is)
{
	const char *where = vfm_state_name(state);

	if (was->info.nr_regions != is->info.nr_regions || was->info.nr_irqs != is->info.nr_irqs ||
	    was->info.flags != is->info.flags)
		return vfm_trial_fail(t,
				      "in RUNNING it has flags 0x%" PRIx32 ", %" PRIu32
				      " regions and %" PRIu32 " interrupts; in %s 0x%" PRIx32
				      ", %" PRIu32 " and %" PRIu32,
				      was->info.flags, was->info.nr_regions, was->info.nr_irqs,
				      where, is->info.flags, is->info.nr_regions, is->info.nr_irqs);
	for (uint32_t i = 0; i < nr_regions(t); i++)
		if (!same_region(&was->regions[i], &is->regions[i]))
			return vfm_trial_fail(t,
					      "region %" PRIu32 " has 0x%" PRIx64
					      " bytes and flags 0x%" PRIx32
					      " in RUNNING; in %s 0x%" PRIx64 " and 0x%" PRIx32
					      ", or other areas",
					      i, was->regions[i].size, was->regions[i].flags, where,
					      is->regions[i].size, is->regions[i].flags);
	for (uint32_t i = 0; i < nr_irqs(t); i++)
		if (!same_irq(&was->irqs[i], &is->irqs[i]))
			return vfm_trial_fail(t,
					      "interrupt %" PRIu32 " has %" PRIu32
					      " vectors in RUNNING and %" PRIu32 " in %s, or other "
					      "flags",
					      i, was->irqs[i].count, is->irqs[i].count, where);
	return 0;
}

/* @user: two, of which the first was filled in in RUNNING. */
static int same_description(struct vfm_trial *t, enum vfm_state state, void *user)
{
	struct description *d = (struct description *)user;
	struct vfm_err err;

	if (describe(t, &d[1], &err))
		return vfm_trial_blocked(t, &err);
	return compare(t, state, &d[0], &d[1]);
}

/* Some ways to a device ask once and remember: who opens it in that state has to ask. */
static int same_when_opened(struct vfm_trial *t, enum vfm_state state, void *user)
{
	int ret = same_description(t, state, user);

	if (!ret)
		ret = vfm_trial_reopen(t);
	return ret ? ret : same_description(t, state, user);
}

static int info_stable(struct vfm_trial *t)
{
	vfm_auto_free struct description *d = calloc(2, sizeof(*d));
	struct vfm_err err;

	if (!d)
		return vfm_trial_skip(t, "no memory");
	if (describe(t, &d[0], &err))
		return vfm_trial_blocked(t, &err);
	return vfm_trial_each_state(t, same_when_opened, d);
}

/* ---- PCI ------------------------------------------------------------------------- */

static int pci_numbering(struct vfm_trial *t)
{
	struct vfm_region r;
	struct vfm_err err;
	uint16_t vendor;

	if (!(t->info.flags & VFM_DEVICE_PCI))
		return vfm_trial_skip(t, "the device is not PCI");
	if (t->info.nr_regions <= VFM_PCI_CONFIG)
		return vfm_trial_fail(t,
				      "it is PCI and has %" PRIu32
				      " regions; number %d is the configuration space",
				      t->info.nr_regions, VFM_PCI_CONFIG);
	if (vfm_device_get_region(t->dev, VFM_PCI_CONFIG, &r, &err))
		return vfm_trial_blocked(t, &err);
	if (r.size < 256 || (r.flags & VFM_REGION_READ) == 0 || (r.flags & VFM_REGION_WRITE) == 0)
		return vfm_trial_fail(t,
				      "its configuration space has %" PRIu64
				      " bytes and flags 0x%" PRIx32
				      "; it needs 256, and to be read and written",
				      r.size, r.flags);
	if (vfm_device_read_region(t->dev, VFM_PCI_CONFIG, 0, &vendor, sizeof(vendor), &err))
		return vfm_trial_fail(t, "the vendor in its configuration space cannot be read: %s",
				      err.msg);
	if (vendor == 0xffff)
		return vfm_trial_fail(t, "its vendor is 0xffff, which says that nothing is there");
	return 0;
}

/* ---- the table ------------------------------------------------------------------- */

const struct vfm_rule vfm_rules_describe[] = {
	{
		.is = { .name = "v2.describe.stable",
			.title = "what is said of device, regions and interrupts does not change",
			.source = "uAPI, VFIO_DEVICE_GET_INFO, GET_REGION_INFO, GET_IRQ_INFO: "
				  "constant while the device is open",
			.text = "Users ask once, and keep the answer.\n\n"
				"Everything is read in RUNNING, and compared in every state: by "
				"who "
				"has brought it there, and by who opens it there.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = info_stable,
	},
	{
		.is = { .name = "v2.describe.regions-consistent",
			.title = "what is said of a region fits together",
			.source = "uAPI, struct vfio_region_info, VFIO_REGION_INFO_FLAG_*",
			.text = "A user believes the flags: it maps what can be mapped and reads "
				"what can be read.\n\n"
				"Each region is described, and its index, flags, size, descriptor "
				"and number of areas are compared with each other.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = regions_consistent,
	},
	{
		.is = { .name = "v2.describe.areas-inside",
			.title = "areas that can be mapped are whole pages inside of their region",
			.source =
				"uAPI, VFIO_REGION_INFO_CAP_SPARSE_MMAP; <vfmig/device.h>, struct "
				"vfm_region: rising, not overlapping",
			.text = "An area that reaches beyond its region maps what belongs to "
				"another one, or to nobody.\n\n"
				"Offset, size and order of each area are looked at.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = areas_inside,
	},
	{
		.is = { .name = "v2.describe.areas-can-be-mapped",
			.title = "what is said to be mappable can be mapped",
			.source = "uAPI, VFIO_REGION_INFO_FLAG_MMAP",
			.text = "A monitor that cannot map what it was promised gives up.\n\n"
				"Each area is mapped, and taken away again untouched.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = areas_map,
	},
	{
		.is = { .name = "v2.describe.irqs-consistent",
			.title = "what is said of an interrupt fits together",
			.source = "uAPI, struct vfio_irq_info, VFIO_IRQ_INFO_*",
			.text = "Interrupts are heard of by eventfds, and by nothing else.\n\n"
				"Each is described; index, flags and number of vectors are "
				"compared "
				"with each other.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = irqs_consistent,
	},
	{
		.is = { .name = "v2.describe.io-fds-inside",
			.title = "descriptors that stand for registers are open, and in their "
				 "region",
			.source = "vfio-user, DEVICE_GET_REGION_IO_FDS; <vfmig/device.h>, struct "
				  "vfm_io_fd",
			.text = "A monitor hands them to the kernel, which writes to them instead "
				"of telling the device.\n\n"
				"Those of each region are looked at.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.run = io_fds_inside,
	},
	{
		.is = { .name = "v2.describe.index-beyond-refused",
			.title = "there is no region and no interrupt beyond the last",
			.source =
				"uAPI, VFIO_DEVICE_GET_INFO: num_regions and num_irqs are one more "
				"than the largest index",
			.text = "An index that is not checked reads the memory behind a table.\n\n"
				"The numbers of regions and of interrupts themselves, one more, "
				"and "
				"2^31 more, are described.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = index_beyond,
	},
	{
		.is = { .name = "v2.describe.access-beyond-refused",
			.title = "a region is not read beyond its end",
			.source =
				"<vfmig/device.h>, vfm_device_read_region(): offset + len must lie "
				"inside; uAPI, struct vfio_region_info: size",
			.text = "What is behind a region in the memory of the device's process is "
				"somebody else's.\n\n"
				"Each region that can be read is read from its end, and across it; "
				"and one that there is not is read.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = access_beyond,
	},
	{
		.is = { .name = "v2.describe.pci-numbering",
			.title = "a PCI device has its configuration space where it belongs",
			.source =
				"uAPI, VFIO_PCI_CONFIG_REGION_INDEX; the PCI specification for the "
				"256 bytes",
			.text = "Regions of a PCI device have fixed numbers, and the first that a "
				"machine looks at is the configuration space.\n\n"
				"It must be there, be read and written, and have a vendor.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.run = pci_numbering,
	},
};
const size_t vfm_nr_rules_describe = VFM_ARRAY_SIZE(vfm_rules_describe);
