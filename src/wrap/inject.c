// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Three schedules over one device, each of which comes true once. */

#include "wrap/inject.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/params.h"
#include "base/util.h"
#include "wrap/hook.h"

/* Beyond the last errno value of Linux. */
#define ERRNO_END 4096

/* At call @at of @op, or of any if that is ""; @at 0: never. */
struct schedule {
	uint64_t at, seen;
	char op[VFM_SCHEDULE_TEXT];
};

struct inject {
	struct schedule fail, shorten, late;
	int code; /* negative */
	int ms;
};

/* Counts, and so is asked for each operation once. */
static bool is_due(struct schedule *s, const struct vfm_op *op)
{
	if (!s->at || (s->op[0] && strcmp(s->op, op->name) != 0))
		return false;
	return ++s->seen == s->at;
}

static int before(void *user, struct vfm_op *op, struct vfm_err *err)
{
	struct inject *in = user;

	if (is_due(&in->late, op))
		poll(NULL, 0, in->ms);
	/* of calls that read only */
	if (op->room && is_due(&in->shorten, op))
		op->room = VFM_MAX(op->room / 2, (size_t)1);
	if (is_due(&in->fail, op))
		return vfm_fail(err, in->code, "call %" PRIu64 " of %s fails as it is scheduled to",
				in->fail.at, in->fail.op[0] ? in->fail.op : "any operation");
	return 0;
}

static int parse_schedule(struct schedule *s, const char *what, const char *text,
			  struct vfm_err *err)
{
	const char *colon = strchr(text, ':');
	char number[VFM_SCHEDULE_TEXT] = "";

	if (!text[0])
		return 0;
	memcpy(number, text, colon ? (size_t)(colon - text) : strlen(text));
	if (vfm_parse_u64(number, &s->at) || !s->at)
		return vfm_fail(err, -EINVAL, "fault,%s=%s: not N or N:OPERATION, N from 1", what,
				text);
	if (!colon)
		return 0;
	memcpy(s->op, colon + 1, strlen(colon + 1) + 1);
	if (!vfm_op_exists(s->op))
		return vfm_fail(err, -EINVAL, "fault,%s=%s: there is no operation %s", what, text,
				s->op);
	return 0;
}

/* "EIO" or "5" */
static int parse_code(const char *text, int *code)
{
	uint64_t number;

	if (!text[0])
		text = "EIO";
	if (!vfm_parse_u64(text, &number) && number > 0 && number < ERRNO_END) {
		*code = -(int)number;
		return 0;
	}
	for (int i = 1; i < ERRNO_END; i++) {
		const char *name = strerrorname_np(i);

		if (name && !strcmp(name, text)) {
			*code = -i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse(struct inject *in, const struct vfm_inject_params *p, struct vfm_err *err)
{
	int ret = parse_schedule(&in->fail, "fail", p->fail, err);

	if (!ret)
		ret = parse_schedule(&in->shorten, "short", p->shorten, err);
	if (!ret)
		ret = parse_schedule(&in->late, "late", p->late, err);
	if (!ret && parse_code(p->code, &in->code))
		ret = vfm_fail(err, -EINVAL, "fault,errno=%s: not an errno value", p->code);
	in->ms = (int)p->ms;
	return ret;
}

int vfm_inject_open(struct vfm_device **out, struct vfm_device *inner,
		    const struct vfm_inject_params *params, struct vfm_err *err)
{
	struct inject *in = calloc(1, sizeof(*in));
	const struct vfm_hooks hooks = { .before = before, .close = free, .user = in };
	int ret;

	if (!in)
		return vfm_fail(err, -ENOMEM, "%s: no memory", vfm_device_uri(inner));
	ret = parse(in, params, err);
	if (!ret)
		ret = vfm_hook_open(out, inner, &hooks, err);
	if (ret)
		free(in);
	return ret;
}
