// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Steps done to all devices of a unit, by hands if there are several.
 *
 * Two manners of it. On the way there a failure ends it, and so does whatever ends a
 * wait: vfm_unit_each(). On the way back, and when nothing can be undone any more, everything
 * is tried with every device: vfm_unit_all(), vfm_unit_start(). So the second finds devices
 * that are busy with what is left of the first. Steps carry the number of their wave, and
 * what is late is dropped.
 */

#include "engine/unit.h"

#include <errno.h>
#include <limits.h>

#include "base/util.h"

/* No wait for hands alone is longer, so that progress is told. */
#define TURN_MS 200

/*
 * On a way that all go together nobody waits for longer for a device that is late at a level,
 * or for longer than the other side may be silent: it may be slow, but all stand still for it.
 */
#define PATIENCE_MS 5000u

void vfm_unit_name(const struct vfm_engine *e, const struct vfm_member *m, struct vfm_err *err)
{
	if (e->nr_members > 1)
		vfm_fail_prefix(err, "device %u (%.128s)", m->index, vfm_device_uri(m->dev));
}

int vfm_unit_failed(struct vfm_engine *e, struct vfm_member *m, int ret)
{
	m->failed = true;
	e->err = m->err;
	vfm_unit_name(e, m, &e->err);
	return ret;
}

/* The first failure of a turn: @m has it, with @ret. */
static int blame(struct vfm_engine *e, struct vfm_member *m, int ret)
{
	m->failed = true;
	e->cause = m->err;
	e->cause.code = ret;
	vfm_unit_name(e, m, &e->cause);
	return ret;
}

/* ---- hands ---------------------------------------------------------------- */

int vfm_unit_hands(struct vfm_engine *e)
{
	if (e->nr_members == 1)
		return 0;
	return vfm_hands_new(&e->hands, (unsigned int)VFM_MIN(e->nr_members, VFM_HANDS_MAX),
			     &e->err);
}

static struct vfm_member *member_of(struct vfm_work *work)
{
	return (struct vfm_member *)((char *)work - offsetof(struct vfm_member, work));
}

static void run(struct vfm_work *work)
{
	struct vfm_member *m = member_of(work);

	m->ret = m->step(m, m->what);
}

void vfm_unit_give(struct vfm_engine *e, struct vfm_member *m, vfm_step *step, int what,
		   int (*collected)(struct vfm_engine *e, struct vfm_member *m))
{
	m->work.run = run;
	m->step = step;
	m->what = what;
	m->collected = collected;
	m->wave = e->wave;
	m->busy = true;
	e->in_hand++;
	vfm_hands_give(e->hands, &m->work);
}

bool vfm_unit_free_hand(const struct vfm_engine *e)
{
	return e->in_hand < VFM_HANDS_MAX;
}

int vfm_unit_collect(struct vfm_engine *e)
{
	struct vfm_work *work;
	int first = 0;

	while (e->hands && (work = vfm_hands_collect(e->hands))) {
		struct vfm_member *m = member_of(work);
		int ret = 0;

		m->busy = false;
		e->in_hand--;
		e->collected++;
		if (m->wave == e->wave)
			ret = m->collected(e, m);
		if (ret && !first)
			first = blame(e, m, ret);
	}
	return first;
}

/* ---- serving those that nobody has ----------------------------------------- */

size_t vfm_unit_watch(const struct vfm_engine *e, struct pollfd *fds)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_member *m = &e->members[i];
		int fd = m->busy || m->mute ? -1 : vfm_device_get_fd(m->dev);

		fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	return e->nr_members;
}

int vfm_unit_process(struct vfm_engine *e, const struct pollfd *fds)
{
	int first = 0;

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];
		int ret = fds[i].revents && !m->busy ? vfm_device_process(m->dev, &m->err) : 0;

		/* It would be readable for ever. */
		m->mute |= ret != 0;
		if (ret && !first)
			first = blame(e, m, ret);
	}
	return first;
}

