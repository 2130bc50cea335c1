// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of this folder share. A migration, a save and a load are each
 * a row of stages that work on one struct vfm_engine: a unit of devices, a descriptor
 * and, on the wire, a peer. engine.c runs the rows, wire.c waits, unit.h does to all
 * devices what member.h does to one, pipe.c lets devices and the stream work at the same
 * time; send.c, receive.c, save.c and load.c are the stages, and connect.c is what comes
 * before them.
 *
 * On the wire there are two streams over one socket: forward, from the source
 * (IDENTITY, MEMORY_MAP, data, END, COMMIT, ABORT), and reverse, from the
 * destination (READY, LOADED, RUNNING, ABORT, and RATES in between). MEMORY_MAP is
 * always there, if only to say that there is no memory.
 */

#ifndef VFM_ENGINE_ENGINE_H
#define VFM_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/migrate.h>
#include <vfmig/stream.h>

#include "engine/channel.h"
#include "engine/journal_head.h"
#include "engine/member.h"
#include "engine/predict.h"
#include "engine/rate.h"

/* ---- memory.c ------------------------------------------------------------ */

/** Unit of ranges and of the dirty bitmap. */
#define VFM_MEMORY_PAGE 4096u

/** vfm_memory_detach() - unmap all ranges from a device, as far as they are mapped. */
int vfm_memory_detach(struct vfm_memory *mem, struct vfm_device *dev,
		      struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_memory_clear() - remove all ranges; no device has them mapped. */
void vfm_memory_clear(struct vfm_memory *mem);

/**
 * vfm_memory_find_data() - skip what was never written, without touching it
 * @offset: in range number @n
 * @begin, @end: the next data at or after @offset; both the range's size when there is none
 */
void vfm_memory_find_data(const struct vfm_memory *mem, size_t n, uint64_t offset, uint64_t *begin,
			  uint64_t *end);

/** vfm_memory_write() - fill a part, which vfm_memory_at() knows. */
void vfm_memory_write(struct vfm_memory *mem, uint64_t iova, const uint8_t *data, size_t size);

/** vfm_memory_zero() - make a part zero, which vfm_memory_at() knows. Leaves holes holes. */
void vfm_memory_zero(struct vfm_memory *mem, uint64_t iova, uint64_t size);

/* ---- engine.c ------------------------------------------------------------ */

struct vfm_claim;
struct vfm_dirty;
struct vfm_engine;
struct vfm_hands;
struct vfm_pipe;
struct pollfd;

/** struct vfm_stage - a step; the name stands in front of its errors */
struct vfm_stage {
	enum vfm_phase phase;
	const char *name;
	int (*run)(struct vfm_engine *e);
};

/** struct vfm_rate - payload that was moved and the time it took, older rounds fading */
struct vfm_rate {
	double bytes;
	double ns;
};

/**
 * struct vfm_rates - what a destination tells of itself
 * @load_rate: bytes of device data a second, 0: not known yet
 * @load_error: of that, in thousandths
 * @loaded: bytes of device data that its device has taken
 * @arc_ns: what one step between states took; 0: not known
 * @prove_arcs, @run_arcs: steps that it has to STOP, and from there to RUNNING
 * @width: of a unit: devices that it calls at a time; 0: one
 * @phases: PHASE records that it has seen, and done all that came before them
 */
struct vfm_rates {
	uint64_t load_rate;
	uint32_t load_error;
	uint64_t loaded;
	uint64_t arc_ns;
	uint32_t prove_arcs, run_arcs;
	uint32_t width;
	uint32_t phases;
};

/**
 * struct vfm_left - what is still to be moved of all devices, and dirty memory; as struct vfm_rest
 */
struct vfm_left {
	uint64_t initial;
	uint64_t pending;
	uint64_t device;
	bool device_known;
	uint64_t memory;
};

/**
 * struct vfm_engine - one end of a migration, a save or a load
 * @members, @nr_members: the devices; owned. A unit of one has no hands: our caller's thread has
 *	its device
 * @reports: of each of them, our caller's; NULL: not wanted
 * @hands: threads that have the devices that are busy
 * @in_hand: so many are
 * @collected: steps that were collected
 * @wave: which steps are done now; those of another are late, and nothing is made of them
 * @fds: room for all that is waited for
 * @mem: memory of them all
 * @peer: who is at the other end of @fd, "source" or "destination"; NULL: a file
 * @pipe: while data flows, the thread that has @out (of a source) or @in (of a destination):
 *	see pipe.h; @spent: the same when it has ended, to be freed at leisure
 * @err: the first cause of a failure
 * @cause: why a wait ended, when the stream's call that waited can only tell that it did
 * @listen: the peer may only complain while we send, so look for that
 * @deaf: after COMMIT: too late to cancel
 * @told: the peer need not be told of the failure: it told us, or cannot hear
 * @torn: the outgoing stream failed inside a record, so nothing can follow
 * @closing: all is lost but the connection: wait for nothing else, and not for long
 * @sink: we are the destination, or load
 * @paused: the source was found in STOP, all of it (as the destination is told at the end)
 * @added: all ranges of @mem were added, and perhaps mapped, by us
 * @stay: a failure that must not reset the device
 * @aborted: the peer has said itself that it failed
 * @write_ns: what it took to have a state of ours on disk
 * @owner: decides whose the device is; NULL: COMMIT alone does
 * @claim: where a store decides: our part of its key
 * @peer_key: the key that the peer has told; empty: none
 * @handover: name and epoch of this migration, told or to be told
 * @agreed: the peer keeps a journal, too
 * @doubt: with a journal: LOADED is out
 * @stopped_ns: when the first arc that stops the source began, or COMMIT was seen
 * @channels, @nr_channels: the connections; @fd is that of the first
 * @deadline_ns: when every wait ends, whatever happens; 0: none
 * @bucket: limits what leaves
 * @wire, @memory: what was measured of the wire, for data and for memory. They are the helper's
 *	between a record and the next flush
 * @heard: what the peer has said while we sent
 * @peer_rates: the destination speaks RATES (source), the source wants them (destination)
 * @rates: the last that was told by the destination
 * @rates_ns: when we told ours
 * @phases: PHASE records written or seen
 * @round_trip_ns: the shortest of @round_trips, 0: none
 * @left: what was left when it was looked last
 * @least: the prediction as it would be if a busy moment spoiled what was measured with little;
 *	else that of the report
 * @unsure: the prediction is a guess, and another round would measure what is missing
 */
struct vfm_engine {
	struct vfm_member *members;
	size_t nr_members;
	struct vfm_device_report *reports;
	struct vfm_hands *hands;
	unsigned int in_hand;
	uint32_t collected;
	uint32_t wave;
	struct pollfd *fds;
	struct vfm_memory *mem;
	int fd;
	const char *peer;
	struct vfm_migrate_opts opts;
	struct vfm_migration_report report;

	struct vfm_stream_writer *out;
	struct vfm_stream_reader *in;
	struct vfm_pipe *pipe, *spent;
	struct vfm_err err;
	struct vfm_err cause;
	bool listen;
	bool deaf;
	bool told;
	bool torn;
	bool closing;

	bool sink;
	bool paused;
	bool added;
	bool stay;
	bool aborted;
	struct vfm_owner *owner;
	uint64_t write_ns;
	struct vfm_claim *claim;
	char peer_key[VFM_JOURNAL_KEY];
	struct vfm_statement handover;
	bool agreed;
	bool doubt;
	struct vfm_dirty *dirty;

	struct vfm_rate rate;
	uint64_t began_ns;
	uint64_t phase_ns;
	uint64_t progress_ns;
	uint64_t stopped_ns;

	struct vfm_channel channels[VFM_CHANNELS_MAX];
	unsigned int nr_channels;
	uint64_t deadline_ns;
	struct vfm_bucket bucket;
	struct vfm_gauge wire, memory;
	uint32_t heard;
	bool peer_rates;
	struct vfm_rates rates;
	uint64_t rates_ns;
	uint32_t phases;
	uint64_t round_trip_ns;
	unsigned int round_trips;
	struct vfm_left left;
	struct vfm_prediction least;
	bool unsure;
};

/** vfm_engine_opts() - a caller's options, of whatever size; NULL for the defaults. */
int vfm_engine_opts(struct vfm_migrate_opts *out, const struct vfm_migrate_opts *opts,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** What is waited for beside the devices: see wire.c. */
#define VFM_ENGINE_FDS 4

/**
 * vfm_engine_init() - begin
 * @unit: of which everything has been checked
 * @opts: NULL for the defaults
 *
 * Free with vfm_engine_finish(), also after a failure.
 */
int vfm_engine_init(struct vfm_engine *e, const struct vfm_unit *unit, int fd,
		    const struct vfm_migrate_opts *opts) VFM_MUST_CHECK;

/** VFM_UNIT_OF() - a unit of one device. */
#define VFM_UNIT_OF(dev_, mem_)                                                                    \
	((struct vfm_unit){ .size = sizeof(struct vfm_unit),                                       \
			    .devs = (struct vfm_device *const[]){ dev_ },                          \
			    .nr_devs = 1,                                                          \
			    .mem = (mem_) })

/** vfm_engine_check_unit() - a caller's. */
int vfm_engine_check_unit(const struct vfm_unit *unit, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_engine_run() - the stages in their order, up to the first that fails. */
int vfm_engine_run(struct vfm_engine *e, const struct vfm_stage *stages,
		   size_t count) VFM_MUST_CHECK;

/** vfm_engine_finish() - give out report and error, free everything. Returns @ret. */
int vfm_engine_finish(struct vfm_engine *e, int ret, struct vfm_migration_report *report,
		      struct vfm_err *err);

/** vfm_engine_enter() - a phase begins; the time of the one before ends. */
void vfm_engine_enter(struct vfm_engine *e, enum vfm_phase phase);

/** vfm_engine_count() - payload that was moved, and how long it took (0: not for the rate). */
void vfm_engine_count(struct vfm_engine *e, uint64_t device_bytes, uint64_t memory_bytes,
		      uint64_t ns);

/** vfm_engine_late() - max_time_ms is over, and the source not stopped yet. */
bool vfm_engine_late(const struct vfm_engine *e);

/** vfm_engine_tick() - tell progress if it is time. */
void vfm_engine_tick(struct vfm_engine *e);

/** vfm_err_also() - put a second failure behind the first. */
void vfm_err_also(struct vfm_err *err, const struct vfm_err *second);

/** vfm_engine_also() - the same in e->err. */
void vfm_engine_also(struct vfm_engine *e, const struct vfm_err *second);

/* ---- connect.c ------------------------------------------------------------ */

/** vfm_engine_connect() - hello, TLS, further channels; afterwards the peer is one of ours. */
int vfm_engine_connect(struct vfm_engine *e) VFM_MUST_CHECK;

/* ---- wire.c: records and waiting ----------------------------------------- */

/** vfm_engine_wait() - until @fd has one of @events, as struct vfm_wait wants it; @user is us. */
int vfm_engine_wait(void *user, int fd, short events);

int vfm_engine_open_out(struct vfm_engine *e) VFM_MUST_CHECK;
int vfm_engine_open_in(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_engine_record_ms() - longest time for a record that arrives little by little; 0: for ever.
 */
unsigned int vfm_engine_record_ms(const struct vfm_engine *e);

/** vfm_engine_service() - between records: the device, cancellation, a complaint, progress. */
int vfm_engine_service(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_engine_idle() - the same for so long, or until the peer has said something. */
int vfm_engine_idle(struct vfm_engine *e, unsigned int ms) VFM_MUST_CHECK;

/** vfm_engine_await() - the same until @fd is readable, or something was collected. */
int vfm_engine_await(struct vfm_engine *e, int fd) VFM_MUST_CHECK;

/** vfm_engine_cause() - where whoever reads, or writes, says why: the helper's is its own. */
struct vfm_err *vfm_engine_cause(struct vfm_channel *c, bool reading);

/** vfm_engine_silence() - say that there was none of the other side for as long as is allowed. */
void vfm_engine_silence(const struct vfm_engine *e, struct vfm_err *err);

/**
 * vfm_engine_hear() - a write has failed with @ret and e->err; returns why, if known
 *
 * If it is because the peer is gone, that may have said why before it went, behind rates that
 * nobody needs any more.
 */
int vfm_engine_hear(struct vfm_engine *e, int ret);

/** vfm_engine_unwritten() - the same, on the first channel: nothing can follow. */
int vfm_engine_unwritten(struct vfm_engine *e, int ret);

/**
 * vfm_engine_buffer() - where the payload of the next record may be put so that it is not copied
 *
 * VFM_STREAM_PAYLOAD_MAX bytes, until the next record. It may have to be waited for.
 */
int vfm_engine_buffer(struct vfm_engine *e, void **data) VFM_MUST_CHECK;

/** vfm_engine_put() - one record, and nothing else is looked at before it. */
int vfm_engine_put(struct vfm_engine *e, enum vfm_stream_type type, uint32_t flags,
		   const void *data, size_t size) VFM_MUST_CHECK;

/** vfm_engine_write() - serve, then put one record. */
int vfm_engine_write(struct vfm_engine *e, enum vfm_stream_type type, const void *data,
		     size_t size) VFM_MUST_CHECK;

/** vfm_engine_write_identities() - of all devices, as m->identity has them. */
int vfm_engine_write_identities(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_engine_write_end() - flush, and END. The pipeline ends here. */
int vfm_engine_write_end(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_engine_flush() - until all records so far are out, not only on their way to it. */
int vfm_engine_flush(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_engine_write_phase() - so that the other side knows, and knows that we live. */
int vfm_engine_write_phase(struct vfm_engine *e, enum vfm_phase phase,
			   uint32_t round) VFM_MUST_CHECK;

/**
 * vfm_engine_read() - the next record
 *
 * The peer's ABORT is a failure with its code and text, and so is the end of
 * the stream: there is always a record or an error.
 */
int vfm_engine_read(struct vfm_engine *e, struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_engine_expect() - the same, and it must be of this type. */
int vfm_engine_expect(struct vfm_engine *e, enum vfm_stream_type type,
		      struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_engine_unexpected() - -EPROTO for a record that has no place here. */
int vfm_engine_unexpected(struct vfm_engine *e, const struct vfm_stream_record *record);

/** vfm_engine_abort() - tell the peer what e->err says, if it can be told, and end our stream. */
void vfm_engine_abort(struct vfm_engine *e);

/* ---- rates.c: the destination tells how far it is ------------------------- */

/** vfm_rates_ready() - what READY carries: rates, which says that we can tell them. */
int vfm_rates_ready(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_rates_tell() - the destination's, if the source wants them; only if it is time unless @now.
 */
int vfm_rates_tell(struct vfm_engine *e, bool now) VFM_MUST_CHECK;

/** vfm_rates_take() - those in a RATES or READY record. */
int vfm_rates_take(struct vfm_engine *e, const struct vfm_stream_record *record) VFM_MUST_CHECK;

/**
 * vfm_rates_sync() - until the destination has loaded all that was sent; device and peer are served
 *
 * Measures the round trip. Return: 0, also if it cannot tell; -EAGAIN: max_time_ms is over.
 */
int vfm_rates_sync(struct vfm_engine *e) VFM_MUST_CHECK;

/**
 * struct vfm_stall - how long a destination has got nowhere, to be zeroed first
 * @loaded: what it had loaded when it last got somewhere
 * @moved_ns: when that was
 */
struct vfm_stall {
	uint64_t loaded;
	uint64_t moved_ns;
};

/**
 * vfm_rates_stalled() - -ETIMEDOUT when it has loaded nothing for as long as it may be silent
 *
 * To be asked whenever it has told, or not told, its rates: those alone keep nobody waiting.
 */
int vfm_rates_stalled(struct vfm_engine *e, struct vfm_stall *stall) VFM_MUST_CHECK;

/* ---- judge.c: whether to stop --------------------------------------------- */

/** Sizes above are nonsense of a device, and taken for "not known". */
#define VFM_SIZE_SANE (UINT64_C(1) << 40)

/** vfm_judge_pending() - a step: what can be read while the device runs, from it itself. */
int vfm_judge_pending(struct vfm_member *m, int unused) VFM_MUST_CHECK;

/** vfm_judge() - after a round: 1: stop now; 0: another round; -EDQUOT. */
int vfm_judge(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_judge_sizes() - compare what the device said with what came after the stop. */
void vfm_judge_sizes(struct vfm_engine *e);

/* ---- dirty.c: memory that leaves ----------------------------------------- */

/** vfm_dirty_new() - all of e->mem is dirty. */
int vfm_dirty_new(struct vfm_engine *e) VFM_MUST_CHECK;
void vfm_dirty_free(struct vfm_dirty *d);

/** vfm_dirty_start() - begin to log. Without a log all stays dirty, which is no failure. */
void vfm_dirty_start(struct vfm_engine *e);

/** vfm_dirty_report() - take what the device has logged. A failure makes all dirty for good. */
void vfm_dirty_report(struct vfm_engine *e);

/** vfm_dirty_bytes() - what would have to be sent now. */
uint64_t vfm_dirty_bytes(const struct vfm_engine *e);

/** vfm_dirty_send() - all dirty pages; they are clean afterwards. Ends early when it is too late.
 */
int vfm_dirty_send(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_dirty_stop() - end the log; its failure is of no interest. */
void vfm_dirty_stop(struct vfm_engine *e);

/* ---- layout.c: payloads that only the engine knows ------------------------ */

/** Size of a MEMORY_MAP with that many ranges. */
#define VFM_LAYOUT_MAP_SIZE(ranges) (8 + (size_t)(ranges)*24)

/** Size of a PHASE. */
#define VFM_LAYOUT_PHASE_SIZE 12

/** Of a PHASE: answer with RATES. */
#define VFM_LAYOUT_ANSWER (1u << 0)

/** Size of RATES, and of a READY that has them. */
#define VFM_LAYOUT_RATES_SIZE 48

/** Of a COMMIT: the new owner keeps the device in STOP. */
#define VFM_LAYOUT_PAUSED (1u << 0)

/** struct vfm_layout_map - ranges, as they travel */
struct vfm_layout_map {
	size_t count;
	struct {
		struct vfm_range range;
		uint32_t flags;
	} ranges[VFM_MEMORY_MAX_RANGES];
};

/** vfm_layout_write_map() - @mem may be NULL. Returns the bytes used of @buf, which has room. */
size_t vfm_layout_write_map(const struct vfm_memory *mem, uint8_t *buf, size_t room);
int vfm_layout_read_map(struct vfm_layout_map *map, const struct vfm_stream_record *record,
			struct vfm_err *err) VFM_MUST_CHECK;
void vfm_layout_write_rates(const struct vfm_rates *rates, uint8_t buf[VFM_LAYOUT_RATES_SIZE]);

/** vfm_layout_read_rates() - values that make no sense are made to. */
int vfm_layout_read_rates(struct vfm_rates *rates, const struct vfm_stream_record *record,
			  struct vfm_err *err) VFM_MUST_CHECK;
size_t vfm_layout_write_abort(int code, const char *text, uint8_t *buf, size_t room);

/** vfm_layout_read_abort() - the text is made harmless, the code a negative errno value. */
int vfm_layout_read_abort(char *text, size_t room, const struct vfm_stream_record *record);

/* ---- save.c: what save and send share ------------------------------------ */

/** vfm_source_stop() - to STOP_COPY; the downtime begins. */
int vfm_source_stop(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_source_go_back() - each device to the state in which it was found, if it left that. */
int vfm_source_go_back(struct vfm_engine *e, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_source_recover() - after a failure: go back and disarm; what fails goes into e->err, too. */
void vfm_source_recover(struct vfm_engine *e);

/* ---- load.c: what load and receive share --------------------------------- */

/** vfm_sink_check() - whether images of what is in m->identity may be loaded into our devices. */
int vfm_sink_check(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_sink_begin() - to RESUMING; what the devices were doing is lost from here on. */
int vfm_sink_begin(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_sink_prove() - to STOP, which says that the images are whole and right. */
int vfm_sink_prove(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_sink_run() - before_run, then RUNNING unless the source was paused; each that can. */
int vfm_sink_run(struct vfm_engine *e) VFM_MUST_CHECK;

/**
 * vfm_sink_reset() - after a failure, unless the device was not touched or must be kept
 *
 * Return: whether none is left in the middle.
 */
bool vfm_sink_reset(struct vfm_engine *e);

#endif
