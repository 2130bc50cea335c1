// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * From argv to a verb, and from what it returns to one line and an exit code.
 */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static const char help_head[] = "Usage: vfmig VERB [OPTION]... OPERAND...\n"
				"       vfmig VERB --help\n"
				"       vfmig --help | --version\n"
				"\n"
				"Moves a running VFIO device from one place to another.\n"
				"\n"
				"Verbs:\n";

static const char help_tail[] =
	"\n"
	"A device is named by a URI:\n"
	"  vfio-user:/run/dev.sock   a device behind a vfio-user socket\n"
	"  sim:dma,state=64M         a software device in this process\n"
	"  ./mydev.so,key=value      a driver in a shared object\n"
	"\n"
	"Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not supported or not compatible;\n"
	"4 refused because a limit would be broken.\n";

/*
 * A standard descriptor that is missing would be taken by the next file that is
 * opened. Put something there that can neither be read nor written.
 */
static void guard_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_PATH) != fd)
			_exit(CMD_EXIT_FAILED);
}

static void help(void)
{
	const struct cmd_verb *verb;

	fputs(help_head, stdout);
	for (size_t n = 0; (verb = cmd_verb_at(n)); n++)
		printf("  %-8s  %s\n", verb->name, verb->summary);
	fputs(help_tail, stdout);
}

static void version(void)
{
	printf("vfmig %s\n", vfm_version());
}

static void list_verbs(void)
{
	const struct cmd_verb *verb;

	for (size_t n = 0; (verb = cmd_verb_at(n)); n++)
		puts(verb->name);
}

static const struct {
	const char *name;
	void (*print)(void);
} global_options[] = {
	{ "--help", help },
	{ "-h", help },
	{ "--version", version },
	{ "-V", version },
	{ "--list-verbs", list_verbs },
};

static bool run_global(const char *name)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(global_options); i++) {
		if (!strcmp(name, global_options[i].name)) {
			global_options[i].print();
			return true;
		}
	}
	return false;
}

static const char *verb_name(const void *user, size_t n)
{
	const struct cmd_verb *verb = cmd_verb_at(n);

	(void)user;
	return verb ? verb->name : NULL;
}

static const struct cmd_verb *find_verb(const char *name, struct vfm_err *err)
{
	const struct cmd_verb *verb;
	const char *near;

	for (size_t n = 0; (verb = cmd_verb_at(n)); n++)
		if (!strcmp(name, verb->name))
			return verb;
	near = cmd_nearest(name, verb_name, NULL);
	vfm_fail(err, CMD_MISUSE, "%s %s%s%s%s", name[0] == '-' ? "unknown option" : "unknown verb",
		 name, near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
	return NULL;
}

static int run_verb(const struct cmd_verb *verb, int argc, char **argv, struct vfm_err *err)
{
	static struct cmd_args args; /* too big for a stack, and there is only one */
	int ret = cmd_parse(&args, verb, argc, argv, err);

	if (ret)
		return ret < 0 ? ret : 0;
	return verb->run(&args, err);
}

static int flush_output(struct vfm_err *err)
{
	/* 0 and errno 0: nothing was ever printed, whatever standard output is */
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	return vfm_fail(err, errno ? -errno : -EIO, "write to standard output");
}

int main(int argc, char **argv)
{
	const struct cmd_verb *verb = NULL;
	struct vfm_err err = { 0 };
	int ret = 0, flushed;

	guard_standard_fds();
	/* both become errors of the write that meets them, and are cleaned up after */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2)
		ret = vfm_fail(&err, CMD_MISUSE, "a verb is missing");
	else if (!run_global(argv[1])) {
		verb = find_verb(argv[1], &err);
		ret = verb ? run_verb(verb, argc - 1, argv + 1, &err) : CMD_MISUSE;
	}
	if (ret)
		cmd_error(verb ? verb->name : NULL, ret, &err);
	flushed = flush_output(&err);
	if (flushed && !ret) {
		ret = flushed;
		cmd_error(verb ? verb->name : NULL, ret, &err);
	}
	return cmd_exit_code(ret);
}
