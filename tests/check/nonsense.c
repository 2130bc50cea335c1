// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A served device whose server turns to nonsense in the middle of a run: from the message of
 * some number on, everything that it sends is wrong in one way. Whatever rule is under way
 * then, the run comes to its end in bounded time and memory, finds something or says that
 * the device is lost, and no trial is ended by a signal.
 *
 * Between the checker and a real server stands a relay, a process of its own, which hands on
 * messages with their descriptors until it is time.
 */

#include "test.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "abi/vfio_user.h"
#include "base/util.h"
#include "random.h"
#include "served.h"

/* For one rule: much for a device that is so small, little for a test that waits for it. */
#define RULE_MS 700

/* For a run, on a machine that is busy with others, too. */
#define RUN_NS (UINT64_C(60) * 1000000000)

#define MEMORY (UINT64_C(512) << 20)

#define HEADER 16u
#define MESSAGE_MAX ((size_t)4 << 20)
#define FDS_MAX 16

static uint64_t seed = 1;

/* ---- messages ------------------------------------------------------------------------- */

/* What came at once: bytes of a stream, and descriptors with them, which are its own. */
struct piece {
	uint8_t *data;
	size_t len;
	int fds[FDS_MAX];
	size_t nr_fds;
};

static void drop_fds(struct piece *p)
{
	while (p->nr_fds)
		close(p->fds[--p->nr_fds]);
}

/* Up to @max more bytes. False: the other side has gone. */
static bool receive(int sock, struct piece *p, size_t max)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { p->data + p->len, max };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (n <= 0)
		return false;
	p->len += (size_t)n;
	if (c && c->cmsg_type == SCM_RIGHTS) {
		drop_fds(p);
		p->nr_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(p->fds, CMSG_DATA(c), p->nr_fds * sizeof(int));
	}
	return true;
}

/* All of it; the descriptors with the first byte, and ours no more. */
static bool transmit(int sock, struct piece *p)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	size_t done = 0;

	while (done < p->len) {
		struct iovec iov = { p->data + done, p->len - done };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		struct cmsghdr *c;
		ssize_t n;

		if (p->nr_fds) {
			msg.msg_control = control.buf;
			msg.msg_controllen = CMSG_SPACE(sizeof(int) * p->nr_fds);
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int) * p->nr_fds);
			memcpy(CMSG_DATA(c), p->fds, sizeof(int) * p->nr_fds);
		}
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		drop_fds(p);
		done += (size_t)n;
	}
	return true;
}

static uint32_t get32(const struct piece *p, size_t at)
{
	uint32_t v;

	memcpy(&v, p->data + at, sizeof(v));
	return v;
}

static void put32(struct piece *p, size_t at, uint32_t v)
{
	memcpy(p->data + at, &v, sizeof(v));
}

/* One whole message of the server. */
static bool receive_message(int sock, struct piece *p)
{
	size_t want = HEADER;

	p->len = 0;
	while (p->len < want) {
		if (!receive(sock, p, want - p->len))
			return false;
		if (p->len == HEADER)
			want = VFM_MIN(VFM_MAX(get32(p, 4), HEADER), MESSAGE_MAX);
	}
	return true;
}

/* ---- nonsense ------------------------------------------------------------------------- */

/* Each changes a message that is sent afterwards; @len 0 sends nothing. */

static void wrong_id(struct piece *p)
{
	p->data[0] ^= 0x55;
}

static void wrong_command(struct piece *p)
{
	p->data[2] ^= 1;
}

static void header_alone(struct piece *p)
{
	p->len = HEADER;
	put32(p, 4, HEADER);
}

static void one_byte_less(struct piece *p)
{
	if (p->len > HEADER)
		put32(p, 4, (uint32_t)--p->len);
}

/* The rest never comes. */
static void half(struct piece *p)
{
	p->len -= p->len / 2;
}

static void giant_size(struct piece *p)
{
	put32(p, 4, 0xfffffff0);
}

static void tiny_size(struct piece *p)
{
	put32(p, 4, HEADER / 2);
}

/* A command where a reply is awaited: what is in it means nothing. */
static void a_command(struct piece *p)
{
	put32(p, 8, 0);
}

static void odd_error(struct piece *p)
{
	put32(p, 8, get32(p, 8) | VFM_VU_ERROR);
	put32(p, 12, 0xdeadbeef);
}

