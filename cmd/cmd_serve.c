// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig serve: a device on a vfio-user socket, until a signal. */

#include "cmd.h"

#include <errno.h>

#include "base/cleanup.h"

static void log_text(void *user, const char *text)
{
	const struct cmd_args *args = (const struct cmd_args *)user;

	cmd_warn(args->verb->name, text);
}

static struct vfm_server_opts server_opts(const struct cmd_args *args)
{
	struct vfm_server_opts opts = VFM_SERVER_OPTS(.no_extension = args->no_extension);

	opts.user = (void *)(uintptr_t)args;
	opts.face = (enum vfm_face)args->face;
	opts.section = (enum vfm_section)args->section;
	opts.section_size = args->section_size;
	if (!args->quiet)
		opts.log = log_text;
	if (args->given & CMD_BIT(TIMEOUT))
		opts.timeout_ms = (unsigned int)(args->timeout_s * 1000);
	return opts;
}

static int serve(struct vfm_device *dev, const struct vfm_server_opts *opts,
		 const struct cmd_args *args, int signal_fd, struct vfm_err *err)
{
	struct vfm_server *server;
	int ret = vfm_server_new(&server, dev, opts, err);

	if (ret)
		return ret;
	/* a client that is connected already needs nobody to tell it */
	if (opts->path)
		ret = cmd_ready(args, "\n", err);
	if (!ret)
		ret = vfm_server_run(server, signal_fd, err);
	vfm_server_free(server);
	return ret == -ESHUTDOWN ? 0 : ret;
}

/* One client: take its connection and let nobody else have one. */
static int serve_once(struct vfm_device *dev, const struct cmd_args *args, int signal_fd,
		      struct vfm_err *err)
{
	struct vfm_server_opts opts = server_opts(args);
	struct cmd_listener l;
	int ret = cmd_listen_unix(&l, args->operands[1], err);

	if (ret)
		return ret;
	ret = cmd_ready(args, "\n", err);
	if (!ret)
		ret = opts.fd = cmd_accept(&l, 0, signal_fd, err);
	cmd_listener_close(&l);
	if (ret == -ECANCELED)
		return 0;
	if (ret < 0)
		return ret;
	ret = serve(dev, &opts, args, signal_fd, err);
	if (ret)
		vfm_close_fd(&opts.fd);
	return ret;
}

static int check_args(const struct cmd_args *args, struct vfm_err *err)
{
	if (args->face == VFM_FACE_V2 && args->given & (CMD_BIT(DATA) | CMD_BIT(DATA_SIZE)))
		return vfm_fail(err, CMD_MISUSE,
				"--data and --data-size are of the migration region, which "
				"--face=v2 does not show");
	return 0;
}

int cmd_serve(const struct cmd_args *args, struct vfm_err *err)
{
	struct vfm_server_opts opts = server_opts(args);
	vfm_auto_fd int signal_fd = -1;
	struct vfm_device *dev;
	int ret = check_args(args, err);

	if (!ret)
		ret = cmd_open(&dev, args->operands[0], err);
	if (ret)
		return ret;
	opts.path = args->operands[1];
	ret = signal_fd = cmd_signals(err);
	if (ret >= 0)
		ret = args->once ? serve_once(dev, args, signal_fd, err)
				 : serve(dev, &opts, args, signal_fd, err);
	vfm_device_close(dev);
	return ret;
}
