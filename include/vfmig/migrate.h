// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The engine: moves a device, or several as one, or keeps the state of one in a file.
 *
 * A source can always go back to RUNNING until it has sent COMMIT, and does so
 * on every failure before that; after COMMIT it never does by itself. A
 * destination runs only when it has seen COMMIT; on every failure before that
 * it is reset. One that dies when it has loaded all leaves its device in STOP with
 * what was loaded: the source may have given it away in that moment.
 * With a journal, one that has told that it has loaded all keeps it too when it loses
 * the source, and <vfmig/recover.h> settles which of the two it is; with a store, both find
 * that out at once.
 */

#ifndef VFMIG_MIGRATE_H
#define VFMIG_MIGRATE_H

#include <vfmig/device.h>
#include <vfmig/memory.h>
#include <vfmig/store.h>
#include <vfmig/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum vfm_phase - of a migration, in this order on both sides */
enum vfm_phase {
	VFM_PHASE_SETUP,     /* handshake, identity */
	VFM_PHASE_PRECOPY,   /* rounds while the source runs */
	VFM_PHASE_STOP,	     /* arcs of the source up to STOP_COPY */
	VFM_PHASE_STOP_COPY, /* what is left */
	VFM_PHASE_LOAD,	     /* until the destination has proven the image */
	VFM_PHASE_COMMIT,    /* until the destination runs */
	VFM_PHASE_DONE,
};
#define VFM_NR_PHASES VFM_PHASE_DONE

/** vfm_phase_name() - "setup", "precopy", "stop", "stop-copy", "load", "commit", "done". */
const char *vfm_phase_name(enum vfm_phase phase);

/** struct vfm_phase_report - time and bytes of one phase */
struct vfm_phase_report {
	uint64_t us;
	uint64_t device_bytes;
	uint64_t memory_bytes;
};

/** enum vfm_part - of a downtime: what can be the longest of it */
enum vfm_part {
	VFM_PART_NONE,
	VFM_PART_SOURCE_ARCS,	   /* steps of the source to STOP_COPY */
	VFM_PART_MEMORY,	   /* sending DMA memory */
	VFM_PART_SAVE,		   /* reading the source's data */
	VFM_PART_WIRE,		   /* sending it */
	VFM_PART_LOAD,		   /* loading it at the destination */
	VFM_PART_DESTINATION_ARCS, /* steps of the destination to RUNNING */
	VFM_PART_ROUND_TRIPS,	   /* END and LOADED, COMMIT and RUNNING */
	VFM_PART_HANDOVER,	   /* journals, and the question to a store */
};
#define VFM_NR_PARTS (VFM_PART_HANDOVER + 1)

/** vfm_part_name() - "none", "source-arcs", "memory", "save", "wire", "load", and so on. */
const char *vfm_part_name(enum vfm_part part);

/**
 * struct vfm_prediction - of the downtime, if the source were stopped at once
 * @downtime_us: expected
 * @error_us: to both sides; wide where little was measured
 * @assumed: a rate or size in it could not be measured, and was assumed
 * @limiting: what takes longest
 * @limiting_us: so long
 * @margin_us: so much longer than what comes next
 * @device_bytes, @memory_bytes: left to be moved
 * @save_rate, @wire_rate, @load_rate: bytes a second of the stages; 0: not known
 * @source_arcs_us, @destination_arcs_us: their steps, judged from those that were taken
 * @round_trip_us: one of the two; 0: not known
 * @handover_us: writing down whose it is on both sides, and asking a store; 0: neither is wanted
 */
struct vfm_prediction {
	uint64_t downtime_us;
	uint64_t error_us;
	bool assumed;
	enum vfm_part limiting;
	uint64_t limiting_us;
	uint64_t margin_us;
	uint64_t device_bytes;
	uint64_t memory_bytes;
	uint64_t save_rate;
	uint64_t wire_rate;
	uint64_t load_rate;
	uint64_t source_arcs_us;
	uint64_t destination_arcs_us;
	uint64_t round_trip_us;
	uint64_t handover_us;
};

