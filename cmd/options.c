// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The table of options. An option means the same in every verb that has it; a
 * verb says with bits which ones those are. getopt_long() sees only those, so
 * that abbreviations are those of the verb.
 */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/params.h"
#include "base/util.h"

enum kind { KIND_FLAG, KIND_NUMBER, KIND_SIZE, KIND_FD, KIND_WORD, KIND_TEXT, KIND_MEMORY };

struct option_row {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct cmd_args */
	const char *arg;
	bool arg_optional;
	uint64_t min, max;
	uint64_t standard; /* value when the option is absent */
	uint64_t bare;	   /* value when its argument is */
	const char *words; /* of a KIND_WORD: "one|other"; the value is its place among them */
	const char *help;
};

#define FIELD(name) offsetof(struct cmd_args, name)

/* clang-format off */
static const struct option_row rows[CMD_NR_OPTIONS] = {
	[CMD_OPT_JSON] = { "json", KIND_FLAG, FIELD(json),
		.help = "print one JSON object" },
	[CMD_OPT_QUIET] = { "quiet", KIND_FLAG, FIELD(quiet),
		.help = "no progress, no messages but errors" },
	[CMD_OPT_RECORDS] = { "records", KIND_FLAG, FIELD(records),
		.help = "list every record" },
	[CMD_OPT_READY_FD] = { "ready-fd", KIND_FD, FIELD(ready_fd), "N", .max = 1 << 20,
		.standard = UINT64_MAX,
		.help = "write a line to descriptor N when listening, then close it" },
	[CMD_OPT_ONCE] = { "once", KIND_FLAG, FIELD(once),
		.help = "serve one client, then end" },
	[CMD_OPT_NO_EXTENSION] = { "no-extension", KIND_FLAG, FIELD(no_extension),
		.help = "standard vfio-user messages only" },
	[CMD_OPT_COMPRESS] = { "compress", KIND_NUMBER, FIELD(compress), "LEVEL", true, 1, 19,
		.bare = 3, .help = "compress with zstd; LEVEL 1 to 19, 3 when not given" },
	[CMD_OPT_MAX_DOWNTIME] = { "max-downtime", KIND_NUMBER, FIELD(max_downtime_ms), "MS",
		.max = 86400000, .standard = 300,
		.help = "stop only when the rest fits into MS; 0: no limit; default 300, of the demo 50" },
	[CMD_OPT_MAX_ROUNDS] = { "max-rounds", KIND_NUMBER, FIELD(max_rounds), "N", .min = 1,
		.max = 1000000, .standard = 100,
		.help = "refuse if that takes more than N rounds; default 100" },
	[CMD_OPT_MAX_TIME] = { "max-time", KIND_NUMBER, FIELD(max_time_s), "S", .max = 86400,
		.help = "seconds until it must be decided to stop the source; 0, the default: no limit" },
	[CMD_OPT_ON_LIMIT] = { "on-limit", KIND_WORD, FIELD(on_limit), "abort|force",
		.words = "abort|force",
		.help = "when a limit cannot be kept: refuse, the default, or stop all the same" },
	[CMD_OPT_WIRE_RATE] = { "wire-rate", KIND_SIZE, FIELD(wire_rate), "RATE",
		.max = UINT64_C(1) << 40,
		.help = "bytes a second of the wire; measured on a socket of this machine by default" },
	[CMD_OPT_TIMEOUT] = { "timeout", KIND_NUMBER, FIELD(timeout_s), "S", .min = 1,
		.max = 86400, .standard = 30,
		.help = "longest silence of the other side in seconds" },
	[CMD_OPT_MEMORY_LIMIT] = { "memory-limit", KIND_SIZE, FIELD(memory_limit), "SIZE",
		.min = 8 << 20, .max = UINT64_C(1) << 40, .standard = 64 << 20,
		.help = "bytes of state that may be on their way here at a time; default 64M" },
	[CMD_OPT_MEMORY] = { "memory", KIND_MEMORY, FIELD(memory), "SIZE[@IOVA][=FILE]",
		.help = "DMA memory that travels with the device; may be repeated" },
	[CMD_OPT_TO_MEMORY] = { "to-memory", KIND_MEMORY, FIELD(to_memory), "SIZE[@IOVA][=FILE]",
		.help = "the destination's, when it shall not be made to fit" },
	[CMD_OPT_INSECURE] = { "insecure", KIND_FLAG, FIELD(insecure),
		.help = "allow addresses beyond this machine" },
	[CMD_OPT_STATE] = { "state", KIND_SIZE, FIELD(state), "SIZE", .min = 4096,
		.max = UINT64_C(1) << 34, .standard = 64 << 20,
		.help = "state in the device; default 64M" },
	[CMD_OPT_DEMO_MEMORY] = { "memory", KIND_SIZE, FIELD(demo_memory), "SIZE", .min = 65536,
		.max = UINT64_C(1) << 36, .standard = 128 << 20,
		.help = "memory that the device writes to; default 128M" },
	[CMD_OPT_DIRTY] = { "dirty", KIND_SIZE, FIELD(dirty), "RATE",
		.max = UINT64_C(1) << 36, .standard = 20 << 20,
		.help = "bytes of state changed in a second; default 20M" },
	[CMD_OPT_DMA_RATE] = { "dma-rate", KIND_SIZE, FIELD(dma_rate), "RATE", .min = 4096,
		.max = UINT64_C(1) << 36, .standard = 40 << 20,
		.help = "bytes written by DMA in a second; default 40M" },
	[CMD_OPT_EVENTS] = { "events", KIND_TEXT, FIELD(events), "FILE|FD",
		.help = "write what happens there, one JSON object a line" },
	[CMD_OPT_FACE] = { "face", KIND_WORD, FIELD(face), "v1|v2|both",
		.words = "v2|v1|both",
		.help = "migration protocol that clients are shown; default v2" },
	[CMD_OPT_DATA] = { "data", KIND_WORD, FIELD(section), "trapped|mmap|sparse",
		.words = "trapped|mmap|sparse",
		.help = "how the data section of v1 is reached; default trapped" },
	[CMD_OPT_DATA_SIZE] = { "data-size", KIND_SIZE, FIELD(section_size), "SIZE", .min = 4096,
		.max = 1 << 30, .standard = 16 << 20,
		.help = "bytes in that section, and most in a chunk; default 16M" },
	[CMD_OPT_PROTOCOL] = { "protocol", KIND_WORD, FIELD(protocol), "v1|v2|v1:v2|v2:v1",
		.words = "v2|v1|v2:v1|v1:v2",
		.help = "that the devices speak, or source and destination; default v2" },
	[CMD_OPT_BRIDGE] = { "bridge", KIND_WORD, FIELD(bridge), "END", true,
		.words = "no|source|destination|both", .bare = 3,
		.help = "reach source, destination or both over a bridge of the other protocol" },
	[CMD_OPT_TLS] = { "tls", KIND_TEXT, FIELD(tls), "DIR",
		.help = "protect the connection with DIR/ca.pem, cert.pem and key.pem" },
	[CMD_OPT_TLS_PEER] = { "tls-peer", KIND_TEXT, FIELD(tls_peer), "NAME",
		.help = "whom the other side's certificate must be for" },
	[CMD_OPT_RATE] = { "rate", KIND_SIZE, FIELD(rate), "RATE", .min = 65536,
		.max = UINT64_C(1) << 40,
		.help = "send no more than RATE bytes of payload in a second" },
	[CMD_OPT_CHANNELS] = { "channels", KIND_NUMBER, FIELD(channels), "N", .min = 1, .max = 16,
		.standard = 1,
		.help = "connections that carry the data, if the other side wants as many; default 1" },
	[CMD_OPT_JOURNAL] = { "journal", KIND_TEXT, FIELD(journal), "DIR",
		.help = "write down in DIR whose the device is, for vfmig recover" },
	[CMD_OPT_PEER] = { "peer", KIND_TEXT, FIELD(peer), "HOST:PORT",
		.help = "ask the other side, which runs recover --listen" },
	[CMD_OPT_LISTEN] = { "listen", KIND_TEXT, FIELD(listen), "[HOST:]PORT",
		.help = "answer the other side, which runs recover --peer" },
	[CMD_OPT_OWNER] = { "owner", KIND_WORD, FIELD(owner), "source|destination",
		.words = "nobody|source|destination",
		.help = "what a person has decided, where the journals cannot tell" },
	[CMD_OPT_ID] = { "id", KIND_TEXT, FIELD(id), "ID",
		.help = "only migrations whose name begins with ID" },
	[CMD_OPT_ETCD] = { "etcd", KIND_TEXT, FIELD(etcd), "URL[,URL]...",
		.help = "let etcd decide whose the device is; both sides, with --journal" },
	[CMD_OPT_ETCD_KEY] = { "etcd-key", KIND_TEXT, FIELD(etcd_key), "NAME",
		.help = "name of the device there; that of the migration when not given" },
	[CMD_OPT_ETCD_PREFIX] = { "etcd-prefix", KIND_TEXT, FIELD(etcd_prefix), "TEXT",
		.help = "what stands before it; default vfmig/owner/" },
	[CMD_OPT_ETCD_NODE] = { "etcd-node", KIND_TEXT, FIELD(etcd_node), "NAME",
		.help = "who we are there; the name of this host when not given" },
	[CMD_OPT_ETCD_TLS] = { "etcd-tls", KIND_TEXT, FIELD(etcd_tls), "DIR",
		.help = "for https: DIR/ca.pem, cert.pem and key.pem" },
	[CMD_OPT_ETCD_TIMEOUT] = { "etcd-timeout", KIND_NUMBER, FIELD(etcd_timeout_s), "S", .min = 1,
		.max = 3600, .standard = 10,
		.help = "longest time for one question to it, all tries together; default 10" },
	[CMD_OPT_RULE] = { "rule", KIND_TEXT, FIELD(rule), "PATTERN",
		.help = "only rules whose name matches, as file names do" },
	[CMD_OPT_SEED] = { "seed", KIND_NUMBER, FIELD(seed), "N", .max = UINT64_MAX, .standard = 1,
		.help = "of what is random; default 1" },
	[CMD_OPT_QUICK] = { "quick", KIND_FLAG, FIELD(quick),
		.help = "leave out what takes long" },
	[CMD_OPT_FORMAT] = { "format", KIND_WORD, FIELD(format), "text|tap|junit|json",
		.words = "text|tap|junit|json",
		.help = "of the report; text, the default, is for people" },
	[CMD_OPT_OUTPUT] = { "output", KIND_TEXT, FIELD(output), "FILE",
		.help = "write the report to FILE, and not to standard output" },
	[CMD_OPT_EXERCISE] = { "exercise", KIND_TEXT, FIELD(exercise), "FILE|MODEL",
		.help = "how to make the device do DMA and interrupt: FILE.so, or of MODEL" },
	[CMD_OPT_LIST] = { "list", KIND_FLAG, FIELD(list),
		.help = "list the rules instead" },
	[CMD_OPT_LIST_BUGS] = { "list-bugs", KIND_FLAG, FIELD(list_bugs),
		.help = "list the bugs that fault,bug=NAME+URI gives a device instead" },
	[CMD_OPT_EXPLAIN] = { "explain", KIND_TEXT, FIELD(explain), "NAME",
		.help = "explain a rule or a bug instead" },
	[CMD_OPT_ALLOW_NO_P2P] = { "allow-no-p2p", KIND_FLAG, FIELD(allow_no_p2p),
		.help = "several devices, some without P2P: their writes into others may be lost" },
	[CMD_OPT_KEEP] = { "keep", KIND_FLAG, FIELD(keep),
		.help = "keep the folder with the sockets and logs" },
};
/* clang-format on */

