// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Opening: what can go wrong with a path, and with VERSION, and what is said of it. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "client-peer.h"

static char dir[] = "/tmp/vfm-open-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int listen_at(const char *path, int backlog)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void refused(const char *path, int code, const char *text)
{
	struct vfm_client_opts opts = { .timeout_ms = 30 };
	struct vfm_device *dev = NULL;
	struct vfm_err err = { 0 };

	assert_int_equal(vfm_client_open(&dev, path, &opts, &err), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, text) || !strstr(err.msg, path))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
	assert_null(dev);
}

static void paths(void **state)
{
	char deep[300];
	int fd;

	(void)state;
	memset(deep, 'x', sizeof(deep));
	deep[0] = '/';
	deep[108] = '\0';
	refused("", -EINVAL, "missing");
	refused(deep, -ENAMETOOLONG, "107");
	deep[107] = '\0';
	refused(deep, -ENOENT, "no such");
	refused(path_of("none"), -ENOENT, "no such");
	close(open(path_of("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	refused(path_of("file"), -ECONNREFUSED, "nobody listens");
	refused(path_of("file/x"), -ENOTDIR, "not a directory");
	fd = listen_at(path_of("stale"), -1);
	close(fd);
	refused(path_of("stale"), -ECONNREFUSED, "nobody listens");
	if (geteuid() != 0) {
		fd = listen_at(path_of("mine"), 1);
		chmod(path_of("mine"), 0);
		refused(path_of("mine"), -EACCES, "permission");
		close(fd);
	}
}

/* libvfio-user: the second client waits for ever, the third cannot even connect. */
static void crowded(void **state)
{
	int fd = listen_at(path_of("crowd"), 0);
	int first = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)state;
	refused(path_of("crowd"), -ETIMEDOUT, "may have a client");
	memcpy(addr.sun_path, path_of("crowd"), strlen(path_of("crowd")));
	while (connect(first, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
		close(first);
		first = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	refused(path_of("crowd"), -ETIMEDOUT, "does not take");
	close(first);
	close(fd);
}

static void meddle_busy(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	if (req->command == VFM_VU_VERSION) {
		reply->flags |= 0x20;
		reply->error = *(int *)p->opts.user;
		reply->len = 0;
	}
}

static void version_refused(void **state)
{
	static int errors[] = { EBUSY, EINVAL };
	static const char *const texts[] = { "in use by another client", "EINVAL" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct peer_opts opts = { .meddle = meddle_busy, .user = &errors[i] };
		struct vfm_device *dev;
		struct vfm_err err;
		struct peer p;
		int fd = peer_start(&p, &opts);

		assert_int_equal(vfm_client_open_fd(&dev, fd, NULL, &err), -errors[i]);
		assert_non_null(strstr(err.msg, texts[i]));
		/* Not taken, since it failed. */
		assert_true(fcntl(fd, F_GETFD) >= 0);
		close(fd);
		peer_stop(&p);
	}
}

/* The server answers before it has read, and is gone: its answer counts. */
static void turned_away(void **state)
{
	uint8_t reply[16] = { 0, 0, 1, 0, 16, 0, 0, 0, 0x21, 0, 0, 0, EBUSY, 0, 0, 0 };
	struct vfm_device *dev;
	struct vfm_err err;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(send(fds[0], reply, sizeof(reply), 0), sizeof(reply));
	close(fds[0]);
	assert_int_equal(vfm_client_open_fd(&dev, fds[1], NULL, &err), -EBUSY);
	close(fds[1]);
}

struct version_case {
	const char *json;
	int result;
};

static void versions(void **state)
{
	static const struct version_case cases[] = {
		{ "", 0 },
		{ "{}", 0 },
		{ "{\"capabilities\":{}}", 0 },
		{ "{\"capabilities\":{\"new_thing\":[1,2,{}]},\"more\":null}", 0 },
		{ "{\"capabilities\":{\"max_data_xfer_size\":1}}", -EINVAL },
		{ "{\"capabilities\":{\"max_data_xfer_size\":9223372036854775807}}", 0 },
		{ "{\"capabilities\":{\"max_msg_fds\":-1}}", -EINVAL },
		{ "{\"capabilities\":7}", -EINVAL },
		{ "{", -EINVAL },
		{ "[]", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		struct peer_opts opts = { .json = cases[i].json };
		struct vfm_device *dev = NULL;
		struct vfm_err err;
		struct peer p;
		int fd = peer_start(&p, &opts);
		int ret = vfm_client_open_fd(&dev, fd, NULL, &err);

		if (ret != cases[i].result)
			fail_msg("%s: %d", cases[i].json, ret);
		if (ret)
			close(fd);
		else
			vfm_device_close(dev);
		peer_stop(&p);
	}
}

/* A server without descriptors: memory goes by messages, interrupts cannot be had. */
static void no_descriptors(void **state)
{
	struct peer_opts opts = { .json = "{\"capabilities\":{\"max_msg_fds\":0}}" };
	struct vfm_dma_map map = { .iova = 0x1000, .size = 0x1000, .flags = 1, .fd = 0 };
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
				   .count = 1,
				   .fds = (int[]){ 0 } };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &opts);

	(void)state;
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
	assert_int_equal(p.maps[0].fd, -1);
	assert_int_equal(vfm_device_set_irqs(dev, &set, &err), -ENOTTY);
	vfm_device_close(dev);
	peer_stop(&p);
}

/* Our side can leave the extension out; then the other side's is not used. */
static void without_extension(void **state)
{
	struct vfm_client_opts opts = { .no_extension = true };
	struct peer_opts peer_opts = { .extension = true };
	struct vfm_precopy_info info;
	struct vfm_device *dev;
	struct vfm_err err;
	struct peer p;
	int fd = peer_start(&p, &peer_opts);

	(void)state;
	assert_int_equal(vfm_client_open_fd(&dev, fd, &opts, &err), 0);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, &err), -ENOTTY);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void small_transfers(void **state)
{
	struct peer_opts opts = { .max_xfer = 100 };
	uint8_t in[1000], out[1000] = { 0 };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &opts);

	(void)state;
	memset(in, 0x5a, sizeof(in));
	assert_int_equal(vfm_device_write_region(dev, 0, 8, in, sizeof(in), &err), 0);
	assert_int_equal(vfm_device_read_region(dev, 0, 8, out, sizeof(out), &err), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(p.seen[VFM_VU_REGION_WRITE], 10);
	vfm_device_close(dev);
	peer_stop(&p);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "file", "stale", "mine", "crowd" };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(names); i++)
		unlink(path_of(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(crowded),
		cmocka_unit_test(version_refused),
		cmocka_unit_test(turned_away),
		cmocka_unit_test(versions),
		cmocka_unit_test(no_descriptors),
		cmocka_unit_test(without_extension),
		cmocka_unit_test(small_transfers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
