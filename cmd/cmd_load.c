// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig load: device state from a file. */

#include "cmd.h"

#include "base/cleanup.h"

static int load(struct cmd_run *run, struct vfm_device *dev, int fd, struct vfm_err *err)
{
	int ret = vfm_load(dev, fd, &run->opts, &run->report, err);

	return cmd_run_end(run, ret, err);
}

int cmd_load(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_file file = { .path = args->operands[1] };
	struct cmd_run run = { .args = args };
	struct vfm_device *dev = NULL;
	struct cmd_end end;
	vfm_auto_fd int fd = -1;
	int ret = cmd_open(&dev, args->operands[0], err);

	if (!ret)
		ret = fd = cmd_infile_open(file.path, err);
	if (ret >= 0)
		ret = cmd_run_begin(&run, args, cmd_end_of(&end, &dev), err);
	if (!ret)
		ret = load(&run, dev, fd, err);
	if (!ret && args->json)
		ret = cmd_file_scan(&file, fd, err);
	vfm_device_close(dev);
	return cmd_run_report(&run, ret, cmd_json_file, &file, err);
}
