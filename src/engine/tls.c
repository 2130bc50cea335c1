// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * TLS 1.3 with certificates on both sides, and the one file that knows OpenSSL.
 * It protects bytes; what they mean, and how long somebody waits, is for others.
 *
 * OpenSSL reads from the socket itself and writes into a buffer of ours, which
 * leaves with one system call for many records. What surprises: only a
 * write, the handshake and an alert of ours empty that buffer, a read never does. A
 * write that somebody has given up on must stay unfinished for good: the source
 * takes its device back when its COMMIT does not get out, and a COMMIT that a
 * later read pushed on would make two owners.
 *
 * There is nothing to resume: no tickets, no early data. So a destination has
 * nothing to say after the handshake but words of the stream, and a readable
 * socket means to the source what it means without TLS. For the same reason
 * the source does not read ahead: what it has not asked for stays in the socket.
 */

#include "engine/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/util.h"

/* Payload of a TLS record, and what the record has around it at most. */
#define RECORD_MAX 16384
#define RECORD_ROOM (RECORD_MAX + 512)

/* What leaves at once; and room behind that for what TLS itself has to say. */
#define OUT_SIZE (16 * RECORD_ROOM)
#define OUT_SLACK 8192

/* What the destination takes from the socket at once. */
#define AHEAD_SIZE (128 * 1024)

/* AES-GCM and ChaCha20 bear more than this with one key. */
#define REKEY_BYTES (UINT64_C(1) << 36)

/* What OpenSSL adds to the number of an alert that came. */
#define ALERT_REASON 1000

struct vfm_tls {
	SSL_CTX *ctx;
	BIO_METHOD *method;
};

/**
 * struct vfm_tls_session
 * @lock: for everything but @fd, @who and what stays as it was made
 * @out, @out_at, @out_len: encrypted bytes that have not left yet: [out_at, out_len)
 * @failed: errno value of the socket, or ECONNRESET at its end
 * @names: of a certificate that is for somebody else
 * @told: an alert has come
 */
struct vfm_tls_session {
	pthread_mutex_t lock;
	SSL *ssl;
	int fd;
	const char *who;
	char *name;
	uint64_t rekey_bytes, since_rekey;
	size_t out_at, out_len;
	int failed;
	bool told;
	char names[128];
	uint8_t out[OUT_SIZE + OUT_SLACK];
};

/* ---- errors --------------------------------------------------------------- */

static const char *reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : "no reason given";
}

static bool is_about_certificates(int alert)
{
	return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_ACCESS_DENIED) ||
	       alert == SSL_AD_CERTIFICATE_REQUIRED;
}

static int refused(struct vfm_tls_session *s, long verdict, struct vfm_err *err)
{
	if (s->names[0])
		return vfm_fail(err, -EKEYREJECTED, "the certificate of %s is for %s", s->name,
				s->names);
	return vfm_fail(err, -EKEYREJECTED, "the certificate of the %s is refused: %s", s->who,
			X509_verify_cert_error_string(verdict));
}

