// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "test.h"

#include "who.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "certs.h"

struct vfm_tls *who_certs[NR_WHO];

int who_make(void **state)
{
	const struct certs_plan plan = { .names = "DNS:" WHO_NAME };
	struct certs_authority *ours = certs_authority_new("ours");
	struct certs_authority *others = certs_authority_new("others");
	char root[] = "/tmp/vfmig-who.XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(root));
	for (int i = 0; i < NR_WHO; i++) {
		snprintf(path, sizeof(path), "%s/%d", root, i);
		certs_make(path, i == WHO_STRANGER ? others : ours, &plan);
		assert_int_equal(vfm_tls_new(&who_certs[i], path, NULL), 0);
		certs_remove(path);
	}
	certs_authority_free(ours);
	certs_authority_free(others);
	return rmdir(root);
}

int who_free(void **state)
{
	(void)state;
	for (int i = 0; i < NR_WHO; i++)
		vfm_tls_free(who_certs[i]);
	return 0;
}
