// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device with the migration region added: its description, the way of an access to
 * the register or the section that it is for, and what is handed on. What the registers
 * mean is in front_state.c and front_data.c.
 */

#include "region/front.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

/* ---- registers ---------------------------------------------------------------------- */

static int read_reserved(struct vfm_front *f, uint64_t *value, struct vfm_err *err)
{
	(void)f;
	(void)err;
	*value = 0;
	return 0;
}

static int write_reserved(struct vfm_front *f, uint64_t value, struct vfm_err *err)
{
	(void)f;
	(void)value;
	(void)err;
	return 0;
}

struct front_register {
	const char *name;
	uint64_t offset;
	size_t width;
	int (*read)(struct vfm_front *f, uint64_t *value, struct vfm_err *err);
	int (*write)(struct vfm_front *f, uint64_t value, struct vfm_err *err);
};

static const struct front_register registers[] = {
	{ "device_state", VFM_V1_DEVICE_STATE, 4, vfm_front_read_state, vfm_front_write_state },
	{ "reserved", VFM_V1_RESERVED, 4, read_reserved, write_reserved },
	{ "pending_bytes", VFM_V1_PENDING_BYTES, 8, vfm_front_read_pending, NULL },
	{ "data_offset", VFM_V1_DATA_OFFSET, 8, vfm_front_read_data_offset, NULL },
	{ "data_size", VFM_V1_DATA_SIZE, 8, vfm_front_read_data_size, vfm_front_write_data_size },
};

/* The register that an access is for, whole; NULL: there is none. */
static const struct front_register *find_register(uint64_t offset, size_t len, struct vfm_err *err)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(registers); i++)
		if (registers[i].offset == offset && registers[i].width == len)
			return &registers[i];
	vfm_fail(err, -EINVAL,
		 "access %zu bytes at 0x%" PRIx64
		 " of the migration region: that is neither a register nor data",
		 len, offset);
	return NULL;
}

static int read_register(struct vfm_front *f, uint64_t offset, void *buf, size_t len,
			 struct vfm_err *err)
{
	const struct front_register *reg = find_register(offset, len, err);
	uint64_t value;
	uint32_t word;
	int ret;

	if (!reg)
		return -EINVAL;
	ret = reg->read(f, &value, err);
	if (ret)
		return ret;
	word = (uint32_t)value;
	memcpy(buf, len == sizeof(word) ? (const void *)&word : &value, len);
	return 0;
}

static int write_register(struct vfm_front *f, uint64_t offset, const void *buf, size_t len,
			  struct vfm_err *err)
{
	const struct front_register *reg = find_register(offset, len, err);
	uint64_t value = 0;
	uint32_t word = 0;

	if (!reg)
		return -EINVAL;
	if (!reg->write)
		return vfm_fail(err, -EINVAL, "write %s: it can be read only", reg->name);
	memcpy(len == sizeof(word) ? (void *)&word : &value, buf, len);
	return reg->write(f, len == sizeof(word) ? word : value, err);
}

/* Whether an access is one to the section; then @at is where in it. */
static bool in_section(const struct vfm_front *f, uint64_t offset, size_t len, uint64_t *at)
{
	*at = offset - f->section.offset;
	return offset >= f->section.offset && vfm_range_inside(*at, len, f->section.size);
}

/* ---- regions ------------------------------------------------------------------------ */

static int no_region(const struct vfm_front *f, uint32_t index, struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL,
			"region %" PRIu32 ": there are none from %" PRIu32 " to %" PRIu32
			" and behind %" PRIu32,
			index, f->nr_inner, f->index, f->index);
}

static int front_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	int ret = vfm_pass_get_info(dev, info, err);

	if (!ret)
		info->nr_regions = vfm_front_of(dev)->index + 1;
	return ret;
}

static int front_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			    struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);

	if (index < f->nr_inner)
		return vfm_pass_get_region(dev, index, region, err);
	if (index > f->index)
		return no_region(f, index, err);
	*region = (struct vfm_region){ .index = index, .fd = -1 };
	if (index == f->index) {
		region->type = VFM_V1_REGION_TYPE;
		region->subtype = VFM_V1_REGION_SUBTYPE;
		vfm_section_describe(&f->section, region);
	}
	return 0;
}

static int front_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			     size_t len, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	uint64_t at;

	if (index < f->nr_inner)
		return vfm_pass_read_region(dev, index, offset, buf, len, err);
	if (index != f->index)
		return no_region(f, index, err);
	return in_section(f, offset, len, &at) ? vfm_front_read_section(f, at, buf, len, err)
					       : read_register(f, offset, buf, len, err);
}

int vfm_front_look(struct vfm_device *front, uint64_t offset, size_t len, const void **data,
		   struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(front);
	uint64_t at;

	*data = NULL;
	return len && in_section(f, offset, len, &at) ? vfm_front_find_data(f, at, len, data, err)
						      : 0;
}

int vfm_front_room(struct vfm_device *front, uint64_t offset, size_t len, void **room,
		   struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(front);
	uint64_t at;

	*room = NULL;
	return len && in_section(f, offset, len, &at) ? vfm_front_find_room(f, at, len, room, err)
						      : 0;
}