/* ---- one argument --------------------------------------------------------- */

static int parse_number(const struct option_row *row, const char *text, uint64_t *value,
			struct vfm_err *err)
{
	bool size = row->kind == KIND_SIZE;
	char min[32], max[32];

	if (size ? vfm_parse_size(text, value) : vfm_parse_u64(text, value))
		return vfm_fail(err, CMD_MISUSE, "--%s=%s is not a %s", row->name, text,
				size ? "size such as 64M" : "whole number");
	if (*value >= row->min && *value <= row->max)
		return 0;
	vfm_format_size(min, sizeof(min), row->min);
	snprintf(max, sizeof(max), "%llu", (unsigned long long)row->max);
	if (size)
		vfm_format_size(max, sizeof(max), row->max);
	return vfm_fail(err, CMD_MISUSE, "--%s=%s is not between %s and %s", row->name, text, min,
			max);
}

static int parse_fd(const struct option_row *row, const char *text, uint64_t *value,
		    struct vfm_err *err)
{
	int ret = parse_number(row, text, value, err);

	if (ret)
		return ret;
	if (fcntl((int)*value, F_GETFD) < 0)
		return vfm_fail(err, CMD_MISUSE, "--%s=%s is not an open descriptor", row->name,
				text);
	/* what we start has no business with it */
	fcntl((int)*value, F_SETFD, FD_CLOEXEC);
	return 0;
}

