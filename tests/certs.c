// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "certs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define DAY 86400

struct certs_authority {
	EVP_PKEY *key;
	X509 *cert;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "certificates: %s\n", what);
	abort();
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext && X509_add_ext(cert, ext, -1), value);
	X509_EXTENSION_free(ext);
}

static X509 *blank(const char *name, EVP_PKEY *key, int from, int to)
{
	X509 *cert = X509_new();
	uint64_t serial;

	must(cert && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1, "new");
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), (long)from * DAY - 60);
	X509_gmtime_adj(X509_getm_notAfter(cert), (long)to * DAY);
	X509_set_pubkey(cert, key);
	must(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
					(const unsigned char *)name, -1, -1, 0),
	     name);
	return cert;
}

struct certs_authority *certs_authority_new(const char *name)
{
	struct certs_authority *a = calloc(1, sizeof(*a));

	must(a, "memory");
	a->key = EVP_EC_gen("P-256");
	must(a->key, "key");
	a->cert = blank(name, a->key, 0, 1);
	X509_set_issuer_name(a->cert, X509_get_subject_name(a->cert));
	add_extension(a->cert, a->cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(a->cert, a->cert, NID_key_usage, "critical,keyCertSign");
	must(X509_sign(a->cert, a->key, EVP_sha256()), "sign");
	return a;
}

void certs_authority_free(struct certs_authority *a)
{
	X509_free(a->cert);
	EVP_PKEY_free(a->key);
	free(a);
}

static FILE *create(const char *dir, const char *name)
{
	char path[PATH_MAX];
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	must(f, path);
	return f;
}

static void put_cert(const char *dir, const char *name, X509 *cert)
{
	FILE *f = create(dir, name);

	must(PEM_write_X509(f, cert) == 1, name);
	fclose(f);
}

static void put_key(const char *dir, EVP_PKEY *key)
{
	FILE *f = create(dir, "key.pem");

	must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1, "key.pem");
	fclose(f);
}

void certs_make(const char *dir, const struct certs_authority *signs, const struct certs_plan *plan)
{
	const struct certs_authority *trusts = plan->trusts ? plan->trusts : signs;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	X509 *cert = blank("localhost", key, plan->from, plan->to ? plan->to : 1);

	must(!mkdir(dir, 0700), dir);
	X509_set_issuer_name(cert, X509_get_subject_name(signs->cert));
	if (plan->names)
		add_extension(cert, signs->cert, NID_subject_alt_name, plan->names);
	if (plan->usage)
		add_extension(cert, signs->cert, NID_ext_key_usage, plan->usage);
	must(X509_sign(cert, signs->key, EVP_sha256()), "sign");
	put_cert(dir, "ca.pem", trusts->cert);
	put_cert(dir, "cert.pem", cert);
	put_key(dir, plan->other_key ? other : key);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

void certs_remove(const char *dir)
{
	static const char *const names[] = { "ca.pem", "cert.pem", "key.pem" };
	char path[PATH_MAX];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}
