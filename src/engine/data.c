// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Data of the devices: out of data sessions into records, and back.
 *
 * With hands, a read or write of one record is what a hand does at a time. Buffers are the
 * pipeline's; the caller's thread gets one before it gives a device to a hand, and brings it
 * on its way when both come back. So what is under way in hands is within the limit of
 * the pipeline's buffers, records leave in an order that one thread has decided, and a
 * device that is not being read is served.
 *
 * What surprises: data for a device that is busy waits for it, in buffers. A destination
 * one of whose devices is slow comes to have them all in its line, and then goes at its
 * pace, as a source that fills all devices at the same rate does not wait for it otherwise.
 */

#include "engine/unit.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "engine/pipe.h"
#include "engine/queue.h"

/* ---- the source ------------------------------------------------------------- */

/* What was read, and goes into a record. */
static void count_read(struct vfm_member *m)
{
	uint64_t n = (uint64_t)m->read.n;

	m->got += n;
	m->bytes += n;
	m->data_ns += m->took_ns;
	vfm_gauge_add(&m->save, n, m->took_ns);
}

static uint32_t record_flags(const struct vfm_member *m)
{
	return m->read.end ? VFM_STREAM_CHUNK_END : 0;
}

/* A read has brought no data: that is all of it for now, unless it is a failure. */
static int end_read(struct vfm_engine *e, struct vfm_member *m)
{
	m->dry = true;
	if (m->read.n != -ENOMSG)
		return (int)m->read.n;
	if (e->report.phase != VFM_PHASE_STOP_COPY)
		return 0;
	return vfm_fail(&m->err, -EPROTO,
			"%s says \"nothing now\" in STOP_COPY, where only an end is one",
			vfm_device_uri(m->dev));
}

static void read_into(struct vfm_member *m, void *buf)
{
	uint64_t start = vfm_now_ns();

	m->read.n = vfm_device_read_chunk(m->dev, buf, m->read.room, &m->read.end, &m->err);
	m->took_ns = vfm_now_ns() - start;
}

/* Without hands: one read into one record. */
static int read_here(struct vfm_engine *e, struct vfm_member *m)
{
	uint64_t start = vfm_now_ns();
	void *buf;
	int ret = vfm_engine_buffer(e, &buf);

	if (ret)
		return ret;
	read_into(m, buf);
	if (m->read.n <= 0) {
		ret = end_read(e, m);
		return ret ? vfm_unit_failed(e, m, ret) : 0;
	}
	ret = vfm_engine_service(e);
	if (!ret)
		ret = vfm_engine_put(e, VFM_STREAM_DEVICE_DATA, record_flags(m), buf,
				     (size_t)m->read.n);
	if (ret)
		return ret;
	count_read(m);
	vfm_engine_count(e, (uint64_t)m->read.n, 0, vfm_now_ns() - start);
	return 0;
}

static int read_all_here(struct vfm_engine *e)
{
	struct vfm_member *m = e->members;
	int ret;

	m->read.room = vfm_bucket_piece(&e->bucket, VFM_STREAM_PAYLOAD_MAX);
	do {
		ret = m->dry ? 0 : read_here(e, m);
	} while (!ret && !m->dry && m->got < m->quota && !vfm_engine_late(e));
	return ret;
}

static int read_step(struct vfm_member *m, int unused)
{
	(void)unused;
	read_into(m, m->buffer->bytes);
	return 0;
}

static int collect_read(struct vfm_engine *e, struct vfm_member *m)
{
	struct vfm_buffer *buffer = vfm_take_ptr(m->buffer);
	uint64_t n = (uint64_t)m->read.n;

	if (m->read.n <= 0) {
		vfm_pipe_spare(e, buffer);
		return end_read(e, m);
	}
	buffer->record = (struct vfm_stream_record){ .type = VFM_STREAM_DEVICE_DATA,
						     .flags = record_flags(m),
						     .device = m->index,
						     .size = n,
						     .data = buffer->bytes };
	vfm_pipe_pass(e, buffer);
	count_read(m);
	vfm_engine_count(e, n, 0, m->took_ns);
	m->dry = m->got >= m->quota;
	return 0;
}

