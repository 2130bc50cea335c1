// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * etcd's JSON gateway: questions byte by byte, answers as etcd writes them and as nobody should;
 * and HTTP with a server that is slow, broken, talkative or somebody else.
 */

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "engine/etcd.h"
#include "fds.h"

static const struct vfm_wait wait = { .cancel_fd = -1 };

/* ---- questions -------------------------------------------------------------------- */

/* The key is "vfmig/x", the value "hello". */
static const struct {
	struct vfm_kv_request request;
	const char *path, *body;
} questions[] = {
	{ { .key = "vfmig/x" }, "/v3/kv/range", "{\"key\":\"dmZtaWcveA==\"}" },
	{ { .key = "vfmig/x", .swap = true, .value = "hello" },
	  "/v3/kv/txn",
	  "{\"compare\":[{\"key\":\"dmZtaWcveA==\",\"target\":\"MOD\",\"result\":\"EQUAL\","
	  "\"mod_revision\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"dmZtaWcveA==\","
	  "\"value\":\"aGVsbG8=\"}}],\"failure\":[{\"request_range\":{\"key\":\"dmZtaWcveA==\"}}]"
	  "}" },
	{ { .key = "vfmig/x", .swap = true, .revision = 9223372036854775807u },
	  "/v3/kv/txn",
	  "{\"compare\":[{\"key\":\"dmZtaWcveA==\",\"target\":\"MOD\",\"result\":\"EQUAL\","
	  "\"mod_revision\":\"9223372036854775807\"}],\"success\":[{\"request_delete_range\":"
	  "{\"key\":\"dmZtaWcveA==\"}}],\"failure\":[{\"request_range\":"
	  "{\"key\":\"dmZtaWcveA==\"}}]}" },
};

static void questions_have_these_bytes(void **state)
{
	const char *path;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(questions); i++) {
		char *body = vfm_etcd_question(&questions[i].request, &path);

		assert_string_equal(path, questions[i].path);
		assert_string_equal(body, questions[i].body);
		free(body);
	}
}

/* ---- answers ---------------------------------------------------------------------- */

#define HEADER                                                                                     \
	"\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":"                       \
	"\"10276657743932975437\",\"revision\":\"5\",\"raft_term\":\"2\"}"
#define PAIR(revision, value)                                                                      \
	"{\"key\":\"dmZtaWcveA==\",\"create_revision\":\"2\",\"mod_revision\":" revision           \
	",\"version\":\"1\"" value "}"
#define HELLO ",\"value\":\"aGVsbG8=\""
#define RANGE(pairs) "{" HEADER ",\"kvs\":[" pairs "],\"count\":\"1\"}"
#define FAILED(range) "{" HEADER ",\"responses\":[{\"response_range\":" range "}]}"
#define DONE "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_put\":{" HEADER "}}]}"