static void ones(struct piece *p)
{
	memset(p->data + HEADER, 0xff, p->len - HEADER);
}

static void zeros(struct piece *p)
{
	memset(p->data + HEADER, 0, p->len - HEADER);
}

/* What was agreed stays, so that the device can be opened, and says nothing of use. */
static void ones_later(struct piece *p)
{
	if (p->data[2] != VFM_VU_VERSION)
		ones(p);
}

static void zeros_later(struct piece *p)
{
	if (p->data[2] != VFM_VU_VERSION)
		zeros(p);
}

static void noise(struct piece *p)
{
	for (size_t i = 0; i < p->len; i++)
		p->data[i] = (uint8_t)test_random(&seed);
}

static void noise_later(struct piece *p)
{
	if (p->data[2] == VFM_VU_VERSION)
		return;
	for (size_t i = HEADER; i < p->len; i++)
		p->data[i] = (uint8_t)test_random(&seed);
}

static void twice(struct piece *p)
{
	if (p->len * 2 > MESSAGE_MAX)
		return;
	memcpy(p->data + p->len, p->data, p->len);
	p->len *= 2;
}

static void silence(struct piece *p)
{
	p->len = 0;
}

/* After the message the relay closes the connection. */
static void goodbye(struct piece *p)
{
	(void)p;
}

static const struct kind {
	const char *name;
	void (*spoil)(struct piece *p);
} kinds[] = {
	{ "another id", wrong_id },
	{ "another command", wrong_command },
	{ "a header alone", header_alone },
	{ "one byte less", one_byte_less },
	{ "half a message", half },
	{ "a giant size", giant_size },
	{ "a tiny size", tiny_size },
	{ "a command", a_command },
	{ "an odd error", odd_error },
	{ "ones", ones },
	{ "zeros", zeros },
	{ "ones after the version", ones_later },
	{ "zeros after the version", zeros_later },
	{ "noise", noise },
	{ "noise after the version", noise_later },
	{ "everything twice", twice },
	{ "silence", silence },
	{ "no connection for more than one message", goodbye },
};

/* ---- the relay ------------------------------------------------------------------------- */

/*
 * struct relay - in its process
 * @after: messages of the server that are still handed on as they are, over all connections
 */
struct relay {
	const struct kind *kind;
	uint64_t after;
	const char *server;
	struct piece piece;
};

static int unix_socket(const char *path, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static bool hand_on_request(struct relay *r, int client, int server)
{
	r->piece.len = 0;
	return receive(client, &r->piece, MESSAGE_MAX) && transmit(server, &r->piece);
}

static bool hand_on_message(struct relay *r, int client, int server)
{
	bool late = !r->after;

	if (!receive_message(server, &r->piece))
		return false;
	if (late)
		r->kind->spoil(&r->piece);
	else
		r->after--;
	if (!transmit(client, &r->piece))
		return false;
	drop_fds(&r->piece);
	return !late || r->kind->spoil != goodbye;
}

static void relay_connection(struct relay *r, int client)
{
	struct sockaddr_un addr;
	int server = unix_socket(r->server, &addr);
	struct pollfd fds[] = { { .fd = client, .events = POLLIN },
				{ .fd = server, .events = POLLIN } };
	bool alive = !connect(server, (struct sockaddr *)&addr, sizeof(addr));

	while (alive && poll(fds, 2, -1) > 0) {
		if (fds[1].revents)
			alive = hand_on_message(r, client, server);
		else if (fds[0].revents)
			alive = hand_on_request(r, client, server);
	}
	drop_fds(&r->piece);
	close(server);
	close(client);
}

static pid_t relay_begin(const char *path, const char *server, const struct kind *kind,
			 uint64_t after)
{
	struct relay r = { .kind = kind, .after = after, .server = server };
	struct sockaddr_un addr;
	int sock = unix_socket(path, &addr);
	pid_t pid;

	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(sock, 8), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		r.piece.data = malloc(MESSAGE_MAX);
		while (r.piece.data)
			relay_connection(&r, accept(sock, NULL, NULL));
		_exit(1);
	}
	close(sock);
	return pid;
}

static void relay_end(pid_t pid, const char *path)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

/* ---- a run ------------------------------------------------------------------------------- */

struct run {
	const char *what;
	const char *rules;
	uint64_t after;
	char uri[96];
	unsigned int findings;
};

static int open_it(void *user, enum vfm_check_form form, struct vfm_device **out,
		   struct vfm_err *err)
{
	const struct run *run = user;
	char raw[112];