/* One of the words between bars. */
static int parse_word(const struct option_row *row, const char *text, uint64_t *value,
		      struct vfm_err *err)
{
	const char *word = row->words;
	size_t len = strlen(text);

	for (*value = 0;; ++*value) {
		size_t end = strcspn(word, "|");

		if (end == len && !memcmp(word, text, len))
			return 0;
		if (!word[end])
			break;
		word += end + 1;
	}
	return vfm_fail(err, CMD_MISUSE, "--%s=%s is not one of %s", row->name, text, row->words);
}

static int set_option(struct cmd_args *args, const struct option_row *row, const char *text,
		      struct vfm_err *err)
{
	void *field = (char *)args + row->offset;

	switch (row->kind) {
	case KIND_FLAG:
		*(bool *)field = true;
		return 0;
	case KIND_MEMORY:
		return cmd_memory_parse((struct cmd_memory_list *)field, text, err);
	case KIND_TEXT:
		if (!text[0])
			return vfm_fail(err, CMD_MISUSE, "--%s is empty", row->name);
		*(const char **)field = text;
		return 0;
	case KIND_FD:
		return parse_fd(row, text, (uint64_t *)field, err);
	default:
		if (!text) {
			*(uint64_t *)field = row->bare;
			return 0;
		}
		if (row->kind == KIND_WORD)
			return parse_word(row, text, (uint64_t *)field, err);
		return parse_number(row, text, (uint64_t *)field, err);
	}
}