static const struct {
	bool swap;
	const char *text;
	int ret;
	bool swapped;
	uint64_t revision;
	const char *value;
} answers[] = {
	{ false, "{" HEADER "}", 0, false, 0, "" },
	{ false, RANGE(PAIR("\"2\"", HELLO)), 0, false, 2, "hello" },
	{ false, RANGE(PAIR("2", HELLO)), 0, false, 2, "hello" },
	{ false, RANGE(PAIR("\"9223372036854775807\"", "")), 0, false, INT64_MAX, "" },
	{ false, "{\"more\":false,\"later\":[{}]," HEADER ",\"kvs\":[]}", 0, false, 0, "" },
	{ true, DONE, 0, true, 5, "" },
	{ true, FAILED(RANGE(PAIR("\"3\"", HELLO))), 0, false, 3, "hello" },
	{ true, FAILED("{" HEADER "}"), 0, false, 0, "" },
	/* what is no answer */
	{ false, "", -EBADMSG, false, 0, NULL },
	{ false, "null", -EBADMSG, false, 0, NULL },
	{ false, "[]", -EBADMSG, false, 0, NULL },
	{ false, "{}", -EBADMSG, false, 0, NULL },
	{ false, "{\"header\":3}", -EBADMSG, false, 0, NULL },
	{ false, "{" HEADER ",\"kvs\":{}}", -EBADMSG, false, 0, NULL },
	{ false, "{" HEADER ",\"kvs\":[3]}", -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", HELLO) "," PAIR("\"2\"", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, "{" HEADER ",\"kvs\":[{\"key\":\"eA==\",\"mod_revision\":\"2\"}]}", -EBADMSG,
	  false, 0, NULL },
	/* revisions */
	{ false, RANGE(PAIR("\"0\"", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("0", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("-2", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"-2\"", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2x\"", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("2.0", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"9223372036854775808\"", HELLO)), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("null", HELLO)), -EBADMSG, false, 0, NULL },
	/* base64 */
	{ false, RANGE(PAIR("\"2\"", ",\"value\":\"aGVsbG8\"")), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", ",\"value\":\"aGVs=G8=\"")), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", ",\"value\":\"a===\"")), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", ",\"value\":\"====\"")), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", ",\"value\":\" GVs\"")), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", ",\"value\":\"aGV-\"")), -EBADMSG, false, 0, NULL },
	{ false, RANGE(PAIR("\"2\"", ",\"value\":[]")), -EBADMSG, false, 0, NULL },
	/* a swap that says too little, or too much */
	{ true, "{" HEADER "}", -EBADMSG, false, 0, NULL },
	{ true, "{" HEADER ",\"succeeded\":1}", -EBADMSG, false, 0, NULL },
	{ true, "{\"succeeded\":true}", -EBADMSG, false, 0, NULL },
	{ true, "{\"header\":{\"revision\":\"0\"},\"succeeded\":true}", -EBADMSG, false, 0, NULL },
	{ true, "{" HEADER ",\"responses\":[]}", -EBADMSG, false, 0, NULL },
	{ true, "{" HEADER ",\"succeeded\":true,\"succeeded\":false}", -EBADMSG, false, 0, NULL },
};

static void answers_say_what_they_say(void **state)
{
	static struct vfm_kv_answer answer;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(answers); i++) {
		const struct vfm_kv_request request = { .key = "vfmig/x",
							.swap = answers[i].swap,
							.value = "x" };
		int ret = vfm_etcd_answer(&answer, &request, answers[i].text,
					  strlen(answers[i].text), NULL);

		if (ret != answers[i].ret)
			fail_msg("%zu: %s: %d", i, answers[i].text, ret);
		if (ret)
			continue;
		assert_int_equal(answer.swapped, answers[i].swapped);
		assert_int_equal(answer.now.revision, answers[i].revision);
		assert_string_equal(answer.now.data, answers[i].value);
		assert_int_equal(answer.now.size, strlen(answers[i].value));
	}
}

/* Values up to the longest travel as they are, and longer ones do not. */
static void values_of_every_length_travel(void **state)
{
	static char value[VFM_KV_VALUE_MAX + 4], text[3 * VFM_KV_VALUE_MAX];
	static struct vfm_kv_answer answer;
	struct vfm_kv_request request = { .key = "k", .swap = true, .value = value };
	const char *path;

	(void)state;
	for (size_t len = 0; len <= VFM_KV_VALUE_MAX; len += len < 20 ? 1 : 97) {
		char *body, *from;

		memset(value, 'a' + (int)(len % 26), len);
		value[len] = '\0';
		body = vfm_etcd_question(&request, &path);
		from = strstr(body, "\"value\":\"") + strlen("\"value\":\"");
		snprintf(text, sizeof(text),
			 "{\"header\":{},\"kvs\":[{\"key\":\"aw==\",\"mod_revision\":\"1\","
			 "\"value\":\"%.*s\"}]}",
			 (int)strcspn(from, "\""), from);
		request.swap = false;
		assert_int_equal(vfm_etcd_answer(&answer, &request, text, strlen(text), NULL), 0);
		request.swap = true;
		assert_int_equal(answer.now.size, len);
		assert_string_equal(answer.now.data, value);
		free(body);
	}
}