static int front_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			      const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	uint64_t at;

	if (index < f->nr_inner)
		return vfm_pass_write_region(dev, index, offset, buf, len, err);
	if (index != f->index)
		return no_region(f, index, err);
	return in_section(f, offset, len, &at) ? vfm_front_write_section(f, at, buf, len, err)
					       : write_register(f, offset, buf, len, err);
}

static int front_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			    size_t max, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);

	if (index < f->nr_inner)
		return vfm_pass_get_io_fds(dev, index, list, max, err);
	return index > f->index ? no_region(f, index, err) : 0;
}

/* ---- the device --------------------------------------------------------------------- */

static int front_get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
			      struct vfm_err *err)
{
	struct vfm_device *inner = vfm_pass_inner(dev);

	return inner->ops->get_protocol ? inner->ops->get_protocol(inner, protocol, err) : 0;
}

static void front_close(struct vfm_device *dev)
{
	struct vfm_front *f = vfm_front_of(dev);

	vfm_section_close(&f->section);
	free(f->bounce);
	if (f->owned)
		vfm_device_close(f->pass.inner);
}

void vfm_front_own(struct vfm_device *front)
{
	vfm_front_of(front)->owned = true;
}

static const struct vfm_device_ops front_ops = {
	.close = front_close,
	.get_info = front_get_info,
	.get_region = front_get_region,
	.read_region = front_read_region,
	.write_region = front_write_region,
	.get_io_fds = front_get_io_fds,
	.get_irq = vfm_pass_get_irq,
	.set_irqs = vfm_pass_set_irqs,
	.map_dma = vfm_pass_map_dma,
	.unmap_dma = vfm_pass_unmap_dma,
	.unmap_all = vfm_pass_unmap_all,
	.get_migration = vfm_pass_get_migration,
	.get_state = vfm_front_get_state,
	.set_state = vfm_front_set_state,
	.read_data = vfm_front_read_data,
	.write_data = vfm_pass_write_data,
	.read_chunk = vfm_front_read_chunk,
	.write_chunk = vfm_pass_write_chunk,
	.get_precopy_info = vfm_front_get_precopy_info,
	.get_data_size = vfm_front_get_data_size,
	.reset = vfm_front_reset,
	.get_compat = vfm_pass_get_compat,
	.set_orphan = vfm_pass_set_orphan,
	.get_protocol = front_get_protocol,
	.start_log = vfm_pass_start_log,
	.report_log = vfm_pass_report_log,
	.stop_log = vfm_pass_stop_log,
	.get_fd = vfm_pass_get_fd,
	.process = vfm_pass_process,
};

/* What must be known of the device behind before it gets a region. */
static int ask_inner(struct vfm_front *f, struct vfm_err *err)
{
	struct vfm_device_info info;
	int ret = vfm_pass_get_migration(&f->pass.dev, &f->migration, err);

	if (!ret)
		ret = vfm_pass_get_info(&f->pass.dev, &info, err);
	if (!ret)
		ret = vfm_front_ask(f, err);
	if (ret)
		return ret;
	if (info.nr_regions == UINT32_MAX)
		return vfm_fail(err, -E2BIG, "it has %" PRIu32 " regions", info.nr_regions);
	f->nr_inner = f->index = info.nr_regions;
	if (info.flags & VFM_DEVICE_PCI)
		f->index = VFM_MAX(f->index, (uint32_t)VFM_PCI_NR_REGIONS);
	return 0;
}

static int new_memory(struct vfm_front *f, const struct vfm_front_opts *opts, struct vfm_err *err)
{
	int ret = vfm_section_open(&f->section, opts, err);

	if (ret || f->section.mode == VFM_SECTION_TRAPPED || f->pass.inner->ops->writes_once)
		return ret;
	f->bounce = malloc(VFM_MIN(f->section.size, VFM_FRONT_BOUNCE));
	return f->bounce ? 0 : vfm_fail(err, -ENOMEM, "no memory");
}

int vfm_front_open(struct vfm_device **out, struct vfm_device *inner,
		   const struct vfm_front_opts *opts, struct vfm_err *err)
{
	static const struct vfm_front_opts defaults = { 0 };
	struct vfm_err why = { 0 };
	struct vfm_front *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return vfm_fail(err, -ENOMEM, "%s: no memory", vfm_device_uri(inner));
	f->pass.inner = inner;
	f->section.fd = -1;
	ret = vfm_device_init(&f->pass.dev, &front_ops, vfm_device_uri(inner), err);
	if (ret) {
		free(f);
		return ret;
	}
	ret = ask_inner(f, &why);
	if (!ret)
		ret = new_memory(f, opts ? opts : &defaults, &why);
	if (ret) {
		vfm_fail(err, ret, "%s: add a migration region: %s", vfm_device_uri(inner),
			 why.msg[0] ? why.msg : strerror(-ret));
		vfm_device_close(&f->pass.dev);
		return ret;
	}
	*out = &f->pass.dev;
	return 0;
}
