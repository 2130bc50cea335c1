// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "test.h"

#include "served.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the server's process. Returns what went wrong; writes a byte when it listens. */
static int serve(const struct served *s, const char *uri, enum vfm_face face, bool extension,
		 int ready)
{
	struct vfm_server_opts opts =
		VFM_SERVER_OPTS(.path = s->path, .face = face, .no_extension = !extension);
	struct vfm_server *server;
	struct vfm_device *dev;
	struct vfm_err err;

	if (vfm_open(&dev, uri, &err) || vfm_server_new(&server, dev, &opts, &err)) {
		fprintf(stderr, "# serve %s: %s\n", uri, err.msg);
		return 1;
	}
	if (write(ready, "x", 1) != 1)
		return 1;
	return vfm_server_run(server, -1, &err) ? 1 : 0;
}

void served_begin(struct served *s, const char *uri, enum vfm_face face, bool extension)
{
	int ready[2];
	char byte;

	snprintf(s->folder, sizeof(s->folder), "/tmp/vfmig-served-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/socket", s->folder);
	snprintf(s->uri, sizeof(s->uri), "vfio-user:%s", s->path);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	s->pid = fork();
	if (s->pid == 0) {
		static const struct rlimit none = { 0, 0 };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* not those of the tests, which would go on with the next one here */
		for (int sig = 1; sig < NSIG; sig++)
			signal(sig, SIG_DFL);
		signal(SIGPIPE, SIG_IGN);
		setrlimit(RLIMIT_CORE, &none);
		_exit(serve(s, uri, face, extension, ready[1]));
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void served_end(struct served *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	unlink(s->path);
	rmdir(s->folder);
}
