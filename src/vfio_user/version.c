// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The payload of VERSION: two numbers and capabilities in JSON. The one file of
 * this folder that knows JSON; what is done with the capabilities is not known here.
 *
 * Real peers say less than the protocol allows, and some refuse a reply that is
 * longer than their request. So only the two values that every peer names are
 * always written, and others when they differ from what silence means. What nobody
 * depends on may be wrong: it is as if it were absent.
 */

#include "vfio_user/vfio_user.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

#define DEFAULT_PGSIZES 4096u

/* What any peer may sensibly say. A transfer holds at least a register. */
#define LEAST_XFER 8
#define MOST_FDS 1024

enum kind { KIND_NUMBER, KIND_BOOL };

/* One capability: where it stands in the JSON, and where it goes. */
struct key {
	const char *object; /* inside of "capabilities"; NULL: there itself */
	const char *name;
	enum kind kind;
	json_int_t min, max;
	size_t offset, width;
	bool lenient; /* what is wrong with it is as if it were absent */
};

#define FIELD(f) offsetof(struct vfm_vu_caps, f), sizeof(((struct vfm_vu_caps *)NULL)->f)

static const struct key keys[] = {
	{ NULL, "max_msg_fds", KIND_NUMBER, 0, MOST_FDS, FIELD(max_fds), false },
	{ NULL, "max_data_xfer_size", KIND_NUMBER, LEAST_XFER, INT64_MAX, FIELD(max_xfer), false },
	{ NULL, "max_dma_maps", KIND_NUMBER, 0, UINT32_MAX, FIELD(max_dma_maps), false },
	{ NULL, "pgsizes", KIND_NUMBER, 1, INT64_MAX, FIELD(pgsizes), false },
	{ NULL, "write_multiple", KIND_BOOL, 0, 1, FIELD(write_multiple), false },
	{ "twin_socket", "supported", KIND_BOOL, 0, 1, FIELD(twin_socket), false },
	{ "migration", "pgsize", KIND_NUMBER, 1, INT64_MAX, FIELD(v1_pgsize), true },
	{ "vfmig", "version", KIND_NUMBER, 0, UINT32_MAX, FIELD(extension), false },
};

void vfm_vu_caps_defaults(struct vfm_vu_caps *caps)
{
	*caps = (struct vfm_vu_caps){
		.major = VFM_VU_MAJOR,
		.minor = 0,
		.max_fds = VFM_VU_DEFAULT_FDS,
		.max_xfer = VFM_VU_DEFAULT_XFER,
		.max_dma_maps = VFM_VU_MAX_DMA_MAPS,
		.pgsizes = DEFAULT_PGSIZES,
	};
}

/* ---- reading -------------------------------------------------------------- */

static void store(struct vfm_vu_caps *caps, const struct key *key, json_int_t number)
{
	uint8_t *to = (uint8_t *)caps + key->offset;
	uint64_t wide = (uint64_t)number;
	uint32_t narrow = (uint32_t)number;
	bool flag = number;

	if (key->kind == KIND_BOOL)
		memcpy(to, &flag, sizeof(flag));
	else if (key->width == sizeof(wide))
		memcpy(to, &wide, sizeof(wide));
	else
		memcpy(to, &narrow, sizeof(narrow));
}

static int parse_key(struct vfm_vu_caps *caps, const struct key *key, const json_t *capabilities,
		     struct vfm_err *err)
{
	const json_t *in = capabilities;
	const json_t *value;
	json_int_t number;

	if (key->object) {
		in = json_object_get(in, key->object);
		if (in && !json_is_object(in))
			return vfm_fail(err, -EINVAL, "version: %s is not an object", key->object);
	}
	value = json_object_get(in, key->name);
	if (!value)
		return 0;
	if (key->kind == KIND_BOOL ? !json_is_boolean(value) : !json_is_integer(value))
		return vfm_fail(err, -EINVAL, "version: %s is not a %s", key->name,
				key->kind == KIND_BOOL ? "boolean" : "whole number");
	number = key->kind == KIND_BOOL ? json_is_true(value) : json_integer_value(value);
	if (number < key->min || number > key->max)
		return vfm_fail(err, -EINVAL,
				"version: %s is %" JSON_INTEGER_FORMAT ", not %" JSON_INTEGER_FORMAT
				" to %" JSON_INTEGER_FORMAT,
				key->name, number, key->min, key->max);
	store(caps, key, number);
	return 0;
}

static int parse_root(struct vfm_vu_caps *caps, const json_t *root, struct vfm_err *err)
{
	const json_t *capabilities = json_object_get(root, "capabilities");
	size_t i;

	if (!json_is_object(root))
		return vfm_fail(err, -EINVAL, "version: the JSON is not an object");
	if (capabilities && !json_is_object(capabilities))
		return vfm_fail(err, -EINVAL, "version: capabilities is not an object");
	for (i = 0; i < VFM_ARRAY_SIZE(keys); i++) {
		int ret = parse_key(caps, &keys[i], capabilities, err);

		if (ret && !keys[i].lenient)
			return ret;
	}
	return 0;
}

