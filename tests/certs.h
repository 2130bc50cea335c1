// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Authorities and certificates, made while a test runs: good ones, and wrong in one way each. */

#ifndef VFM_TESTS_CERTS_H
#define VFM_TESTS_CERTS_H

#include <stdbool.h>

struct certs_authority;

struct certs_authority *certs_authority_new(const char *name);
void certs_authority_free(struct certs_authority *a);

/**
 * struct certs_plan - a directory with ca.pem, cert.pem and key.pem
 * @names: subjectAltName as "DNS:a,IP:::1"; NULL: none
 * @trusts: the authority in ca.pem; NULL: the one that signs
 * @from, @to: days from now in which it is valid; @to 0: 1
 * @other_key: key.pem is of nothing
 * @usage: extended key usage; NULL: not told
 */
struct certs_plan {
	const char *names;
	const struct certs_authority *trusts;
	int from, to;
	bool other_key;
	const char *usage;
};

/** certs_make() - @dir is made. Ends the process when something is wrong. */
void certs_make(const char *dir, const struct certs_authority *signs,
		const struct certs_plan *plan);

/** certs_remove() - the directory and the three files. */
void certs_remove(const char *dir);

#endif
