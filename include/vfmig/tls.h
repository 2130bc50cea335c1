// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Protection of the connection of a migration: TLS 1.3, in which both sides show
 * a certificate of one authority. It is given to vfm_migrate_send() and
 * vfm_migrate_receive() with their options.
 */

#ifndef VFMIG_TLS_H
#define VFMIG_TLS_H

#include <vfmig/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_tls;

/**
 * vfm_tls_new() - from a directory with ca.pem, cert.pem and key.pem
 *
 * ca.pem: the authorities that may certify a peer; nobody else's word counts. cert.pem: our own
 * certificate, and what lies between it and such an authority. key.pem: its key, not
 * encrypted, which nobody but its owner may read or write. All are read here and
 * not looked at again.
 *
 * -EACCES: others may read the key; -ENOKEY: one of the files makes no sense, or the key is not
 * that of the certificate.
 */
int vfm_tls_new(struct vfm_tls **out, const char *dir, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_tls_free() - when no migration uses it any more. */
void vfm_tls_free(struct vfm_tls *tls);

#ifdef __cplusplus
}
#endif

#endif
