// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The destination's half of a migration. Everything that arrives is untrusted:
 * a record is taken only where the table says so, and memory is written only
 * where it is ours.
 *
 * The device is not touched before identity and memory are known to fit. It
 * runs when COMMIT was seen and never before; until then every failure resets
 * it, and after that none does.
 */

#include "engine/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/util.h"
#include "engine/handover.h"
#include "engine/pipe.h"

/* ---- setup --------------------------------------------------------------- */

static bool fits(const struct vfm_memory *mem, const struct vfm_range *range, uint32_t flags)
{
	for (size_t i = 0; i < vfm_memory_count(mem); i++) {
		uint32_t have;
		struct vfm_range ours = vfm_memory_get(mem, i, &have);

		if (range->iova >= ours.iova &&
		    vfm_range_inside(range->iova - ours.iova, range->size, ours.size))
			return !(flags & ~have);
	}
	return false;
}

static int fit_memory(struct vfm_engine *e, const struct vfm_layout_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct vfm_range *range = &map->ranges[i].range;

		if (!fits(e->mem, range, map->ranges[i].flags))
			return vfm_fail(&e->err, -ENOTUNIQ,
					"memory of the source at 0x%" PRIx64 ", 0x%" PRIx64
					" bytes, flags %u, does not fit into ours",
					range->iova, range->size, map->ranges[i].flags);
	}
	return 0;
}

/* More than the machine has cannot be meant, and would end in somebody's death. */
static int check_total(struct vfm_engine *e, const struct vfm_layout_map *map)
{
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t left = ram;

	for (size_t i = 0; i < map->count; i++) {
		if (map->ranges[i].range.size > left)
			return vfm_fail(
				&e->err, -ENOMEM,
				"the source's memory is larger than this machine's, %" PRIu64
				" bytes",
				ram);
		left -= map->ranges[i].range.size;
	}
	return 0;
}

/* What is mapped when this fails is taken back with the rest, in recover(). */
static int map_memory(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];
		int ret = vfm_memory_map(e->mem, m->dev, &m->err);

		if (ret)
			return vfm_unit_failed(e, m, ret);
	}
	return 0;
}

static int add_memory(struct vfm_engine *e, const struct vfm_layout_map *map)
{
	int ret = check_total(e, map);

	e->added = true;
	for (size_t i = 0; !ret && i < map->count; i++) {
		const struct vfm_range *range = &map->ranges[i].range;

		ret = vfm_memory_add(e->mem, range->iova, range->size, map->ranges[i].flags,
				     &e->err);
	}
	return ret ? ret : map_memory(e);
}

/*
 * Who the source's devices are, and then a record that is something else. All of them are
 * read, so that it can be told how many there are; the reader bounds that.
 */
static int read_identities(struct vfm_engine *e, struct vfm_stream_record *record)
{
	size_t count = 0;
	int ret = vfm_engine_expect(e, VFM_STREAM_IDENTITY, record);

	while (!ret && record->type == VFM_STREAM_IDENTITY) {
		if (count < e->nr_members)
			ret = vfm_stream_parse_identity(&e->members[count].identity, record,
							&e->err);
		count++;
		if (!ret)
			ret = vfm_engine_read(e, record);
	}
	if (ret || count == e->nr_members)
		return ret;
	return vfm_fail(&e->err, -ENOTUNIQ,
			"the source moves %zu device%s as one, and %zu %s here to take %s", count,
			count == 1 ? "" : "s", e->nr_members, e->nr_members == 1 ? "is" : "are",
			count == 1 ? "it" : "them");
}

static int accept_memory(struct vfm_engine *e, struct vfm_stream_record *record)
{
	struct vfm_layout_map map;
	int ret = vfm_handover_follow(e, VFM_STREAM_MEMORY_MAP, record);

	if (!ret)
		ret = vfm_layout_read_map(&map, record, &e->err);
	if (ret || !map.count)
		return ret;
	if (!e->mem)
		return vfm_fail(&e->err, -ENOTSUP,
				"the source brings memory, and there is no place "
				"for it");
	return vfm_memory_count(e->mem) ? fit_memory(e, &map) : add_memory(e, &map);
}

