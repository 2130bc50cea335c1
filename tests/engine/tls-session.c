// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Two ends of TLS over a socket pair in one thread: what passes, which
 * certificates are taken, and that a write which was given up stays unfinished.
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/util.h"
#include "certs.h"
#include "engine/secure.h"
#include "random.h"

#define MIB (1u << 20)

/* ---- certificates ------------------------------------------------------------ */

static char root[] = "/tmp/vfmig-tls.XXXXXX";
static struct certs_authority *ours, *others;

static const struct {
	const char *name;
	bool stranger; /* signed by the other authority, and trusts ours */
	struct certs_plan plan;
} dirs[] = {
	{ "good", false, { .names = "DNS:localhost,IP:127.0.0.1,IP:::1" } },
	{ "other-name", false, { .names = "DNS:elsewhere.example,IP:192.0.2.1" } },
	{ "no-name", false, { 0 } },
	{ "wild", false, { .names = "DNS:*.a.example" } },
	{ "expired", false, { .names = "DNS:localhost", .from = -2, .to = -1 } },
	{ "early", false, { .names = "DNS:localhost", .from = 1, .to = 2 } },
	{ "usage", false, { .names = "DNS:localhost", .usage = "codeSigning" } },
	{ "stranger", true, { .names = "DNS:localhost" } },
	{ "other-key", false, { .names = "DNS:localhost", .other_key = true } },
};

static const char *dir_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static int make_all(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	ours = certs_authority_new("ours");
	others = certs_authority_new("others");
	for (size_t i = 0; i < VFM_ARRAY_SIZE(dirs); i++) {
		struct certs_plan plan = dirs[i].plan;

		if (dirs[i].stranger)
			plan.trusts = ours;
		certs_make(dir_of(dirs[i].name), dirs[i].stranger ? others : ours, &plan);
	}
	return 0;
}

static int remove_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(dirs); i++)
		certs_remove(dir_of(dirs[i].name));
	certs_authority_free(ours);
	certs_authority_free(others);
	return rmdir(root);
}

static struct vfm_tls *load(const char *name)
{
	struct vfm_tls *tls;
	struct vfm_err err;

	if (vfm_tls_new(&tls, dir_of(name), &err))
		fail_msg("%s", err.msg);
	return tls;
}

/* ---- two ends ------------------------------------------------------------------ */

struct side {
	struct vfm_tls *tls;
	struct vfm_tls_session *s;
	int fd;
	int ret;
	struct vfm_err err;
};

struct pair {
	struct side client, server;
};

static void open_side(struct side *side, const char *certs, const char *name, bool server,
		      uint64_t rekey_bytes)
{
	const struct vfm_tls_opts opts = { .fd = side->fd,
					   .server = server,
					   .who = server ? "source" : "destination",
					   .name = name,
					   .rekey_bytes = rekey_bytes };

	side->tls = load(certs);
	side->ret = -EAGAIN;
	assert_int_equal(vfm_tls_open(&side->s, side->tls, &opts, NULL), 0);
}

