// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the migration region on a device that has nothing else: no operation of v2, and
 * not of our making (tests/region/peer.c). A strict one is as those of the field are: few
 * states, its iteration forgotten at every write of one, nothing described while it is
 * stopped. What is found of it is what is known of it, and no rule is blocked by the rest.
 */

#include "test.h"

#include <string.h>

#include "../region/peer.h"
#include "check/check.h"

struct field_run {
	enum peer_section section;
	bool strict;
	const char *const *expected; /* ends with NULL */
	const char *const *skipped;
	unsigned int found, passed, blocked;
};

static int open_peer(void *user, enum vfm_check_form form, struct vfm_device **out,
		     struct vfm_err *err)
{
	const struct field_run *run = user;
	struct peer *p = peer_new(run->section, 9);

	(void)err;
	assert_int_equal(form, VFM_CHECK_V1);
	p->strict = run->strict;
	*out = &p->dev;
	return 0;
}

static unsigned int count_names(const char *const *names)
{
	unsigned int n = 0;

	while (names[n])
		n++;
	return n;
}

static bool is_among(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

static void look(void *user, const struct vfm_check_result *r)
{
	struct field_run *run = user;

	if (r->verdict == VFM_VERDICT_PASSED && !is_among(run->expected, r->rule->name))
		run->passed++;
	else if (r->verdict == VFM_VERDICT_SKIPPED && is_among(run->skipped, r->rule->name))
		run->blocked++;
	else if (r->verdict == VFM_VERDICT_FAILED && is_among(run->expected, r->rule->name))
		run->found++;
	else
		fail_msg("%s %s: %s", r->rule->name, vfm_verdict_name(r->verdict), r->evidence);
}

/* How many rules there are, so that none is forgotten. */
static unsigned int count_rules(void)
{
	const struct vfm_check_rule *rule;
	unsigned int n = 0;

	for (size_t i = 0; (rule = vfm_check_rule_at(i)); i++)
		n += !strncmp(rule->name, "v1.", 3);
	return n;
}

static void check(struct field_run *run)
{
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_peer,
				       .rules = "v1.*",
				       .seed = 1,
				       .result = look,
				       .user = run };
	struct vfm_check_summary sum;

	assert_int_equal(vfm_check(&opts, &sum, NULL), 0);
	assert_false(sum.lost);
	assert_int_equal(run->found + run->passed + run->blocked, count_rules());
	assert_int_equal(run->found, count_names(run->expected));
}

/* It takes whatever it is given for an image, and has its own bits in device_state. */
#define TAKES_ALL                                                                                  \
	"v1.refuse.truncated", "v1.refuse.empty", "v1.refuse.foreign", "v1.refuse.damaged",        \
		"v1.refuse.twice"
#define NO_EXERCISE "v1.save.zero-and-back", "v1.resume.applied"
#define NO_MAPPING                                                                                 \
	"v1.region.areas-are-pages", "v1.region.registers-are-trapped",                            \
		"v1.data.mapped-is-aligned", "v1.data.mapped-is-same", "v1.resume.mapped"

static void strict_device(void **state)
{
	static const char *const expected[] = { "v1.register.reserved-word", "v1.state.out-of-stop",
						"v1.state.reserved-is-kept", TAKES_ALL, NULL };
	static const char *const skipped[] = { NO_EXERCISE, NO_MAPPING, NULL };
	struct field_run run = {
		.section = PEER_TRAPPED, .strict = true, .expected = expected, .skipped = skipped
	};

	(void)state;
	check(&run);
}

/* It has chunks that begin within a page, in areas and between them. */
static void mapped_device(void **state)
{
	static const char *const expected[] = { "v1.register.reserved-word",
						"v1.register.native-width",
						"v1.state.reserved-is-kept",
						"v1.data.mapped-is-aligned",
						TAKES_ALL,
						NULL };
	static const char *const skipped[] = { NO_EXERCISE, "v1.data.mapped-is-same", NULL };
	struct field_run run = { .section = PEER_SPLIT, .expected = expected, .skipped = skipped };

	(void)state;
	check(&run);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_device),
		cmocka_unit_test(mapped_device),
	};

	return RUN_TESTS(tests);
}
