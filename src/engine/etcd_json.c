// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Questions to the JSON gateway of etcd and its answers, without I/O. Keys and values travel in
 * base64, numbers of 64 bits as strings, and what is zero or false is left out.
 *
 * An answer is not believed: one that is not of the key that was asked for, or has a
 * revision that cannot be, is no answer.
 */

#include "engine/etcd.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/params.h"
#include "base/util.h"

#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* ---- base64 ----------------------------------------------------------------- */

static void encode(char *out, const char *text)
{
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)strlen(text));
}

/* Whether @text is base64 of at most @room bytes, and no more than a value has. */
static bool decode(char *out, size_t room, size_t *size, const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char bytes[BASE64_SIZE(VFM_KV_VALUE_MAX)];
	size_t len = strlen(text), used = strspn(text, digits);
	size_t padding = strspn(text + used, "=");

	if (used + padding != len || len % 4 || padding > 2 || len >= BASE64_SIZE(room))
		return false;
	if (len && EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len) < 0)
		return false;
	*size = len / 4 * 3 - padding;
	if (*size > room)
		return false;
	memcpy(out, bytes, *size);
	return true;
}

/* ---- questions ---------------------------------------------------------------- */

static json_t *put(const char *key, const char *value)
{
	char text[BASE64_SIZE(VFM_KV_VALUE_MAX)];

	if (!value)
		return json_pack("{s:{s:s}}", "request_delete_range", "key", key);
	encode(text, value);
	return json_pack("{s:{s:s,s:s}}", "request_put", "key", key, "value", text);
}

static json_t *transaction(const char *key, const struct vfm_kv_request *request)
{
	char revision[24];

	snprintf(revision, sizeof(revision), "%" PRIu64, request->revision);
	return json_pack("{s:[{s:s,s:s,s:s,s:s}],s:[o],s:[{s:{s:s}}]}", "compare", "key", key,
			 "target", "MOD", "result", "EQUAL", "mod_revision", revision, "success",
			 put(key, request->value), "failure", "request_range", "key", key);
}

char *vfm_etcd_question(const struct vfm_kv_request *request, const char **path)
{
	char key[BASE64_SIZE(VFM_KV_KEY_MAX)];
	json_t *root;
	char *text;

	encode(key, request->key);
	*path = request->swap ? "/v3/kv/txn" : "/v3/kv/range";
	root = request->swap ? transaction(key, request) : json_pack("{s:s}", "key", key);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

/* ---- answers ------------------------------------------------------------------ */

static int nonsense(const char *what, struct vfm_err *err)
{
	return vfm_fail(err, -EBADMSG, "the answer of etcd makes no sense: %s", what);
}

/* A revision is a string; some versions write a number. */
static bool read_revision(const json_t *value, uint64_t *out)
{
	const char *text = json_string_value(value);

	if (json_is_integer(value) && json_integer_value(value) > 0)
		*out = (uint64_t)json_integer_value(value);
	else if (!text || vfm_parse_u64(text, out))
		return false;
	return *out && *out <= INT64_MAX;
}

static int read_pair(struct vfm_kv_value *now, const char *key, const json_t *pair,
		     struct vfm_err *err)
{
	const char *name = json_string_value(json_object_get(pair, "key"));
	const json_t *value = json_object_get(pair, "value");
	char found[VFM_KV_KEY_MAX];
	size_t size;

	if (!name || !decode(found, sizeof(found), &size, name) || size != strlen(key) ||
	    memcmp(found, key, size) != 0)
		return nonsense("another key", err);
	if (!read_revision(json_object_get(pair, "mod_revision"), &now->revision))
		return nonsense("a revision", err);
	/* an empty value is left out */
	if (!value)
		return 0;
	if (!json_is_string(value) ||
	    !decode(now->data, VFM_KV_VALUE_MAX, &now->size, json_string_value(value)))
		return nonsense("the value is longer than ours, or no base64", err);
	now->data[now->size] = '\0';
	return 0;
}

/* What a range, of the key alone, has found. */
static int read_range(struct vfm_kv_value *now, const char *key, const json_t *range,
		      struct vfm_err *err)
{
	const json_t *pairs = json_object_get(range, "kvs");

	/* every answer has it, and so not every object is one */
	if (!json_is_object(json_object_get(range, "header")))
		return nonsense("no header", err);
	if (!pairs)
		return 0;
	if (!json_is_array(pairs) || json_array_size(pairs) > 1)
		return nonsense("more than one key", err);
	return json_array_size(pairs) ? read_pair(now, key, json_array_get(pairs, 0), err) : 0;
}

static int read_transaction(struct vfm_kv_answer *answer, const struct vfm_kv_request *request,
			    const json_t *root, struct vfm_err *err)
{
	const json_t *header = json_object_get(root, "header");
	const json_t *first = json_array_get(json_object_get(root, "responses"), 0);
	const json_t *swapped = json_object_get(root, "succeeded");

	if (swapped && !json_is_boolean(swapped))
		return nonsense("whether it succeeded", err);
	answer->swapped = json_is_true(swapped);
	if (!answer->swapped)
		return read_range(&answer->now, request->key,
				  json_object_get(first, "response_range"), err);
	/* a key that was removed has none */
	if (request->value &&
	    !read_revision(json_object_get(header, "revision"), &answer->now.revision))
		return nonsense("a revision", err);
	return 0;
}

int vfm_etcd_answer(struct vfm_kv_answer *answer, const struct vfm_kv_request *request,
		    const char *text, size_t size, struct vfm_err *err)
{
	json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	int ret;

	memset(answer, 0, sizeof(*answer));
	if (!json_is_object(root))
		ret = nonsense("that is no JSON object", err);
	else if (request->swap)
		ret = read_transaction(answer, request, root, err);
	else
		ret = read_range(&answer->now, request->key, root, err);
	json_decref(root);
	return ret;
}

void vfm_etcd_complaint(char *out, size_t room, const char *text, size_t size)
{
	json_t *root = json_loadb(text, size, 0, NULL);
	const char *message = json_string_value(json_object_get(root, "message"));

	snprintf(out, room, "%s", message ? message : "");
	for (char *c = out; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	json_decref(root);
}
