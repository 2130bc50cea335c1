// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Names of devices of the kernel:
 *
 *   0000:3b:00.2                      a PCI address; the domain may be left out
 *   UUID                              a mediated device
 *   /dev/vfio/12,device=NAME          the file of a group
 *   /dev/vfio/devices/vfio3           the device's own file
 *   fd=5,container=6                  open already, with the container
 *   fd=5,iommufd=6,ioas=2             or the iommufd that its memory is mapped in
 *
 * with ",key=value" behind each. What the files are is found out where they are opened.
 */

#include "kernel/name.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/params.h"
#include "base/util.h"

#define DEFAULT_TIMEOUT_S 60
#define MAX_TIMEOUT_S 86400

/* No descriptor: beyond every one that there may be. */
#define NONE UINT64_MAX

static bool has_shape(const char *text, const char *shape)
{
	for (; *shape; shape++, text++) {
		if (*shape == 'x' ? !isxdigit((unsigned char)*text) : *text != *shape)
			return false;
	}
	return !*text;
}

bool vfm_kernel_is_uuid(const char *text)
{
	return has_shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
}

/* The kernel's own spelling, which is the name of a directory. Domains have 4 digits or more. */
static bool parse_pci(const char *text, struct vfm_kernel_name *name)
{
	static const char shape[] = "xxxxxxxx:xx:xx.x";
	const char *last = strrchr(text, ':');
	bool whole = last && memchr(text, ':', (size_t)(last - text));
	size_t len = strlen(text), most = strlen(shape);

	if (!has_shape(text, "xx:xx.x") &&
	    !(whole && len + 4 >= most && len <= most && has_shape(text, shape + most - len)))
		return false;
	snprintf(name->text, sizeof(name->text), "%s%s", whole ? "" : "0000:", text);
	for (char *c = name->text; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	name->kind = VFM_KERNEL_PCI;
	return true;
}

static bool parse_uuid(const char *text, struct vfm_kernel_name *name)
{
	if (!vfm_kernel_is_uuid(text))
		return false;
	snprintf(name->text, sizeof(name->text), "%s", text);
	for (char *c = name->text; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	name->kind = VFM_KERNEL_MDEV;
	return true;
}

static bool parse_file(const char *text, struct vfm_kernel_name *name)
{
	if (*text != '/')
		return false;
	snprintf(name->text, sizeof(name->text), "%s", text);
	name->kind = VFM_KERNEL_FILE;
	return true;
}

static int parse_way(const char *word, struct vfm_kernel_name *name, struct vfm_err *err)
{
	static const char *const words[] = {
		[VFM_KERNEL_ANY] = "",
		[VFM_KERNEL_GROUP] = "group",
		[VFM_KERNEL_CDEV] = "cdev",
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i])) {
			name->way = (enum vfm_kernel_way)i;
			return 0;
		}
	return vfm_fail(err, -EINVAL, "vfio: path=%s: must be group or cdev", word);
}

/* Which parameters go together with how the device is named. */
static int check_parts(const struct vfm_kernel_name *name, struct vfm_err *err)
{
	bool is_fd = name->kind == VFM_KERNEL_FD;

	if (!is_fd && (name->container >= 0 || name->iommufd >= 0 || name->ioas))
		return vfm_fail(err, -EINVAL,
				"vfio: container=, iommufd= and ioas= go with fd= only");
	if (is_fd && (name->way != VFM_KERNEL_ANY || *name->device || *name->token))
		return vfm_fail(
			err, -EINVAL,
			"vfio: path=, device= and token= do not go with fd=, which is open");
	if (name->container >= 0 && name->iommufd >= 0)
		return vfm_fail(err, -EINVAL, "vfio: container= or iommufd=, not both");
	if ((name->iommufd >= 0) != (name->ioas != 0))
		return vfm_fail(err, -EINVAL, "vfio: iommufd= and ioas= go together");
	if (*name->device && name->kind != VFM_KERNEL_FILE)
		return vfm_fail(err, -EINVAL, "vfio: device= goes with the file of a group only");
	if (*name->token && !vfm_kernel_is_uuid(name->token))
		return vfm_fail(err, -EINVAL, "vfio: token=%s: must be a UUID", name->token);
	return 0;
}

static int parse_params(const char *text, struct vfm_kernel_name *name, struct vfm_err *err)
{
	uint64_t fd = NONE, container = NONE, iommufd = NONE, ioas = 0, reset = 0,
		 timeout = DEFAULT_TIMEOUT_S;
	char way[16] = "";
	const struct vfm_param table[] = {
		{ .name = "path", .type = VFM_PARAM_TEXT, .value = way, .room = sizeof(way) },
		{ .name = "device",
		  .type = VFM_PARAM_TEXT,
		  .value = name->device,
		  .room = sizeof(name->device) },
		{ .name = "token",
		  .type = VFM_PARAM_TEXT,
		  .value = name->token,
		  .room = sizeof(name->token) },
		{ .name = "timeout",
		  .type = VFM_PARAM_U64,
		  .max = MAX_TIMEOUT_S,
		  .value = &timeout },
		{ .name = "reset", .type = VFM_PARAM_U64, .max = 1, .value = &reset },
		{ .name = "fd", .type = VFM_PARAM_U64, .max = INT_MAX, .value = &fd },
		{ .name = "container", .type = VFM_PARAM_U64, .max = INT_MAX, .value = &container },
		{ .name = "iommufd", .type = VFM_PARAM_U64, .max = INT_MAX, .value = &iommufd },
		{ .name = "ioas",
		  .type = VFM_PARAM_U64,
		  .min = 1,
		  .max = UINT32_MAX,
		  .value = &ioas },
		{ .name = NULL },
	};
	int ret = vfm_parse_params("vfio", text, table, err);

	if (ret)
		return ret;
	if (fd != NONE && name->kind != VFM_KERNEL_FD)
		return vfm_fail(err, -EINVAL, "vfio: %s and fd=: name one device", name->text);
	name->fd = fd == NONE ? -1 : (int)fd;
	name->container = container == NONE ? -1 : (int)container;
	name->iommufd = iommufd == NONE ? -1 : (int)iommufd;
	name->ioas = (uint32_t)ioas;
	name->reset = reset;
	name->timeout_ms = (unsigned int)(timeout * 1000);
	return parse_way(way, name, err);
}

int vfm_kernel_parse_name(struct vfm_kernel_name *name, const char *rest, struct vfm_err *err)
{
	char first[VFM_KERNEL_PATH];
	size_t len = strcspn(rest, ",");
	int ret;

	*name = (struct vfm_kernel_name){ .kind = VFM_KERNEL_FD };
	if (len >= sizeof(first))
		return vfm_fail(err, -EINVAL, "vfio: a name of %zu characters is too long", len);
	memcpy(first, rest, len);
	first[len] = '\0';
	if (parse_pci(first, name) || parse_uuid(first, name) || parse_file(first, name))
		ret = parse_params(rest[len] ? rest + len + 1 : NULL, name, err);
	else if (!strncmp(rest, "fd=", 3))
		ret = parse_params(rest, name, err);
	else
		ret = vfm_fail(err, -EINVAL,
			       "vfio:%s: must begin with a PCI address, the UUID of a mediated "
			       "device, the path of a file below /dev/vfio, or fd=",
			       first);
	return ret ? ret : check_parts(name, err);
}
