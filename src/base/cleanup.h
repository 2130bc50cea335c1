// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Locals that clean up after themselves. Initialise them at their declaration
 * (= NULL, = -1), and hand them on with vfm_take_ptr() or vfm_take_fd().
 */

#ifndef VFM_BASE_CLEANUP_H
#define VFM_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void vfm_cleanup_free(void *p)
{
	free(*(void **)p);
}

/** vfm_close_fd() - close unless -1, and make it -1; keeps errno out of it. */
static inline void vfm_close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

#define vfm_auto_free __attribute__((cleanup(vfm_cleanup_free)))
#define vfm_auto_fd __attribute__((cleanup(vfm_close_fd)))

/** vfm_take_fd() - give a descriptor to somebody else. */
static inline int vfm_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/** vfm_take_ptr() - give a pointer to somebody else. */
#define vfm_take_ptr(p)                                                                            \
	({                                                                                         \
		__typeof__(p) vfm_taken = (p);                                                     \
		(p) = NULL;                                                                        \
		vfm_taken;                                                                         \
	})

#endif
