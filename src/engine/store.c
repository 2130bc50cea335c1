// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What one has to know of a store: checked and copied. Nothing is asked here. */

#include "engine/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <vfmig/tls.h>

#include "base/util.h"
#include "engine/etcd.h"

#define PREFIX "vfmig/owner/"
#define TIMEOUT_MS 10000u

/* So that a key can be typed, and told in one line. */
static bool is_name(const char *text)
{
	for (; *text; text++)
		if (*text <= 0x20 || *text > 0x7e || *text == '"' || *text == '\\')
			return false;
	return true;
}

static int check_names(const struct vfm_store_opts *opts, const char *prefix, const char *node,
		       struct vfm_err *err)
{
	size_t len = strlen(prefix) + (opts->key ? strlen(opts->key) : VFM_MIGRATION_ID);

	if ((opts->key && (!opts->key[0] || !is_name(opts->key))) || !is_name(prefix) ||
	    len >= VFM_JOURNAL_KEY)
		return vfm_fail(err, -EINVAL,
				"\"%.100s%.100s\" is not a key: it has printable characters of "
				"ASCII without spaces, %u at most",
				prefix, opts->key ? opts->key : "", VFM_JOURNAL_KEY - 1);
	if (!node[0] || !is_name(node) || strlen(node) >= VFM_JOURNAL_NODE)
		return vfm_fail(err, -EINVAL, "\"%.100s\" is not the name of a node", node);
	if (strlen(opts->endpoints) >= VFM_JOURNAL_STORE)
		return vfm_fail(err, -EINVAL, "the addresses of the store are too long");
	return 0;
}

static bool copy(struct vfm_store *s, const struct vfm_store_opts *opts, const char *prefix)
{
	s->endpoints = strdup(opts->endpoints);
	s->prefix = strdup(prefix);
	s->key = opts->key ? strdup(opts->key) : NULL;
	s->tls = opts->tls ? realpath(opts->tls, NULL) : NULL;
	return s->endpoints && s->prefix && (!opts->key || s->key) && (!opts->tls || s->tls);
}

int vfm_store_new_over(struct vfm_store **out, const struct vfm_store_opts *opts,
		       int (*connect)(struct vfm_kv **out, const struct vfm_store *store,
				      struct vfm_err *err),
		       void *user, struct vfm_err *err)
{
	const char *prefix = opts->prefix ? opts->prefix : PREFIX;
	const char *node = opts->node;
	struct vfm_store *s;
	struct utsname host;
	int ret;

	if (!node)
		node = uname(&host) ? "" : host.nodename;
	ret = check_names(opts, prefix, node, err);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s || !copy(s, opts, prefix)) {
		vfm_store_free(s);
		return vfm_fail(err, -ENOMEM, "no memory for what is known of a store");
	}
	snprintf(s->node, sizeof(s->node), "%s", node);
	s->timeout_ms = opts->timeout_ms ? opts->timeout_ms : TIMEOUT_MS;
	s->connect = connect;
	s->user = user;
	*out = s;
	return 0;
}

static int connect_etcd(struct vfm_kv **out, const struct vfm_store *store, struct vfm_err *err)
{
	return vfm_etcd_open(out, store->endpoints, store->tls, err);
}

/* Whether the certificates are there, make sense, and are nobody else's to read. */
static int check_tls(const char *dir, struct vfm_err *err)
{
	struct vfm_tls *tls;
	int ret;

	if (!dir)
		return 0;
	if (strlen(dir) >= VFM_JOURNAL_STORE / 2)
		return vfm_fail(err, -ENAMETOOLONG, "the name of the directory is too long");
	ret = vfm_tls_new(&tls, dir, err);
	if (!ret)
		vfm_tls_free(tls);
	return ret;
}

VFM_API int vfm_store_new(struct vfm_store **out, const struct vfm_store_opts *opts,
			  struct vfm_err *err)
{
	int ret;

	if (!opts || opts->size < sizeof(*opts) || !opts->endpoints)
		return vfm_fail(err, -EINVAL, "options that VFM_STORE_OPTS() did not make");
	ret = vfm_etcd_check(opts->endpoints, opts->tls, opts->insecure, err);
	if (!ret)
		ret = check_tls(opts->tls, err);
	return ret ? ret : vfm_store_new_over(out, opts, connect_etcd, NULL, err);
}

VFM_API void vfm_store_free(struct vfm_store *store)
{
	if (!store)
		return;
	free(store->endpoints);
	free(store->tls);
	free(store->key);
	free(store->prefix);
	free(store);
}

void vfm_store_name_key(char out[VFM_JOURNAL_KEY], const struct vfm_store *store,
			const uint8_t id[VFM_ID_SIZE])
{
	char name[VFM_MIGRATION_ID];

	vfm_statement_id(name, id);
	snprintf(out, VFM_JOURNAL_KEY, "%s%s", store->prefix, store->key ? store->key : name);
}

bool vfm_store_is_key(const struct vfm_store *store, const char *key)
{
	size_t len = strlen(store->prefix);

	if (strncmp(key, store->prefix, len) != 0 || !key[len] || !is_name(key))
		return false;
	return !store->key || !strcmp(key + len, store->key);
}
