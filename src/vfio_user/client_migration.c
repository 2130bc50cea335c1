// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Migration: features, states, and the data session. The server's word is all
 * that is known of the state: what a successful SET or a GET said last. It matters
 * in one place only, where the wire has one sign for two ends of the data: no bytes
 * mean "nothing now" in PRE_COPY and "finished" in STOP_COPY.
 *
 * Servers disagree on how they say "I do not know that": the kernel and we say
 * ENOTTY, libvfio-user says EINVAL to everything.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define MIGRATION_FLAGS (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY)
#define PRECOPY_INFO_SIZE 24
#define COMPAT_SIZE (16 + VFM_MODEL_TEXT + VFM_PARAMS_TEXT)

bool vfm_client_refused(int code)
{
	return code == -EINVAL || code == -ENOTTY || code == -EOPNOTSUPP || code == -ENOSYS;
}

int vfm_client_feature(struct vfm_client *c, struct vfm_client_feature *f, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_FEATURE_SIZE];
	struct iovec body[3] = { { wire, sizeof(wire) },
				 { (void *)(uintptr_t)f->in, f->in_len },
				 { (void *)(uintptr_t)f->more, f->more_len } };
	struct vfm_client_call call = { .command = VFM_VU_DEVICE_FEATURE,
					.body = body,
					.nr_body = 3,
					.head = wire,
					.head_room = sizeof(wire),
					.data = f->out,
					.data_room = f->out_room };
	size_t payload = VFM_MAX(f->in_len + f->more_len, f->out_room);
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	int ret;

	vfm_write_he32(&w, (uint32_t)(sizeof(wire) + payload));
	vfm_write_he32(&w, f->flags);
	ret = vfm_client_call(c, &call, err);
	if (ret)
		return ret;
	f->out_len = call.data_len;
	if (f->flags & VFM_FEATURE_GET && call.data_len < f->out_room)
		return vfm_client_short(call.data_len, f->out_room, err);
	return 0;
}

/* For features of which every server knows that they may be absent. */
static int optional_feature(struct vfm_client *c, struct vfm_client_feature *f, const char *what,
			    struct vfm_err *err)
{
	int ret = vfm_client_feature(c, f, err);

	if (vfm_client_refused(ret) && !c->dead)
		return vfm_fail(err, -ENOTTY, "%s: the server does not know of that", what);
	if (ret)
		vfm_fail_prefix(err, "%s", what);
	return ret;
}

static int need_extension(const struct vfm_client *c, const char *what, struct vfm_err *err)
{
	int ret = vfm_client_alive(c, err);

	if (!ret && !c->extension)
		ret = vfm_fail(err, -ENOTTY, "%s: the connection has not the vfmig extension",
			       what);
	return ret;
}

/* ---- states --------------------------------------------------------------------- */

int vfm_client_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	static const char what[] = "ask how it can migrate";
	struct vfm_client *c = vfm_client_of(dev);
	uint64_t flags;
	struct vfm_client_feature f = { .flags = VFM_FEATURE_MIGRATION | VFM_FEATURE_GET,
					.out = &flags,
					.out_room = sizeof(flags) };
	int ret = optional_feature(c, &f, what, err);

	if (ret)
		return ret;
	flags &= MIGRATION_FLAGS;
	if (!flags)
		return vfm_fail(err, -ENOTTY, "the device cannot migrate");
	if (!(flags & VFM_MIGRATION_STOP_COPY))
		return vfm_fail(err, -EPROTO, "the server claims migration 0x%llx",
				(unsigned long long)flags);
	*migration = flags;
	return 0;
}

static void learn_state(struct vfm_client *c, enum vfm_state state)
{
	c->state = state;
	c->state_known = true;
	if (state != VFM_STATE_STOP_COPY)
		c->finished = false;
}

static void forget_state(struct vfm_client *c)
{
	c->state_known = false;
	c->finished = false;
}

static int fetch_state(struct vfm_client *c, struct vfm_err *err)
{
	uint8_t wire[sizeof(struct vfm_abi_mig_state)];
	struct vfm_client_feature f = { .flags = VFM_FEATURE_MIG_DEVICE_STATE | VFM_FEATURE_GET,
					.out = wire,
					.out_room = sizeof(wire) };
	int ret = optional_feature(c, &f, "ask for the state", err);
	struct vfm_reader r = vfm_reader_of(wire, sizeof(wire));
	uint32_t state;

	if (ret)
		return ret;
	state = vfm_read_he32(&r);
	if (state >= VFM_NR_STATES)
		return vfm_fail(err, -EPROTO, "the server claims to be in state %u", state);
	learn_state(c, (enum vfm_state)state);
	return 0;
}