/**
 * struct vfm_migration_report - what happened
 * @phase: the phase reached; VFM_PHASE_DONE when it succeeded
 * @protocol: 1 or 2: what our device itself speaks, of a unit the lower; 0: it was not asked yet,
 *	or has none
 * @committed: COMMIT was sent (source) or seen (destination)
 * @state: of our device at the end, VFM_STATE_ERROR also if it cannot be asked, or if devices
 *	of a unit are not all in the same
 * @downtime_us: from the first arc that stops the source until RUNNING was heard
 *	of, or until it ran again after a failure (source); from COMMIT seen to
 *	RUNNING (destination)
 * @bytes_per_second: measured while the source ran; 0: nothing was moved by then
 * @all_dirty: there was no dirty log, or it failed: memory was sent whole, after the stop
 * @connected: the peer said hello as it should and, with TLS, showed a certificate that was taken.
 *	A failure without this is one of the connection: who was there is none of ours, and
 *	our device was not touched
 * @compressed_bytes, @compressed_to: payload that was worth compressing, and what became of it
 * @prediction: source: the last one before the stop, to be compared with @downtime_us
 * @told_bytes: source: what the device said is left, just before it was stopped; 0: nothing
 * @came_bytes: what it gave after that
 * @told_wrong: these two do not agree, whatever the device may have meant
 * @forced: stopped although a limit would be broken, as VFM_ON_LIMIT_FORCE has it
 * @nr_devices: of the unit; what is counted is that of all of them
 * @channels: connections that carried it; 0: it did not come to that
 */
struct vfm_migration_report {
	enum vfm_phase phase;
	unsigned int protocol;
	bool committed;
	enum vfm_state state;
	uint32_t rounds;
	uint64_t state_bytes;
	uint64_t memory_bytes;
	uint64_t wire_bytes;
	uint64_t downtime_us;
	uint64_t total_us;
	uint64_t bytes_per_second;
	bool all_dirty;
	struct vfm_phase_report phases[VFM_NR_PHASES];
	bool connected;
	uint64_t compressed_bytes;
	uint64_t compressed_to;
	struct vfm_prediction prediction;
	uint64_t told_bytes;
	uint64_t came_bytes;
	bool told_wrong;
	bool forced;
	unsigned int nr_devices;
	unsigned int channels;
};

/**
 * struct vfm_device_report - what happened to one device of a unit
 * @protocol, @state, @told_bytes, @came_bytes, @told_wrong: as in struct vfm_migration_report;
 *	@state is that in which it was found until the end
 * @failed: it had a part in the failure, which the error tells of
 * @state_bytes: of its data that were read, or loaded
 * @data_us: time that its calls took for that
 * @arcs, @arcs_us: steps between states that were measured, and their time
 */
struct vfm_device_report {
	unsigned int protocol;
	enum vfm_state state;
	bool failed;
	uint64_t state_bytes;
	uint64_t data_us;
	uint64_t told_bytes;
	uint64_t came_bytes;
	bool told_wrong;
	unsigned int arcs;
	uint64_t arcs_us;
};

/** enum vfm_on_limit - what to do when a limit cannot be kept */
enum vfm_on_limit {
	VFM_ON_LIMIT_ABORT, /* -EDQUOT, and the source runs on */
	VFM_ON_LIMIT_FORCE, /* stop it all the same */
};

