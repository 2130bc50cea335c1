// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A connection to the JSON gateway of etcd, and the one file that knows libcurl. It carries
 * one question to one endpoint; what a question is, etcd_json.c knows, and what to do when it
 * fails, kv.c.
 *
 * libcurl says which sockets it waits for, and how long. They are put into one epoll
 * descriptor, with a timer, so that whoever waits has one descriptor to look at.
 *
 * What surprises: to look up the name of a host, libcurl has a thread of its own, and
 * to give up may take as long as the resolver is told to wait. Addresses in digits have none
 * of that.
 */

#include "engine/etcd.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <vfmig/tls.h>

#include "base/cleanup.h"
#include "base/util.h"

#define CONNECT_MS 2000
#define ENDPOINTS_MAX 16u
#define URL_MAX 512u

struct etcd {
	struct vfm_kv kv;
	char *endpoints[ENDPOINTS_MAX];
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	int epoll, timer;
	/* the question that is under way */
	bool asking;
	const struct vfm_kv_request *request;
	char *body;
	char url[URL_MAX + 32];
	char why[CURL_ERROR_SIZE];
	size_t have;
	char answer[VFM_ETCD_ANSWER_MAX];
};

static struct etcd *etcd_of(struct vfm_kv *kv)
{
	return (struct etcd *)kv;
}

/* ---- addresses ---------------------------------------------------------------- */

/* A part of @url, copied to @out; empty: it has none. */
static bool get_part(CURLU *url, CURLUPart part, char *out, size_t room)
{
	char *text = NULL;
	CURLUcode ret = curl_url_get(url, part, &text, 0);

	snprintf(out, room, "%s", text ? text : "");
	curl_free(text);
	return ret == CURLUE_OK;
}

static bool is_loopback(const char *host)
{
	return !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
	       (!strncmp(host, "127.", 4) && strspn(host, "0123456789.") == strlen(host));
}

static int check_url(CURLU *url, const char *text, const char *tls, bool insecure,
		     struct vfm_err *err)
{
	char scheme[8], host[256], path[8], other[8];
	bool http, plain;

	if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
	    !get_part(url, CURLUPART_SCHEME, scheme, sizeof(scheme)) ||
	    !get_part(url, CURLUPART_HOST, host, sizeof(host)) ||
	    !get_part(url, CURLUPART_PATH, path, sizeof(path)))
		return vfm_fail(err, -EINVAL, "\"%s\" is not the address of a store", text);
	http = !strcmp(scheme, "http");
	plain = !get_part(url, CURLUPART_USER, other, sizeof(other)) &&
		!get_part(url, CURLUPART_QUERY, other, sizeof(other)) &&
		!get_part(url, CURLUPART_FRAGMENT, other, sizeof(other));
	if ((!http && strcmp(scheme, "https") != 0) || strcmp(path, "/") != 0 || !plain)
		return vfm_fail(err, -EINVAL,
				"the address of a store is http://HOST:PORT or https://HOST:PORT, "
				"and \"%s\" is not",
				text);
	if (http && tls)
		return vfm_fail(err, -EINVAL, "certificates for a store at %s, without TLS", text);
	if (http && !insecure && !is_loopback(host))
		return vfm_fail(err, -EPERM,
				"the store at %s is beyond this machine, and not protected", text);
	return 0;
}

/* The next of a list with commas, taken out of it; NULL: none is left. */
static const char *next_endpoint(const char **list, char out[URL_MAX])
{
	size_t len = strcspn(*list, ",");

	if (!**list)
		return NULL;
	/* one that is too long is none */
	snprintf(out, URL_MAX, "%.*s", len < URL_MAX ? (int)len : 0, *list);
	*list += len + ((*list)[len] == ',');
	for (len = strlen(out); len && out[len - 1] == '/'; len--)
		out[len - 1] = '\0';
	return out;
}

/* A handle of its own: in one that has an address already, others may be relative to that. */
static int check_endpoint(const char *text, const char *tls, bool insecure, struct vfm_err *err)
{
	CURLU *url = curl_url();
	int ret = url ? check_url(url, text, tls, insecure, err)
		      : vfm_fail(err, -ENOMEM, "no memory for an address");

	curl_url_cleanup(url);
	return ret;
}

int vfm_etcd_check(const char *endpoints, const char *tls, bool insecure, struct vfm_err *err)
{
	char text[URL_MAX];
	unsigned int count = 0;
	int ret = *endpoints ? 0 : vfm_fail(err, -EINVAL, "no address of a store");

	while (!ret && next_endpoint(&endpoints, text)) {
		ret = check_endpoint(text, tls, insecure, err);
		if (!ret && ++count > ENDPOINTS_MAX)
			ret = vfm_fail(err, -E2BIG, "more than %u addresses of a store",
				       ENDPOINTS_MAX);
	}
	return ret;
}

