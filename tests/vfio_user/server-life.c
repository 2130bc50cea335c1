// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Clients come, break off, hang, and are too many; the device is there for the next one. */

#include "server-peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "abi/vfio.h"
#include "base/util.h"
#include "vfio_user/server.h"

static int setup(void **state)
{
	struct env *e = malloc(sizeof(*e));

	env_open(e);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	env_close(*state);
	free(*state);
	return 0;
}

static void set_orphan(struct env *e, uint32_t policy)
{
	struct bytes b = { .len = 0 };

	put32(&b, policy);
	put32(&b, 0);
	assert_int_equal(feature(e, VFM_FEATURE_SET | VFM_VU_EXT_ORPHAN, 16, &b), 0);
}

/* The connection has been closed by the server; what it said before is dropped. */
static void expect_closed(struct env *e, struct vfm_vu_conn *conn)
{
	struct vfm_vu_msg msg;
	int ret;

	env_pump(e);
	do {
		ret = vfm_vu_conn_recv(conn, &msg, NULL, NULL);
	} while (ret == 1);
	assert_true(ret == -ENOTCONN || ret == -ECONNRESET);
}

static void check_served(struct env *e)
{
	struct bytes b = { .len = 0 };

	for (int i = 0; i < 4; i++)
		put32(&b, 16);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_INFO, &b), 0);
}

/* ---- VERSION -------------------------------------------------------------------- */

static void version_reply(void **state)
{
	struct env *e = *state;
	static const struct {
		uint16_t minor, answered;
		const char *json, *has, *lacks;
	} rows[] = {
		{ 0, 0, NULL, "\"max_msg_fds\":16", "vfmig" },
		{ 1, 1, "{}", "\"max_data_xfer_size\":1048576", "write_multiple" },
		{ 2, 2, EXTENDED, "\"vfmig\":{\"version\":1}", "twin" },
		{ 9, 2, EXTENDED, "\"write_multiple\":true", "twin" },
		{ 0, 0, STANDARD, "\"write_multiple\":true", "vfmig" },
		{ 0, 0, "{\"capabilities\":{\"max_data_xfer_size\":1073741824}}",
		  "\"max_data_xfer_size\":16777216", "vfmig" },
		{ 0, 0, "{\"capabilities\":{\"vfmig\":{\"version\":7}}}", "\"version\":1",
		  "\"version\":7" },
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_vu_msg msg;
		struct bytes b = { .len = 0 };
		struct iovec body = { b.mem, 0 };
		struct vfm_vu_out out = { .command = VFM_VU_VERSION, .body = &body, .nr_body = 1 };

		put16(&b, 0);
		put16(&b, rows[i].minor);
		if (rows[i].json) {
			strcpy((char *)b.mem + 4, rows[i].json);
			b.len += strlen(rows[i].json) + 1;
		}
		body.iov_len = b.len;
		e->conn = env_connect(e);
		assert_int_equal(vfm_vu_conn_send(e->conn, &out, NULL, NULL), 0);
		env_pump(e);
		assert_int_equal(vfm_vu_conn_recv(e->conn, &msg, NULL, NULL), 1);
		assert_int_equal(msg.error, 0);
		assert_int_equal(get32(&msg, 0), (uint32_t)rows[i].answered << 16);
		assert_int_equal(msg.payload[msg.len - 1], 0);
		assert_non_null(strstr((const char *)msg.payload + 4, rows[i].has));
		assert_null(strstr((const char *)msg.payload + 4, rows[i].lacks));
		check_served(e);
		env_leave(e);
	}
}

static void no_extension(void **state)
{
	struct env *e = *state;

	vfm_server_free(e->server);
	assert_int_equal(vfm_server_new(&e->server, &e->t->dev,
					&VFM_SERVER_OPTS(.path = e->path, .no_extension = true),
					NULL),
			 0);
	env_join(e, EXTENDED);
	assert_int_equal(feature(e, VFM_FEATURE_GET | 9, 16, NULL), ENOTTY);
	assert_int_equal(set_state(e, VFM_STATE_RUNNING_P2P), EINVAL);
}