/* ---- addresses -------------------------------------------------------------------- */

static const struct {
	const char *endpoints, *tls;
	bool insecure;
	int ret;
} addresses[] = {
	{ "http://127.0.0.1:2379", NULL, false, 0 },
	{ "http://localhost:2379/", NULL, false, 0 },
	{ "http://[::1]:2379,https://db.example:2379", NULL, false, 0 },
	{ "https://10.0.0.1", "/etc", false, 0 },
	{ "http://10.0.0.1:2379", NULL, false, -EPERM },
	{ "http://10.0.0.1:2379", NULL, true, 0 },
	{ "http://127.0.0.1.example:2379", NULL, false, -EPERM },
	{ "http://127.0.0.1:2379", "/etc", false, -EINVAL },
	{ "https://a:1,http://127.0.0.1:2379", "/etc", false, -EINVAL },
	{ "", NULL, false, -EINVAL },
	{ "127.0.0.1:2379", NULL, false, -EINVAL },
	{ "http://", NULL, false, -EINVAL },
	{ "ftp://127.0.0.1", NULL, false, -EINVAL },
	{ "file:///etc/passwd", NULL, false, -EINVAL },
	{ "http://127.0.0.1:2379/v3", NULL, false, -EINVAL },
	{ "http://127.0.0.1:2379/?a", NULL, false, -EINVAL },
	{ "http://127.0.0.1:2379/#a", NULL, false, -EINVAL },
	{ "http://user:pass@127.0.0.1:2379", NULL, false, -EINVAL },
	{ "http://averyveryverylongname@127.0.0.1:2379", NULL, false, -EINVAL },
	{ "http://127.0.0.1:99999", NULL, false, -EINVAL },
	{ "http://127.0.0.1:2379,2380", NULL, false, -EINVAL },
	{ "http://127.0.0.1:2379,,http://127.0.0.1:2380", NULL, false, -EINVAL },
};

static void addresses_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(addresses); i++) {
		int ret = vfm_etcd_check(addresses[i].endpoints, addresses[i].tls,
					 addresses[i].insecure, NULL);

		if (ret != addresses[i].ret)
			fail_msg("%s: %d", addresses[i].endpoints, ret);
	}
}

/* ---- a server --------------------------------------------------------------------- */

/* Says the same to everybody, and then no more; NULL: nothing, until the test ends. */
struct server {
	int listener;
	unsigned int port;
	const char *answer;
	size_t filler; /* bytes more */
	unsigned int requests;
	pthread_t thread;
};

static bool hear(int fd)
{
	char text[4096];
	size_t have = 0;

	for (;;) {
		ssize_t n = recv(fd, text + have, sizeof(text) - 1 - have, 0);
		const char *body, *length;

		if (n <= 0)
			return false;
		have += (size_t)n;
		text[have] = '\0';
		body = strstr(text, "\r\n\r\n");
		length = strstr(text, "Content-Length: ");
		if (body && length &&
		    have >= (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10))
			return true;
	}
}

static void say(int fd, const struct server *s)
{
	static const char filler[4096] = { 'x' };
	size_t left = s->filler;

	if (send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL) < 0)
		return;
	while (left) {
		ssize_t n = send(fd, filler, VFM_MIN(left, sizeof(filler)), MSG_NOSIGNAL);

		if (n <= 0)
			return;
		left -= (size_t)n;
	}
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		char end;

		if (hear(fd)) {
			s->requests++;
			if (s->answer)
				say(fd, s);
			else
				while (recv(fd, &end, 1, 0) > 0)
					;
		}
		close(fd);
	}
	return NULL;
}

static void start_server(struct server *s)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&sa, &len), 0);
	s->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

#define HTTP(status, body) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body