/* ---- what libcurl waits for --------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
	struct etcd *e = user;
	struct epoll_event event = { .data.fd = fd };

	(void)easy;
	(void)known;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(e->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(e->epoll, EPOLL_CTL_MOD, fd, &event))
		return epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

/* -1: no time; 0: at once, which for a timer is the shortest that there is. */
static int on_timer(CURLM *multi, long ms, void *user)
{
	struct etcd *e = user;
	struct itimerspec when = { .it_value = { ms / 1000, ms % 1000 * 1000000 } };

	(void)multi;
	if (ms < 0)
		when.it_value = (struct timespec){ 0 };
	else if (!ms)
		when.it_value.tv_nsec = 1;
	return timerfd_settime(e->timer, 0, &when, NULL);
}

static size_t on_data(char *data, size_t one, size_t size, void *user)
{
	struct etcd *e = user;

	if (size > sizeof(e->answer) - e->have || one != 1)
		return CURL_WRITEFUNC_ERROR;
	memcpy(e->answer + e->have, data, size);
	e->have += size;
	return size;
}

/* What has happened at the sockets, and to the time. */
static void act(struct etcd *e)
{
	struct epoll_event events[8];
	int n = epoll_wait(e->epoll, events, VFM_ARRAY_SIZE(events), 0);
	uint64_t times;
	int running;

	for (int i = 0; i < n; i++) {
		int mask = 0;

		if (events[i].data.fd == e->timer) {
			if (read(e->timer, &times, sizeof(times)) == (ssize_t)sizeof(times))
				curl_multi_socket_action(e->multi, CURL_SOCKET_TIMEOUT, 0,
							 &running);
			continue;
		}
		if (events[i].events & EPOLLIN)
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			mask |= CURL_CSELECT_ERR;
		curl_multi_socket_action(e->multi, events[i].data.fd, mask, &running);
	}
}

/* ---- an answer ----------------------------------------------------------------- */

static const struct {
	CURLcode code;
	int ret;
} failures[] = {
	{ CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT },
	{ CURLE_COULDNT_CONNECT, -ECONNREFUSED },
	{ CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH },
	{ CURLE_PEER_FAILED_VERIFICATION, -EKEYREJECTED },
	{ CURLE_SSL_CERTPROBLEM, -EKEYREJECTED },
	{ CURLE_SSL_CACERT_BADFILE, -EKEYREJECTED },
	{ CURLE_WRITE_ERROR, -EBADMSG }, /* the answer is too long */
	{ CURLE_OUT_OF_MEMORY, -ENOMEM },
};

static int failed(const struct etcd *e, CURLcode code, struct vfm_err *err)
{
	int ret = -ECONNRESET;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(failures); i++)
		if (failures[i].code == code)
			ret = failures[i].ret;
	return vfm_fail(err, ret, "store %s: %.200s", e->url,
			code == CURLE_WRITE_ERROR ? "the answer is longer than any of ours"
			: e->why[0]		  ? e->why
						  : curl_easy_strerror(code));
}

static int refused(const struct etcd *e, long status, struct vfm_err *err)
{
	char why[160];
	int ret = -EIO;

	vfm_etcd_complaint(why, sizeof(why), e->answer, e->have);
	if (status == 401 || status == 403)
		ret = -EACCES;
	else if (status >= 300 && status < 500)
		ret = -EINVAL;
	return vfm_fail(err, ret, "store %s answers %ld%s%s", e->url, status, why[0] ? ": " : "",
			why);
}

