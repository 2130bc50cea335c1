// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* From a URI to a device: the one file that knows every provider and wrap. */

#include <vfmig/sim.h>
#include <vfmig/vfmig.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/params.h"
#include "base/util.h"
#include "device/host.h"
#include "kernel/kernel.h"
#include "region/region.h"
#include "vfio_user/vfio_user.h"
#include "wrap/trace.h"
#include "wrap/wrap.h"

/* In front of everything: nothing is put around a device to give it the semantics of v2. */
#define RAW "raw+"

VFM_API const char *vfm_version(void)
{
	return VFM_VERSION;
}

/* "dma" or "dma,params" */
static int open_sim(struct vfm_device **out, const char *uri, const char *rest, bool raw,
		    struct vfm_err *err)
{
	(void)raw;
	const char *comma = strchr(rest, ',');
	vfm_auto_free char *name = comma ? strndup(rest, (size_t)(comma - rest)) : strdup(rest);
	const struct vfm_driver *driver;

	if (!name)
		return vfm_fail(err, -ENOMEM, "%s: no memory", uri);
	driver = vfm_sim_find(name);
	if (!driver)
		return vfm_fail(err, -EINVAL, "%s: no such software device; there is %s", uri,
				vfm_sim_name(0));
	return vfm_host_open(out, driver, NULL, uri, comma ? comma + 1 : NULL, err);
}

/*
 * What a server or a driver speaks is told by nothing else. One that has v2 is asked no further,
 * also if its answer makes no sense: who wants to migrate will be told. One that has not, but the
 * migration region, is v1; one with neither has a device that cannot migrate. @dev is taken.
 */
static int find_protocol(struct vfm_device **out, struct vfm_device *dev, bool raw,
			 struct vfm_err *err)
{
	uint64_t migration;
	int ret = 0;

	*out = dev;
	if (!raw && vfm_device_get_migration(dev, &migration, NULL) == -ENOTTY)
		ret = vfm_back_open(out, dev, err);
	if (!ret || ret == -ENOENT)
		return 0;
	vfm_device_close(dev);
	*out = NULL;
	return ret;
}

static int open_vfio_user(struct vfm_device **out, const char *uri, const char *rest, bool raw,
			  struct vfm_err *err)
{
	struct vfm_device *client;
	int ret = vfm_client_open(&client, rest, NULL, err);

	(void)uri;
	return ret ? ret : find_protocol(out, client, raw, err);
}

static int open_kernel(struct vfm_device **out, const char *uri, const char *rest, bool raw,
		       struct vfm_err *err)
{
	struct vfm_device *dev;
	int ret = vfm_kernel_open(&dev, rest, NULL, err);

	(void)uri;
	return ret ? ret : find_protocol(out, dev, raw, err);
}

/*
 * A provider opens @uri; @rest is what stands behind "scheme:" in it. @raw: with its
 * migration region as it is, if that is how it migrates.
 */
static const struct {
	const char *scheme;
	int (*open)(struct vfm_device **out, const char *uri, const char *rest, bool raw,
		    struct vfm_err *err);
} providers[] = {
	{ "vfio-user", open_vfio_user },
	{ "sim", open_sim },
	{ "vfio", open_kernel },
};

/* "a, b and a path to a driver" */
static void list_providers(char *buf, size_t room)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < VFM_ARRAY_SIZE(providers) && used < room; i++)
		used += (size_t)snprintf(buf + used, room - used, "%s:..., ", providers[i].scheme);
}

/* "./driver.so" or "./driver.so,params": it is a path, because it has a slash. */
static int open_object(struct vfm_device **out, const char *uri, struct vfm_err *err)
{
	const char *comma = strchr(uri, ',');
	vfm_auto_free char *path = comma ? strndup(uri, (size_t)(comma - uri)) : strdup(uri);

	if (!path)
		return vfm_fail(err, -ENOMEM, "%s: no memory", uri);
	return vfm_device_load_driver(out, path, comma ? comma + 1 : NULL, err);
}

/* ---- wraps ------------------------------------------------------------------- */

