// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The two data sessions of a device made of a driver: records of the driver on
 * one side, bytes in any segmentation on the other.
 */

#ifndef VFM_DEVICE_SESSION_H
#define VFM_DEVICE_SESSION_H

#include <errno.h>

#include <vfmig/driver.h>

#include "device/image.h"

/** The highest errno value that Linux hands out. */
#define VFM_DRIVER_MAX_ERRNO 4095

/**
 * vfm_driver_result() - what a callback returned, as 0 or a negative errno value
 *
 * A driver is somebody else's code, and our own callers take a positive value for a count.
 */
static inline int vfm_driver_result(int ret, struct vfm_err *err)
{
	if (ret <= 0 && ret >= -VFM_DRIVER_MAX_ERRNO)
		return ret;
	return vfm_fail(err, -EIO, "driver answered %d, which is neither 0 nor an error", ret);
}

/** What the sessions need of the device that they belong to. */
struct vfm_session_driver {
	const struct vfm_driver *driver;
	void *priv;
	struct vfm_compat compat; /* ours */
};

/**
 * struct vfm_save_session - an image being read
 * @buf, @len, @pos: a record of which only a part has been read
 * @number: of the next record
 * @ended: the END record has been made
 * @initial: the record in @buf holds initial data
 * @failed, @why: what the driver answered when it failed; repeated from then on
 * @initial_cap: initial bytes only fall below what was told last
 */
struct vfm_save_session {
	bool open;
	uint8_t *buf;
	size_t len, pos;
	uint64_t number;
	bool ended;
	bool initial;
	int failed;
	struct vfm_err why;
	uint64_t initial_cap;
};

int vfm_save_begin(struct vfm_save_session *s, const struct vfm_session_driver *d,
		   struct vfm_err *err) VFM_MUST_CHECK;
void vfm_save_end(struct vfm_save_session *s);

/** vfm_save_read() - as vfm_device_read_data(); @final in STOP_COPY. */
ssize_t vfm_save_read(struct vfm_save_session *s, const struct vfm_session_driver *d, bool final,
		      void *buf, size_t len, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_save_precopy_info() - as vfm_device_get_precopy_info(). */
int vfm_save_precopy_info(struct vfm_save_session *s, const struct vfm_session_driver *d,
			  struct vfm_precopy_info *info, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_save_data_size() - as vfm_device_get_data_size(); the session need not be open. */
int vfm_save_data_size(const struct vfm_save_session *s, const struct vfm_session_driver *d,
		       uint64_t *bytes, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * struct vfm_load_session - an image being written
 * @buf, @len: a record of which only a part has come
 * @number: of the next record
 * @bytes: all bytes so far
 * @ended: the END record has come
 * @proven: the driver has taken the whole image
 * @failed, @why: the session is dead, and of what
 */
struct vfm_load_session {
	bool open;
	uint8_t *buf;
	size_t len;
	uint64_t number;
	uint64_t bytes;
	bool ended;
	bool proven;
	int failed;
	struct vfm_err why;
};

int vfm_load_begin(struct vfm_load_session *s, const struct vfm_session_driver *d,
		   struct vfm_err *err) VFM_MUST_CHECK;
void vfm_load_end(struct vfm_load_session *s);

/** vfm_load_write() - as vfm_device_write_data(). */
int vfm_load_write(struct vfm_load_session *s, const struct vfm_session_driver *d, const void *buf,
		   size_t len, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_load_prove() - whether the image is whole and the driver takes it: -EBADMSG. */
int vfm_load_prove(struct vfm_load_session *s, const struct vfm_session_driver *d,
		   struct vfm_err *err) VFM_MUST_CHECK;

#endif