	snprintf(raw, sizeof(raw), "%s%s", form == VFM_CHECK_V1 ? "raw+" : "", run->uri);
	return vfm_open(out, raw, err);
}

/* What a server sends must not end our process, nor fill it. */
static void result(void *user, const struct vfm_check_result *r)
{
	struct run *run = user;

	run->findings += r->verdict > VFM_VERDICT_SKIPPED;
	if (strstr(r->evidence, "by signal") || strstr(r->evidence, "ended itself") ||
	    strstr(r->evidence, "of memory"))
		fail_msg("%s after %u messages of %s: %s: %s", run->what, (unsigned int)run->after,
			 run->rules, r->rule->name, r->evidence);
}

static void check(struct run *run, const struct kind *kind, enum vfm_face face)
{
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_it,
				       .rules = run->rules,
				       .seed = 1,
				       .quick = true,
				       .timeout_ms = RULE_MS,
				       .max_memory = MEMORY,
				       .exercise = vfm_sim_exercise(VFM_SIM_DMA_MODEL),
				       .result = result,
				       .user = run };
	struct vfm_check_summary sum;
	struct served s;
	struct vfm_err err;
	uint64_t begin;
	char path[64];
	pid_t pid;
	int ret;

	served_begin(&s, "sim:dma,state=64K,bar=64K", face, true);
	snprintf(path, sizeof(path), "%s/relay", s.folder);
	snprintf(run->uri, sizeof(run->uri), "vfio-user:%s", path);
	pid = relay_begin(path, s.path, kind, run->after);
	begin = vfm_now_ns();
	ret = vfm_check(&opts, &sum, &err);
	assert_true(vfm_now_ns() - begin < RUN_NS);
	/* one that never said that it can migrate is not fit; an error: it was never opened */
	if (!ret && !sum.lost && !run->findings && sum.migrates)
		fail_msg("%s after %u messages of %s is not noticed", run->what,
			 (unsigned int)run->after, run->rules);
	if (ret)
		assert_true(run->after < 32 && err.msg[0]);
	relay_end(pid, path);
	served_end(&s);
}

/* What is under way when it begins. */
static const struct {
	const char *rules;
	enum vfm_face face;
} parts[] = {
	{ "v2.d*", VFM_FACE_V2 },	 { "v2.s[eti]*", VFM_FACE_V2 },
	{ "v2.precopy.*", VFM_FACE_V2 }, { "v2.image.*", VFM_FACE_V2 },
	{ "v2.log.*", VFM_FACE_V2 },	 { "vfio.*", VFM_FACE_V2 },
	{ "v2.r*", VFM_FACE_V2 },	 { "v1.*", VFM_FACE_V1 },
	{ "v2.image.*", VFM_FACE_V1 },
};

static void nonsense_ends_a_run_and_is_noticed(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(kinds) * VFM_ARRAY_SIZE(parts); i++) {
		const struct kind *kind = &kinds[i / VFM_ARRAY_SIZE(parts)];
		struct run run = { .what = kind->name,
				   .rules = parts[i % VFM_ARRAY_SIZE(parts)].rules,
				   /* few are within the opening, and most within a rule */
				   .after = test_random_below(&seed, i % 4 ? 200 : 24) };

		check(&run, kind, parts[i % VFM_ARRAY_SIZE(parts)].face);
	}
}

/* ---- a description that cannot be ------------------------------------------------------- */

/* Of a region that has areas, the last is far behind its end. */
static void area_outside(struct piece *p)
{
	uint64_t far = UINT64_C(1) << 40;

	if (p->data[2] == VFM_VU_DEVICE_GET_REGION_INFO && p->len >= HEADER + 64)
		memcpy(p->data + p->len - 2 * sizeof(far), &far, sizeof(far));
}

/* The client does not hand on what it does not believe: that is a finding, and no reason to skip.
 */
static void what_the_client_refuses_to_believe_is_found(void **state)
{
	static const struct kind kind = { "an area outside", area_outside };
	struct run run = { .what = kind.name, .rules = "v2.describe.areas-inside" };

	(void)state;
	check(&run, &kind, VFM_FACE_V2);
	assert_int_equal(run.findings, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nonsense_ends_a_run_and_is_noticed),
		cmocka_unit_test(what_the_client_refuses_to_believe_is_found),
	};

	return RUN_TESTS(tests);
}
