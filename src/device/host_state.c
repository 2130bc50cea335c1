// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The state machine of a device made of a driver. The path comes from
 * protocol/v2, one arc at a time; the driver does the arc; what happens to the
 * data session follows from the arc. A path that fails in the middle stays where
 * its last completed arc led: nothing is rolled back, as the uAPI has it.
 */

#include "device/host.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "protocol/v2.h"

static void end_sessions(struct vfm_host *host)
{
	vfm_save_end(&host->save);
	vfm_load_end(&host->load);
}

static int begin_session(struct vfm_host *host, enum vfm_session_effect effect, struct vfm_err *err)
{
	if (effect == VFM_SESSION_OPEN_SAVE)
		return vfm_save_begin(&host->save, &host->session_driver, err);
	if (effect == VFM_SESSION_OPEN_LOAD)
		return vfm_load_begin(&host->load, &host->session_driver, err);
	return 0;
}

static int driver_arc(struct vfm_host *host, enum vfm_state to, struct vfm_err *err)
{
	int ret = 0;

	if (host->state == VFM_STATE_RESUMING)
		ret = vfm_load_prove(&host->load, &host->session_driver, err);
	if (ret || !host->driver.arc)
		return ret;
	host->arriving = vfm_state_is_active(to);
	ret = vfm_driver_result(host->driver.arc(host->priv, host->state, to, err), err);
	host->arriving = false;
	return ret;
}

/* What can fail without the driver is done before the driver is asked. */
static int walk_arc(struct vfm_host *host, enum vfm_state to, struct vfm_err *err)
{
	enum vfm_session_effect effect = vfm_arc_session(host->state, to);
	bool opens = effect == VFM_SESSION_OPEN_SAVE || effect == VFM_SESSION_OPEN_LOAD;
	int ret = begin_session(host, effect, err);

	if (!ret)
		ret = driver_arc(host, to, err);
	if (ret == -EIO)
		host->state = VFM_STATE_ERROR;
	if (ret ? opens || ret == -EIO : effect == VFM_SESSION_CLOSE)
		end_sessions(host);
	if (!ret)
		host->state = to;
	return ret;
}

static int walk(struct vfm_host *host, enum vfm_state want, struct vfm_err *err)
{
	enum vfm_state from = host->state, next;
	int ret;

	if (from == VFM_STATE_ERROR)
		return vfm_fail(err, -EIO, "set state %s: the device is in ERROR; reset it",
				vfm_state_name(want));
	if (vfm_next_state(host->desc.migration, from, want, &next))
		return vfm_fail(err, -EINVAL, "set state %s->%s (%u): there is no such way",
				vfm_state_name(from), vfm_state_name(want), (unsigned int)want);
	while (host->state != want) {
		ret = vfm_next_state(host->desc.migration, host->state, want, &next);
		if (ret)
			return vfm_fail(err, ret, "set state %s->%s: no way on from %s",
					vfm_state_name(from), vfm_state_name(want),
					vfm_state_name(host->state));
		from = host->state;
		ret = walk_arc(host, next, err);
		if (ret) {
			if (!err->msg[0])
				vfm_fail(err, ret, "%s", strerror(-ret));
			vfm_fail_prefix(err, "set state %s: arc %s->%s", vfm_state_name(want),
					vfm_state_name(from), vfm_state_name(next));
			return ret;
		}
	}
	return 0;
}

static int cannot_migrate(const struct vfm_host *host, struct vfm_err *err)
{
	if (host->desc.migration)
		return 0;
	return vfm_fail(err, -ENOTTY, "the device cannot migrate");
}

int vfm_host_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = cannot_migrate(host, err);

	if (!ret)
		*migration = host->desc.migration;
	return ret;
}

int vfm_host_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = cannot_migrate(host, err);

	if (ret)
		return ret;
	vfm_host_lock(host);
	*state = host->state;
	vfm_host_unlock(host, NULL);
	return 0;
}

int vfm_host_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = cannot_migrate(host, err);

	if (ret)
		return ret;
	vfm_host_lock(host);
	ret = walk(host, state, err);
	vfm_host_unlock(host, NULL);
	return ret;
}

static int wrong_state(const struct vfm_host *host, const char *what, const char *legal,
		       struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL, "%s in %s: legal in %s", what, vfm_state_name(host->state),
			legal);
}

ssize_t vfm_host_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	ssize_t ret;

	vfm_host_lock(host);
	if (vfm_state_is_saving(host->state))
		ret = vfm_save_read(&host->save, &host->session_driver,
				    host->state == VFM_STATE_STOP_COPY, buf, len, err);
	else
		ret = wrong_state(host, "read data", "PRE_COPY, PRE_COPY_P2P and STOP_COPY", err);
	vfm_host_unlock(host, NULL);
	return ret;
}

int vfm_host_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	vfm_host_lock(host);
	if (host->state == VFM_STATE_RESUMING)
		ret = vfm_load_write(&host->load, &host->session_driver, buf, len, err);
	else
		ret = wrong_state(host, "write data", "RESUMING", err);
	vfm_host_unlock(host, NULL);
	return ret;
}

int vfm_host_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	if (!(host->desc.migration & VFM_MIGRATION_PRE_COPY))
		return vfm_fail(err, -ENOTTY, "the device has no PRE_COPY");
	vfm_host_lock(host);
	if (vfm_state_is_precopy(host->state))
		ret = vfm_save_precopy_info(&host->save, &host->session_driver, info, err);
	else
		ret = wrong_state(host, "get pre-copy info", "PRE_COPY and PRE_COPY_P2P", err);
	vfm_host_unlock(host, NULL);
	return ret;
}

int vfm_host_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = cannot_migrate(host, err);

	if (ret)
		return ret;
	vfm_host_lock(host);
	ret = vfm_save_data_size(&host->save, &host->session_driver, bytes, err);
	vfm_host_unlock(host, NULL);
	return ret;
}

int vfm_host_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = cannot_migrate(host, err);

	if (!ret)
		*compat = host->session_driver.compat;
	return ret;
}

int vfm_host_do_reset(struct vfm_host *host, struct vfm_err *err)
{
	int ret;

	end_sessions(host);
	for (uint32_t i = 0; i < host->desc.nr_irqs; i++)
		vfm_wiring_reset(&host->wiring[i]);
	ret = vfm_driver_result(host->driver.reset(host->priv, err), err);
	host->state = ret ? VFM_STATE_ERROR : VFM_STATE_RUNNING;
	return ret;
}
