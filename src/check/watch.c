// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A process for a trial, and the watchdog. A device in it may do anything: not come
 * back, end the process, close every descriptor, eat all memory, write to standard output, fork.
 * So it is known by a descriptor that it cannot reach, has a group of its own that is
 * ended with it, and is the first that the system ends when memory runs out.
 */

#include "check/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

#define TIMEOUT_MS 20000

/* A process that was killed is gone after that, or is stuck in the kernel for good. */
#define KILLED_MS 5000

/* Its memory is looked at that often. */
#define LOOK_MS 50

unsigned int vfm_watch_timeout_ms(const struct vfm_check_opts *opts)
{
	return opts->timeout_ms ? opts->timeout_ms : TIMEOUT_MS;
}

uint64_t vfm_watch_memory(const struct vfm_check_opts *opts)
{
	if (opts->max_memory)
		return opts->max_memory;
	return (uint64_t)sysconf(_SC_PHYS_PAGES) / 2 * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- in the process -------------------------------------------------------------- */

/* Whether it works or not: only without it the machine would suffer, and not the trial. */
static void offer_to_oom(void)
{
	vfm_auto_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	static const char most[] = "1000";

	if (fd >= 0 && write(fd, most, sizeof(most) - 1) < 0)
		return;
}

/* A device that prints does not print into a report. */
static void settle_standard_fds(void)
{
	vfm_auto_fd int none = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (none >= 0)
		dup2(none, STDIN_FILENO);
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 && none >= 0)
		dup2(none, STDOUT_FILENO);
}

/* Handlers of the caller would do for it what is meant for the caller, a longjmp() for one. */
static void settle_signals(void)
{
	struct sigaction act;
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &act) && act.sa_handler != SIG_DFL &&
		    act.sa_handler != SIG_IGN)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void settle_in(pid_t parent)
{
	const struct rlimit no_core = { 0, 0 };

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setrlimit(RLIMIT_CORE, &no_core);
	offer_to_oom();
	settle_standard_fds();
	settle_signals();
}

/* ---- outside ------------------------------------------------------------------------ */

/* Bytes that a process has in memory; 0 if that cannot be told. */
static uint64_t resident(pid_t child)
{
	char path[64], text[128];
	vfm_auto_fd int fd = -1;
	uint64_t pages;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)child);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%*u %" SCNu64, &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Wait for the end of the process, once. 1: it has ended; 0: not yet; -ECANCELED, before all. */
static int wait_once(int pidfd, int cancel_fd, int ms)
{
	struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN },
				{ .fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN } };

	if (poll(fds, 2, ms) <= 0)
		return 0;
	return fds[1].revents ? -ECANCELED : 1;
}

static int wait_for_end(const struct vfm_check_opts *opts, pid_t child, int pidfd)
{
	uint64_t end = vfm_now_ns() + (uint64_t)vfm_watch_timeout_ms(opts) * 1000000;
	uint64_t most = vfm_watch_memory(opts);
	int ret;

	while (!(ret = wait_once(pidfd, opts->cancel_fd, LOOK_MS))) {
		if (resident(child) > most)
			return VFM_END_MEMORY;
		if (vfm_now_ns() > end)
			return VFM_END_TIME;
	}
	return ret < 0 ? ret : VFM_END_SELF;
}

/* Also of one that has ended, for what it has left behind; it is not yet reaped. */
static void end_group(pid_t child)
{
	kill(-child, SIGKILL);
	kill(child, SIGKILL);
}

static int see_to_end(const struct vfm_check_opts *opts, pid_t child, int pidfd, int *status)
{
	int ret = wait_for_end(opts, child, pidfd);
	uint64_t end = vfm_now_ns() + (uint64_t)KILLED_MS * 1000000;
	pid_t pid;

	end_group(child);
	while (!wait_once(pidfd, -1, LOOK_MS))
		if (vfm_now_ns() > end)
			return VFM_END_STUCK;
	do {
		pid = waitpid(child, status, 0);
	} while (pid < 0 && errno == EINTR);
	return ret;
}

int vfm_watch(const struct vfm_check_opts *opts, const struct vfm_rule *rule, struct vfm_shared *s,
	      int *status, struct vfm_err *err)
{
	vfm_auto_fd int pidfd = -1;
	pid_t parent = getpid(), child;

	/* a device that calls exit() would write our buffers once more */
	fflush(NULL);
	child = fork();
	if (child == 0) {
		settle_in(parent);
		vfm_child_try(opts, rule, s);
		_exit(0);
	}
	if (child < 0)
		return vfm_fail(err, -errno, "fork: %s", strerror(errno));
	/* here, too: whoever of us is first, it is done before it is needed */
	setpgid(child, child);
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	if (pidfd < 0) {
		int ret = vfm_fail(err, -errno, "pidfd_open: %s", strerror(errno));

		end_group(child);
		waitpid(child, status, 0);
		return ret;
	}
	return see_to_end(opts, child, pidfd, status);
}