/* Until something was collected, or the time is over; nothing ends it but that. */
static void await_hands(struct vfm_engine *e, uint64_t end_ns)
{
	struct vfm_err cause = e->cause;
	uint64_t now = vfm_now_ns();
	int wait_ms = TURN_MS;
	size_t count;

	if (end_ns)
		wait_ms = now < end_ns ? (int)VFM_MIN((end_ns - now) / 1000000 + 1, TURN_MS) : 0;
	e->fds[0] = (struct pollfd){ .fd = vfm_hands_fd(e->hands), .events = POLLIN };
	count = 1 + vfm_unit_watch(e, e->fds + 1);
	if (poll(e->fds, count, wait_ms) > 0)
		(void)!vfm_unit_process(e, e->fds + 1);
	(void)!vfm_unit_collect(e);
	e->cause = cause;
	vfm_engine_tick(e);
}

/* ---- a step of all ---------------------------------------------------------- */

static int collect_strict(struct vfm_engine *e, struct vfm_member *m)
{
	(void)e;
	return m->ret;
}

static int collect_any(struct vfm_engine *e, struct vfm_member *m)
{
	(void)e;
	(void)m;
	return 0;
}

/* Give as much as can be given; whether there is anything left to be waited for. */
static bool give_wave(struct vfm_engine *e, vfm_step *step, int what,
		      int (*collected)(struct vfm_engine *e, struct vfm_member *m))
{
	bool left = false;

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		if (m->wave != e->wave && !m->busy && vfm_unit_free_hand(e))
			vfm_unit_give(e, m, step, what, collected);
		left |= m->wave != e->wave || m->busy;
	}
	return left;
}

static int do_one(struct vfm_engine *e, vfm_step *step, int what)
{
	struct vfm_member *m = e->members;

	m->ret = step(m, what);
	return m->ret ? vfm_unit_failed(e, m, m->ret) : 0;
}

int vfm_unit_each(struct vfm_engine *e, vfm_step *step, int what)
{
	int ret = 0;

	if (!e->hands)
		return do_one(e, step, what);
	e->wave++;
	while (!ret && give_wave(e, step, what, collect_strict))
		ret = vfm_engine_await(e, -1);
	return ret;
}

/* What all of those that have failed say. */
static int gather(struct vfm_engine *e, struct vfm_err *err)
{
	int first = 0;

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		/* Those that were never given to a hand have no part in this. */
		if (!m->ret || m->wave != e->wave)
			continue;
		m->failed = true;
		vfm_unit_name(e, m, &m->err);
		if (first)
			vfm_err_also(err, &m->err);
		else
			*err = m->err;
		first = first ? first : m->ret;
	}
	return first;
}

static void do_all(struct vfm_engine *e, vfm_step *step, int what)
{
	e->wave++;
	while (e->hands && give_wave(e, step, what, collect_any))
		await_hands(e, 0);
	for (size_t i = 0; !e->hands && i < e->nr_members; i++) {
		e->members[i].wave = e->wave;
		e->members[i].ret = step(&e->members[i], what);
	}
}

int vfm_unit_all(struct vfm_engine *e, vfm_step *step, int what, struct vfm_err *err)
{
	do_all(e, step, what);
	return gather(e, err);
}

bool vfm_unit_try(struct vfm_engine *e, vfm_step *step, int what)
{
	do_all(e, step, what);
	for (size_t i = 0; i < e->nr_members; i++)
		if (e->members[i].ret)
			return false;
	return true;
}

/* ---- the way that all go together -------------------------------------------- */

bool vfm_unit_has_level(const struct vfm_engine *e, int level)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_member *m = &e->members[i];

		/* Of one that a hand has, it is not known yet. */
		if (level == VFM_LEVEL_LAST || m->busy ||
		    !(m->migration & VFM_MIGRATION_P2P) == (level == VFM_LEVEL_SOLO))
			return true;
	}
	return false;
}

static int collect_level(struct vfm_engine *e, struct vfm_member *m)
{
	(void)e;
	m->level = m->ret ? VFM_NR_LEVELS : m->level + 1;
	return 0;
}

/* Those that have not come through @level yet; false: all have, or have failed. */
static bool give_level(struct vfm_engine *e, vfm_step *step, unsigned int level)
{
	bool left = false;

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		if (m->level > level)
			continue;
		left |= !m->late;
		if (!m->busy && vfm_unit_free_hand(e))
			vfm_unit_give(e, m, step, (int)m->level, collect_level);
	}
	return left;
}