/**
 * struct vfm_migrate_opts - begin with VFM_MIGRATE_OPTS(), never with zeros
 * @size: sizeof(struct vfm_migrate_opts)
 * @max_downtime_ms: the device is stopped only when the predicted downtime, with its
 *	error, fits into this; 0: no limit. What could not be measured at all, or until the
 *	last round with too little to tell, is assumed to be quick, and its error is not held
 *	against the device. With a limit or without, up to five rounds are taken while what
 *	was measured is too little for more than a guess
 * @max_rounds: rounds of pre-copy in which that must come true, or the migration
 *	is refused with -EDQUOT and the device runs on; 0: 100
 * @timeout_ms: longest silence of the other side, and longest time for hello and TLS
 *	handshake together; 0: for ever
 * @compress: zstd level, 0: none. What is not worth it leaves as it is
 * @cancel_fd: -1, or a descriptor (an eventfd) that cancels when readable: -ECANCELED
 * @progress: called from the calling thread a few times a second, may be NULL
 * @before_run: destination: called between COMMIT and RUNNING, may be NULL; the place to
 *	wire what is not part of the device. Failing here leaves the device in STOP
 * @max_time_ms: from the beginning until it must have been decided to stop the source; 0:
 *	no limit. A call of the device that is under way is not cut short
 * @on_limit: what happens when @max_rounds or @max_time_ms is reached before that
 * @user: for @progress and @before_run
 * @memory_limit: bytes that each side may hold on their way between device and stream,
 *	with what the streams of all channels need themselves, but never fewer than three records;
 *0: 64 MiB
 * @tls: the connection is protected, and a peer without TLS refused; NULL: it is not, and a
 *	peer with TLS is refused. Borrowed for the length of the call
 * @peer_name: with @tls: DNS name or address that the peer's certificate must be for, without
 *	wildcards; NULL: any that the authority has certified. A source should give what it
 *	has connected to
 * @rate: payload that leaves in a second, in bytes, of the device and of memory, over all
 *	channels; 0: no limit
 * @journal: folder in which this side writes down whose the device is, so that vfm_recover()
 *	can settle what a crash leaves open; both sides should have one. NULL: none
 * @allow_no_p2p: move several devices together although some of them have no P2P states. One that
 *	has none may still do DMA into another that has stopped already, or does not run yet, and
 *	what it writes then is lost. They are stopped while the others do not reach for each
 *	other any more, so this takes two of them
 * @channels: connections that carry the data, 1 to 16, if the other side wants as many; the
 *	smaller number counts, and one more than the first needs 3 MiB of @memory_limit. 0: 1
 * @open_channel: with more than one: gives the next connected socket, which is the engine's then.
 *	A source connects to where it has connected before, a destination accepts who comes, and is
 *	asked again when that was a stranger. It should take no longer than @timeout_ms (0: for
 *	ever), and then return -ETIMEDOUT; what cancels should cancel it
 * @channel_user: for @open_channel
 * @store: decides whose the device is, so that a side which has lost the other one, and not the
 *	store, finds out by itself. Both sides must have it, the same key in it, and a @journal;
 *	else the migration is refused. Borrowed for the length of the call; NULL: the journals
 *	decide
 */
struct vfm_migrate_opts {
	size_t size;
	unsigned int max_downtime_ms;
	unsigned int max_rounds;
	unsigned int timeout_ms;
	int compress;
	int cancel_fd;
	void (*progress)(void *user, const struct vfm_migration_report *now);
	int (*before_run)(void *user, struct vfm_device *dev, struct vfm_err *err);
	void *user;
	unsigned int max_time_ms;
	enum vfm_on_limit on_limit;
	uint64_t memory_limit;
	const struct vfm_tls *tls;
	const char *peer_name;
	uint64_t rate;
	const char *journal;
	bool allow_no_p2p;
	unsigned int channels;
	int (*open_channel)(void *user, unsigned int timeout_ms, struct vfm_err *err);
	void *channel_user;
	const struct vfm_store *store;
};

/** VFM_MIGRATE_OPTS() - a struct vfm_migrate_opts with the defaults; change its fields afterwards.
 */
#define VFM_MIGRATE_OPTS()                                                                         \
	((struct vfm_migrate_opts){ .size = sizeof(struct vfm_migrate_opts),                       \
				    .max_downtime_ms = 300,                                        \
				    .max_rounds = 100,                                             \
				    .timeout_ms = 30000,                                           \
				    .cancel_fd = -1,                                               \
				    .memory_limit = UINT64_C(64) << 20 })

/**
 * vfm_save() - write a device's state to a descriptor
 *
 * The device is stopped, saved, and runs again afterwards, whether this
 * succeeds or not; one that was stopped before stays stopped.
 */