static int receive_setup(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	int ret = vfm_engine_connect(e);

	if (!ret)
		ret = vfm_engine_open_out(e);
	if (!ret)
		ret = vfm_unit_hands(e);
	if (!ret)
		ret = vfm_unit_ask(e);
	if (!ret)
		ret = vfm_engine_open_in(e);
	if (!ret)
		ret = read_identities(e, &record);
	if (!ret)
		ret = vfm_sink_check(e);
	if (!ret)
		ret = accept_memory(e, &record);
	if (!ret)
		ret = vfm_handover_begin(e);
	if (!ret)
		ret = vfm_sink_begin(e);
	return ret ? ret : vfm_rates_ready(e);
}

/* ---- data ---------------------------------------------------------------- */

static int outside(struct vfm_engine *e, const struct vfm_stream_record *record, uint64_t iova,
		   uint64_t size)
{
	return vfm_fail(&e->err, -EPROTO,
			"%s at %" PRIu64 ": 0x%" PRIx64 " bytes at 0x%" PRIx64
			" are not in the memory that was agreed on",
			vfm_stream_type_name(record->type), record->offset, size, iova);
}

static int on_memory_data(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	uint64_t start = vfm_now_ns();
	uint64_t iova = vfm_read_le64(&r);

	if (!e->mem || !r.left || !vfm_memory_at(e->mem, iova, r.left))
		return outside(e, record, iova, r.left);
	vfm_memory_write(e->mem, iova, r.p, r.left);
	vfm_engine_count(e, 0, r.left, vfm_now_ns() - start);
	return 0;
}

static int on_memory_zero(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	uint64_t iova = vfm_read_le64(&r);
	uint64_t size = vfm_read_le64(&r);

	if (!vfm_reader_ok(&r) || r.left || !e->mem || !size || !vfm_memory_at(e->mem, iova, size))
		return outside(e, record, iova, size);
	vfm_memory_zero(e->mem, iova, size);
	vfm_engine_count(e, 0, size, 0);
	return 0;
}

/* Phases go on in their order. They are told for the report, and to be answered with our rates. */
static int on_phase(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	uint32_t phase = vfm_read_le32(&r);
	uint32_t round = vfm_read_le32(&r);
	uint32_t flags = r.left >= 4 ? vfm_read_le32(&r) : 0;
	int ret = vfm_data_settle(e);

	if (ret)
		return ret;
	if (!vfm_reader_ok(&r) || phase < e->report.phase || phase > VFM_PHASE_STOP_COPY)
		return vfm_engine_unexpected(e, record);
	if (phase != e->report.phase)
		vfm_engine_enter(e, phase);
	if (phase == VFM_PHASE_PRECOPY)
		e->report.rounds = round + 1;
	e->phases++;
	for (size_t i = 0; i < e->nr_members; i++)
		vfm_gauge_fade(&e->members[i].load);
	e->peer_rates = flags & VFM_LAYOUT_ANSWER;
	return vfm_rates_tell(e, true);
}

static const struct {
	uint32_t type;
	int (*fn)(struct vfm_engine *e, const struct vfm_stream_record *record);
} data_records[] = {
	{ VFM_STREAM_DEVICE_DATA, vfm_data_write },
	{ VFM_STREAM_MEMORY_DATA, on_memory_data },
	{ VFM_STREAM_MEMORY_ZERO, on_memory_zero },
	{ VFM_STREAM_PHASE, on_phase },
};

static int dispatch(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(data_records); i++)
		if (data_records[i].type == record->type)
			return data_records[i].fn(e, record);
	return vfm_engine_unexpected(e, record);
}

static int receive_data(struct vfm_engine *e)
{
	struct vfm_stream_record record = { 0 };
	int ret = vfm_pipe_start(e);

	while (!ret) {
		ret = vfm_engine_read(e, &record);
		if (ret || record.type == VFM_STREAM_END)
			break;
		ret = dispatch(e, &record);
		if (!ret)
			ret = vfm_rates_tell(e, false);
	}
	if (!ret)
		ret = vfm_data_settle(e);
	/* From here on each record is an answer to us, or to be answered. */
	vfm_pipe_stop(e, 0);
	return ret;
}

/* ---- from END on --------------------------------------------------------- */

/*
 * From LOADED on the source may give the device away, at any moment and without
 * our knowing. If we die then, what was loaded may be all that is left of the
 * device: it must stay, in STOP, for somebody to settle, and must not be reset.
 */
