// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * vfmig check: the rules of the checker on one device, and what came of them in one of
 * several formats.
 *
 * What surprises: the device is opened in the processes of the trials and never here,
 * where one that hangs or crashes would be the end.
 */

#include "check.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

/* One run of the verb. */
struct check {
	const struct cmd_args *args;
	struct check_report report;
	struct vfm_check_summary sum;
	bool progress;
	size_t shown; /* width of the progress line that stands there */
};

/* ---- what the formats share -------------------------------------------------------- */

bool check_failed(const struct vfm_check_result *result)
{
	return result->verdict > VFM_VERDICT_SKIPPED;
}

bool check_is_fit(const struct check_report *r)
{
	return !r->cut && r->sum->migrates && !r->sum->failed[VFM_SEVERITY_MUST];
}

const char *check_printable(const char *from, char *text, size_t room)
{
	snprintf(text, room, "%s", from);
	cmd_clean(text);
	return text;
}

/* A word for a shell: as it is, or in single quotes. */
static void quote(const char *word, char *text, size_t room)
{
	size_t used = 0;

	if (word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      "+,-./:=@_")] == '\0') {
		snprintf(text, room, "%s", word);
		return;
	}
	used += (size_t)snprintf(text, room, "'");
	for (; *word && used + 8 < room; word++)
		used += (size_t)snprintf(text + used, room - used, *word == '\'' ? "'\\''" : "%c",
					 *word);
	snprintf(text + used, room - used, "'");
	cmd_clean(text);
}

void check_again(const struct check_report *r, const char *rule, char *text, size_t room)
{
	char uri[512], exercise[256] = "";

	quote(r->uri, uri, sizeof(uri));
	if (r->exercise)
		quote(r->exercise, exercise, sizeof(exercise));
	snprintf(text, room, "vfmig check --rule=%s --seed=%" PRIu64 "%s%s %s", rule, r->seed,
		 r->exercise ? " --exercise=" : "", exercise, uri);
}

/* ---- in the process of a trial -------------------------------------------------------- */

/* A device that speaks v1 is opened with the semantics of v2; rules about v1 want what is below. */
static int open_form(void *user, enum vfm_check_form form, struct vfm_device **out,
		     struct vfm_err *err)
{
	const struct check *c = (const struct check *)user;
	vfm_auto_free char *raw = NULL;

	if (form == VFM_CHECK_V2)
		return vfm_open(out, c->args->operands[0], err);
	if (asprintf(&raw, "raw+%s", c->args->operands[0]) < 0) {
		raw = NULL;
		return vfm_fail(err, -ENOMEM, "no memory for a name");
	}
	return vfm_open(out, raw, err);
}

/* How to make it do something, if it is a device that we know. */
static const struct vfm_exercise *find_exercise(void *user, struct vfm_device *dev)
{
	(void)user;
	return vfm_sim_find_exercise(dev);
}

/* ---- progress -------------------------------------------------------------------------- */

static void hide_progress(struct check *c)
{
	if (c->shown)
		fprintf(stderr, "\r%*s\r", (int)c->shown, "");
	c->shown = 0;
}

static void on_begin(void *user, const struct vfm_check_rule *rule, unsigned int before,
		     unsigned int all)
{
	struct check *c = (struct check *)user;
	char line[128];
	int width;

	c->report.number = before + 1;
	c->report.all = all;
	if (!c->progress)
		return;
	width = snprintf(line, sizeof(line), "check: %u of %u, %s", before + 1, all, rule->name);
	fprintf(stderr, "\r%-*s", (int)c->shown, line);
	c->shown = (size_t)width;
}

static void on_result(void *user, const struct vfm_check_result *result)
{
	struct check *c = (struct check *)user;

	hide_progress(c);
	c->report.format->result(&c->report, result);
}

/* ---- a run -------------------------------------------------------------------------------- */

static int run(struct check *c, const struct vfm_exercise *exercise, int signal_fd,
	       struct vfm_err *err)
{
	const struct cmd_args *args = c->args;
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_form,
				       .rules = args->rule,
				       .seed = args->seed,
				       .quick = args->quick,
				       .cancel_fd = signal_fd,
				       .exercise = exercise,
				       .find_exercise = find_exercise,
				       .begin = on_begin,
				       .result = on_result,
				       .user = c };
	int ret;

	if (args->given & CMD_BIT(TIMEOUT))
		opts.timeout_ms = (unsigned int)(args->timeout_s * 1000);
	ret = vfm_check(&opts, &c->sum, err);
	hide_progress(c);
	if (ret == -ECANCELED)
		return cmd_interrupted(signal_fd, err);
	/* a name that is wrong, of a device or, before any was opened, of a rule */
	if (ret == -EINVAL || ret == -ENAMETOOLONG || (ret == -ENOENT && !c->report.number))
		return CMD_MISUSE;
	return ret;
}