/* A call of OpenSSL's has failed, and the socket is not to blame. */
static int broken(struct vfm_tls_session *s, struct vfm_err *err)
{
	unsigned long code = ERR_peek_error();
	long verdict = SSL_get_verify_result(s->ssl);
	int alert = ERR_GET_REASON(code) - ALERT_REASON;

	if (ERR_GET_LIB(code) == ERR_LIB_SSL && alert >= 0 && alert < 256) {
		s->told = true;
		if (is_about_certificates(alert))
			return vfm_fail(err, -EKEYREJECTED, "the %s refuses our certificate: %s",
					s->who, SSL_alert_desc_string_long(alert));
		return vfm_fail(err, -EPROTO, "the %s has ended TLS: %s", s->who,
				SSL_alert_desc_string_long(alert));
	}
	if (ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return vfm_fail(err, -EKEYREJECTED, "the %s shows no certificate", s->who);
	if (verdict != X509_V_OK)
		return refused(s, verdict, err);
	return vfm_fail(err, -EBADMSG, "TLS from the %s: %s", s->who, reason());
}

/* ---- the socket, as OpenSSL sees it ---------------------------------------- */

static int bio_read(BIO *bio, char *buf, int len)
{
	struct vfm_tls_session *s = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do {
		n = recv(s->fd, buf, (size_t)len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (int)n;
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	else
		s->failed = n ? errno : ECONNRESET;
	return -1;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
	struct vfm_tls_session *s = BIO_get_data(bio);
	size_t room = sizeof(s->out) - s->out_len;

	BIO_clear_retry_flags(bio);
	if (!room) {
		BIO_set_retry_write(bio);
		return -1;
	}
	len = (int)VFM_MIN((size_t)len, room);
	memcpy(s->out + s->out_len, buf, (size_t)len);
	s->out_len += (size_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int cmd, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return cmd == BIO_CTRL_FLUSH;
}

/* 0: nothing is left; -EAGAIN; or an error. */
static int flush(struct vfm_tls_session *s)
{
	while (s->out_at < s->out_len) {
		ssize_t n = send(s->fd, s->out + s->out_at, s->out_len - s->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			s->out_at += (size_t)n;
		else if (n < 0 && errno != EINTR)
			return -errno;
	}
	s->out_at = s->out_len = 0;
	return 0;
}

/* ---- a connection ---------------------------------------------------------- */

/*
 * After a call that gave @ret: -EAGAIN, 0 at the end that the peer has announced, or an
 * error. @empty: nothing was in the buffer before, so what is there now is an alert.
 */
static int outcome(struct vfm_tls_session *s, int ret, bool empty, short *events,
		   struct vfm_err *err)
{
	int error = SSL_get_error(s->ssl, ret);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		*events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return -EAGAIN;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (s->failed)
		return -s->failed;
	ret = broken(s, err);
	if (empty && flush(s))
		s->failed = EPIPE; /* the peer need not learn why */
	return ret;
}

/* The names that a certificate is for, as far as there is room. */
static void list_names(struct vfm_tls_session *s, X509 *cert)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	for (int i = 0; bio && i < sk_GENERAL_NAME_num(list); i++) {
		BIO_puts(bio, i ? ", " : "");
		GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(list, i));
	}
	n = bio ? BIO_read(bio, s->names, sizeof(s->names) - 1) : 0;
	if (n <= 0)
		n = snprintf(s->names, sizeof(s->names), "nobody");
	s->names[n] = '\0';
	for (char *c = s->names; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	BIO_free(bio);
	GENERAL_NAMES_free(list);
}

/* Changes no verdict: it takes down the names while the certificate is there. */
static int on_verified(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	int error = X509_STORE_CTX_get_error(store);

	if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)
		list_names(SSL_get_app_data(ssl), X509_STORE_CTX_get0_cert(store));
	return good;
}

static int set_up(struct vfm_tls_session *s, const struct vfm_tls *tls, bool server)
{
	BIO *bio = BIO_new(tls->method);

	s->ssl = SSL_new(tls->ctx);
	if (!s->ssl || !bio) {
		BIO_free(bio);
		return -ENOMEM;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, s);
	SSL_set_verify(s->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verified);
	SSL_set_hostflags(s->ssl,
			  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS);
	if (s->name && !SSL_set1_host(s->ssl, s->name))
		return -ENOMEM;
	if (server) {
		SSL_set_accept_state(s->ssl);
		SSL_set_read_ahead(s->ssl, 1);
		SSL_set_default_read_buffer_len(s->ssl, AHEAD_SIZE);
	} else {
		SSL_set_connect_state(s->ssl);
	}
	return 0;
}

int vfm_tls_open(struct vfm_tls_session **out, const struct vfm_tls *tls,
		 const struct vfm_tls_opts *opts, struct vfm_err *err)
{
	struct vfm_tls_session *s = calloc(1, sizeof(*s));

	if (!s)
		return vfm_fail(err, -ENOMEM, "no memory for TLS");
	pthread_mutex_init(&s->lock, NULL);
	s->fd = opts->fd;
	s->who = opts->who;
	s->rekey_bytes = opts->rekey_bytes ? opts->rekey_bytes : REKEY_BYTES;
	s->name = opts->name ? strdup(opts->name) : NULL;
	if ((opts->name && !s->name) || set_up(s, tls, opts->server)) {
		vfm_tls_close(s);
		return vfm_fail(err, -ENOMEM, "no memory for TLS, or no name: %s",
				opts->name ? opts->name : "");
	}
	*out = s;
	return 0;
}

void vfm_tls_close(struct vfm_tls_session *s)
{
	if (!s)
		return;
	ERR_clear_error();
	if (s->ssl && SSL_is_init_finished(s->ssl) && s->out_at == s->out_len &&
	    SSL_shutdown(s->ssl) >= 0 && flush(s))
		s->failed = EPIPE; /* it is freed now, whatever the peer has heard */
	SSL_free(s->ssl);
	ERR_clear_error();
	pthread_mutex_destroy(&s->lock);
	free(s->name);
	free(s);
}

int vfm_tls_handshake(struct vfm_tls_session *s, short *events, struct vfm_err *err)
{
	int done, ret, flushed;

	pthread_mutex_lock(&s->lock);
	ERR_clear_error();
	done = SSL_do_handshake(s->ssl);
	ret = done == 1 ? 0 : outcome(s, done, false, events, err);
	if (ret == 0 && done != 1)
		ret = -ECONNRESET;
	/* our part of it, or the alert that says what we think of it */
	flushed = flush(s);
	if (flushed == -EAGAIN && (ret == 0 || ret == -EAGAIN)) {
		*events |= POLLOUT;
		ret = -EAGAIN;
	} else if (flushed && ret == 0) {
		ret = flushed;
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

ssize_t vfm_tls_read(struct vfm_tls_session *s, void *buf, size_t len, short *events,
		     struct vfm_err *err)
{
	ssize_t n;
	bool empty;

	pthread_mutex_lock(&s->lock);
	ERR_clear_error();
	empty = s->out_at == s->out_len;
	n = SSL_read(s->ssl, buf, (int)VFM_MIN(len, INT_MAX));
	if (n <= 0)
		n = outcome(s, (int)n, empty, events, err);
	if (n == -EAGAIN && *events == POLLOUT)
		n = vfm_fail(err, -EPROTO, "the %s wants new keys without end", s->who);
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Encrypt what there is room for. Return: how much that was, or an error. */
static ssize_t encrypt(struct vfm_tls_session *s, const struct iovec *iov, int nr_iov,
		       short *events, struct vfm_err *err)
{
	ssize_t taken = 0;

	for (int i = 0; i < nr_iov; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left) {
			int n = (int)VFM_MIN(left, RECORD_MAX);

			if (OUT_SIZE - s->out_len < RECORD_ROOM)
				return taken;
			if (s->since_rekey >= s->rekey_bytes &&
			    SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED))
				s->since_rekey = 0;
			n = SSL_write(s->ssl, p, n);
			if (n <= 0) {
				n = outcome(s, n, false, events, err);
				return n ? n : -EPIPE;
			}
			s->since_rekey += (size_t)n;
			taken += n;
			p += n;
			left -= (size_t)n;
		}
	}
	return taken;
}

ssize_t vfm_tls_write(struct vfm_tls_session *s, const struct iovec *iov, int nr_iov, short *events,
		      struct vfm_err *err)
{
	ssize_t taken;
	int ret;

	pthread_mutex_lock(&s->lock);
	ERR_clear_error();
	*events = POLLOUT;
	ret = flush(s);
	taken = ret ? ret : encrypt(s, iov, nr_iov, events, err);
	if (taken > 0) {
		ret = flush(s);
		if (ret && ret != -EAGAIN)
			taken = ret;
	}
	pthread_mutex_unlock(&s->lock);
	return taken;
}

bool vfm_tls_told(struct vfm_tls_session *s)
{
	bool told;

	pthread_mutex_lock(&s->lock);
	told = s->told;
	pthread_mutex_unlock(&s->lock);
	return told;
}

bool vfm_tls_same_peer(struct vfm_tls_session *a, struct vfm_tls_session *b)
{
	X509 *of_a = SSL_get1_peer_certificate(a->ssl);
	X509 *of_b = SSL_get1_peer_certificate(b->ssl);
	bool same = of_a && of_b && !X509_cmp(of_a, of_b);

	X509_free(of_a);
	X509_free(of_b);
	ERR_clear_error();
	return same;
}

/* ---- certificates ------------------------------------------------------------ */

static int no_sense(const char *path, struct vfm_err *err)
{
	return vfm_fail(err, -ENOKEY, "%s: %s", path, reason());
}

/* Nobody is asked for a password: the process may have no terminal. */
static int no_password(char *buf, int size, int writing, void *user)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)user;
	return -1;
}

/* Opened once, so that what is judged is what is read. */
static int open_key(BIO **out, const char *path, struct vfm_err *err)
{
	vfm_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return vfm_fail(err, -errno, "open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vfm_fail(err, -ENOKEY, "%s is not a file", path);
	if (st.st_mode & 077)
		return vfm_fail(err, -EACCES,
				"%s is open to others than its owner (mode %04o); chmod 600 helps",
				path, st.st_mode & 07777);
	*out = BIO_new_fd(fd, BIO_CLOSE);
	if (!*out)
		return vfm_fail(err, -ENOMEM, "no memory for TLS");
	vfm_take_fd(&fd);
	return 0;
}

static int load_key(SSL_CTX *ctx, const char *path, const char *cert, struct vfm_err *err)
{
	EVP_PKEY *key;
	BIO *bio = NULL;
	int ret = open_key(&bio, path, err);

	if (ret)
		return ret;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	if (!key)
		return no_sense(path, err);
	ret = 0;
	/* compares it with the certificate, too */
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		ret = vfm_fail(err, -ENOKEY, "%s is not the key of %s", path, cert);
	EVP_PKEY_free(key);
	return ret;
}

/* OpenSSL says of a file that is missing what it says of others that it does not like. */
static int check_there(const char *path, struct vfm_err *err)
{
	if (access(path, R_OK))
		return vfm_fail(err, -errno, "open %s: %s", path, strerror(errno));
	return 0;
}

static int load(SSL_CTX *ctx, const char *dir, struct vfm_err *err)
{
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	int ret;

	if (strlen(dir) > PATH_MAX - sizeof("/cert.pem"))
		return vfm_fail(err, -ENAMETOOLONG, "the name of the directory is too long");
	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	ret = check_there(ca, err);
	if (!ret && SSL_CTX_load_verify_file(ctx, ca) != 1)
		ret = no_sense(ca, err);
	if (!ret)
		ret = check_there(cert, err);
	if (!ret && SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		ret = no_sense(cert, err);
	return ret ? ret : load_key(ctx, key, cert, err);
}

static void harden(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx,
			    SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* a flood of records that are no data must not keep us in one call */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
}

/* Files of OpenSSL's own configuration may widen the versions, so both ends are set. */
static bool set_version(SSL_CTX *ctx)
{
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

static BIO_METHOD *make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "vfmig");

	if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_ctrl(m, bio_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

VFM_API int vfm_tls_new(struct vfm_tls **out, const char *dir, struct vfm_err *err)
{
	struct vfm_tls *tls = calloc(1, sizeof(*tls));
	int ret;

	if (!tls)
		return vfm_fail(err, -ENOMEM, "no memory for TLS");
	ERR_clear_error();
	tls->ctx = SSL_CTX_new(TLS_method());
	tls->method = make_method();
	if (!tls->ctx || !tls->method || !set_version(tls->ctx)) {
		vfm_tls_free(tls);
		return vfm_fail(err, -ENOMEM, "TLS 1.3 cannot be had: %s", reason());
	}
	harden(tls->ctx);
	ret = load(tls->ctx, dir, err);
	ERR_clear_error();
	if (ret) {
		vfm_tls_free(tls);
		return ret;
	}
	*out = tls;
	return 0;
}

VFM_API void vfm_tls_free(struct vfm_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	BIO_meth_free(tls->method);
	free(tls);
}