int vfm_save(struct vfm_device *dev, int fd, const struct vfm_migrate_opts *opts,
	     struct vfm_migration_report *report, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_load() - read a device's state from a descriptor and run it
 *
 * The whole stream is proven and its identity compared before the device is
 * touched; what cannot be read twice is spooled to a file without a name first.
 * -ENOTUNIQ: an image of another device. A device that refuses the image after that is reset.
 */
int vfm_load(struct vfm_device *dev, int fd, const struct vfm_migrate_opts *opts,
	     struct vfm_migration_report *report, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_migrate_send() - the source's half
 * @dev: in RUNNING or STOP
 * @mem: the device's DMA memory that travels with it, mapped already; NULL: none
 * @fd: a connected stream socket, borrowed
 *
 * Success: the destination runs and @dev is in STOP. A device that was found in
 * STOP stays in STOP at the destination, and has no downtime. -EDQUOT: refused
 * because of a limit. -EOPNOTSUPP: one side wants TLS and the other does not, or speaks a later
 * protocol; -EKEYREJECTED: one side does not take the certificate of the other. Until COMMIT every
 * failure puts @dev back into the state in which it was found; one that is in ERROR stays there,
 * for the caller to reset. What other threads write into @mem meanwhile is not logged and may be
 * lost. After a failure the connection is shut down for writing. When @report->committed is set and
 * the call failed, the destination may be running: @dev is left in STOP and must not be run by
 * guess.
 */
int vfm_migrate_send(struct vfm_device *dev, struct vfm_memory *mem, int fd,
		     const struct vfm_migrate_opts *opts, struct vfm_migration_report *report,
		     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_migrate_receive() - the destination's half
 * @dev: in RUNNING; what it was doing is lost
 * @mem: ranges that the source's memory must fit, or an empty one: those ranges are
 *	then added and mapped for @dev. NULL: a stream with memory is refused
 *
 * Success: @dev runs, or is in STOP if the source was. On failure it has been reset,
 * unless @report->committed or nothing had been done to it, and ranges that were
 * added are gone again. While @report->connected is not set, it was no source that was there, and
 * the next connection may be one. With a journal it is also left in STOP, with its memory, when
 * the source was lost after all had been loaded, or when the journal could not be written then.
 */
int vfm_migrate_receive(struct vfm_device *dev, struct vfm_memory *mem, int fd,
			const struct vfm_migrate_opts *opts, struct vfm_migration_report *report,
			struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_migrate() - both halves from here, over a socket pair
 *
 * The destination's half has a thread of its own for the length of the call.
 * @opts belongs to the source's half; the destination's uses its timeout, its limit on
 * memory, its channels, its journal, its store, and before_run, which is called from that thread.
 * Channels are socket pairs, too: @opts->open_channel is not used. There is nothing that TLS would
 * protect: @opts->tls is not used.
 */
int vfm_migrate(struct vfm_device *src, struct vfm_memory *src_mem, struct vfm_device *dst,
		struct vfm_memory *dst_mem, const struct vfm_migrate_opts *opts,
		struct vfm_migration_report *report, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- several devices as one ------------------------------------------------ */

/** Most devices in a unit. */
#define VFM_UNIT_MAX 256

/**
 * struct vfm_unit - devices that are moved together, all or none; zero it, then fill in
 * @size: sizeof(struct vfm_unit)
 * @devs, @nr_devs: 1 to VFM_UNIT_MAX, none of them twice. Devices are matched by their order
 * @mem: DMA memory of all of them, as of vfm_migrate_send() and vfm_migrate_receive()
 * @reports: as many as devices, current whenever progress is told, and at the end; NULL: not wanted
 *
 * Errors that are of one device begin with its number from 0, and its URI. Devices are called
 * from threads of the library, each from one at a time, until the call returns.
 */
struct vfm_unit {
	size_t size;
	struct vfm_device *const *devs;
	size_t nr_devs;
	struct vfm_memory *mem;
	struct vfm_device_report *reports;
};

/**
 * vfm_migrate_send_unit() - vfm_migrate_send() of several devices, over one connection
 *
 * All of them are in RUNNING, or all in STOP. None stops before all that have P2P states are in
 * one; -ENOTSUP: one has none, unless @opts->allow_no_p2p. There is one COMMIT for all: until then
 * a failure puts each of them back, as far as that can be done, whatever becomes of the others.
 */
int vfm_migrate_send_unit(const struct vfm_unit *unit, int fd, const struct vfm_migrate_opts *opts,
			  struct vfm_migration_report *report, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_migrate_receive_unit() - vfm_migrate_receive() of several devices
 *
 * As many as the source has, else both refuse. None runs before all have loaded and proven their
 * images, and COMMIT was seen. After that one that cannot be run is left, and told, and the
 * others run. @opts->before_run is called for each.
 */
int vfm_migrate_receive_unit(const struct vfm_unit *unit, int fd,
			     const struct vfm_migrate_opts *opts,
			     struct vfm_migration_report *report,
			     struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_migrate_unit() - vfm_migrate() of several devices. */
int vfm_migrate_unit(const struct vfm_unit *src, const struct vfm_unit *dst,
		     const struct vfm_migrate_opts *opts, struct vfm_migration_report *report,
		     struct vfm_err *err) VFM_MUST_CHECK;

/* ---- before a migration --------------------------------------------------- */

/** enum vfm_finding_kind - how much something that was found matters */
enum vfm_finding_kind {
	VFM_FINDING_NOTE,    /* good to know */
	VFM_FINDING_LIMIT,   /* breaks a limit */
	VFM_FINDING_BLOCKER, /* keeps the device from being moved there */
};

/** struct vfm_finding - one of them, as a sentence without a full stop */
struct vfm_finding {
	enum vfm_finding_kind kind;
	char text[320];
};

#define VFM_MAX_FINDINGS 16

/**
 * struct vfm_preflight_end - a device, as far as it answers
 * @known: it could be asked at all, and can migrate
 * @migration: VFM_MIGRATION_*
 * @protocol: 1 or 2, 0: unknown
 * @data_size: its estimate of its state, 0: it does not tell
 * @has_compat, @compat: what images it writes and reads
 */
struct vfm_preflight_end {
	bool known;
	uint64_t migration;
	unsigned int protocol;
	enum vfm_state state;
	uint64_t data_size;
	bool has_compat;
	struct vfm_compat compat;
};

/**
 * struct vfm_preflight - whether a device can be moved, and how long it would stand still
 * @compatible: nothing keeps it from that
 * @fits: the prediction fits the limit
 * @log: 1: the source has a dirty log, 0: it has none, -1: that could not be found out
 * @measured_bytes, @measured_us: read from the source while it ran; 0: it has no PRE_COPY
 * @change_rate: bytes of its state that change in a second, as far as that was seen
 * @prediction: of the downtime; all zero unless @compatible
 */
struct vfm_preflight {
	bool compatible;
	bool fits;
	int log;
	struct vfm_preflight_end source, destination;
	uint64_t measured_bytes, measured_us;
	uint64_t change_rate;
	struct vfm_prediction prediction;
	size_t nr_findings;
	struct vfm_finding findings[VFM_MAX_FINDINGS];
};

/**
 * struct vfm_preflight_opts - zero it, then fill in
 * @size: sizeof(struct vfm_preflight_opts)
 * @max_downtime_ms: 0: no limit
 * @wire_rate: bytes a second; 0: measure what a socket of this machine takes
 */
struct vfm_preflight_opts {
	size_t size;
	unsigned int max_downtime_ms;
	uint64_t wire_rate;
};

/**
 * vfm_preflight() - look at both ends of a migration without stopping anything
 * @opts: NULL for all zero
 * @report: filled in as far as things were found out, whatever is returned
 *
 * A source in RUNNING with PRE_COPY is read in that state, for 300 ms and 64 MiB at most, and
 * goes back to RUNNING; its dirty log is started and ended. The destination is only asked.
 *
 * Return: 0: it fits. -ENOTTY, -ENOTUNIQ, -EINVAL: it cannot be moved there, because a device
 * cannot migrate, the two differ, or one is in a state in which it cannot begin. -EDQUOT:
 * the limit would be broken. Others: a device failed while it was asked. If the source cannot
 * be brought back to RUNNING the text says where it is.
 */
int vfm_preflight(struct vfm_device *src, struct vfm_device *dst,
		  const struct vfm_preflight_opts *opts, struct vfm_preflight *report,
		  struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
