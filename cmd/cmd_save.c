// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig save: device state to a file. */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* What was written, read again: who asks for the digest pays for a second look. */
static int scan(struct cmd_file *file, const struct cmd_outfile *out, struct vfm_err *err)
{
	vfm_auto_fd int fd = -1;

	if (!out->temp)
		return 0;
	fd = open(out->temp, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vfm_fail(err, -errno, "open %s", out->temp);
	return cmd_file_scan(file, fd, err);
}

static int save(struct cmd_run *run, struct vfm_device *dev, struct cmd_file *file,
		struct vfm_err *err)
{
	struct cmd_outfile out;
	int ret = cmd_outfile_open(&out, file->path, run->signal_fd, err);

	if (!ret)
		ret = vfm_save(dev, out.fd, &run->opts, &run->report, err);
	ret = cmd_run_end(run, ret, err);
	if (!ret && run->args->json)
		ret = scan(file, &out, err);
	if (!ret)
		ret = cmd_outfile_commit(&out, err);
	cmd_outfile_free(&out);
	return ret;
}

int cmd_save(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_file file = { .path = args->operands[1] };
	struct cmd_run run = { .args = args };
	struct vfm_device *dev = NULL;
	struct cmd_end end;
	int ret;

	if (args->json && !strcmp(file.path, "-"))
		return vfm_fail(err, CMD_MISUSE, "--json and FILE - both want standard output");
	if (args->events && !strcmp(args->events, "1") && !strcmp(file.path, "-"))
		return vfm_fail(err, CMD_MISUSE, "--events=1 and FILE - both want standard output");
	ret = cmd_open(&dev, args->operands[0], err);
	if (!ret)
		ret = cmd_run_begin(&run, args, cmd_end_of(&end, &dev), err);
	if (!ret)
		ret = save(&run, dev, &file, err);
	vfm_device_close(dev);
	return cmd_run_report(&run, ret, cmd_json_file, &file, err);
}
