// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig verify: prove a file whole, or say where it is not. */

#include "cmd.h"

#include "base/cleanup.h"

static int print(const struct vfm_stream_summary *s, const char *file, int ret,
		 const struct vfm_err *why, struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = cmd_json_new();

	cmd_json_bool(j, "ok", !ret);
	if (ret)
		cmd_json_text(j, "error", why->msg);
	cmd_json_text(j, "file", file);
	cmd_json_u64(j, "records", s->records);
	cmd_json_u64(j, "bytes", s->bytes);
	cmd_json_text(j, "digest", ret ? NULL : s->digest);
	return cmd_json_print(j, err);
}

int cmd_verify(const struct cmd_args *args, struct vfm_err *err)
{
	vfm_auto_fd int fd = cmd_infile_open(args->operands[0], err);
	struct vfm_stream_summary summary = { 0 };
	int ret, printed;

	if (fd < 0)
		return fd;
	ret = vfm_stream_scan(fd, &summary, NULL, NULL, err);
	if (ret) {
		vfm_fail_prefix(err, "%s", args->operands[0]);
		cmd_explain(ret, err);
	}
	printed = args->json ? print(&summary, args->operands[0], ret, err, ret ? NULL : err) : 0;
	return ret ? ret : printed;
}
