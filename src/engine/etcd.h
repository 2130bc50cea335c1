// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * etcd as a store: etcd.c speaks HTTP to its JSON gateway and alone knows libcurl, etcd_json.c
 * knows what is said in it. A build without libcurl has etcd_none.c instead of both.
 */

#ifndef VFM_ENGINE_ETCD_H
#define VFM_ENGINE_ETCD_H

#include "engine/kv.h"

/* The longest answer that is read. Of a key that is ours one is a fifth of it at most. */
#define VFM_ETCD_ANSWER_MAX 65536u

/** vfm_etcd_check() - whether addresses make sense; as struct vfm_store_opts has them. */
int vfm_etcd_check(const char *endpoints, const char *tls, bool insecure,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_etcd_open() - a connection; all that is given was checked, and is copied. */
int vfm_etcd_open(struct vfm_kv **out, const char *endpoints, const char *tls,
		  struct vfm_err *err) VFM_MUST_CHECK;

/* ---- etcd_json.c ---------------------------------------------------------- */

/**
 * vfm_etcd_question() - the body of a request, to be freed; NULL: no memory
 * @path: where it is to be posted
 */
char *vfm_etcd_question(const struct vfm_kv_request *request, const char **path);

/**
 * vfm_etcd_answer() - what the body of an answer says to @request
 *
 * Fields that are not known are skipped. -EBADMSG: it makes no sense.
 */
int vfm_etcd_answer(struct vfm_kv_answer *answer, const struct vfm_kv_request *request,
		    const char *text, size_t size, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_etcd_complaint() - the text in the body of an error, made harmless; empty: none. */
void vfm_etcd_complaint(char *out, size_t room, const char *text, size_t size);

#endif
