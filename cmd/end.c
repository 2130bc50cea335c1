// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The devices at one end of a move, and the memory of ours that all of them have
 * mapped. One device is an end of one.
 */

#include "cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

int cmd_open(struct vfm_device **dev, const char *uri, struct vfm_err *err)
{
	int ret = vfm_open(dev, uri, err);

	/* a name that is wrong, not a device that is */
	return ret == -EINVAL || ret == -ENAMETOOLONG ? CMD_MISUSE : ret;
}

/* Whether two of this name are one: what is made for us is not. */
static bool is_shared(const char *uri)
{
	static const char *const schemes[] = { "vfio-user:", "vfio:" };

	for (size_t i = 0; i < VFM_ARRAY_SIZE(schemes); i++)
		if (!strncmp(uri, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

int cmd_check_uris(char *const *uris, size_t count, struct vfm_err *err)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(uris[i], uris[k]) && is_shared(uris[i]))
				return vfm_fail(err, CMD_MISUSE, "the device %s is named twice",
						uris[i]);
	return 0;
}

static int open_devices(struct cmd_end *end, char *const *uris, size_t count, size_t stride,
			struct vfm_err *err)
{
	end->devs = (struct vfm_device **)calloc(count, sizeof(struct vfm_device *));
	end->reports = (struct vfm_device_report *)calloc(count, sizeof(*end->reports));
	if (!end->devs || !end->reports)
		return vfm_fail(err, -ENOMEM, "no memory for %zu devices", count);
	for (; end->nr_devs < count; end->nr_devs++) {
		int ret = cmd_open(&end->devs[end->nr_devs], uris[end->nr_devs * stride], err);

		if (ret)
			return ret;
	}
	end->dev = end->devs[0];
	return 0;
}

int cmd_end_open(struct cmd_end *end, char *const *uris, size_t count, size_t stride,
		 const struct cmd_memory_list *memory, bool create, struct vfm_err *err)
{
	int ret = open_devices(end, uris, count, stride, err);

	if (!ret)
		ret = cmd_memory_new(&end->mem, memory, create, err);
	/* without ranges there is nothing to map; those that the engine adds, it maps */
	for (size_t i = 0; i < end->nr_devs && !ret && memory->count; i++)
		ret = vfm_memory_map(end->mem, end->devs[i], err);
	return ret;
}

struct vfm_unit cmd_end_unit(const struct cmd_end *end, bool source)
{
	return (struct vfm_unit){ .size = sizeof(struct vfm_unit),
				  .devs = end->devs,
				  .nr_devs = end->nr_devs,
				  .mem = source && !vfm_memory_count(end->mem) ? NULL : end->mem,
				  .reports = end->reports };
}

void cmd_end_close(struct cmd_end *end)
{
	/* the devices go first: they must not be left with memory that is gone */
	for (size_t i = 0; i < end->nr_devs; i++)
		vfm_device_close(end->devs[i]);
	free((void *)end->devs);
	free(end->reports);
	vfm_memory_free(end->mem);
	*end = (struct cmd_end){ 0 };
}
