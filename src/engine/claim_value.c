// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The value of a key, as JSON, so that an operator can read it with the store's own tools.
 * Fields that are not known are skipped: a later version may add some, and none of them may
 * matter. A field that is missing or wrong makes it somebody else's.
 */

#include "engine/claim.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Of the format; another one means something else. */
#define VERSION 1

static const char *const decisions[VFM_NR_DECISIONS] = {
	[VFM_DECISION_MOVING] = "moving",
	[VFM_DECISION_KEPT] = "kept",
	[VFM_DECISION_COMMITTED] = "committed",
};

static const struct vfm_claim_side *owner_of(const struct vfm_claim_value *value)
{
	return value->decision == VFM_DECISION_COMMITTED ? &value->destination : &value->source;
}

static json_t *pack_side(const struct vfm_claim_side *side)
{
	return json_pack("{s:s,s:s}", "node", side->node, "device", side->device);
}

int vfm_claim_value_write(const struct vfm_claim_value *value, char *out, size_t room,
			  struct vfm_err *err)
{
	char id[VFM_MIGRATION_ID];
	json_t *root;
	size_t size;

	vfm_statement_id(id, value->id);
	root = json_pack("{s:i,s:I,s:s,s:s,s:s,s:o}", "vfmig", VERSION, "epoch",
			 (json_int_t)value->epoch, "state", decisions[value->decision], "owner",
			 owner_of(value)->node, "migration", id, "source",
			 pack_side(&value->source));
	if (root && value->destination.node[0] &&
	    json_object_set_new(root, "destination", pack_side(&value->destination))) {
		json_decref(root);
		root = NULL;
	}
	size = root ? json_dumpb(root, out, room - 1, JSON_COMPACT) : 0;
	json_decref(root);
	if (!size || size > room - 1)
		return vfm_fail(err, -ENOMEM, "no memory, or no room, for the value of a key");
	out[size] = '\0';
	return 0;
}

static bool read_text(char *out, size_t room, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	size_t len = json_string_length(value);

	if (!len || len >= room || strlen(json_string_value(value)) != len)
		return false;
	memcpy(out, json_string_value(value), len + 1);
	return true;
}

static bool read_side(struct vfm_claim_side *side, const json_t *root, const char *name)
{
	const json_t *object = json_object_get(root, name);

	return read_text(side->node, sizeof(side->node), object, "node") &&
	       read_text(side->device, sizeof(side->device), object, "device");
}

static bool read_id(uint8_t id[VFM_ID_SIZE], const json_t *root)
{
	char text[VFM_MIGRATION_ID] = "", again[VFM_MIGRATION_ID];

	if (!read_text(text, sizeof(text), root, "migration"))
		return false;
	for (int i = 0; i < VFM_ID_SIZE; i++) {
		const char byte[3] = { text[2 * i], text[2 * i + 1] };

		id[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	/* what is not hexadecimal does not come back */
	vfm_statement_id(again, id);
	return !strcmp(again, text);
}

static bool read_decision(enum vfm_decision *decision, const json_t *root)
{
	char text[16];

	if (!read_text(text, sizeof(text), root, "state"))
		return false;
	for (int i = 0; i < VFM_NR_DECISIONS; i++)
		if (!strcmp(text, decisions[i])) {
			*decision = (enum vfm_decision)i;
			return true;
		}
	return false;
}

static bool read_root(struct vfm_claim_value *value, const json_t *root)
{
	json_int_t epoch = json_integer_value(json_object_get(root, "epoch"));
	char owner[VFM_JOURNAL_NODE];
	bool sides;

	if (json_integer_value(json_object_get(root, "vfmig")) != VERSION || epoch < 1)
		return false;
	value->epoch = (uint64_t)epoch;
	if (!read_decision(&value->decision, root) || !read_id(value->id, root))
		return false;
	sides = read_side(&value->source, root, "source");
	if (json_object_get(root, "destination"))
		sides &= read_side(&value->destination, root, "destination");
	return sides && read_text(owner, sizeof(owner), root, "owner") &&
	       !strcmp(owner, owner_of(value)->node);
}

int vfm_claim_value_read(struct vfm_claim_value *value, const char *text, size_t size,
			 struct vfm_err *err)
{
	json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	bool good;

	memset(value, 0, sizeof(*value));
	good = read_root(value, root);
	json_decref(root);
	return good ? 0 : vfm_fail(err, -EBADMSG, "its value is none of ours: \"%.60s\"", text);
}