/* Who has not come through it when the time is over is late from then on. */
static void go_to_level(struct vfm_engine *e, vfm_step *step, unsigned int level, uint64_t end_ns)
{
	while (give_level(e, step, level) && vfm_now_ns() < end_ns)
		await_hands(e, end_ns);
	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].late |= e->members[i].level <= level;
}

static uint64_t patience_ns(const struct vfm_engine *e)
{
	unsigned int ms = PATIENCE_MS;

	if (e->opts.timeout_ms)
		ms = VFM_MIN(ms, e->opts.timeout_ms);
	return (uint64_t)ms * 1000000;
}

int vfm_unit_start(struct vfm_engine *e, vfm_step *step, struct vfm_err *err)
{
	if (!e->hands)
		return vfm_unit_all(e, step, VFM_LEVEL_LAST, err);
	e->wave++;
	for (size_t i = 0; i < e->nr_members; i++) {
		e->members[i].level = 0;
		e->members[i].late = false;
	}
	for (unsigned int level = 0; level < VFM_NR_LEVELS; level++)
		if (vfm_unit_has_level(e, (int)level))
			go_to_level(e, step, level, vfm_now_ns() + patience_ns(e));
	/* Those that are late come after, however long that takes. */
	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].late = false;
	while (give_level(e, step, VFM_LEVEL_LAST))
		await_hands(e, 0);
	return gather(e, err);
}

/* ---- what they are ------------------------------------------------------------ */

bool vfm_unit_has(const struct vfm_engine *e, uint64_t migration)
{
	for (size_t i = 0; i < e->nr_members; i++)
		if (e->members[i].migration & migration)
			return true;
	return false;
}

bool vfm_unit_touched(const struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++)
		if (e->members[i].touched)
			return true;
	return false;
}

void vfm_unit_touch(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].touched = true;
}

/* Whether it can go with the others. */
static int check_member(struct vfm_engine *e, struct vfm_member *m)
{
	const struct vfm_member *first = e->members;
	int ret = 0;

	if (!(m->migration & VFM_MIGRATION_P2P) && !e->opts.allow_no_p2p)
		ret = vfm_fail(&m->err, -ENOTSUP,
			       "it has no P2P states, so it may write into others of its unit "
			       "that have stopped, and that would be lost");
	else if (!e->sink && m->origin != first->origin)
		ret = vfm_fail(&m->err, -EINVAL,
			       "it is in %s, and device 0 in %s: devices that go together must be "
			       "in the same state",
			       vfm_state_name(m->origin), vfm_state_name(first->origin));
	return ret ? vfm_unit_failed(e, m, ret) : 0;
}

int vfm_unit_ask(struct vfm_engine *e)
{
	int ret = vfm_unit_each(e, vfm_member_ask, 0);

	for (size_t i = 0; !ret && i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		if (!i || m->protocol < e->report.protocol)
			e->report.protocol = m->protocol;
		if (e->nr_members > 1)
			ret = check_member(e, m);
	}
	return ret;
}

/* ---- the report ----------------------------------------------------------------- */

static enum vfm_state ask_state(const struct vfm_member *m)
{
	enum vfm_state state;

	return vfm_device_get_state(m->dev, &state, NULL) ? VFM_STATE_ERROR : state;
}

void vfm_unit_report(const struct vfm_engine *e, bool state)
{
	for (size_t i = 0; e->reports && i < e->nr_members; i++) {
		const struct vfm_member *m = &e->members[i];
		bool told = m->rest.told_any && !e->paused;

		if (m->busy)
			continue;
		e->reports[i] = (struct vfm_device_report){
			.protocol = m->protocol,
			.state = state ? ask_state(m) : m->origin,
			.failed = m->failed,
			.state_bytes = m->bytes,
			.data_us = m->data_ns / 1000,
			.told_bytes = told ? m->rest.told : 0,
			.came_bytes = e->report.came_bytes ? m->got : 0,
			.told_wrong = m->told_wrong,
			.arcs = m->arcs.count,
			.arcs_us = (uint64_t)(m->arcs.ns / 1000),
		};
	}
}
