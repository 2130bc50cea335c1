// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The chunks of a source come to the destination as they were: through a file, through a
 * migration, and through vfio-user on either side, where the extension is spoken.
 */

#include "test.h"
#include "chunky.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/util.h"
#include "vfio_user/vfio_user.h"

#define MIB ((size_t)1 << 20)

/* Smaller, as large and larger than a record of the stream and a message; a byte alone. */
static const size_t chunks[] = { 1, 4096, MIB - 1, MIB, MIB + 1, 7, 3 * MIB, 2 * MIB + 5, 100000 };

static void fail_on(int ret, const struct vfm_err *err)
{
	if (ret)
		fail_msg("%s", err->msg);
}

static void by_file(void **state)
{
	struct chunky *src = chunky_new(chunks, VFM_ARRAY_SIZE(chunks)), *dst = chunky_new(NULL, 0);
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct vfm_err err;

	(void)state;
	fail_on(vfm_save(&src->dev, fd, NULL, NULL, &err), &err);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	fail_on(vfm_load(&dst->dev, fd, NULL, NULL, &err), &err);
	chunky_check(src, dst);
	close(fd);
	vfm_device_close(&src->dev);
	vfm_device_close(&dst->dev);
}

struct served {
	struct vfm_device *dev;
	struct vfm_server_opts opts;
	pthread_t thread;
};

static void *serve(void *user)
{
	struct served *s = user;
	struct vfm_server *server;

	if (vfm_server_new(&server, s->dev, &s->opts, NULL))
		abort();
	while (vfm_server_run(server, -1, NULL) == 0)
		;
	vfm_server_free(server);
	return NULL;
}

static struct vfm_device *client_of(struct served *s, struct vfm_device *dev, bool extension)
{
	const struct vfm_client_opts opts = { .no_extension = !extension };
	struct vfm_device *client;
	struct vfm_err err;
	int socks[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	*s = (struct served){ .dev = dev, .opts = VFM_SERVER_OPTS(.fd = socks[1]) };
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	fail_on(vfm_client_open_fd(&client, socks[0], &opts, &err), &err);
	return client;
}

static void leave(struct served *s, struct vfm_device *client)
{
	vfm_device_close(client);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
}

/* Bit 0: the source is behind a socket; bit 1: the destination is. */
static void move(unsigned int how, bool extension)
{
	struct chunky *src = chunky_new(chunks, VFM_ARRAY_SIZE(chunks)), *dst = chunky_new(NULL, 0);
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_device *from = &src->dev, *to = &dst->dev;
	struct served s, d;
	struct vfm_err err;

	opts.max_downtime_ms = 0;
	if (how & 1)
		from = client_of(&s, from, extension);
	if (how & 2)
		to = client_of(&d, to, extension);
	fail_on(vfm_migrate(from, NULL, to, NULL, &opts, NULL, &err), &err);
	if (how & 1)
		leave(&s, from);
	if (how & 2)
		leave(&d, to);
	assert_int_equal(dst->sum_taken, src->sum_given);
	if (extension)
		chunky_check(src, dst);
	else
		assert_int_equal(dst->nr_taken, 0);
	vfm_device_close(&src->dev);
	vfm_device_close(&dst->dev);
}

static void by_migration(void **state)
{
	(void)state;
	move(0, true);
}

static void over_vfio_user(void **state)
{
	(void)state;
	for (unsigned int how = 1; how < 4; how++)
		move(how, true);
}

/* Without it no bit is sent that others might not like, and the data comes all the same. */
static void without_the_extension(void **state)
{
	(void)state;
	move(3, false);
}

/* Through a device without chunks they are lost, and nobody minds. */
static void a_device_without(void **state)
{
	struct vfm_device *dev;
	uint8_t buf[4096];
	bool end = true;

	(void)state;
	assert_int_equal(vfm_open(&dev, "sim:dma,state=64K", NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_true(vfm_device_read_chunk(dev, buf, sizeof(buf), &end, NULL) > 0);
	assert_false(end);
	vfm_device_close(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_file),	    cmocka_unit_test(by_migration),
		cmocka_unit_test(over_vfio_user),   cmocka_unit_test(without_the_extension),
		cmocka_unit_test(a_device_without),
	};

	return RUN_TESTS(tests);
}