/* Anything but a good VERSION first: an error, and the end. */
static void bad_beginnings(void **state)
{
	static const struct {
		uint16_t command;
		const char *payload;
		size_t len;
		uint32_t error;
	} rows[] = {
		{ VFM_VU_DEVICE_GET_INFO, "0123456789abcdef", 16, EINVAL },
		{ VFM_VU_DEVICE_RESET, "", 0, EINVAL },
		{ 99, "", 0, EINVAL },
		{ VFM_VU_VERSION, "", 0, EINVAL },
		{ VFM_VU_VERSION, "\0\0\0", 3, EINVAL },
		{ VFM_VU_VERSION, "\1\0\0\0", 4, EPROTO },
		{ VFM_VU_VERSION, "\0\0\0\0{", 6, EINVAL },
		{ VFM_VU_VERSION, "\0\0\0\0{}", 6, EINVAL }, /* no zero */
		{ VFM_VU_VERSION, "\0\0\0\0[1]", 8, EINVAL },
	};
	struct env *e = *state;
	struct vfm_vu_msg msg;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct iovec body = { (void *)(uintptr_t)rows[i].payload, rows[i].len };
		struct vfm_vu_out out = {
			.id = 3, .command = rows[i].command, .body = &body, .nr_body = 1
		};
		struct vfm_vu_conn *conn = env_connect(e);

		assert_int_equal(vfm_vu_conn_send(conn, &out, NULL, NULL), 0);
		env_pump(e);
		assert_int_equal(vfm_vu_conn_recv(conn, &msg, NULL, NULL), 1);
		assert_int_equal(msg.error, rows[i].error);
		assert_int_equal(msg.size, 0);
		assert_int_equal(msg.id, 3);
		expect_closed(e, conn);
		vfm_vu_conn_free(conn);
	}
	assert_int_equal(e->t->resets, 0);
}

/* One that is larger than any VERSION is drained and refused, descriptors and all. */
static void large_version(void **state)
{
	struct env *e = *state;
	struct vfm_vu_conn *conn = env_connect(e);
	char *json = malloc(100000);

	memset(json, ' ', 99999);
	json[99999] = 0;
	assert_int_equal(env_hello(e, conn, json), EMSGSIZE);
	expect_closed(e, conn);
	vfm_vu_conn_free(conn);
	free(json);
}

/* VERSION and the first requests in one piece. */
static void hasty_client(void **state)
{
	struct env *e = *state;
	uint8_t raw[20 + 3 * 32] = { 0 };
	struct vfm_vu_msg msg;

	test_put_header(raw, 1, VFM_VU_VERSION, 20, 0, 0);
	for (int i = 0; i < 3; i++) {
		test_put_header(raw + 20 + 32 * i, (uint16_t)(2 + i), VFM_VU_DEVICE_GET_INFO, 32, 0,
				0);
		raw[20 + 32 * i + 16] = 16;
	}
	e->conn = env_connect(e);
	test_send_raw(vfm_vu_conn_fd(e->conn), raw, sizeof(raw), NULL, 0);
	env_pump(e);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(vfm_vu_conn_recv(e->conn, &msg, NULL, NULL), 1);
		assert_int_equal(msg.id, 1 + i);
		assert_int_equal(msg.error, 0);
	}
}

/* ---- more than one --------------------------------------------------------------- */

static void second_client(void **state)
{
	struct env *e = *state;

	env_join(e, STANDARD);
	for (int i = 0; i < 20; i++) {
		struct vfm_vu_conn *conn = env_connect(e);

		assert_int_equal(env_hello(e, conn, STANDARD), EBUSY);
		expect_closed(e, conn);
		vfm_vu_conn_free(conn);
		check_served(e);
	}
	env_leave(e);
	env_join(e, STANDARD);
	check_served(e);
}

