// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Sockets of the command: every kind of address connects, and notices when the peer is gone. */

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd.h"

static int get(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && !bind(fd, (struct sockaddr *)&sa, sizeof(sa));

	if (fd >= 0)
		close(fd);
	return has;
}

/* Both ends of a connection to @address, whose port, if it is 0, is filled in. */
static void connect_to(const char *address, int fds[2], const char *peer)
{
	struct cmd_listener l;
	struct vfm_err err;
	char text[128];
	size_t len = strlen(address);

	assert_int_equal(cmd_listen(&l, address, false, &err), 0);
	snprintf(text, sizeof(text), "%s", address);
	if (!l.path)
		snprintf(text, sizeof(text), "%.*s%u", (int)len - 1, address, l.port);
	fds[0] = cmd_connect(text, false, 5000, -1, &err);
	fds[1] = cmd_accept(&l, 5000, -1, &err);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	cmd_listener_close(&l);
	cmd_peer_text(fds[1], text, sizeof(text));
	if (strncmp(text, peer, strlen(peer)) != 0)
		fail_msg("%s is not %s", text, peer);
}

static void a_peer_that_is_gone_is_noticed(void **state)
{
	static const struct {
		const char *address, *peer;
	} addresses[] = { { "127.0.0.1:0", "127.0.0.1 port " }, { "[::1]:0", "::1 port " } };

	(void)state;
	for (int i = 0; i < 4; i++) {
		int fds[2];

		if (i >= 2 && !has_ipv6()) {
			print_message("# no IPv6 here\n");
			break;
		}
		connect_to(addresses[i / 2].address, fds, addresses[i / 2].peer);
		assert_int_equal(get(fds[i & 1], SOL_SOCKET, SO_KEEPALIVE), 0);
		cmd_keep_alive(fds[i & 1], 30000);
		assert_int_equal(get(fds[i & 1], SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_int_equal(get(fds[i & 1], IPPROTO_TCP, TCP_KEEPIDLE), 15);
		assert_int_equal(get(fds[i & 1], IPPROTO_TCP, TCP_KEEPINTVL), 5);
		assert_int_equal(get(fds[i & 1], IPPROTO_TCP, TCP_KEEPCNT), 3);
		assert_int_equal(get(fds[i & 1], IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
		/* The shortest that can be said has a question in it. */
		cmd_keep_alive(fds[i & 1], 1000);
		assert_int_equal(get(fds[i & 1], IPPROTO_TCP, TCP_KEEPIDLE), 1);
		assert_int_equal(get(fds[i & 1], IPPROTO_TCP, TCP_KEEPINTVL), 1);
		close(fds[0]);
		close(fds[1]);
	}
}

static void a_unix_socket_needs_none(void **state)
{
	char address[64];
	int fds[2];

	(void)state;
	snprintf(address, sizeof(address), "unix:/tmp/vfmig-address.%d", (int)getpid());
	connect_to(address, fds, "process ");
	cmd_keep_alive(fds[0], 30000);
	assert_int_equal(write(fds[0], "x", 1), 1);
	close(fds[0]);
	close(fds[1]);
}

static void the_host_of_an_address(void **state)
{
	static const struct {
		const char *address, *host;
	} hosts[] = {
		{ "host.example:1", "host.example" },
		{ "127.0.0.1:4444", "127.0.0.1" },
		{ "[::1]:4444", "::1" },
		{ "4444", NULL },
		{ "unix:/tmp/a:1", NULL },
		{ "host", NULL },
		{ ":1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		char host[256] = "";

		assert_int_equal(cmd_address_host(host, sizeof(host), hosts[i].address),
				 hosts[i].host != NULL);
		assert_string_equal(host, hosts[i].host ? hosts[i].host : "");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_is_gone_is_noticed),
		cmocka_unit_test(a_unix_socket_needs_none),
		cmocka_unit_test(the_host_of_an_address),
	};

	return RUN_TESTS(tests);
}