static void pair_open(struct pair *p, const char *client, const char *server_name,
		      const char *server, const char *client_name)
{
	int fds[2];

	*p = (struct pair){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->client.fd = fds[0];
	p->server.fd = fds[1];
	open_side(&p->client, client, server_name, false, 100000);
	open_side(&p->server, server, client_name, true, 0);
}

static void pair_close(struct pair *p)
{
	struct side *sides[] = { &p->client, &p->server };

	for (int i = 0; i < 2; i++) {
		vfm_tls_close(sides[i]->s);
		vfm_tls_free(sides[i]->tls);
		close(sides[i]->fd);
	}
}

static void step(struct side *side)
{
	short events = 0;

	if (side->ret == -EAGAIN)
		side->ret = vfm_tls_handshake(side->s, &events, &side->err);
	if (side->ret == -EAGAIN)
		assert_true(events & (POLLIN | POLLOUT));
}

/* In turns, as far as both get. */
static void pair_shake(struct pair *p)
{
	for (int i = 0; i < 10; i++) {
		step(&p->client);
		step(&p->server);
	}
}

static ssize_t get(struct side *side, void *buf, size_t len)
{
	short events;

	return vfm_tls_read(side->s, buf, len, &events, &side->err);
}

static ssize_t put(struct side *side, const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	short events;

	return vfm_tls_write(side->s, &iov, len ? 1 : 0, &events, &side->err);
}

/* ---- tests ---------------------------------------------------------------------- */

static void who_is_taken(void **state)
{
	static const struct {
		const char *client, *server, *server_name, *client_name;
		const char *client_says, *server_says; /* NULL: nothing */
	} cases[] = {
		{ "good", "good", "localhost", NULL, NULL, NULL },
		{ "good", "good", "127.0.0.1", NULL, NULL, NULL },
		{ "good", "good", "::1", NULL, NULL, NULL },
		{ "good", "good", "LOCALHOST", "localhost", NULL, NULL },
		{ "other-name", "good", "localhost", NULL, NULL, NULL },
		{ "good", "other-name", NULL, NULL, NULL, NULL },
		{ "good", "other-name", "localhost", NULL,
		  "the certificate of localhost is for DNS:elsewhere.example, IP Address:192.0.2.1",
		  "the source refuses our certificate: " },
		{ "good", "other-name", "192.0.2.2", NULL, "the certificate of 192.0.2.2 is for",
		  "the source refuses" },
		{ "good", "good", "127.0.0.2", NULL, "the certificate of 127.0.0.2 is for", "" },
		/* the name in the subject is not one */
		{ "good", "no-name", "localhost", NULL,
		  "the certificate of localhost is for nobody", "" },
		{ "good", "wild", "b.a.example", NULL, "is for DNS:*.a.example", "" },
		{ "good", "expired", "localhost", NULL,
		  "certificate of the destination is refused: certificate has expired",
		  "the source refuses our certificate: certificate expired" },
		{ "good", "early", "localhost", NULL, "not yet valid", "" },
		{ "good", "usage", "localhost", NULL, "certificate purpose", "" },
		{ "good", "stranger", "localhost", NULL,
		  "certificate of the destination is refused: unable to get local issuer",
		  "the source refuses our certificate: unknown CA" },
		{ "stranger", "good", "localhost", NULL,
		  "the destination refuses our certificate: unknown CA",
		  "certificate of the source is refused: unable to get local issuer" },
		{ "expired", "good", "localhost", NULL,
		  "the destination refuses our certificate: certificate expired",
		  "certificate of the source is refused: certificate has expired" },
		{ "other-name", "good", "localhost", "localhost",
		  "the destination refuses our certificate: ",
		  "the certificate of localhost is for DNS:elsewhere.example" },
		{ "usage", "good", "localhost", NULL, "the destination refuses", "purpose" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		char buf[16];
		struct pair p;

		pair_open(&p, cases[i].client, cases[i].server_name, cases[i].server,
			  cases[i].client_name);
		pair_shake(&p);
		/* TLS does not tell the client whether it was taken: what follows does. */
		if (!p.client.ret && cases[i].client_says)
			p.client.ret = (int)get(&p.client, buf, sizeof(buf));
		if (!cases[i].client_says && (p.client.ret || p.server.ret))
			fail_msg("%zu: %s %s", i, p.client.err.msg, p.server.err.msg);
		if (cases[i].client_says &&
		    (p.client.ret != -EKEYREJECTED || p.server.ret != -EKEYREJECTED ||
		     !strstr(p.client.err.msg, cases[i].client_says) ||
		     !strstr(p.server.err.msg, cases[i].server_says)))
			fail_msg("%zu: %d %s; %d %s", i, p.client.ret, p.client.err.msg,
				 p.server.ret, p.server.err.msg);
		pair_close(&p);
	}
}

static void a_directory_that_is_wrong(void **state)
{
	char key[300], moved[300];
	struct vfm_tls *tls;
	struct vfm_err err;

	(void)state;
	assert_int_equal(vfm_tls_new(&tls, dir_of("none"), &err), -ENOENT);
	assert_int_equal(vfm_tls_new(&tls, dir_of("other-key"), &err), -ENOKEY);
	assert_non_null(strstr(err.msg, "is not the key of"));
	snprintf(key, sizeof(key), "%s/key.pem", dir_of("good"));
	for (int bit = 0; bit < 6; bit++) {
		assert_int_equal(chmod(key, 0600 | 1 << bit), 0);
		assert_int_equal(vfm_tls_new(&tls, dir_of("good"), &err), -EACCES);
		assert_non_null(strstr(err.msg, "is open to others than its owner (mode 06"));
	}
	assert_int_equal(chmod(key, 0600), 0);
	/* Each of the three missing, and each being something else. */
	for (int i = 0; i < 6; i++) {
		static const char *const names[] = { "ca.pem", "cert.pem", "key.pem" };

		snprintf(key, sizeof(key), "%s/%s", dir_of("good"), names[i / 2]);
		snprintf(moved, sizeof(moved), "%s/away", dir_of("good"));
		assert_int_equal(rename(key, moved), 0);
		if (i & 1)
			close(open(key, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		assert_int_equal(vfm_tls_new(&tls, dir_of("good"), &err),
				 i & 1 ? -ENOKEY : -ENOENT);
		assert_non_null(strstr(err.msg, names[i / 2]));
		assert_int_equal(rename(moved, key), 0);
	}
	vfm_tls_free(load("good"));
}

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)test_random(&seed);
}

/* Pieces of any size, both ways, with new keys on the way, through sockets that are full. */
static void bytes_arrive(void **state)
{
	enum { ALL = 6 * MIB };
	uint8_t *sent = malloc(ALL), *got = malloc(ALL);
	uint64_t seed = 11;
	size_t from = 0, to = 0;
	bool flushed = false;
	struct pair p;

	(void)state;
	fill(sent, ALL, 5);
	pair_open(&p, "good", "localhost", "good", NULL);
	pair_shake(&p);
	while (to < ALL || !flushed) {
		size_t want = VFM_MIN(test_random_below(&seed, 700000) + 1, ALL - from);
		ssize_t n = put(&p.client, sent + from, want);

		if (n >= 0) {
			flushed = from == ALL;
			from += (size_t)n;
		} else {
			assert_int_equal(n, -EAGAIN);
		}
		want = VFM_MIN(test_random_below(&seed, 300000) + 1, ALL - to);
		n = want ? get(&p.server, got + to, want) : 0;
		if (n < 0)
			assert_int_equal(n, -EAGAIN);
		else
			to += (size_t)n;
	}
	assert_memory_equal(sent, got, ALL);
	assert_int_equal(put(&p.server, "back", 4), 4);
	assert_int_equal(get(&p.client, got, 16), 4);
	assert_memory_equal(got, "back", 4);
	/* A clean end is an end; one without a word is not. */
	vfm_tls_close(p.client.s);
	p.client.s = NULL;
	assert_int_equal(get(&p.server, got, 16), 0);
	pair_close(&p);
	free(sent);
	free(got);
}

static void ends_and_beginnings_that_are_none(void **state)
{
	uint8_t buf[16];
	struct pair p;

	(void)state;
	pair_open(&p, "good", "localhost", "good", NULL);
	pair_shake(&p);
	shutdown(p.client.fd, SHUT_WR);
	assert_int_equal(get(&p.server, buf, sizeof(buf)), -ECONNRESET);
	pair_close(&p);
	pair_open(&p, "good", "localhost", "good", NULL);
	shutdown(p.client.fd, SHUT_WR);
	step(&p.server);
	assert_int_equal(p.server.ret, -ECONNRESET);
	pair_close(&p);
	/* And a stream without TLS is none. */
	pair_open(&p, "good", NULL, "good", NULL);
	assert_int_equal(send(p.client.fd, "\x89VFM\r\n\x1a\n and so on", 18, 0), 18);
	step(&p.server);
	assert_int_equal(p.server.ret, -EBADMSG);
	pair_close(&p);
}

static size_t drain(int fd)
{
	static uint8_t buf[MIB];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		all += (size_t)n;
	return all;
}

/*
 * A source that cannot get its COMMIT out takes its device back. Then nothing that it does,
 * reading, closing, being told, may push the rest of it out.
 */
static void give_up(bool alert)
{
	static uint8_t data[MIB];
	uint8_t buf[16];
	struct pair p;

	pair_open(&p, "good", "localhost", "good", NULL);
	pair_shake(&p);
	while (put(&p.client, data, sizeof(data)) != -EAGAIN)
		;
	assert_true(drain(p.server.fd) > 0);
	assert_int_equal(get(&p.client, buf, sizeof(buf)), -EAGAIN);
	assert_int_equal(drain(p.server.fd), 0);
	if (alert) { /* it has something to say about what came */
		assert_int_equal(send(p.server.fd, "\x17\x03\x03\x00\x01z", 6, 0), 6);
		assert_int_equal(get(&p.client, buf, sizeof(buf)), -EBADMSG);
		assert_int_equal(drain(p.server.fd), 0);
	}
	vfm_tls_close(p.client.s);
	p.client.s = NULL;
	assert_int_equal(drain(p.server.fd), 0);
	pair_close(&p);
}

static void what_was_given_up_stays_so(void **state)
{
	(void)state;
	give_up(false);
	give_up(true);
}

/* Every bit of a record of ours, in the header and behind it, and the record cut anywhere. */
static void every_bit_is_protected(void **state)
{
	uint8_t wire[128], buf[64];
	size_t len = 1;

	(void)state;
	for (size_t bit = 0; bit < 8 * len; bit += 3) {
		struct pair p;
		ssize_t n;

		pair_open(&p, "good", "localhost", "good", NULL);
		pair_shake(&p);
		assert_int_equal(put(&p.client, "hello there", 11), 11);
		len = (size_t)recv(p.server.fd, wire, sizeof(wire), MSG_DONTWAIT);
		wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(send(p.client.fd, wire, len, 0), (ssize_t)len);
		shutdown(p.client.fd, SHUT_WR);
		n = get(&p.server, buf, sizeof(buf));
		/* A length that grew is a record that was cut. */
		if (n != -EBADMSG && n != -ECONNRESET)
			fail_msg("bit %zu: %zd", bit, n);
		if (n == -EBADMSG)
			assert_non_null(strstr(p.server.err.msg, "TLS from the source: "));
		pair_close(&p);
	}
	assert_true(len > 20);
}

/* ---- peers that are not ours ---------------------------------------------------- */

static SSL *foreign_client(int fd, int version, bool with_cert, SSL_CTX **ctx)
{
	SSL *ssl;
	char path[300];

	*ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(*ctx, version);
	snprintf(path, sizeof(path), "%s/cert.pem", dir_of("good"));
	if (with_cert)
		assert_int_equal(SSL_CTX_use_certificate_chain_file(*ctx, path), 1);
	snprintf(path, sizeof(path), "%s/key.pem", dir_of("good"));
	if (with_cert)
		assert_int_equal(SSL_CTX_use_PrivateKey_file(*ctx, path, SSL_FILETYPE_PEM), 1);
	ssl = SSL_new(*ctx);
	SSL_set_fd(ssl, fd);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return ssl;
}

static void old_versions_and_no_certificate(void **state)
{
	static const struct {
		int version;
		bool with_cert;
		int expect;
		const char *text;
	} clients[] = {
		{ TLS1_3_VERSION, true, 0, "" },
		{ TLS1_3_VERSION, false, -EKEYREJECTED, "the source shows no certificate" },
		{ TLS1_2_VERSION, true, -EBADMSG, "TLS from the source: unsupported protocol" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(clients); i++) {
		struct side *server;
		struct pair p;
		SSL_CTX *ctx;
		SSL *ssl;

		pair_open(&p, "good", NULL, "good", NULL);
		server = &p.server;
		ssl = foreign_client(p.client.fd, clients[i].version, clients[i].with_cert, &ctx);
		for (int k = 0; k < 10; k++) {
			SSL_connect(ssl);
			step(server);
		}
		if (server->ret != clients[i].expect ||
		    (server->ret && !strstr(server->err.msg, clients[i].text)))
			fail_msg("%zu: %d %s", i, server->ret, server->err.msg);
		if (!server->ret) {
			/* Nothing is there to be resumed with. */
			assert_int_equal(SSL_SESSION_is_resumable(SSL_get_session(ssl)), 0);
			assert_int_equal(SSL_peek(ssl, &(char){ 0 }, 1), -1);
			assert_int_equal(SSL_SESSION_is_resumable(SSL_get_session(ssl)), 0);
		}
		SSL_free(ssl);
		SSL_CTX_free(ctx);
		pair_close(&p);
	}
}

/* Each of them makes us answer, and answers leave with our own data only. */
static void keys_without_end(void **state)
{
	unsigned int asked = 0;
	ssize_t n = -EAGAIN;
	struct pair p;
	uint8_t buf[16];
	SSL_CTX *ctx;
	SSL *ssl;

	(void)state;
	pair_open(&p, "good", NULL, "good", NULL);
	ssl = foreign_client(p.client.fd, TLS1_3_VERSION, true, &ctx);
	for (int k = 0; k < 10; k++) {
		SSL_connect(ssl);
		step(&p.server);
	}
	assert_int_equal(p.server.ret, 0);
	while (n == -EAGAIN && asked++ < 100000) {
		if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED))
			SSL_do_handshake(ssl);
		n = get(&p.server, buf, sizeof(buf));
	}
	assert_int_equal(n, -EPROTO);
	assert_non_null(strstr(p.server.err.msg, "the source wants new keys without end"));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	pair_close(&p);
}

#define DUPLEX (8 * MIB)

struct mover {
	struct side *side;
	bool write;
};

static void *move(void *arg)
{
	struct mover *m = arg;
	static uint8_t zeros[65536];
	uint8_t *buf = malloc(sizeof(zeros));
	size_t done = 0;
	ssize_t n = -1;

	while (done < DUPLEX || (m->write && n)) {
		struct iovec iov = { .iov_base = zeros, .iov_len = sizeof(zeros) };
		struct pollfd fd = { .fd = m->side->fd };

		if (m->write)
			n = vfm_tls_write(m->side->s, &iov, done < DUPLEX, &fd.events, NULL);
		else
			n = vfm_tls_read(m->side->s, buf, sizeof(zeros), &fd.events, NULL);
		if (n == -EAGAIN)
			poll(&fd, 1, 1000);
		else if (n < 0)
			break;
		else
			done += (size_t)n;
	}
	free(buf);
	return (void *)(uintptr_t)done;
}

/* One thread of each end sends while another receives. */
static void both_ways_at_once(void **state)
{
	struct mover movers[4];
	pthread_t threads[4];
	struct pair p;

	(void)state;
	pair_open(&p, "good", "localhost", "good", NULL);
	pair_shake(&p);
	for (int i = 0; i < 4; i++) {
		movers[i] = (struct mover){ i & 2 ? &p.client : &p.server, i & 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, move, &movers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *done;

		pthread_join(threads[i], &done);
		assert_true((uintptr_t)done >= DUPLEX);
	}
	pair_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_taken),
		cmocka_unit_test(a_directory_that_is_wrong),
		cmocka_unit_test(bytes_arrive),
		cmocka_unit_test(ends_and_beginnings_that_are_none),
		cmocka_unit_test(what_was_given_up_stays_so),
		cmocka_unit_test(every_bit_is_protected),
		cmocka_unit_test(old_versions_and_no_certificate),
		cmocka_unit_test(keys_without_end),
		cmocka_unit_test(both_ways_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
