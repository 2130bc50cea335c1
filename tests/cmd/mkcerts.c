// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Certificates for the tests of the command: mkcerts DIR makes in DIR
 *
 *   source                of one authority, for source.example
 *   destination           of the same one, for localhost, 127.0.0.1 and ::1
 *   elsewhere             of the same one, for elsewhere.example
 *   expired               of the same one, since yesterday
 *   stranger              of another authority, for localhost, 127.0.0.1 and ::1
 */

#include <limits.h>
#include <stdio.h>

#include "certs.h"

#define HERE "DNS:localhost,IP:127.0.0.1,IP:::1"

static const struct {
	const char *name;
	bool stranger;
	struct certs_plan plan;
} dirs[] = {
	{ "source", false, { .names = "DNS:source.example" } },
	{ "destination", false, { .names = HERE } },
	{ "elsewhere", false, { .names = "DNS:elsewhere.example" } },
	{ "expired", false, { .names = HERE, .from = -2, .to = -1 } },
	{ "stranger", true, { .names = HERE } },
};

int main(int argc, char **argv)
{
	struct certs_authority *ours = certs_authority_new("test authority");
	struct certs_authority *other = certs_authority_new("other authority");
	char path[PATH_MAX];

	if (argc != 2)
		return 2;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", argv[1], dirs[i].name);
		certs_make(path, dirs[i].stranger ? other : ours, &dirs[i].plan);
	}
	certs_authority_free(ours);
	certs_authority_free(other);
	return 0;
}
