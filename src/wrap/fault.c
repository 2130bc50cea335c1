// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device with a bug. Whoever judges devices must be able to find each: what a bug does
 * not change is handed on, so that everything else about the device stays right.
 */

#include "wrap/wrap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/params.h"
#include "base/util.h"

static const struct {
	const struct vfm_bug *bugs;
	const size_t *count;
} tables[] = {
	{ vfm_bugs_discovery, &vfm_nr_bugs_discovery },
	{ vfm_bugs_describe, &vfm_nr_bugs_describe },
	{ vfm_bugs_arc, &vfm_nr_bugs_arc },
	{ vfm_bugs_session, &vfm_nr_bugs_session },
	{ vfm_bugs_reset, &vfm_nr_bugs_reset },
	{ vfm_bugs_race, &vfm_nr_bugs_race },
};

const struct vfm_bug *vfm_bug_at(size_t n)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(tables); i++) {
		if (n < *tables[i].count)
			return &tables[i].bugs[n];
		n -= *tables[i].count;
	}
	return NULL;
}

VFM_API const struct vfm_check_bug *vfm_check_bug_at(size_t n)
{
	const struct vfm_bug *bug = vfm_bug_at(n);

	return bug ? &bug->is : NULL;
}

enum vfm_state vfm_fault_state(struct vfm_device *dev)
{
	enum vfm_state now;
	struct vfm_err err;

	return VFM_PASS(vfm_pass_inner(dev), get_state, &err, &now) ? VFM_STATE_ERROR : now;
}

static void fault_close(struct vfm_device *dev)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	vfm_device_close(f->pass.inner);
	free(f->held);
}

static int fault_get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
			      struct vfm_err *err)
{
	return vfm_device_get_protocol(vfm_pass_inner(dev), protocol, err);
}

static int fault_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

#define HAND_ON(op) .op = vfm_pass_##op

static const struct vfm_device_ops right = {
	.close = fault_close,
	HAND_ON(get_info),
	HAND_ON(get_region),
	HAND_ON(read_region),
	HAND_ON(write_region),
	HAND_ON(get_io_fds),
	HAND_ON(get_irq),
	HAND_ON(set_irqs),
	HAND_ON(map_dma),
	HAND_ON(unmap_dma),
	HAND_ON(unmap_all),
	HAND_ON(get_migration),
	HAND_ON(get_state),
	.set_state = fault_set_state,
	HAND_ON(read_data),
	HAND_ON(write_data),
	HAND_ON(read_chunk),
	HAND_ON(write_chunk),
	HAND_ON(get_precopy_info),
	HAND_ON(get_data_size),
	HAND_ON(reset),
	HAND_ON(get_compat),
	HAND_ON(set_orphan),
	.get_protocol = fault_get_protocol,
	HAND_ON(start_log),
	HAND_ON(report_log),
	HAND_ON(stop_log),
	HAND_ON(get_fd),
	HAND_ON(process),
};

#define TWIST(op)                                                                                  \
	if (bug->op)                                                                               \
	ops->op = bug->op

/*
 * A bug that has only one of the two ways of data has it in both: calls for chunks come
 * back to the other where there is none for them.
 */
static void twist_data(struct vfm_device_ops *ops, const struct vfm_device_ops *bug)
{
	if (bug->read_data)
		ops->read_chunk = NULL;
	if (bug->write_data)
		ops->write_chunk = NULL;
	TWIST(read_data);
	TWIST(write_data);
	TWIST(read_chunk);
	TWIST(write_chunk);
}

static void twist(struct vfm_device_ops *ops, const struct vfm_device_ops *bug)
{
	*ops = right;
	TWIST(get_info);
	TWIST(get_region);
	TWIST(read_region);
	TWIST(write_region);
	TWIST(get_io_fds);
	TWIST(get_irq);
	TWIST(set_irqs);
	TWIST(map_dma);
	TWIST(unmap_dma);
	TWIST(unmap_all);
	TWIST(get_migration);
	TWIST(get_state);
	TWIST(set_state);
	twist_data(ops, bug);
	TWIST(get_precopy_info);
	TWIST(get_data_size);
	TWIST(reset);
	TWIST(get_compat);
	TWIST(set_orphan);
	TWIST(get_protocol);
	TWIST(start_log);
	TWIST(report_log);
	TWIST(stop_log);
	TWIST(process);
}

static const struct vfm_bug *find_bug(const char *name, const char *uri, struct vfm_err *err)
{
	const struct vfm_bug *bug;

	for (size_t i = 0; (bug = vfm_bug_at(i)); i++)
		if (!strcmp(bug->is.name, name))
			return bug;
	vfm_fail(err, -EINVAL, "%s: there is no bug %s; 'vfmig check --list-bugs' lists them", uri,
		 name);
	return NULL;
}

int vfm_fault_open(struct vfm_device **out, struct vfm_device *inner, const char *params,
		   struct vfm_err *err)
{
	char name[64] = "";
	const struct vfm_param table[] = {
		{ .name = "bug", .type = VFM_PARAM_TEXT, .value = name, .room = sizeof(name) },
		{ .name = NULL },
	};
	const char *uri = vfm_device_uri(inner);
	int ret = vfm_parse_params("fault", params, table, err);
	const struct vfm_bug *bug = ret ? NULL : find_bug(name, uri, err);
	struct vfm_fault *f;

	if (!bug)
		return ret ? ret : -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return vfm_fail(err, -ENOMEM, "%s: no memory", uri);
	f->pass.inner = inner;
	f->bug = bug;
	twist(&f->ops, &bug->ops);
	f->ops.resets_any_time = inner->ops->resets_any_time;
	ret = vfm_device_init(&f->pass.dev, &f->ops, uri, err);
	if (ret) {
		free(f);
		return ret;
	}
	*out = &f->pass.dev;
	return 0;
}