static int receive_load(struct vfm_engine *e)
{
	int ret = vfm_sink_prove(e);

	if (!ret)
		ret = vfm_unit_each(e, vfm_member_disarm, 0);
	if (!ret)
		ret = vfm_handover_loaded(e);
	if (!ret)
		ret = vfm_engine_write(e, VFM_STREAM_LOADED, NULL, 0);
	if (!ret)
		vfm_handover_told(e);
	return ret;
}

static int receive_commit(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	uint32_t flags = 0;
	int ret = vfm_engine_expect(e, VFM_STREAM_COMMIT, &record);

	if (ret)
		return ret;
	if (record.size) {
		struct vfm_reader r = vfm_reader_of(record.data, (size_t)record.size);

		flags = vfm_read_le32(&r);
		if (!vfm_reader_ok(&r) || r.left || flags & ~VFM_LAYOUT_PAUSED)
			return vfm_engine_unexpected(e, &record);
	}
	e->paused = flags & VFM_LAYOUT_PAUSED;
	e->report.committed = true;
	e->deaf = true;
	e->stopped_ns = vfm_now_ns();
	return vfm_handover_take(e);
}

static int receive_run(struct vfm_engine *e)
{
	int ret = vfm_sink_run(e);

	if (ret)
		return ret;
	e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	vfm_handover_ran(e);
	/* The device is ours and runs, whether or not the source can be told. */
	if (!vfm_engine_put(e, VFM_STREAM_RUNNING, 0, NULL, 0))
		vfm_handover_part(e);
	memset(&e->err, 0, sizeof(e->err));
	return 0;
}

static const struct vfm_stage receive_stages[] = {
	{ VFM_PHASE_SETUP, "setup", receive_setup }, { VFM_PHASE_PRECOPY, "data", receive_data },
	{ VFM_PHASE_LOAD, "load", receive_load },    { VFM_PHASE_COMMIT, "commit", receive_commit },
	{ VFM_PHASE_COMMIT, "run", receive_run },
};

/* When one device cannot be told to let go of it, all of it is kept: that may still write there. */
static void drop_memory(struct vfm_engine *e)
{
	bool kept = false;

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		if (!vfm_memory_detach(e->mem, m->dev, &m->err))
			continue;
		kept = true;
		vfm_engine_also(e, &m->err);
	}
	if (!kept)
		vfm_memory_clear(e->mem);
}

/* The source first: its device stands still. */
static void recover(struct vfm_engine *e)
{
	struct vfm_err second;

	vfm_engine_abort(e);
	if (!e->report.committed) {
		vfm_handover_refuse(e);
		vfm_handover_refused(e, vfm_sink_reset(e));
	}
	if (!e->report.committed && !e->stay && e->added)
		drop_memory(e);
	if (vfm_unit_all(e, vfm_member_disarm, 0, &second))
		vfm_engine_also(e, &second);
}

static int receive_unit(const struct vfm_unit *unit, int fd, const struct vfm_migrate_opts *opts,
			struct vfm_migration_report *report, struct vfm_err *err)
{
	struct vfm_engine e;
	int ret = vfm_engine_init(&e, unit, fd, opts);

	e.peer = "source";
	e.sink = true;
	e.mem = unit->mem; /* an empty one counts here */
	if (!ret)
		ret = vfm_engine_run(&e, receive_stages, VFM_ARRAY_SIZE(receive_stages));
	if (ret)
		recover(&e);
	return vfm_engine_finish(&e, ret, report, err);
}

VFM_API int vfm_migrate_receive_unit(const struct vfm_unit *unit, int fd,
				     const struct vfm_migrate_opts *opts,
				     struct vfm_migration_report *report, struct vfm_err *err)
{
	int ret = vfm_engine_check_unit(unit, err);

	return ret ? ret : receive_unit(unit, fd, opts, report, err);
}

VFM_API int vfm_migrate_receive(struct vfm_device *dev, struct vfm_memory *mem, int fd,
				const struct vfm_migrate_opts *opts,
				struct vfm_migration_report *report, struct vfm_err *err)
{
	return receive_unit(&VFM_UNIT_OF(dev, mem), fd, opts, report, err);
}