static void set_defaults(struct cmd_args *args)
{
	for (size_t i = 0; i < CMD_NR_OPTIONS; i++)
		if (rows[i].kind == KIND_NUMBER || rows[i].kind == KIND_SIZE ||
		    rows[i].kind == KIND_FD)
			*(uint64_t *)((char *)args + rows[i].offset) = rows[i].standard;
}

/* ---- a command line -------------------------------------------------------- */

#define VAL_HELP (CMD_NR_OPTIONS)
#define VAL_LIST (CMD_NR_OPTIONS + 1)
#define VAL_BASE 0x100 /* beyond every character, so that no short option is meant */

static bool has_option(const struct cmd_verb *verb, size_t id)
{
	return verb->options >> id & 1;
}

/* The options of @verb for getopt_long(), ended by a row of zeros. */
static void list_long(const struct cmd_verb *verb, struct option *list)
{
	for (size_t id = 0; id < CMD_NR_OPTIONS; id++) {
		if (!has_option(verb, id))
			continue;
		*list++ = (struct option){ .name = rows[id].name,
					   .has_arg = rows[id].kind == KIND_FLAG ? no_argument
						      : rows[id].arg_optional	 ? optional_argument
									      : required_argument,
					   .val = VAL_BASE + (int)id };
	}
	*list++ = (struct option){ .name = "help", .val = VAL_BASE + VAL_HELP };
	*list++ = (struct option){ .name = "list-options", .val = VAL_BASE + VAL_LIST };
	*list = (struct option){ 0 };
}

static const char *option_name(const void *user, size_t n)
{
	const struct cmd_verb *verb = (const struct cmd_verb *)user;

	for (size_t id = 0; id < CMD_NR_OPTIONS; id++)
		if (has_option(verb, id) && n-- == 0)
			return rows[id].name;
	return n == 0 ? "help" : NULL;
}

static int bad_option(const struct cmd_verb *verb, int opt, const char *text, struct vfm_err *err)
{
	char name[64];
	const char *near;

	if (opt == ':')
		return vfm_fail(err, CMD_MISUSE, "option %s wants an argument", text);
	if (optopt >= VAL_BASE)
		return vfm_fail(err, CMD_MISUSE, "option %s takes no argument", text);
	if (strncmp(text, "--", 2) != 0)
		return vfm_fail(err, CMD_MISUSE, "unknown option -%c", optopt);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text + 2, "="), text + 2);
	near = cmd_nearest(name, option_name, verb);
	return vfm_fail(err, CMD_MISUSE, "unknown option --%s%s%s%s", name,
			near ? ", did you mean --" : "", near ? near : "", near ? "?" : "");
}