/* Those that connect and say nothing keep nobody out, and are not kept for ever. */
static void silent_connections(void **state)
{
	struct env *e = *state;
	struct vfm_vu_conn *silent[10];
	unsigned int open = 0;

	for (int i = 0; i < 10; i++) {
		silent[i] = env_connect(e);
		/* some say half a header */
		if (i % 2)
			test_send_raw(vfm_vu_conn_fd(silent[i]), "\0\0\1", 3, NULL, 0);
		env_pump(e);
	}
	env_join(e, STANDARD);
	check_served(e);
	for (int i = 0; i < 10; i++) {
		struct vfm_vu_msg msg;

		open += vfm_vu_conn_recv(silent[i], &msg, NULL, NULL) == 0;
		vfm_vu_conn_free(silent[i]);
	}
	assert_in_range(open, 1, VFM_SRV_MAX_HALF_OPEN);
	check_served(e);
}

static void no_descriptors_left(void **state)
{
	struct env *e = *state;
	struct rlimit was, now;
	struct vfm_vu_conn *conn;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	env_join(e, STANDARD);
	strcpy(addr.sun_path, e->path);
	assert_int_equal(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(vfm_vu_conn_new(&conn, sock, 4096, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)sock + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	env_pump(e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	expect_closed(e, conn);
	vfm_vu_conn_free(conn);
	check_served(e);
}

static void thousand_clients(void **state)
{
	struct env *e = *state;
	unsigned int before = test_count_fds();
	int fd = eventfd(0, EFD_CLOEXEC);

	for (int i = 0; i < 1000; i++) {
		if (i % 3 == 0) {
			struct vfm_vu_conn *conn = env_connect(e);

			/* leaves in the middle of VERSION, with a descriptor on it */
			test_send_raw(vfm_vu_conn_fd(conn), "\0\0\1\0\x20", (size_t)(i % 5 + 1),
				      &fd, 1);
			env_pump(e);
			vfm_vu_conn_free(conn);
			env_pump(e);
			continue;
		}
		env_join(e, EXTENDED);
		assert_int_equal(map_dma(e, 0, 0x1000, 3, fd), 0);
		env_leave(e);
	}
	close(fd);
	assert_int_equal(test_count_fds(), before);
}

/* ---- the end of a client ----------------------------------------------------------- */

enum farewell { CLOSES, MIDDLE_OF_MESSAGE, BREAKS_FRAMING, REPLY_WAITS, NR_FAREWELLS };

static void take_leave(struct env *e, enum farewell how)
{
	int sock = vfm_vu_conn_fd(e->conn);
	uint8_t raw[16];

	if (how == MIDDLE_OF_MESSAGE)
		test_send_raw(sock, "\0\0\3\0\x20\0\0\0\0", 9, e->t->io_fds, 1);
	if (how == BREAKS_FRAMING) {
		test_put_header(raw, 1, VFM_VU_DEVICE_RESET, 15, 0, 0);
		test_send_raw(sock, raw, 16, e->t->io_fds, 1);
		expect_closed(e, e->conn);
	}
	if (how == REPLY_WAITS) {
		uint8_t read[32] = { 0 };

		test_put_header(read, 1, VFM_VU_REGION_READ, 32, 0, 0);
		read[16 + 13] = 0x10; /* 4096 bytes */
		for (int i = 0; i < 1000; i++)
			test_send_raw(sock, read, sizeof(read), NULL, 0);
		env_pump(e);
	}
	env_leave(e);
}

static void wire_and_map(struct env *e)
{
	struct bytes b = { .len = 0 };
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = e->t->io_fds[i];
	put32(&b, 20);
	put32(&b, VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER);
	put32(&b, 1);
	put32(&b, 5);
	put32(&b, 3);
	assert_int_equal(call_fds(e, VFM_VU_DEVICE_SET_IRQS, b.mem, b.len, fds, 3), 0);
	assert_int_equal(map_dma(e, 0, 0x4000, 3, e->t->memfd), 0);
	assert_int_equal(map_dma(e, 0x10000, 0x4000, 3, -1), 0);
	b.len = 0;
	put64(&b, 4096);
	put64(&b, 0);
	assert_int_equal(feature(e, VFM_FEATURE_SET | 6, 24, &b), 0);
	assert_int_equal(test_device_wired(e->t), 3);
	assert_int_equal(e->t->nr_maps, 2);
	assert_int_equal(e->t->log_page_size, 4096);
}

/* In each state, in each manner: its things go, the state stays, and the next one is served. */
static void loss(void **state)
{
	struct env *e = *state;

	for (uint32_t s = 0; s < VFM_NR_STATES; s++) {
		for (int how = 0; how < NR_FAREWELLS; how++) {
			unsigned int set_states = e->t->set_states;

			env_join(e, EXTENDED);
			wire_and_map(e);
			e->t->state = (enum vfm_state)s;
			take_leave(e, (enum farewell)how);
			assert_int_equal(test_device_wired(e->t), 0);
			assert_int_equal(e->t->nr_maps, 0);
			assert_int_equal(e->t->log_page_size, 0);
			assert_int_equal(e->t->state, s);
			assert_int_equal(e->t->set_states, set_states);
			assert_int_equal(e->t->resets, 0);
			env_join(e, EXTENDED);
			assert_int_equal(feature(e, VFM_FEATURE_GET | 2, 16, NULL), 0);
			assert_int_equal(get32(&e->reply, 8), s);
			env_leave(e);
		}
	}
}

/* A log that the client has not started is none of its business. */
static void foreign_log(void **state)
{
	struct env *e = *state;

	e->t->log_page_size = 4096;
	env_join(e, EXTENDED);
	env_leave(e);
	assert_int_equal(e->t->log_page_size, 4096);
	/* nor one that was started after its own */
	e->t->log_page_size = 0;
	env_join(e, EXTENDED);
	wire_and_map(e);
	assert_int_equal(feature(e, VFM_FEATURE_SET | 7, 8, NULL), 0);
	e->t->log_page_size = 4096;
	env_leave(e);
	assert_int_equal(e->t->log_page_size, 4096);
}

static void orphans(void **state)
{
	static const uint8_t kept = 0xff;
	/* by policy and state: what is done, and the state after it */
	static const uint8_t after[3][VFM_NR_STATES] = {
		[VFM_ORPHAN_KEEP] = { kept, kept, kept, kept, kept, kept, kept, kept },
		[VFM_ORPHAN_RUN] = { kept, 2, kept, 2, kept, kept, 2, 2 },
		[VFM_ORPHAN_RESET] = { 2, 2, kept, kept, 2, kept, kept, kept },
	};
	struct env *e = *state;

	for (uint32_t policy = 0; policy <= VFM_ORPHAN_RESET; policy++) {
		for (uint32_t s = 0; s < VFM_NR_STATES; s++) {
			unsigned int resets = e->t->resets, set_states = e->t->set_states;
			bool acts = after[policy][s] != kept;

			env_join(e, EXTENDED);
			e->t->state = (enum vfm_state)s;
			set_orphan(e, policy);
			wire_and_map(e);
			env_leave(e);
			assert_int_equal(e->t->state, acts ? after[policy][s] : s);
			assert_int_equal(e->t->resets - resets, acts && policy == VFM_ORPHAN_RESET);
			assert_int_equal(e->t->set_states - set_states,
					 acts && policy == VFM_ORPHAN_RUN);
			/* it does not pass on to the next one */
			env_join(e, EXTENDED);
			e->t->state = VFM_STATE_STOP;
			env_leave(e);
			assert_int_equal(e->t->state, VFM_STATE_STOP);
		}
	}
}

/* When the device refuses to run again, it is not reset: what it holds may be wanted. */
static void orphan_that_will_not_run(void **state)
{
	struct env *e = *state;

	env_join(e, EXTENDED);
	set_orphan(e, VFM_ORPHAN_RUN);
	e->t->state = VFM_STATE_STOP_COPY;
	e->t->fail = -EIO;
	env_leave(e);
	e->t->fail = 0;
	assert_int_equal(e->t->state, VFM_STATE_STOP_COPY);
	assert_int_equal(e->t->resets, 0);
	assert_non_null(strstr(e->last_log, "STOP_COPY"));
}

/*
 * A client that gave up waiting, and died of it, knows nothing of a policy that was changed only
 * afterwards. What it last heard was agreed to is what holds: here, that the device runs again.
 */
static void orphan_policy_that_was_not_heard_of(void **state)
{
	struct env *e = *state;
	struct bytes b = { .len = 0 };
	uint8_t raw[32];

	put32(&b, 16);
	put32(&b, VFM_FEATURE_SET | VFM_VU_EXT_ORPHAN);
	put32(&b, VFM_ORPHAN_KEEP);
	put32(&b, 0);
	for (int no_reply = 0; no_reply <= 1; no_reply++) {
		env_join(e, EXTENDED);
		set_orphan(e, VFM_ORPHAN_RUN);
		e->t->state = VFM_STATE_STOP_COPY;
		test_put_header(raw, 1, VFM_VU_DEVICE_FEATURE, sizeof(raw),
				no_reply ? VFM_VU_NO_REPLY : 0, 0);
		memcpy(raw + 16, b.mem, 16);
		test_send_raw(vfm_vu_conn_fd(e->conn), raw, sizeof(raw), NULL, 0);
		env_leave(e);
		/* who wants no answer takes it as given */
		assert_int_equal(e->t->state, no_reply ? VFM_STATE_STOP_COPY : VFM_STATE_RUNNING);
	}
}

/* ---- replies that are not taken ------------------------------------------------------ */

/* Nothing more is handled while a reply waits, and all are right in the end. */
static void slow_reader(void **state)
{
	struct env *e = *state;
	struct bytes b = { .len = 0 };
	uint8_t raw[24 + 32];
	struct vfm_vu_msg msg;
	int ret, seen = 0;

	env_join(e, "{\"capabilities\":{\"max_data_xfer_size\":16777216}}");
	e->t->state = VFM_STATE_STOP_COPY;
	e->t->data_size = 12u << 20;
	put32(&b, 8 + (12u << 20));
	put32(&b, 12u << 20);
	test_put_header(raw, 1, VFM_VU_MIG_DATA_READ, 24, 0, 0);
	memcpy(raw + 16, b.mem, 8);
	b.len = 0;
	put64(&b, 0);
	put32(&b, 0);
	put32(&b, 1);
	test_put_header(raw + 24, 2, VFM_VU_REGION_WRITE, 32 + 1, 0, 0);
	memcpy(raw + 40, b.mem, 16);
	test_send_raw(vfm_vu_conn_fd(e->conn), raw, sizeof(raw), NULL, 0);
	test_send_raw(vfm_vu_conn_fd(e->conn), "\7", 1, NULL, 0);
	env_pump(e);
	assert_int_equal(e->t->data_at, 12u << 20);
	assert_int_equal(e->t->region[0], 0);
	while (seen < 2) {
		ret = vfm_vu_conn_recv(e->conn, &msg, NULL, NULL);
		assert_true(ret >= 0);
		env_pump(e);
		if (!ret)
			continue;
		assert_int_equal(msg.id, ++seen);
		assert_int_equal(msg.size, seen == 1 ? 8 + (12u << 20) : 16);
		for (size_t i = 0; seen == 1 && i < 12u << 20; i += 4093)
			assert_int_equal(msg.payload[8 + i], test_data_byte(i));
	}
	assert_int_equal(e->t->region[0], 7);
	e->t->data_size = TEST_DATA_SIZE;
}

static void reader_that_hangs(void **state)
{
	struct env *e = *state;
	struct bytes b = { .len = 0 };
	struct pollfd pfd;
	uint8_t raw[24];

	vfm_server_free(e->server);
	assert_int_equal(vfm_server_new(&e->server, &e->t->dev,
					&VFM_SERVER_OPTS(.path = e->path, .timeout_ms = 30), NULL),
			 0);
	env_join(e, "{\"capabilities\":{\"max_data_xfer_size\":16777216}}");
	e->t->state = VFM_STATE_STOP_COPY;
	e->t->data_size = 12u << 20;
	put32(&b, 8 + (12u << 20));
	put32(&b, 12u << 20);
	test_put_header(raw, 1, VFM_VU_MIG_DATA_READ, 24, 0, 0);
	memcpy(raw + 16, b.mem, 8);
	test_send_raw(vfm_vu_conn_fd(e->conn), raw, sizeof(raw), NULL, 0);
	env_pump(e);
	pfd = (struct pollfd){ .fd = vfm_server_get_fd(e->server), .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	env_pump(e);
	/* there is place for another one */
	vfm_vu_conn_free(e->conn);
	env_join(e, STANDARD);
	check_served(e);
	e->t->data_size = TEST_DATA_SIZE;
}

/* ---- sockets --------------------------------------------------------------------------- */

static int try_path(struct env *e, const char *path, struct vfm_server **server)
{
	return vfm_server_new(server, &e->t->dev, &VFM_SERVER_OPTS(.path = path), NULL);
}

static void paths(void **state)
{
	struct env *e = *state;
	struct vfm_server *other;
	struct stat st;
	char path[200];
	int fd;

	assert_int_equal(lstat(e->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(try_path(e, e->path, &other), -EADDRINUSE);
	env_join(e, STANDARD);
	check_served(e);
	env_leave(e);

	memset(path, 'a', sizeof(path));
	path[108] = 0;
	assert_int_equal(try_path(e, path, &other), -ENAMETOOLONG);
	assert_int_equal(try_path(e, "", &other), -EINVAL);
	assert_int_equal(try_path(e, "/nonexistent/dir/socket", &other), -ENOENT);

	/* a file of somebody else stays */
	snprintf(path, sizeof(path), "%s.file", e->path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(try_path(e, path, &other), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	/* and so does a link to nowhere */
	assert_int_equal(symlink("/nonexistent", path), 0);
	assert_int_equal(try_path(e, path, &other), -EADDRINUSE);
	unlink(path);
}

static void stale_socket(void **state)
{
	struct env *e = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct vfm_server *other;
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.stale", e->path);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(sock);
	assert_int_equal(try_path(e, addr.sun_path, &other), 0);
	/* replaced by somebody else meanwhile: theirs stays */
	assert_int_equal(unlink(addr.sun_path), 0);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	vfm_server_free(other);
	assert_int_equal(access(addr.sun_path, F_OK), 0);
	close(sock);
	unlink(addr.sun_path);
}

/* Somebody listens, and is too busy to take a connection. */
static void busy_socket(void **state)
{
	struct env *e = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct vfm_server *other;
	int waiting[16], n = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.busy", e->path);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(sock, 0), 0);
	do {
		assert_in_range(n, 0, 15);
		waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	} while (!connect(waiting[n++], (struct sockaddr *)&addr, sizeof(addr)));
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(try_path(e, addr.sun_path, &other), -EADDRINUSE);
	while (n)
		close(waiting[--n]);
	close(sock);
	unlink(addr.sun_path);
}

static void connected_socket(void **state)
{
	struct env *e = *state;
	struct vfm_server *other;
	struct vfm_vu_conn *conn;
	struct vfm_server *mine = e->server;
	struct vfm_err err;
	int socks[2], pipes[2];

	for (int polite = 0; polite < 2; polite++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
		assert_int_equal(vfm_server_new(&other, &e->t->dev,
						&VFM_SERVER_OPTS(.fd = socks[1]), NULL),
				 0);
		assert_int_equal(fcntl(socks[1], F_GETFD), -1); /* taken */
		assert_int_equal(vfm_vu_conn_new(&conn, socks[0], 4096, NULL), 0);
		e->server = other;
		if (polite)
			assert_int_equal(env_hello(e, conn, STANDARD), 0);
		assert_int_equal(vfm_server_process(other, &err), 0);
		vfm_vu_conn_free(conn);
		assert_int_equal(vfm_server_run(other, -1, &err), -ESHUTDOWN);
		e->server = mine;
		vfm_server_free(other);
	}
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(vfm_server_new(&other, &e->t->dev, &VFM_SERVER_OPTS(.fd = pipes[0]), &err),
			 -ENOTSOCK);
	assert_int_equal(fcntl(pipes[0], F_GETFD), 0); /* not taken */
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(vfm_server_new(&other, &e->t->dev, &VFM_SERVER_OPTS(.fd = -1), &err),
			 -EBADF);
	assert_int_equal(vfm_server_new(&other, &e->t->dev, &(struct vfm_server_opts){ .fd = -1 },
					&err),
			 -EINVAL);
}

static void listening_socket(void **state)
{
	struct env *e = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	vfm_server_free(e->server);
	strcpy(addr.sun_path, e->path);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(sock, 5), 0);
	assert_int_equal(vfm_server_new(&e->server, &e->t->dev, &VFM_SERVER_OPTS(.fd = sock), NULL),
			 0);
	env_join(e, STANDARD);
	check_served(e);
	env_leave(e);
	env_join(e, STANDARD);
	check_served(e);
	unlink(e->path);
}

/* ---- the loop --------------------------------------------------------------------------- */

static void *run_server(void *user)
{
	void **args = user;

	assert_int_equal(vfm_server_run(args[0], *(int *)args[1], NULL), 0);
	return NULL;
}

static void run_and_stop(void **state)
{
	struct env *e = *state;
	int stop = eventfd(0, EFD_CLOEXEC);
	void *args[2] = { e->server, &stop };
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		eventfd_t value;

		assert_int_equal(pthread_create(&thread, NULL, run_server, args), 0);
		assert_int_equal(eventfd_write(stop, 1), 0);
		pthread_join(thread, NULL);
		assert_int_equal(eventfd_read(stop, &value), 0);
	}
	close(stop);
	env_join(e, STANDARD);
	check_served(e);
}

/* The device has its turn, also while a client sends without a pause; its failure is told. */
static void device_work(void **state)
{
	struct env *e = *state;
	uint8_t *stream = calloc(2000, 32);
	struct vfm_err err;

	env_join(e, STANDARD);
	for (int i = 0; i < 2000; i++) {
		test_put_header(stream + i * 32, 1, VFM_VU_REGION_READ, 32, VFM_VU_NO_REPLY, 0);
		stream[i * 32 + 16 + 12] = 4;
	}
	test_send_raw(vfm_vu_conn_fd(e->conn), stream, 64000, NULL, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(eventfd_write(e->t->work_fd, 1), 0);
		assert_int_equal(vfm_server_process(e->server, NULL), 0);
		assert_int_equal(e->t->processed, i + 1);
	}
	e->t->fail = -ENOTCONN;
	assert_int_equal(eventfd_write(e->t->work_fd, 1), 0);
	do {
		err.code = vfm_server_process(e->server, &err);
	} while (!err.code);
	assert_int_equal(err.code, -ENOTCONN);
	e->t->fail = 0;
	env_pump(e);
	check_served(e);
	free(stream);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(version_reply),
		TEST(no_extension),
		TEST(bad_beginnings),
		TEST(large_version),
		TEST(hasty_client),
		TEST(second_client),
		TEST(silent_connections),
		TEST(no_descriptors_left),
		TEST(thousand_clients),
		TEST(loss),
		TEST(foreign_log),
		TEST(orphans),
		TEST(orphan_that_will_not_run),
		TEST(orphan_policy_that_was_not_heard_of),
		TEST(slow_reader),
		TEST(reader_that_hangs),
		TEST(paths),
		TEST(stale_socket),
		TEST(busy_socket),
		TEST(connected_socket),
		TEST(listening_socket),
		TEST(run_and_stop),
		TEST(device_work),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
