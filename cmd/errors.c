// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Errors as people see them: one line, without what a peer may have put into it
 * to play with their terminal.
 */

#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/*
 * Codes that the library uses with a meaning of its own. Their texts say it all,
 * and what strerror() knows about them ("Name not unique on network") does not.
 */
static const int own_codes[] = {
	-EINVAL,     -EBADMSG, -EPROTO, -ENOTUNIQ,  -ENODATA, -EDQUOT,	     -ECANCELED, -ENOTTY,
	-EOPNOTSUPP, -E2BIG,   -ERANGE, -EOVERFLOW, -ENOMSG,  -EKEYREJECTED, -ENOKEY,	 -EEXIST,
	-ETIMEDOUT,  -EBUSY,   -ECHILD, -EUCLEAN,   -ESTALE,  CMD_MISUSE,
};

static const struct {
	int ret;
	enum cmd_exit code;
} exit_codes[] = {
	{ 0, CMD_EXIT_DONE },
	{ CMD_MISUSE, CMD_EXIT_USAGE },
	{ -ENOTTY, CMD_EXIT_UNSUPPORTED },
	{ -ENOTUNIQ, CMD_EXIT_UNSUPPORTED },
	{ -EOPNOTSUPP, CMD_EXIT_UNSUPPORTED },
	{ -EDQUOT, CMD_EXIT_REFUSED },
};

enum cmd_exit cmd_exit_code(int ret)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(exit_codes); i++)
		if (exit_codes[i].ret == ret)
			return exit_codes[i].code;
	return CMD_EXIT_FAILED;
}

static bool is_own_code(int code)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(own_codes); i++)
		if (own_codes[i] == code)
			return true;
	return false;
}

void cmd_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void cmd_explain(int ret, struct vfm_err *err)
{
	size_t used = strnlen(err->msg, sizeof(err->msg) - 1);

	err->msg[used] = '\0';
	if (is_own_code(ret) || strstr(err->msg, strerror(-ret)))
		return;
	snprintf(err->msg + used, sizeof(err->msg) - used, "%s%s", used ? ": " : "",
		 strerror(-ret));
}

void cmd_warn(const char *verb, const char *text)
{
	char line[VFM_ERR_TEXT];

	snprintf(line, sizeof(line), "%s", text);
	cmd_clean(line);
	fprintf(stderr, "vfmig: %s%s%s\n", verb ? verb : "", verb ? ": " : "", line);
}

void cmd_error(const char *verb, int ret, const struct vfm_err *err)
{
	struct vfm_err shown = *err;

	cmd_explain(ret, &shown);
	if (ret == CMD_MISUSE) {
		size_t used = strlen(shown.msg);

		snprintf(shown.msg + used, sizeof(shown.msg) - used, " (try 'vfmig%s%s --help')",
			 verb ? " " : "", verb ? verb : "");
	}
	cmd_warn(verb, shown.msg);
}