static const struct {
	const char *name, *answer;
	size_t filler;
	int ret;
	unsigned int requests; /* 0: as many as there is time for */
} servers[] = {
	{ "good", HTTP("200 OK", RANGE(PAIR("\"2\"", HELLO))), 0, 0, 1 },
	{ "silent", NULL, 0, -ETIMEDOUT, 1 },
	{ "empty", HTTP("200 OK", ""), 0, -EBADMSG, 0 },
	{ "no etcd", HTTP("200 OK", "<html>"), 0, -EBADMSG, 0 },
	{ "without a leader",
	  HTTP("503 Service Unavailable", "{\"message\":\"etcdserver: no\\u001b leader\"}"), 0,
	  -EIO, 0 },
	{ "forbidden", HTTP("403 Forbidden", "{\"message\":\"permission denied\"}"), 0, -EACCES,
	  1 },
	{ "a redirection", HTTP("302 Found\r\nLocation: http://127.0.0.1:1/", ""), 0, -EINVAL, 1 },
	{ "too much", HTTP("200 OK", RANGE(PAIR("\"2\"", HELLO))), VFM_ETCD_ANSWER_MAX, -EBADMSG,
	  0 },
	{ "closing", "", 0, -ECONNRESET, 0 },
	{ "not HTTP", "220 mail.example ESMTP\r\n", 0, -ECONNRESET, 0 },
};

static void servers_of_all_kinds(void **state)
{
	static struct vfm_kv_value now;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(servers); i++) {
		struct server s = { .answer = servers[i].answer, .filler = servers[i].filler };
		unsigned int fds = test_count_fds();
		char url[64];
		struct vfm_kv *kv;
		struct vfm_err err = { 0 };
		int ret;

		start_server(&s);
		snprintf(url, sizeof(url), "http://127.0.0.1:%u", s.port);
		assert_int_equal(vfm_etcd_open(&kv, url, NULL, &err), 0);
		/* time for more than one try, if there are to be some */
		ret = vfm_kv_get(kv, "vfmig/x", &now, servers[i].answer ? 500 : 150, &wait, &err);
		kv->ops->close(kv);
		stop_server(&s);
		if (ret != servers[i].ret)
			fail_msg("%s: %d: %s", servers[i].name, ret, err.msg);
		if (servers[i].requests)
			assert_int_equal(s.requests, servers[i].requests);
		else
			assert_true(s.requests > 1);
		for (const char *c = err.msg; *c; c++)
			assert_true(*c >= 0x20);
		assert_int_equal(test_count_fds(), fds);
	}
}

/* The first is nobody, the second fails, the third answers. */
static void the_next_endpoint_is_tried(void **state)
{
	struct server bad = { .answer = HTTP("500 Internal", "") };
	struct server good = { .answer = HTTP("200 OK", DONE) };
	struct server none = { .answer = "" };
	static struct vfm_kv_value now;
	struct vfm_kv *kv;
	char urls[160];

	(void)state;
	start_server(&none);
	stop_server(&none);
	start_server(&bad);
	start_server(&good);
	snprintf(urls, sizeof(urls), "http://127.0.0.1:%u,http://127.0.0.1:%u,http://127.0.0.1:%u",
		 none.port, bad.port, good.port);
	assert_int_equal(vfm_etcd_open(&kv, urls, NULL, NULL), 0);
	assert_int_equal(vfm_kv_swap(kv, "vfmig/x", 0, "hello", &now, 10000, &wait, NULL), 1);
	assert_int_equal(now.revision, 5);
	kv->ops->close(kv);
	stop_server(&bad);
	stop_server(&good);
	assert_int_equal(bad.requests, 1);
	assert_int_equal(good.requests, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_have_these_bytes),
		cmocka_unit_test(answers_say_what_they_say),
		cmocka_unit_test(values_of_every_length_travel),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(servers_of_all_kinds),
		cmocka_unit_test(the_next_endpoint_is_tried),
	};

	/* nothing of the user's surroundings may count */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
