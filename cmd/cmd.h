// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of the command share. A verb is a row in verbs.c and a function
 * that returns 0 or a negative errno value with a text; printing it, and turning
 * it into an exit code, happens once, in main.c.
 *
 *   main.c      from argv to a verb, from its result to an exit code
 *   verbs.c     the table of verbs
 *   options.c   the table of options, getopt_long over it, help, completion
 *   errors.c    one line on standard error
 *   json.c      one object on standard output
 *   device.c    signals, progress, the report
 *   end.c       the devices of one end of a move
 *   events.c    --events
 *   memory.c    --memory
 *   address.c   HOST:PORT and unix:PATH
 *   secure.c    --tls
 *   store.c     --etcd
 *   outfile.c   a file that is there whole or not at all
 *   cmd_*.c     one verb each; demo_*.c are parts of the demo, check_*.c of the checker
 */

#ifndef VFM_CMD_CMD_H
#define VFM_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <vfmig/vfmig.h>

/* ---- results ------------------------------------------------------------- */

enum cmd_exit {
	CMD_EXIT_DONE = 0,
	CMD_EXIT_FAILED = 1,
	CMD_EXIT_USAGE = 2,
	CMD_EXIT_UNSUPPORTED = 3,
	CMD_EXIT_REFUSED = 4,
};

/** What the user typed makes no sense; beyond every errno value. */
#define CMD_MISUSE (-100000)

/** cmd_exit_code() - of 0, CMD_MISUSE or a negative errno value. */
enum cmd_exit cmd_exit_code(int ret);

/** cmd_error() - "vfmig: VERB: text" from an error, with the text of errno where that helps. */
void cmd_error(const char *verb, int ret, const struct vfm_err *err);

/** cmd_warn() - "vfmig: VERB: text" for what is not an error of ours. */
void cmd_warn(const char *verb, const char *text);

/** cmd_explain() - add the text of errno to an error that lacks it; done once, by whoever shows it.
 */
void cmd_explain(int ret, struct vfm_err *err);

/** cmd_clean() - take control characters out of a text that came from outside. */
void cmd_clean(char *text);

/* ---- verbs and options ---------------------------------------------------- */

enum cmd_option_id {
	CMD_OPT_JSON,
	CMD_OPT_QUIET,
	CMD_OPT_RECORDS,
	CMD_OPT_READY_FD,
	CMD_OPT_ONCE,
	CMD_OPT_NO_EXTENSION,
	CMD_OPT_COMPRESS,
	CMD_OPT_MAX_DOWNTIME,
	CMD_OPT_MAX_ROUNDS,
	CMD_OPT_MAX_TIME,
	CMD_OPT_ON_LIMIT,
	CMD_OPT_WIRE_RATE,
	CMD_OPT_TIMEOUT,
	CMD_OPT_MEMORY_LIMIT,
	CMD_OPT_MEMORY,
	CMD_OPT_TO_MEMORY,
	CMD_OPT_INSECURE,
	CMD_OPT_STATE,
	CMD_OPT_DEMO_MEMORY,
	CMD_OPT_DIRTY,
	CMD_OPT_DMA_RATE,
	CMD_OPT_KEEP,
	CMD_OPT_EVENTS,
	CMD_OPT_FACE,
	CMD_OPT_DATA,
	CMD_OPT_DATA_SIZE,
	CMD_OPT_PROTOCOL,
	CMD_OPT_BRIDGE,
	CMD_OPT_TLS,
	CMD_OPT_TLS_PEER,
	CMD_OPT_RATE,
	CMD_OPT_CHANNELS,
	CMD_OPT_JOURNAL,
	CMD_OPT_PEER,
	CMD_OPT_LISTEN,
	CMD_OPT_OWNER,
	CMD_OPT_ID,
	CMD_OPT_ETCD,
	CMD_OPT_ETCD_KEY,
	CMD_OPT_ETCD_PREFIX,
	CMD_OPT_ETCD_NODE,
	CMD_OPT_ETCD_TLS,
	CMD_OPT_ETCD_TIMEOUT,
	CMD_OPT_RULE,
	CMD_OPT_SEED,
	CMD_OPT_QUICK,
	CMD_OPT_FORMAT,
	CMD_OPT_OUTPUT,
	CMD_OPT_EXERCISE,
	CMD_OPT_LIST,
	CMD_OPT_LIST_BUGS,
	CMD_OPT_EXPLAIN,
	CMD_OPT_ALLOW_NO_P2P,
	CMD_NR_OPTIONS,
};
#define CMD_BIT(id) (UINT64_C(1) << CMD_OPT_##id)