/*
 * Give to hands all that can be. @left: there is more, or something is under way. Return: 0;
 * -EAGAIN: a buffer must be waited for; else a failure.
 */
static int give_reads(struct vfm_engine *e, bool *left)
{
	bool enough = vfm_engine_late(e);

	*left = e->in_hand > 0;
	for (size_t i = 0; i < e->nr_members && !enough; i++) {
		struct vfm_member *m = &e->members[i];
		int ret;

		if (m->dry || m->busy)
			continue;
		*left = true;
		if (!vfm_unit_free_hand(e))
			break;
		ret = vfm_pipe_empty(e, &m->buffer);
		if (ret)
			return ret;
		m->read.room = vfm_bucket_piece(&e->bucket, VFM_STREAM_PAYLOAD_MAX);
		vfm_unit_give(e, m, read_step, 0, collect_read);
	}
	return 0;
}

static int read_all(struct vfm_engine *e)
{
	bool left = true;

	while (left) {
		int ret = give_reads(e, &left);

		if (ret && ret != -EAGAIN)
			return ret;
		if (left)
			ret = vfm_engine_await(e, ret ? vfm_pipe_fd(e) : -1);
		if (ret)
			return ret;
	}
	return 0;
}

int vfm_data_read(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		e->members[i].got = 0;
		e->members[i].dry = !e->members[i].quota;
	}
	return e->hands ? read_all(e) : read_all_here(e);
}

int vfm_data_drain(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].quota = UINT64_MAX;
	return vfm_data_read(e);
}

/* ---- the destination ---------------------------------------------------------- */

static int write_record(struct vfm_member *m, const struct vfm_stream_record *record)
{
	uint64_t start = vfm_now_ns();
	int ret = 0;

	if (record->size)
		ret = vfm_device_write_chunk(m->dev, record->data, (size_t)record->size,
					     record->flags & VFM_STREAM_CHUNK_END, &m->err);
	m->took_ns = vfm_now_ns() - start;
	return ret;
}

static void count_written(struct vfm_engine *e, struct vfm_member *m, uint64_t size)
{
	m->bytes += size;
	m->data_ns += m->took_ns;
	vfm_gauge_add(&m->load, size, m->took_ns);
	vfm_engine_count(e, size, 0, m->took_ns);
}

static int write_step(struct vfm_member *m, int unused)
{
	(void)unused;
	return write_record(m, &m->buffer->record);
}

static void give_writes(struct vfm_engine *e);

static int collect_write(struct vfm_engine *e, struct vfm_member *m)
{
	struct vfm_buffer *buffer = vfm_take_ptr(m->buffer);
	int ret = m->ret;

	if (!ret)
		count_written(e, m, buffer->record.size);
	vfm_pipe_give(e, buffer);
	/* It may be a hand's again after that. */
	if (!ret)
		give_writes(e);
	return ret;
}

static void give_writes(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members && vfm_unit_free_hand(e); i++) {
		struct vfm_member *m = &e->members[i];

		if (m->busy || !m->backlog)
			continue;
		m->buffer = m->backlog;
		m->backlog = m->buffer->next;
		vfm_unit_give(e, m, write_step, 0, collect_write);
	}
}

int vfm_data_write(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	struct vfm_member *m = &e->members[record->device];
	struct vfm_buffer *buffer;
	int ret;

	if (!e->hands) {
		ret = write_record(m, record);
		if (ret)
			return vfm_unit_failed(e, m, ret);
		count_written(e, m, record->size);
		return 0;
	}
	buffer = vfm_pipe_keep(e);
	buffer->next = NULL;
	if (!m->backlog)
		m->last = &m->backlog;
	*m->last = buffer;
	m->last = &buffer->next;
	give_writes(e);
	return 0;
}

int vfm_data_settle(struct vfm_engine *e)
{
	int ret = 0;

	/* While something waits in line, something is in hand. */
	while (!ret && e->in_hand)
		ret = vfm_engine_await(e, -1);
	return ret;
}
