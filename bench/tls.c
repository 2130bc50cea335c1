// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Moving a device over TLS. The limit is what one core encrypts of the same bytes with
 * the cipher that TLS takes, or the bare stream, whichever is slower: with two
 * cores and more, neither waits for the other.
 */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/util.h"
#include "certs.h"

#define RECORD 16384

static double encrypt_only(void)
{
	static const uint8_t key[32] = { 1 }, iv[12] = { 2 };
	static uint8_t in[RECORD], out[RECORD];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint64_t left = BENCH_MIGRATE_BYTES;
	double begin = bench_seconds();
	uint8_t tag[16];
	int n;

	EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv);
	for (; left; left -= RECORD)
		if (EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv) != 1 ||
		    EVP_EncryptUpdate(ctx, out, &n, in, RECORD) != 1 ||
		    EVP_EncryptFinal_ex(ctx, out, &n) != 1 ||
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) != 1)
			bench_die("encryption fails");
	EVP_CIPHER_CTX_free(ctx);
	return (double)BENCH_MIGRATE_BYTES / (bench_seconds() - begin);
}

static double slower(void *user)
{
	double wire = bench_stream(true, BENCH_MIGRATE_BYTES), cipher = encrypt_only();

	(void)user;
	return VFM_MIN(wire, cipher);
}

/* Where each side has one core, that does both to each byte. */
static double in_turn(void *user)
{
	double wire = bench_stream(true, BENCH_MIGRATE_BYTES), cipher = encrypt_only();

	(void)user;
	return 1 / (1 / wire + 1 / cipher);
}

static void *make_tls(void)
{
	const struct certs_plan plan = { .names = "DNS:localhost" };
	struct certs_authority *a = certs_authority_new("bench");
	char root[] = "/tmp/vfmig-bench.XXXXXX", dir[64];
	struct vfm_tls *tls;
	struct vfm_err err;

	if (!mkdtemp(root))
		bench_die("temporary directory");
	snprintf(dir, sizeof(dir), "%s/tls", root);
	certs_make(dir, a, &plan);
	bench_ok(vfm_tls_new(&tls, dir, &err), &err);
	certs_remove(dir);
	certs_authority_free(a);
	rmdir(root);
	return tls;
}

static double migrate(void *user)
{
	return bench_migrate(user, 1);
}

static double migrate_by_two(void *user)
{
	return bench_migrate(user, 2);
}

static double migrate_by_four(void *user)
{
	return bench_migrate(user, 4);
}

static void free_tls(void *user)
{
	vfm_tls_free(user);
}

const struct bench_row bench_tls_rows[] = {
	{ "migrate over TLS, one channel", "AES-256-GCM, bare TCP", BENCH_RATE, 0.8, make_tls,
	  slower, migrate, free_tls },
	{ "migrate over TLS, a core a side", "AES-256-GCM and bare TCP in turn", BENCH_RATE, 0.8,
	  make_tls, in_turn, migrate, free_tls },
	{ "migrate over TLS, 2 channels", "AES-256-GCM, bare TCP", BENCH_RATE, 0.8, make_tls,
	  slower, migrate_by_two, free_tls },
	{ "migrate over TLS, 4 channels", "AES-256-GCM, bare TCP", BENCH_RATE, 0.8, make_tls,
	  slower, migrate_by_four, free_tls },
};
const size_t bench_nr_tls_rows = VFM_ARRAY_SIZE(bench_tls_rows);