static int check_operands(struct cmd_args *args, int count, char **operands, struct vfm_err *err)
{
	const struct cmd_verb *verb = args->verb;
	bool none = args->given & verb->alone;
	unsigned int least = none ? 0 : verb->nr_operands;
	unsigned int most = none ? 0 : VFM_MAX(verb->nr_operands, verb->most_operands);

	args->operands = operands;
	args->nr_operands = (size_t)count;
	if ((unsigned int)count > most)
		return vfm_fail(err, CMD_MISUSE, "%s is too much%s%s", operands[most],
				least ? " after " : "", least ? verb->operands : "");
	if ((unsigned int)count < least || (verb->in_pairs && count % 2))
		return vfm_fail(err, CMD_MISUSE, "%s wanted, %d of them given", verb->operands,
				count);
	for (int i = 0; i < count; i++)
		if (!operands[i][0])
			return vfm_fail(err, CMD_MISUSE, "operand %d of %s is empty", i + 1,
					verb->operands);
	return 0;
}

int cmd_parse(struct cmd_args *args, const struct cmd_verb *verb, int argc, char **argv,
	      struct vfm_err *err)
{
	struct option list[CMD_NR_OPTIONS + 3];
	int opt, ret;

	args->verb = verb;
	set_defaults(args);
	list_long(verb, list);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", list, NULL)) != -1) {
		if (opt == ':' || opt == '?')
			return bad_option(verb, opt, argv[optind - 1], err);
		if (opt == 'h' || opt == VAL_BASE + VAL_HELP) {
			cmd_help_verb(verb);
			return 1;
		}
		if (opt == VAL_BASE + VAL_LIST) {
			cmd_list_options(verb);
			return 1;
		}
		ret = set_option(args, &rows[opt - VAL_BASE], optarg, err);
		if (ret)
			return ret;
		args->given |= UINT64_C(1) << (opt - VAL_BASE);
	}
	return check_operands(args, argc - optind, argv + optind, err);
}

/* ---- help ------------------------------------------------------------------- */

static void print_option(const char *name, const char *arg, bool optional, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s%s%s", name, optional ? "[" : "", arg ? "=" : "",
		 arg ? arg : "", optional ? "]" : "");
	printf("  %-29s %s\n", left, help);
}

void cmd_help_verb(const struct cmd_verb *verb)
{
	printf("Usage: vfmig %s [OPTION]...%s%s\n\n%c%s.\n\nOptions:\n", verb->name,
	       verb->operands[0] ? " " : "", verb->operands,
	       verb->summary[0] - ('a' - 'A') * (verb->summary[0] >= 'a'), verb->summary + 1);
	for (size_t id = 0; id < CMD_NR_OPTIONS; id++)
		if (has_option(verb, id))
			print_option(rows[id].name, rows[id].arg, rows[id].arg_optional,
				     rows[id].help);
	print_option("help", NULL, false, "this text");
	printf("\n%s", verb->notes);
}

void cmd_list_options(const struct cmd_verb *verb)
{
	for (size_t id = 0; id < CMD_NR_OPTIONS; id++)
		if (has_option(verb, id))
			printf("--%s%s\n", rows[id].name,
			       rows[id].arg && !rows[id].arg_optional ? "=" : "");
	puts("--help");
}

/* ---- what was meant ---------------------------------------------------------- */

#define NEAREST_MAX 64

/* How many letters must be changed, added or taken away to get from @a to @b. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NEAREST_MAX + 1], lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = VFM_MIN(change, VFM_MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[lb];
}

const char *cmd_nearest(const char *text, const char *(*name)(const void *user, size_t n),
			const void *user)
{
	const char *best = NULL, *candidate;
	size_t least = 3; /* more than two letters off is another word */

	if (strlen(text) > NEAREST_MAX)
		return NULL;
	for (size_t n = 0; (candidate = name(user, n)); n++) {
		size_t d = strlen(candidate) <= NEAREST_MAX ? distance(text, candidate) : least;

		if (d < least && d < strlen(candidate)) {
			least = d;
			best = candidate;
		}
	}
	return best;
}
