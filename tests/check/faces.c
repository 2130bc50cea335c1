// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device is judged in the same way wherever it is: what is found in process is found
 * over a socket, and a healthy device has no findings in any of its faces. What our server
 * or our client guards a device against, or does itself, cannot be found through them.
 */

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/vfmig.h>

#include "base/util.h"
#include "served.h"
#include "wrap/wrap.h"

#define TIMEOUT_MS 4000

/* One run over a socket. */
struct look {
	char uri[96];
	bool strict; /* nothing may be found */
	unsigned int found;
	struct vfm_check_summary sum;
};

static int open_it(void *user, enum vfm_check_form form, struct vfm_device **out,
		   struct vfm_err *err)
{
	const struct look *look = user;
	char raw[112];

	snprintf(raw, sizeof(raw), "%s%s", form == VFM_CHECK_V1 ? "raw+" : "", look->uri);
	return vfm_open(out, raw, err);
}

static void result(void *user, const struct vfm_check_result *r)
{
	struct look *look = user;

	if (r->verdict <= VFM_VERDICT_SKIPPED)
		return;
	look->found++;
	if (look->strict)
		fail_msg("%s: %s %s: %s\n  %s", look->uri, r->rule->name,
			 vfm_verdict_name(r->verdict), r->evidence,
			 r->nr_ops ? r->ops[r->nr_ops - 1] : "");
}

static void check(struct look *look, const char *uri, const char *rules)
{
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_it,
				       .rules = rules,
				       .seed = 1,
				       .quick = true,
				       .timeout_ms = look->strict ? 0 : TIMEOUT_MS,
				       .exercise = vfm_sim_exercise(VFM_SIM_DMA_MODEL),
				       .result = result,
				       .user = look };
	struct vfm_err err;

	snprintf(look->uri, sizeof(look->uri), "%s", uri);
	if (!vfm_check(&opts, &look->sum, &err))
		return;
	if (look->strict)
		fail_msg("%s: %s", uri, err.msg);
	/* it cannot even be opened */
	look->found++;
}

/* ---- healthy devices --------------------------------------------------------------- */

static const struct {
	const char *uri;
	enum vfm_face face;
	bool extension;
} faces[] = {
	{ "sim:dma,state=64K,bar=64K", VFM_FACE_V2, true },
	{ "sim:dma,state=64K,bar=64K", VFM_FACE_V2, false },
	{ "sim:dma,state=64K,bar=64K,features=1", VFM_FACE_V2, false },
	{ "sim:dma,state=64K,bar=64K", VFM_FACE_V1, true },
	{ "sim:dma,state=64K,bar=64K", VFM_FACE_V1, false },
	{ "sim:dma,state=64K,bar=64K", VFM_FACE_BOTH, true },
	{ "v1+sim:dma,state=64K,bar=64K", VFM_FACE_V2, true },
};

static void every_face_of_a_healthy_device_is_healthy(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(faces); i++) {
		struct look look = { .strict = true };
		struct served s;

		served_begin(&s, faces[i].uri, faces[i].face, faces[i].extension);
		check(&look, s.uri, NULL);
		served_end(&s);
		assert_false(look.sum.lost);
		assert_true(look.sum.migrates);
		assert_true(look.sum.verdicts[VFM_VERDICT_PASSED] > 0);
	}
}

/* ---- bugs ------------------------------------------------------------------------------ */

/* Bugs that must not be seen over a socket of ours: the server refuses what they let through. */
static const char *const guarded[] = { "state-off-by-one" };

static bool is_guarded(const char *bug)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(guarded); i++)
		if (!strcmp(guarded[i], bug))
			return true;
	return false;
}

/* Each bug by its own rule alone: that no other sees it, the matrix shows. */
static bool is_found(const struct vfm_bug *bug)
{
	struct look look = { .strict = false };
	struct served s;
	char uri[256];

	snprintf(uri, sizeof(uri),
		 "fault,bug=%s+%ssim:dma,state=64K,initial=16K,bar=64K,features=7", bug->is.name,
		 bug->v1 ? "v1+" : "");
	served_begin(&s, uri, VFM_FACE_V2, true);
	check(&look, s.uri, bug->rules[0]);
	served_end(&s);
	return look.found;
}

/* Most of them; which are not is printed, and is for whoever looks at this. */
static void what_is_found_in_process_is_found_over_a_socket(void **state)
{
	unsigned int found = 0, all = 0;
	const struct vfm_bug *bug;

	(void)state;
	for (size_t i = 0; (bug = vfm_bug_at(i)); i++) {
		bool seen = is_found(bug);

		if (is_guarded(bug->is.name)) {
			assert_false(seen);
			continue;
		}
		all++;
		found += seen;
		if (!seen)
			print_message("# %s is not seen over a socket\n", bug->is.name);
	}
	print_message("# %u of %u bugs are found over a socket\n", found, all);
	assert_true(found * 4 >= all * 3);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_face_of_a_healthy_device_is_healthy),
		cmocka_unit_test(what_is_found_in_process_is_found_over_a_socket),
	};

	return RUN_TESTS(tests);
}