/** struct cmd_memory - one --memory SIZE[@IOVA][=FILE] */
struct cmd_memory {
	uint64_t size;
	uint64_t iova;
	const char *file; /* NULL: fresh memory */
};

struct cmd_memory_list {
	size_t count;
	struct cmd_memory list[VFM_MEMORY_MAX_RANGES];
};

/* Values of options that are one of several words. */
enum cmd_protocol { CMD_PROTOCOL_V2, CMD_PROTOCOL_V1, CMD_PROTOCOL_V2_V1, CMD_PROTOCOL_V1_V2 };
#define CMD_BRIDGE_SOURCE 1u
#define CMD_BRIDGE_DESTINATION 2u

/** struct cmd_args - a command line, understood */
struct cmd_args {
	const struct cmd_verb *verb;
	char **operands;
	size_t nr_operands;
	uint64_t given; /* CMD_BIT() of the options that were there */

	bool json, quiet, records, once, no_extension, insecure, keep, allow_no_p2p;
	uint64_t ready_fd, compress, max_downtime_ms, max_rounds, timeout_s, memory_limit;
	uint64_t max_time_s, on_limit, wire_rate; /* enum vfm_on_limit */
	uint64_t state, demo_memory, dirty, dma_rate;
	const char *events;
	uint64_t face, section, section_size; /* enum vfm_face, enum vfm_section */
	uint64_t protocol, bridge;	      /* enum cmd_protocol, CMD_BRIDGE_*s */
	uint64_t owner;			      /* 0, or an enum vfm_role */
	const char *journal, *peer, *listen, *id;
	struct cmd_memory_list memory, to_memory;
	const char *tls, *tls_peer;
	const char *rule, *output, *exercise, *explain;
	uint64_t seed, format; /* place among the words of --format */
	bool quick, list, list_bugs;
	const char *etcd, *etcd_key, *etcd_prefix, *etcd_node, *etcd_tls;
	uint64_t etcd_timeout_s;
	uint64_t rate, channels;
};

/**
 * struct cmd_verb - a row of the table
 * @nr_operands: how many there are
 * @most_operands: how many there may be, when that is more; 0: it is not
 * @in_pairs: there are two of them each time
 */
struct cmd_verb {
	const char *name;
	int (*run)(const struct cmd_args *args, struct vfm_err *err);
	const char *operands;
	unsigned int nr_operands;
	unsigned int most_operands;
	bool in_pairs;
	uint64_t options; /* CMD_BIT()s */
	uint64_t alone;	  /* of those: with one of them there are no operands */
	const char *summary;
	const char *notes;
};

/** cmd_verb_at() - row @n of the table, NULL after the last. */
const struct cmd_verb *cmd_verb_at(size_t n);