int vfm_client_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = fetch_state(c, err);

	if (!ret)
		*state = c->state;
	return ret;
}

/* A reply without a body says nothing; one with another state contradicts its success. */
static int check_set_reply(struct vfm_client *c, const struct vfm_client_feature *f,
			   enum vfm_state state, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(f->out, f->out_len);
	uint32_t told = vfm_read_he32(&r);

	if (!vfm_reader_ok(&r))
		return 0;
	if (told != (uint32_t)state)
		return vfm_fail(err, -EPROTO, "set state %s: the server answers that it is %s",
				vfm_state_name(state), vfm_state_name((enum vfm_state)told));
	learn_state(c, state);
	return 0;
}

/*
 * Whatever was asked for and however it failed, the device may be in any state on
 * the way. A value that is no state is not sent, since it is known to lead some
 * servers out of their tables.
 */
int vfm_client_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	uint8_t in[sizeof(struct vfm_abi_mig_state)], out[sizeof(in)];
	struct vfm_client_feature f = { .flags = VFM_FEATURE_MIG_DEVICE_STATE | VFM_FEATURE_SET,
					.in = in,
					.in_len = sizeof(in),
					.out = out,
					.out_room = sizeof(out) };
	struct vfm_writer w = vfm_writer_of(in, sizeof(in));
	int ret = vfm_client_alive(c, err);

	if (ret)
		return ret;
	if ((unsigned int)state >= VFM_NR_STATES)
		return vfm_fail(err, -EINVAL, "set state %u: there is no such state",
				(unsigned int)state);
	vfm_write_he32(&w, (uint32_t)state);
	vfm_write_he32(&w, (uint32_t)-1);
	forget_state(c);
	ret = vfm_client_feature(c, &f, err);
	if (ret) {
		vfm_fail_prefix(err, "set state %s", vfm_state_name(state));
		return ret;
	}
	return check_set_reply(c, &f, state, err);
}

int vfm_client_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	struct vfm_client_call call = { .command = VFM_VU_DEVICE_RESET };
	int ret = vfm_client_call(c, &call, err);

	forget_state(c);
	if (ret)
		vfm_fail_prefix(err, "reset");
	return ret;
}

/* ---- data ----------------------------------------------------------------------- */

/* No bytes came. What that means hangs on the state. */
static ssize_t no_data(struct vfm_client *c, struct vfm_err *err)
{
	int ret = c->state_known ? 0 : fetch_state(c, err);

	if (ret)
		return ret;
	if (vfm_state_is_precopy(c->state))
		return -ENOMSG;
	if (c->state != VFM_STATE_STOP_COPY)
		return vfm_fail(err, -EINVAL, "there is no data in state %s",
				vfm_state_name(c->state));
	c->finished = true;
	return 0;
}

/* Return: bytes that came, 0 for none. */
static ssize_t read_message(struct vfm_client *c, void *buf, size_t len, bool *end,
			    struct vfm_err *err)
{
	uint8_t wire[VFM_VU_MIG_DATA_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_MIG_DATA_READ,
					.body = &body,
					.nr_body = 1,
					.head = wire,
					.head_room = sizeof(wire),
					.data = buf,
					.data_room = len };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	struct vfm_err why;
	struct vfm_reader r;
	uint32_t size;
	int ret;

	vfm_write_he32(&w, (uint32_t)(sizeof(wire) + len));
	vfm_write_he32(&w, (uint32_t)len);
	ret = vfm_client_call(c, &call, &why);
	if (ret == -ENOMSG)
		return 0;
	if (ret)
		return vfm_fail(err, ret, "%s", why.msg);
	r = vfm_reader_of(wire, call.head_len);
	vfm_read_he32(&r);
	size = vfm_read_he32(&r);
	if (!vfm_reader_ok(&r))
		return vfm_client_short(call.head_len, sizeof(wire), err);
	if (size > len)
		return vfm_fail(err, -EPROTO, "%u bytes where %zu were asked for", size, len);
	if (call.data_len < size)
		return vfm_client_short(call.data_len, size, err);
	*end = c->extension && call.reply_flags & VFM_VU_CHUNK_END;
	return size;
}

ssize_t vfm_client_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			      struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	ssize_t n = vfm_client_alive(c, err);

	if (n || c->finished)
		return n;
	n = read_message(c, buf, VFM_MIN(len, c->max_read), end, err);
	if (n < 0)
		vfm_fail_prefix(err, "read data");
	return n ? n : no_data(c, err);
}

ssize_t vfm_client_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	bool end;

	return vfm_client_read_chunk(dev, buf, len, &end, err);
}

