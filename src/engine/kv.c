// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One question to a store, over as many tries as there is time for, at one endpoint after
 * the other.
 *
 * What surprises: a swap whose answer was lost is tried again, and that is how it is found out
 * what became of it. It is bound to a revision, so of all its tries one can be done at most, and
 * a later one is told what the key has instead: the value of the earlier.
 */

#include "engine/kv.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"
#include "base/util.h"

/* Longest time for one try, so that there is some left for another endpoint. */
#define TRY_MS 3000

/* Between rounds over all endpoints, and never more rounds than that. */
#define PAUSE_MS 200
#define ROUNDS_MAX 1000

static unsigned int left_ms(uint64_t end_ns)
{
	uint64_t now = vfm_now_ns();

	return now < end_ns ? (unsigned int)((end_ns - now) / 1000000 + 1) : 0;
}

static int wait_for(int fd, const struct vfm_wait *wait, struct vfm_err *err)
{
	int ret = vfm_wait_fd(fd, POLLIN, wait);

	/* who waits in our place has said why */
	return ret && !wait->fn ? vfm_fail(err, ret, "waiting for the store: %s", strerror(-ret))
				: ret;
}

/* Asking at one endpoint. @waited: it is the wait that failed. */
static int try_once(struct vfm_kv *kv, size_t endpoint, const struct vfm_kv_request *request,
		    struct vfm_kv_answer *answer, unsigned int timeout_ms,
		    const struct vfm_wait *wait, bool *waited, struct vfm_err *err)
{
	int ret = kv->ops->start(kv, endpoint, request, timeout_ms, err);

	while (!ret) {
		ret = wait_for(kv->ops->get_fd(kv), wait, err);
		if (ret) {
			*waited = true;
			break;
		}
		ret = kv->ops->process(kv, answer, err);
		if (ret != -EAGAIN)
			break;
		ret = 0;
	}
	kv->ops->stop(kv);
	return ret;
}

static int pause_for(unsigned int ms, const struct vfm_wait *wait, struct vfm_err *err)
{
	const struct itimerspec when = { .it_value.tv_nsec = (long)ms * 1000000 };
	vfm_auto_fd int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (timer < 0 || timerfd_settime(timer, 0, &when, NULL))
		return vfm_fail(err, -errno, "timer: %s", strerror(errno));
	return wait_for(timer, wait, err);
}

/* What is not of the moment, and no better after a pause. */
static bool is_lasting(int ret)
{
	return ret == -EACCES || ret == -EKEYREJECTED || ret == -EINVAL || ret == -ENOMEM;
}

static int ask(struct vfm_kv *kv, const struct vfm_kv_request *request,
	       struct vfm_kv_answer *answer, unsigned int timeout_ms, const struct vfm_wait *wait,
	       struct vfm_err *err)
{
	uint64_t end_ns = vfm_now_ns() + (uint64_t)timeout_ms * 1000000;
	int ret = 0;

	for (unsigned int round = 0; round < ROUNDS_MAX; round++) {
		bool hope = false, waited = false;
		int paused;

		for (size_t i = 0; i < kv->nr_endpoints; i++) {
			unsigned int ms = VFM_MIN(left_ms(end_ns), TRY_MS);

			if (!ms && ret)
				return ret;
			ret = try_once(kv, i, request, answer, ms, wait, &waited, err);
			if (!ret || waited)
				return ret;
			hope |= !is_lasting(ret);
		}
		if (!hope || left_ms(end_ns) <= PAUSE_MS)
			return ret;
		paused = pause_for(PAUSE_MS, wait, err);
		if (paused)
			return paused;
	}
	return ret;
}

int vfm_kv_get(struct vfm_kv *kv, const char *key, struct vfm_kv_value *now,
	       unsigned int timeout_ms, const struct vfm_wait *wait, struct vfm_err *err)
{
	const struct vfm_kv_request request = { .key = key };
	struct vfm_kv_answer answer = { 0 };
	int ret = ask(kv, &request, &answer, timeout_ms, wait, err);

	if (!ret)
		*now = answer.now;
	return ret;
}

int vfm_kv_swap(struct vfm_kv *kv, const char *key, uint64_t revision, const char *value,
		struct vfm_kv_value *now, unsigned int timeout_ms, const struct vfm_wait *wait,
		struct vfm_err *err)
{
	const struct vfm_kv_request request = {
		.key = key, .swap = true, .revision = revision, .value = value
	};
	struct vfm_kv_answer answer = { 0 };
	int ret = ask(kv, &request, &answer, timeout_ms, wait, err);

	if (ret)
		return ret;
	*now = answer.now;
	return answer.swapped;
}