/** cmd_parse() - understand a command line whose argv[0] is the verb; 1: help was asked for */
int cmd_parse(struct cmd_args *args, const struct cmd_verb *verb, int argc, char **argv,
	      struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_help_verb() / cmd_list_options() - to standard output. */
void cmd_help_verb(const struct cmd_verb *verb);
void cmd_list_options(const struct cmd_verb *verb);

/** cmd_nearest() - the name that @text may have meant, of @count given by @name; or NULL. */
const char *cmd_nearest(const char *text, const char *(*name)(const void *user, size_t n),
			const void *user);

int cmd_check(const struct cmd_args *args, struct vfm_err *err);
int cmd_probe(const struct cmd_args *args, struct vfm_err *err);
int cmd_serve(const struct cmd_args *args, struct vfm_err *err);
int cmd_save(const struct cmd_args *args, struct vfm_err *err);
int cmd_load(const struct cmd_args *args, struct vfm_err *err);
int cmd_migrate(const struct cmd_args *args, struct vfm_err *err);
int cmd_preflight(const struct cmd_args *args, struct vfm_err *err);
int cmd_send(const struct cmd_args *args, struct vfm_err *err);
int cmd_receive(const struct cmd_args *args, struct vfm_err *err);
int cmd_replay(const struct cmd_args *args, struct vfm_err *err);
int cmd_recover(const struct cmd_args *args, struct vfm_err *err);
int cmd_inspect(const struct cmd_args *args, struct vfm_err *err);
int cmd_verify(const struct cmd_args *args, struct vfm_err *err);
int cmd_demo(const struct cmd_args *args, struct vfm_err *err);

/* ---- JSON ------------------------------------------------------------------ */

/*
 * One object, built from the outside in. A failure on the way sticks and is
 * told by cmd_json_print(). @key is NULL inside a list.
 */
struct cmd_json;

struct cmd_json *cmd_json_new(void);
void cmd_json_free(struct cmd_json *j);
void cmd_json_u64(struct cmd_json *j, const char *key, uint64_t value);
void cmd_json_bool(struct cmd_json *j, const char *key, bool value);
void cmd_json_text(struct cmd_json *j, const char *key, const char *text); /* NULL: null */
void cmd_json_hex(struct cmd_json *j, const char *key, int width, uint64_t value);
void cmd_json_open(struct cmd_json *j, const char *key);
void cmd_json_open_list(struct cmd_json *j, const char *key);
void cmd_json_close(struct cmd_json *j);

/** cmd_json_write() - to a file, in lines for people. */
int cmd_json_write(struct cmd_json *j, FILE *out, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_json_print() - to standard output. */
int cmd_json_print(struct cmd_json *j, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_json_line() - to a descriptor, in one line; @timeout_ms without any progress: -ETIMEDOUT. */
int cmd_json_line(struct cmd_json *j, int fd, unsigned int timeout_ms) VFM_MUST_CHECK;

static inline void cmd_json_cleanup(struct cmd_json **j)
{
	cmd_json_free(*j);
}
#define cmd_auto_json __attribute__((cleanup(cmd_json_cleanup)))

/* ---- devices and migrations ------------------------------------------------- */

/** cmd_open() - vfm_open(), where a wrong URI is misuse. */
int cmd_open(struct vfm_device **dev, const char *uri, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * struct cmd_end - one end of a move: a device or several, and the memory of ours behind them
 * @dev: the first of @devs
 * @reports: of each
 */
struct cmd_end {
	struct vfm_device *dev;
	struct vfm_device **devs;
	size_t nr_devs;
	struct vfm_device_report *reports;
	struct vfm_memory *mem;
};

/**
 * cmd_end_open() - open the devices, map the memory for them
 * @uris, @count, @stride: every so manyth text is the URI of one
 * @create: files of memory that are not there are made
 *
 * What is open after a failure is for cmd_end_close(), too.
 */
int cmd_end_open(struct cmd_end *end, char *const *uris, size_t count, size_t stride,
		 const struct cmd_memory_list *memory, bool create,
		 struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_end_of() - one that is a device which was opened otherwise; not to be closed. */
static inline const struct cmd_end *cmd_end_of(struct cmd_end *end, struct vfm_device **dev)
{
	*end = (struct cmd_end){ .dev = *dev, .devs = dev, .nr_devs = 1 };
	return end;
}

/** cmd_end_unit() - for the engine. A source without memory has NULL there. */
struct vfm_unit cmd_end_unit(const struct cmd_end *end, bool source);

/** cmd_check_uris() - misuse, if a device of somebody else's is named twice. */
int cmd_check_uris(char *const *uris, size_t count, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_end_close() - whatever of it is there. */
void cmd_end_close(struct cmd_end *end);

/**
 * cmd_signals() - from now on SIGINT, SIGTERM and SIGHUP make a descriptor readable
 *
 * They do nothing else: what runs must watch the descriptor.
 */
int cmd_signals(struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_interrupted() - the text of -ECANCELED, with the signal that was it. */
int cmd_interrupted(int signal_fd, struct vfm_err *err);

/**
 * struct cmd_events - where --events go
 * @fd: -1: there are none
 * @began_ns: what times are counted from
 * @phase: that was told last
 * @end: the devices at our end, or NULL
 * @missed: events that had no room, since the last that had
 */
struct cmd_events {
	int fd;
	bool own; /* we opened it */
	uint64_t began_ns, missed;
	enum vfm_phase phase;
	const struct cmd_end *end;
};

/**
 * struct cmd_run - what a verb that moves a device has in hand
 * @signal_fd: cancels
 * @tls: certificates, or NULL
 * @host: that was connected to, when its name counts
 * @store: as --etcd says, or NULL
 * @end: the devices at our end, or NULL
 */
struct cmd_run {
	const struct cmd_args *args;
	int signal_fd;
	struct cmd_events events;
	size_t shown; /* width of the progress line that stands there */
	struct vfm_migrate_opts opts;
	struct vfm_migration_report report;
	struct vfm_tls *tls;
	char host[256];
	struct vfm_store *store;
	const struct cmd_end *end;
};

/**
 * cmd_run_begin() - options of the engine from those of the user; signals, progress
 * @end: the devices at our end, or NULL
 */
int cmd_run_begin(struct cmd_run *run, const struct cmd_args *args, const struct cmd_end *end,
		  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * cmd_run_end() - take the progress line away, say what became of an interrupted device
 *
 * Return: @ret.
 */
int cmd_run_end(struct cmd_run *run, int ret, struct vfm_err *err);

/**
 * cmd_run_report() - print the report, if asked to, whether it worked or not; the last of a run
 * @extra: adds what only this verb knows, may be NULL
 *
 * Return: @ret, or what went wrong in printing when @ret is 0.
 */
int cmd_run_report(struct cmd_run *run, int ret,
		   void (*extra)(struct cmd_json *j, const void *user), const void *user,
		   struct vfm_err *err);

/** cmd_events_begin() - open what --events names, if it was given, and tell what begins. */
int cmd_events_begin(struct cmd_events *events, const struct cmd_args *args,
		     const struct cmd_end *end, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_events_progress() - from the engine's callback. */
void cmd_events_progress(struct cmd_events *events, const struct vfm_migration_report *now);

/** cmd_events_end() - how it ended; @ret and @err as the verb has them. */
void cmd_events_end(struct cmd_events *events, const struct vfm_migration_report *report, int ret,
		    const struct vfm_err *err);

/** cmd_json_pci() - what an identity says of a PCI device, into the object that is open. */
void cmd_json_pci(struct cmd_json *j, const struct vfm_identity *id);

/** cmd_json_prediction() - the fields of a prediction into the object that is open. */
void cmd_json_prediction(struct cmd_json *j, const struct vfm_prediction *p);

/** cmd_json_devices() - what became of each, as a list; @others: the other side's, or NULL. */
void cmd_json_devices(struct cmd_json *j, const struct cmd_end *end, const struct cmd_end *others);

/** cmd_json_report() - the fields of a report into the object that is open. */
void cmd_json_report(struct cmd_json *j, const struct vfm_migration_report *report);

/** struct cmd_file - what a report says about a file */
struct cmd_file {
	const char *path;
	char digest[33]; /* empty: not known */
};

/** cmd_file_scan() - find the digest, from the start of @fd; a pipe has none for us. */
int cmd_file_scan(struct cmd_file *file, int fd, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_json_file() - for cmd_run_report(); @user is a struct cmd_file. */
void cmd_json_file(struct cmd_json *j, const void *user);

/** cmd_ready() - tell whoever waits on --ready-fd, if anybody does. */
int cmd_ready(const struct cmd_args *args, const char *text, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- memory ----------------------------------------------------------------- */

/** cmd_memory_parse() - one more --memory. */
int cmd_memory_parse(struct cmd_memory_list *list, const char *text,
		     struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_memory_new() - memory of those ranges; @create: files that are not there are made. */
int cmd_memory_new(struct vfm_memory **out, const struct cmd_memory_list *list, bool create,
		   struct vfm_err *err) VFM_MUST_CHECK;

/* ---- TLS ---------------------------------------------------------------------- */

/** cmd_tls_open() - as --tls and --tls-peer say, for the engine; nothing without them. */
int cmd_tls_open(struct cmd_run *run, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_tls_expect() - with TLS: the certificate of whoever is at @address must be for that host. */
int cmd_tls_expect(struct cmd_run *run, const char *address, struct vfm_err *err) VFM_MUST_CHECK;

void cmd_tls_close(struct cmd_run *run);

/* ---- a store ------------------------------------------------------------------ */

/** cmd_store_open() - as --etcd and its kin say; NULL without them. */
int cmd_store_open(struct vfm_store **store, const struct cmd_args *args,
		   struct vfm_err *err) VFM_MUST_CHECK;

/* ---- sockets ---------------------------------------------------------------- */

/** struct cmd_listener - where somebody may connect */
struct cmd_listener {
	int fd;
	const char *path; /* of a unix socket, to be removed; else NULL */
	unsigned int port;
};

/**
 * cmd_connect() - to HOST:PORT or unix:PATH
 * @anywhere: beyond this machine, too
 * @wait_ms: longest wait
 */
int cmd_connect(const char *address, bool anywhere, unsigned int wait_ms, int cancel_fd,
		struct vfm_err *err) VFM_MUST_CHECK;

/**
 * cmd_connect_again() - once more to where @fd is connected; @address is how that came to be
 *
 * A name may be that of several hosts, and this must be the same.
 */
int cmd_connect_again(int fd, const char *address, unsigned int wait_ms, int cancel_fd,
		      struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_listen() - at [HOST:]PORT or unix:PATH. */
int cmd_listen(struct cmd_listener *l, const char *address, bool anywhere,
	       struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_listen_unix() - the same for a path. */
int cmd_listen_unix(struct cmd_listener *l, const char *path, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_accept() - one connection; @wait_ms: longest wait, 0: for ever */
int cmd_accept(struct cmd_listener *l, unsigned int wait_ms, int cancel_fd,
	       struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_address_host() - the host of HOST:PORT as it was written; false: there is none. */
bool cmd_address_host(char *host, size_t room, const char *address);

/**
 * cmd_keep_alive() - notice a peer whose machine or network is gone, in no more than @silence_ms
 *
 * The engine measures silence itself. This is for what it cannot see: a source that is in
 * the middle of a long arc, with nothing to say, and bytes that nobody acknowledges.
 */
void cmd_keep_alive(int fd, unsigned int silence_ms);

/** cmd_peer_text() - who is at the other end of a socket, for people. */
void cmd_peer_text(int fd, char *text, size_t room);

/** cmd_listener_close() - close and remove. */
void cmd_listener_close(struct cmd_listener *l);

/* ---- files ------------------------------------------------------------------ */

/**
 * struct cmd_outfile - a file under way
 * @fd: to write to
 * @path: what it shall be called
 * @temp: what it is called until it is whole; NULL when it is written in place
 */
struct cmd_outfile {
	int fd;
	char *path;
	char *temp;
};

/**
 * cmd_outfile_open() - "-" is standard output, which must not be a terminal
 * @cancel_fd: when readable, the wait for the reader of a FIFO ends
 */
int cmd_outfile_open(struct cmd_outfile *out, const char *path, int cancel_fd,
		     struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_outfile_commit() - it is whole: make it durable and give it its name. */
int cmd_outfile_commit(struct cmd_outfile *out, struct vfm_err *err) VFM_MUST_CHECK;

/** cmd_outfile_free() - what was not committed is removed. */
void cmd_outfile_free(struct cmd_outfile *out);

/** cmd_infile_open() - "-" is standard input, which must not be a terminal. */
int cmd_infile_open(const char *path, struct vfm_err *err) VFM_MUST_CHECK;

#endif