static int write_message(struct vfm_client *c, const void *buf, size_t len, bool end,
			 struct vfm_err *err)
{
	uint8_t wire[VFM_VU_MIG_DATA_SIZE];
	struct iovec body[2] = { { wire, sizeof(wire) }, { (void *)(uintptr_t)buf, len } };
	struct vfm_client_call call = { .command = VFM_VU_MIG_DATA_WRITE,
					.flags = end && c->extension ? VFM_VU_CHUNK_END : 0,
					.body = body,
					.nr_body = 2 };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));

	vfm_write_he32(&w, (uint32_t)(sizeof(wire) + len));
	vfm_write_he32(&w, (uint32_t)len);
	return vfm_client_call(c, &call, err);
}

int vfm_client_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			   struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	for (size_t done = 0; !ret && done < len;) {
		size_t n = VFM_MIN(len - done, c->max_write);

		ret = write_message(c, (const uint8_t *)buf + done, n, end && done + n == len, err);
		if (ret)
			vfm_fail_prefix(err, "write data, %zu of %zu bytes done", done, len);
		done += n;
	}
	return ret;
}

int vfm_client_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	return vfm_client_write_chunk(dev, buf, len, false, err);
}

/* ---- estimates and the extension -------------------------------------------------- */

/* The kernel's own feature: asked for also where it is not in the protocol's text. */
int vfm_client_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	uint64_t size;
	struct vfm_client_feature f = { .flags = VFM_FEATURE_MIG_DATA_SIZE | VFM_FEATURE_GET,
					.out = &size,
					.out_room = sizeof(size) };
	int ret = optional_feature(c, &f, "ask for the size of the data", err);

	if (!ret)
		*bytes = size;
	return ret;
}

int vfm_client_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err)
{
	static const char what[] = "ask what is left in pre-copy";
	struct vfm_client *c = vfm_client_of(dev);
	uint8_t wire[PRECOPY_INFO_SIZE];
	struct vfm_client_feature f = { .flags = VFM_VU_EXT_PRECOPY_INFO | VFM_FEATURE_GET,
					.out = wire,
					.out_room = sizeof(wire) };
	struct vfm_reader r = vfm_reader_of(wire, sizeof(wire));
	int ret = need_extension(c, what, err);

	if (ret)
		return ret;
	ret = vfm_client_feature(c, &f, err);
	if (ret) {
		vfm_fail_prefix(err, "%s", what);
		return ret;
	}
	info->initial_bytes = vfm_read_he64(&r);
	info->dirty_bytes = vfm_read_he64(&r);
	info->reinit = vfm_read_he32(&r) & VFM_PRECOPY_INFO_REINIT;
	return 0;
}

/* The text will be shown to people and compared: printable, and with an end. */
static bool sound_text(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return len < room;
}

int vfm_client_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	static const char what[] = "ask what images must agree in";
	struct vfm_client *c = vfm_client_of(dev);
	uint8_t wire[COMPAT_SIZE];
	struct vfm_client_feature f = { .flags = VFM_VU_EXT_COMPAT | VFM_FEATURE_GET,
					.out = wire,
					.out_room = sizeof(wire) };
	struct vfm_reader r = vfm_reader_of(wire, sizeof(wire));
	struct vfm_compat got;
	int ret = need_extension(c, what, err);

	if (!ret)
		ret = optional_feature(c, &f, what, err);
	if (ret)
		return ret;
	got.version = vfm_read_he32(&r);
	got.min_version = vfm_read_he32(&r);
	got.judges_params = vfm_read_he32(&r) & VFM_VU_EXT_JUDGES_PARAMS;
	(void)vfm_read_he32(&r);
	vfm_read_copy(&r, got.model, sizeof(got.model));
	vfm_read_copy(&r, got.params, sizeof(got.params));
	if (!sound_text(got.model, sizeof(got.model)) ||
	    !sound_text(got.params, sizeof(got.params)))
		return vfm_fail(err, -EPROTO, "%s: the answer is not text", what);
	*compat = got;
	return 0;
}

int vfm_client_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err)
{
	static const char what[] = "say what to do when we vanish";
	struct vfm_client *c = vfm_client_of(dev);
	uint8_t wire[8];
	struct vfm_client_feature f = { .flags = VFM_VU_EXT_ORPHAN | VFM_FEATURE_SET,
					.in = wire,
					.in_len = sizeof(wire) };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	int ret = need_extension(c, what, err);

	if (ret)
		return ret;
	vfm_write_he32(&w, (uint32_t)orphan);
	vfm_write_he32(&w, 0);
	ret = vfm_client_feature(c, &f, err);
	if (ret)
		vfm_fail_prefix(err, "%s", what);
	return ret;
}