/* What the run says of the device. */
static int conclude(const struct check *c, struct vfm_err *err)
{
	unsigned int failed = c->sum.failed[VFM_SEVERITY_MUST];

	if (failed)
		return vfm_fail(err, -EUCLEAN, "%u rule%s that must hold do%s not", failed,
				failed == 1 ? "" : "s", failed == 1 ? "es" : "");
	if (c->sum.lost)
		return vfm_fail(err, -EUCLEAN, "%s", c->sum.why.msg);
	return c->sum.migrates ? 0 : vfm_fail(err, -ENOTTY, "the device cannot migrate");
}

static const struct check_format *const formats[] = { &check_text, &check_tap, &check_junit,
						      &check_json };

/* Try all, with a report to @out; that is written however the run ends, if it began. */
static int run_reported(struct check *c, FILE *out, const struct vfm_exercise *exercise,
			struct vfm_err *err)
{
	struct check_report *r = &c->report;
	vfm_auto_fd int signal_fd = -1;
	struct vfm_err problem;
	int ret, written;

	*r = (struct check_report){ .format = formats[c->args->format],
				    .out = out,
				    .uri = c->args->operands[0],
				    .exercise = c->args->exercise,
				    .seed = c->args->seed,
				    .quick = c->args->quick,
				    .sum = &c->sum };
	ret = signal_fd = cmd_signals(err);
	if (ret >= 0)
		ret = r->format->begin(r, err);
	if (ret)
		return ret;
	ret = run(c, exercise, signal_fd, err);
	r->cut = ret ? err->msg : c->sum.lost ? c->sum.why.msg : NULL;
	written = r->format->end(r, &problem);
	if (!ret)
		ret = conclude(c, err);
	if (written && !ret)
		*err = problem;
	return ret ? ret : written;
}

static int check_to_file(struct check *c, const struct vfm_exercise *exercise, struct vfm_err *err)
{
	struct cmd_outfile file;
	int ret = cmd_outfile_open(&file, c->args->output, -1, err), written = 0;
	FILE *out = ret ? NULL : fdopen(dup(file.fd), "w");
	struct vfm_err problem;

	if (!ret && !out)
		ret = vfm_fail(err, -errno, "open %s", c->args->output);
	if (ret) {
		cmd_outfile_free(&file);
		return ret;
	}
	ret = run_reported(c, out, exercise, err);
	if (ferror(out) | fclose(out))
		written = vfm_fail(&problem, errno ? -errno : -EIO, "write %s", c->args->output);
	/* a report of a device that is not fit is a report; one of nonsense is none */
	if (!written && ret != CMD_MISUSE)
		written = cmd_outfile_commit(&file, &problem);
	cmd_outfile_free(&file);
	if (written)
		*err = problem;
	return written ? written : ret;
}

static bool lists(const struct cmd_args *args, int *ret, struct vfm_err *err)
{
	*ret = 0;
	if (args->explain)
		*ret = check_explain(args->explain, err);
	else if (args->list)
		check_list_rules(args->rule);
	else if (args->list_bugs)
		check_list_bugs();
	else
		return false;
	return true;
}

int cmd_check(const struct cmd_args *args, struct vfm_err *err)
{
	const struct vfm_exercise *exercise = NULL, *loaded = NULL;
	struct check c = { .args = args };
	int ret;

	if (lists(args, &ret, err))
		return ret;
	/* one of ours by its model, or somebody's by its file; a name that is wrong is misuse */
	if (args->exercise)
		exercise = vfm_sim_exercise(args->exercise);
	if (args->exercise && !exercise && vfm_exercise_load(&loaded, args->exercise, err))
		return CMD_MISUSE;
	if (loaded)
		exercise = loaded;
	c.progress = !args->quiet && isatty(STDERR_FILENO);
	ret = args->output ? check_to_file(&c, exercise, err)
			   : run_reported(&c, stdout, exercise, err);
	vfm_exercise_unload(loaded);
	return ret;
}