/* The words of "vfmig serve --data", for the same thing. */
static int find_section(const char *word, enum vfm_section *section, struct vfm_err *err)
{
	static const char *const words[] = {
		[VFM_SECTION_TRAPPED] = "trapped",
		[VFM_SECTION_MMAP] = "mmap",
		[VFM_SECTION_SPARSE] = "sparse",
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(words); i++)
		if (!strcmp(words[i], word)) {
			*section = (enum vfm_section)i;
			return 0;
		}
	return vfm_fail(err, -EINVAL, "v1: data=%s: must be trapped, mmap or sparse", word);
}

static int wrap_v1(struct vfm_device **out, struct vfm_device *inner, const char *params,
		   struct vfm_err *err)
{
	struct vfm_front_opts opts = { .size = VFM_SECTION_SIZE_DEFAULT };
	char word[16] = "trapped";
	const struct vfm_param table[] = {
		{ .name = "data", .type = VFM_PARAM_TEXT, .value = word, .room = sizeof(word) },
		{ .name = "data-size",
		  .type = VFM_PARAM_SIZE,
		  .min = VFM_SECTION_SIZE_MIN,
		  .max = VFM_SECTION_SIZE_MAX,
		  .value = &opts.size },
		{ .name = NULL },
	};
	int ret = vfm_parse_params("v1", params, table, err);

	if (!ret)
		ret = find_section(word, &opts.section, err);
	if (!ret)
		ret = vfm_front_open(out, inner, &opts, err);
	if (!ret)
		vfm_front_own(*out);
	return ret;
}

/* A wrap is put around @inner, which it takes; @params is what stands behind "name,". */
static const struct wrap {
	const char *name;
	int (*open)(struct vfm_device **out, struct vfm_device *inner, const char *params,
		    struct vfm_err *err);
} wraps[] = {
	{ "fault", vfm_fault_open },
	{ "trace", vfm_trace_open },
	{ "v1", wrap_v1 },
};

/* The wrap that @uri begins with, "name+..." or "name,params+...", or NULL. */
static const struct wrap *find_wrap(const char *uri)
{
	size_t len = strcspn(uri, "+,:/");

	for (size_t i = 0; i < VFM_ARRAY_SIZE(wraps); i++)
		if (strlen(wraps[i].name) == len && !memcmp(wraps[i].name, uri, len) &&
		    (uri[len] == '+' || uri[len] == ','))
			return &wraps[i];
	return NULL;
}

static int open_uri(struct vfm_device **out, const char *uri, bool raw, struct vfm_err *err);

static int open_wrapped(struct vfm_device **out, const struct wrap *wrap, const char *uri, bool raw,
			struct vfm_err *err)
{
	const char *plus = strchr(uri, '+');
	size_t begin = strlen(wrap->name) + 1;
	vfm_auto_free char *params = NULL;
	struct vfm_device *inner;
	int ret;

	if (!plus)
		return vfm_fail(err, -EINVAL, "%s: a wrap without a device: there is no +", uri);
	params = (size_t)(plus - uri) > begin ? strndup(uri + begin, (size_t)(plus - uri) - begin)
					      : strdup("");
	if (!params)
		return vfm_fail(err, -ENOMEM, "%s: no memory", uri);
	ret = open_uri(&inner, plus + 1, raw, err);
	if (ret)
		return ret;
	ret = wrap->open(out, inner, params, err);
	if (ret)
		vfm_device_close(inner);
	return ret;
}

static int open_uri(struct vfm_device **out, const char *uri, bool raw, struct vfm_err *err)
{
	const struct wrap *wrap = find_wrap(uri);
	char known[128];
	size_t len = strcspn(uri, ":");

	if (wrap)
		return open_wrapped(out, wrap, uri, raw, err);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(providers); i++)
		if (uri[len] == ':' && strlen(providers[i].scheme) == len &&
		    !memcmp(providers[i].scheme, uri, len))
			return providers[i].open(out, uri, uri + len + 1, raw, err);
	if (memchr(uri, '/', strcspn(uri, ",")))
		return open_object(out, uri, err);
	list_providers(known, sizeof(known));
	return vfm_fail(err, -EINVAL, "%s: not a device: there are %sand a path to a driver", uri,
			known);
}

VFM_API int vfm_open(struct vfm_device **out, const char *uri, struct vfm_err *err)
{
	const size_t len = strlen(RAW);
	bool raw = !strncmp(uri, RAW, len);

	return open_uri(out, raw ? uri + len : uri, raw, err);
}