static int finish(struct etcd *e, CURLcode code, struct vfm_kv_answer *answer, struct vfm_err *err)
{
	long status = 0;
	int ret;

	if (code != CURLE_OK)
		return failed(e, code, err);
	curl_easy_getinfo(e->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return refused(e, status, err);
	ret = vfm_etcd_answer(answer, e->request, e->answer, e->have, err);
	if (ret)
		vfm_fail_prefix(err, "store %s", e->url);
	return ret;
}

static int process(struct vfm_kv *kv, struct vfm_kv_answer *answer, struct vfm_err *err)
{
	struct etcd *e = etcd_of(kv);
	const CURLMsg *message;
	int left;

	act(e);
	message = curl_multi_info_read(e->multi, &left);
	if (!message || message->msg != CURLMSG_DONE)
		return -EAGAIN;
	return finish(e, message->data.result, answer, err);
}

/* ---- a question ---------------------------------------------------------------- */

static void stop(struct vfm_kv *kv)
{
	struct etcd *e = etcd_of(kv);

	if (e->asking)
		curl_multi_remove_handle(e->multi, e->easy);
	e->asking = false;
	free(vfm_take_ptr(e->body));
}

static int start(struct vfm_kv *kv, size_t endpoint, const struct vfm_kv_request *request,
		 unsigned int timeout_ms, struct vfm_err *err)
{
	struct etcd *e = etcd_of(kv);
	const char *path;

	e->request = request;
	e->have = 0;
	e->why[0] = '\0';
	e->body = vfm_etcd_question(request, &path);
	if (!e->body)
		return vfm_fail(err, -ENOMEM, "no memory to ask the store");
	snprintf(e->url, sizeof(e->url), "%s%s", e->endpoints[endpoint], path);
	if (curl_easy_setopt(e->easy, CURLOPT_URL, e->url) ||
	    curl_easy_setopt(e->easy, CURLOPT_POSTFIELDS, e->body) ||
	    curl_easy_setopt(e->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms) ||
	    curl_easy_setopt(e->easy, CURLOPT_CONNECTTIMEOUT_MS,
			     (long)VFM_MIN(timeout_ms, CONNECT_MS)) ||
	    curl_multi_add_handle(e->multi, e->easy))
		return vfm_fail(err, -ENOMEM, "cannot ask the store %s", e->url);
	e->asking = true;
	return 0;
}

static int get_fd(const struct vfm_kv *kv)
{
	return ((const struct etcd *)kv)->epoll;
}

/* ---- a connection --------------------------------------------------------------- */

static void close_etcd(struct vfm_kv *kv)
{
	struct etcd *e = etcd_of(kv);

	stop(kv);
	curl_easy_cleanup(e->easy);
	curl_multi_cleanup(e->multi);
	curl_slist_free_all(e->headers);
	vfm_close_fd(&e->epoll);
	vfm_close_fd(&e->timer);
	for (size_t i = 0; i < e->kv.nr_endpoints; i++)
		free(e->endpoints[i]);
	free(e);
	curl_global_cleanup();
}

static const struct vfm_kv_ops ops = {
	.start = start, .get_fd = get_fd, .process = process, .stop = stop, .close = close_etcd
};

/* Nothing of the user's surroundings counts: no proxy, no netrc, no redirection. */
static bool set_up_easy(struct etcd *e)
{
	return !curl_easy_setopt(e->easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       !curl_easy_setopt(e->easy, CURLOPT_PROXY, "") &&
	       !curl_easy_setopt(e->easy, CURLOPT_FOLLOWLOCATION, 0L) &&
	       !curl_easy_setopt(e->easy, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_easy_setopt(e->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       !curl_easy_setopt(e->easy, CURLOPT_ERRORBUFFER, e->why) &&
	       !curl_easy_setopt(e->easy, CURLOPT_HTTPHEADER, e->headers) &&
	       !curl_easy_setopt(e->easy, CURLOPT_WRITEFUNCTION, on_data) &&
	       !curl_easy_setopt(e->easy, CURLOPT_WRITEDATA, e) &&
	       !curl_easy_setopt(e->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

/* The authorities in our folder, and no others that the system may know. */
static bool set_up_tls(struct etcd *e, const char *dir)
{
	if (!dir)
		return true;
	snprintf(e->ca, sizeof(e->ca), "%s/ca.pem", dir);
	snprintf(e->cert, sizeof(e->cert), "%s/cert.pem", dir);
	snprintf(e->key, sizeof(e->key), "%s/key.pem", dir);
	return !curl_easy_setopt(e->easy, CURLOPT_CAINFO, e->ca) &&
	       !curl_easy_setopt(e->easy, CURLOPT_CAPATH, NULL) &&
	       !curl_easy_setopt(e->easy, CURLOPT_SSLCERT, e->cert) &&
	       !curl_easy_setopt(e->easy, CURLOPT_SSLKEY, e->key);
}

static bool set_up_multi(struct etcd *e)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = e->timer };

	return e->epoll >= 0 && e->timer >= 0 &&
	       !epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->timer, &event) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
}

static bool copy_endpoints(struct etcd *e, const char *endpoints)
{
	char text[URL_MAX];

	while (e->kv.nr_endpoints < ENDPOINTS_MAX && next_endpoint(&endpoints, text)) {
		char *copy = strdup(text);

		if (!copy)
			return false;
		e->endpoints[e->kv.nr_endpoints++] = copy;
	}
	return true;
}

int vfm_etcd_open(struct vfm_kv **out, const char *endpoints, const char *tls, struct vfm_err *err)
{
	struct etcd *e = calloc(1, sizeof(*e));

	if (!e || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(e);
		return vfm_fail(err, -ENOMEM, "no memory for a store");
	}
	e->kv.ops = &ops;
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	e->multi = curl_multi_init();
	e->easy = curl_easy_init();
	/* a body of more than 1024 bytes would wait to be asked for */
	e->headers = curl_slist_append(NULL, "Expect:");
	if (!e->multi || !e->easy || !e->headers || !copy_endpoints(e, endpoints) ||
	    !set_up_multi(e) || !set_up_easy(e) || !set_up_tls(e, tls)) {
		close_etcd(&e->kv);
		return vfm_fail(err, -ENOMEM, "no memory, or no descriptors, for a store");
	}
	*out = &e->kv;
	return 0;
}
