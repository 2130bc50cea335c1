// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device is judged in the same way wherever it is: what is found in process is found
 * over a socket, and a healthy device has no findings in any of its faces. What our server
 * guards users against, or does itself, cannot be found through it: a table says what and why.
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

/* Several chunks, and a section of which a part can be mapped: all there is to v1. */
#define V1 "v1,data=sparse,data-size=32K+"

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

/*
 * Bugs that cannot be seen over a socket of ours, because they reach nobody through it, and why.
 * All others must be. A device with one of these is fit as it is served, and not in process.
 */
static const struct {
	const char *bug, *why;
} shielded[] = {
	{ "state-off-by-one", "the server takes no state that there is not" },
	{ "protocol-3", "the client tells the protocol of the socket, the device is not asked" },
	{ "begins-in-stop", "it is opened when the server begins, and is as a user has left it" },
	{ "mmap-without-descriptor", "the server shows it as one to be reached by messages" },
	{ "area-within-page", "the server shows it as one to be reached by messages" },
	{ "v1-area-unaligned", "the server shows it as one to be reached by messages" },
	{ "region-index-off-by-one", "the server describes none beyond those that there are" },
	{ "region-read-beyond", "the server lets no access leave its region" },
	{ "resuming-is-read", "the server tells no end where there is no session to be read" },
	{ "reconnect-in-stop", "the server has the device open all the time" },
	{ "second-user-let-in", "the server has one client" },
	{ "mappings-outlive-user", "the server unmaps what its client had mapped" },
	{ "log-outlives-user", "the server stops the log of its client" },
	{ "last-will-forgotten", "the server carries it out by states and resets" },
	{ "reset-frees-session", "the server makes one call at a time" },
	{ "stop-copy-enomsg", "no bytes are the end in STOP_COPY, on the wire" },
	{ "precopy-end-zero", "no bytes are \"nothing now\" in PRE_COPY, on the wire" },
	{ "precopy-flags-echoed", "the wire takes no info to be filled in" },
	{ "dma-in-p2p", "a second device is wanted, and a socket has one" },
	{ "dma-overlap-accepted", "the server knows what is mapped" },
	{ "dma-overlap-einval", "the server knows what is mapped" },
	{ "dma-unmap-inexact", "the server knows what is mapped" },
	{ "log-overwrites-bitmap", "the server gives the device a bitmap of its own" },
	{ "log-beyond-end", "the server clears what is behind the last page" },
	{ "log-report-accepted", "the server knows whether there is a log" },
};

static const char *why_shielded(const char *bug)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(shielded); i++)
		if (!strcmp(shielded[i].bug, bug))
			return shielded[i].why;
	return NULL;
}

/* By the rule that is about it, or else by another that cannot but see it. */
static bool is_found(const struct vfm_bug *bug)
{
	struct look look = { .strict = false };

	for (size_t i = 0; !look.found && i < VFM_BUG_RULES && bug->rules[i]; i++) {
		struct served s;
		char uri[256];

		snprintf(uri, sizeof(uri),
			 "fault,bug=%s+%ssim:dma,state=64K,initial=16K,bar=64K,features=7",
			 bug->is.name, bug->v1 ? V1 : "");
		served_begin(&s, uri, VFM_FACE_V2, true);
		check(&look, s.uri, bug->rules[i]);
		served_end(&s);
	}
	return look.found;
}

/* All that is wrong is told, for one change shows in many bugs. */
static void what_is_found_in_process_is_found_over_a_socket(void **state)
{
	unsigned int found = 0, hidden = 0, wrong = 0;
	const struct vfm_bug *bug;

	(void)state;
	for (size_t i = 0; (bug = vfm_bug_at(i)); i++) {
		const char *why = why_shielded(bug->is.name);
		bool seen = is_found(bug);

		found += seen;
		hidden += why != NULL;
		if (seen != !why && ++wrong)
			print_error("# %s is %s over a socket%s%s\n", bug->is.name,
				    seen ? "seen" : "not seen",
				    why ? ", in spite of: " : ", and nobody knows why",
				    why ? why : "");
	}
	print_message("# %u bugs are found over a socket, %u are shielded\n", found, hidden);
	assert_int_equal(wrong, 0);
	assert_int_equal(hidden, VFM_ARRAY_SIZE(shielded));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_face_of_a_healthy_device_is_healthy),
		cmocka_unit_test(what_is_found_in_process_is_found_over_a_socket),
	};

	return RUN_TESTS(tests);
}