static int parse_json(struct vfm_vu_caps *caps, const uint8_t *text, size_t len,
		      struct vfm_err *err)
{
	const uint8_t *end = memchr(text, 0, len);
	json_error_t why;
	json_t *root;
	int ret;

	if (!end)
		return vfm_fail(err, -EINVAL, "version: the JSON does not end with a zero");
	if (end == text)
		return 0;
	root = json_loadb((const char *)text, (size_t)(end - text), 0, &why);
	if (!root)
		return vfm_fail(err, -EINVAL, "version: the JSON is wrong at byte %d: %s",
				why.position, why.text);
	ret = parse_root(caps, root, err);
	json_decref(root);
	return ret;
}

int vfm_vu_caps_parse(struct vfm_vu_caps *caps, const void *payload, size_t len,
		      struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(payload, len);

	vfm_vu_caps_defaults(caps);
	caps->major = vfm_read_he16(&r);
	caps->minor = vfm_read_he16(&r);
	if (!vfm_reader_ok(&r))
		return vfm_fail(err, -EINVAL, "version: %zu bytes are too few", len);
	if (caps->major != VFM_VU_MAJOR)
		return vfm_fail(err, -EPROTO, "version: major %u, and we speak %u", caps->major,
				VFM_VU_MAJOR);
	return r.left ? parse_json(caps, r.p, r.left, err) : 0;
}

/* ---- writing -------------------------------------------------------------- */

static json_int_t load(const struct vfm_vu_caps *caps, const struct key *key)
{
	const uint8_t *from = (const uint8_t *)caps + key->offset;
	uint64_t wide = 0;
	uint32_t narrow = 0;
	bool flag = false;

	if (key->kind == KIND_BOOL) {
		memcpy(&flag, from, sizeof(flag));
		return flag;
	}
	if (key->width == sizeof(wide)) {
		memcpy(&wide, from, sizeof(wide));
		return (json_int_t)VFM_MIN(wide, (uint64_t)INT64_MAX);
	}
	memcpy(&narrow, from, sizeof(narrow));
	return narrow;
}

/* The object that the key belongs into, made when it is not there yet; borrowed. */
static json_t *object_of(json_t *capabilities, const struct key *key)
{
	json_t *object = capabilities;

	if (key->object) {
		object = json_object_get(capabilities, key->object);
		if (!object && json_object_set_new(capabilities, key->object, json_object()) == 0)
			object = json_object_get(capabilities, key->object);
	}
	return object;
}

static int format_key(const struct vfm_vu_caps *caps, const struct vfm_vu_caps *silence,
		      const struct key *key, json_t *capabilities)
{
	bool always = key->offset <= offsetof(struct vfm_vu_caps, max_xfer);
	json_int_t number = load(caps, key);

	if (!always && number == load(silence, key))
		return 0;
	return json_object_set_new(object_of(capabilities, key), key->name,
				   key->kind == KIND_BOOL ? json_boolean(number)
							  : json_integer(number));
}

/* {"capabilities":{...}}, or NULL. */
static json_t *format_root(const struct vfm_vu_caps *caps)
{
	json_t *capabilities = json_object();
	json_t *root = json_object();
	struct vfm_vu_caps silence;
	int failed = 0;
	size_t i;

	vfm_vu_caps_defaults(&silence);
	for (i = 0; i < VFM_ARRAY_SIZE(keys); i++)
		failed |= format_key(caps, &silence, &keys[i], capabilities);
	failed |= json_object_set_new(root, "capabilities", capabilities);
	if (failed) {
		json_decref(root);
		return NULL;
	}
	return root;
}

ssize_t vfm_vu_caps_format(const struct vfm_vu_caps *caps, void *payload, size_t room,
			   struct vfm_err *err)
{
	struct vfm_writer w = vfm_writer_of(payload, room);
	json_t *root = format_root(caps);
	size_t len;

	if (!root)
		return vfm_fail(err, -ENOMEM, "version: no memory for the capabilities");
	vfm_write_he16(&w, caps->major);
	vfm_write_he16(&w, caps->minor);
	len = json_dumpb(root, (char *)w.p, w.left, JSON_COMPACT);
	if (!len || len >= w.left)
		w.bad = true;
	vfm_write_space(&w, len);
	vfm_write_u8(&w, 0);
	json_decref(root);
	if (!vfm_writer_ok(&w))
		return vfm_fail(err, -ENOSPC, "version: %zu bytes do not hold the capabilities",
				room);
	return (ssize_t)w.len;
}
