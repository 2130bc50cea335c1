// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The server processes of the demo: this very program, started again. They
 * end with us whatever happens to us, and nothing but what we started is ended.
 */

#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define READY_MS 20000
#define STOP_MS 5000

int demo_folder_new(char *folder, size_t len, struct vfm_err *err)
{
	const char *base = getenv("TMPDIR");

	/* the path of a unix socket must be short */
	if (!base || !base[0] || strlen(base) > 50)
		base = "/tmp";
	snprintf(folder, len, "%s/vfmig-demo-XXXXXX", base);
	if (mkdtemp(folder))
		return 0;
	folder[0] = '\0';
	return vfm_fail(err, -errno, "create a folder in %s", base);
}

#define WORD(text) ((char *)(uintptr_t)(text))

/* The child: never returns. */
static void run_server(const struct demo_server *server, int ready_fd, pid_t parent)
{
	static const char *const data[] = { "--data=trapped", "--data=mmap", "--data=sparse" };
	char ready[32], size[48];
	char *const v2[] = { WORD("vfmig"),	WORD("serve"),	      ready, WORD("--"),
			     WORD(server->uri), WORD(server->socket), NULL };
	char *const v1[] = { WORD("vfmig"),
			     WORD("serve"),
			     WORD("--face=v1"),
			     WORD(data[server->args->section]),
			     size,
			     ready,
			     WORD("--"),
			     WORD(server->uri),
			     WORD(server->socket),
			     NULL };
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int log_fd = open(server->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(ready, sizeof(ready), "--ready-fd=%d", ready_fd);
	snprintf(size, sizeof(size), "--data-size=%llu",
		 (unsigned long long)server->args->section_size);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || null_fd < 0 || log_fd < 0 ||
	    dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0 || fcntl(ready_fd, F_SETFD, 0))
		_exit(CMD_EXIT_FAILED);
	execv("/proc/self/exe", server->v1 ? v1 : v2);
	_exit(CMD_EXIT_FAILED);
}

/* The last line that a server wrote, or "". */
static void read_last_line(const char *log, char *line, size_t len)
{
	vfm_auto_fd int fd = open(log, O_RDONLY | O_CLOEXEC);
	char text[1024], *start;
	ssize_t n;

	line[0] = '\0';
	if (fd < 0)
		return;
	/* fails on a short log, which is then read from its start */
	(void)lseek(fd, -(off_t)(sizeof(text) - 1), SEEK_END);
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (text[n - 1] == '\n')
		text[n - 1] = '\0';
	start = strrchr(text, '\n');
	start = start ? start + 1 : text;
	snprintf(line, len, "%.*s", (int)len - 1, start);
}

static int wait_ready(const struct demo_server *server, int ready_fd, int signal_fd,
		      struct vfm_err *err)
{
	const struct vfm_wait wait = { .timeout_ms = READY_MS, .cancel_fd = signal_fd };
	char line[256], byte;
	ssize_t n = vfm_read_full(ready_fd, &byte, 1, &wait);

	if (n == 1)
		return 0;
	if (n < 0)
		return vfm_fail(err, (int)n, "wait for the server %s", server->name);
	read_last_line(server->log, line, sizeof(line));
	return vfm_fail(err, -ECHILD, "the server %s ended%s%s", server->name, line[0] ? ": " : "",
			line);
}

int demo_server_start(struct demo_server *server, const char *folder, int signal_fd,
		      struct vfm_err *err)
{
	vfm_auto_fd int ready_fd = -1, child_fd = -1;
	pid_t parent = getpid();
	int pipe_fds[2];

	snprintf(server->socket, sizeof(server->socket), "%s/%s.sock", folder, server->name);
	snprintf(server->log, sizeof(server->log), "%s/%s.log", folder, server->name);
	if (pipe2(pipe_fds, O_CLOEXEC))
		return vfm_fail(err, -errno, "create a pipe");
	ready_fd = pipe_fds[0];
	child_fd = pipe_fds[1];
	fflush(NULL); /* or the child has a copy of what is unwritten */
	server->pid = fork();
	if (server->pid < 0) {
		server->pid = 0;
		return vfm_fail(err, -errno, "start the server %s", server->name);
	}
	if (!server->pid)
		run_server(server, child_fd, parent);
	vfm_close_fd(&child_fd);
	return wait_ready(server, ready_fd, signal_fd, err);
}

/* Whether a child ends by itself in time. */
static bool ends(pid_t pid, unsigned int ms)
{
	const struct vfm_wait wait = { .timeout_ms = ms, .cancel_fd = -1 };
	vfm_auto_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd >= 0 && !vfm_wait_fd(fd, POLLIN, &wait);
}

int demo_server_stop(struct demo_server *server, struct vfm_err *err)
{
	pid_t pid = server->pid;
	char line[256];
	int status = 0;

	if (!pid)
		return 0;
	server->pid = 0;
	kill(pid, SIGTERM);
	if (!ends(pid, STOP_MS))
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && !WEXITSTATUS(status)))
		return 0;
	read_last_line(server->log, line, sizeof(line));
	if (WIFSIGNALED(status))
		return vfm_fail(err, -EIO, "a server was ended by SIG%s",
				sigabbrev_np(WTERMSIG(status)));
	return vfm_fail(err, -EIO, "a server ended with code %d%s%s", WEXITSTATUS(status),
			line[0] ? ": " : "", line);
}

void demo_server_remove(const struct demo_server *server)
{
	if (!server->socket[0])
		return;
	unlink(server->socket);
	unlink(server->log);
}
