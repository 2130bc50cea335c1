// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The messages of the v1 era about dirty pages: DIRTY_PAGES, and DMA_UNMAP that
 * asks what was written. What is asked, and what becomes of the answers, is
 * client_log.c's.
 *
 * Servers of that era fill a reply for which argsz was too small with whatever is in
 * their memory, the request of before perhaps. So argsz is exactly what is due, and
 * an answer is believed if its length is that, it is about our question, and it does
 * not say that it wanted more.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"

#define PAGE VFM_VU_DIRTY_PAGE
#define HEAD_SIZE (VFM_VU_DIRTY_SIZE + VFM_VU_DIRTY_RANGE_SIZE)
_Static_assert(HEAD_SIZE == VFM_VU_DMA_UNMAP_SIZE + VFM_VU_UNMAP_BITMAP_SIZE, "layout");

/* Both questions: argsz, flags, iova, size, page size, bytes of bitmap. */
static void put_question(uint8_t *wire, uint32_t flags, uint64_t iova, uint64_t size, size_t bytes)
{
	struct vfm_writer w = vfm_writer_of(wire, HEAD_SIZE);

	vfm_write_he32(&w, (uint32_t)(HEAD_SIZE + bytes));
	vfm_write_he32(&w, flags);
	vfm_write_he64(&w, iova);
	vfm_write_he64(&w, size);
	vfm_write_he64(&w, PAGE);
	vfm_write_he64(&w, bytes);
}

static int check_answer(const struct vfm_client_call *call, const uint8_t *question, size_t bytes,
			struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(call->head, call->head_len);
	uint32_t argsz = vfm_read_he32(&r);

	if (vfm_reader_ok(&r) && argsz > HEAD_SIZE + bytes)
		return vfm_fail(err, -EPROTO,
				"the server wants to answer %" PRIu32 " bytes, not %zu", argsz,
				HEAD_SIZE + bytes);
	if (call->head_len < HEAD_SIZE || call->data_len < bytes)
		return vfm_client_short(call->head_len + call->data_len, HEAD_SIZE + bytes, err);
	if (call->data_len > bytes)
		return vfm_fail(err, -EPROTO, "the bitmap has more than %zu bytes", bytes);
	if (memcmp((uint8_t *)call->head + sizeof(argsz), question + sizeof(argsz),
		   HEAD_SIZE - sizeof(argsz)) != 0)
		return vfm_fail(err, -EPROTO, "the server reports on another range");
	return 0;
}

/* One byte more than the bitmap is taken, to see that there is none. */
static int ask(struct vfm_client *c, uint16_t command, uint32_t flags, uint64_t iova, uint64_t size,
	       int *answer, struct vfm_err *err)
{
	size_t bytes = vfm_log_bitmap_words(size, PAGE) * sizeof(uint64_t);
	uint8_t question[HEAD_SIZE], head[HEAD_SIZE];
	struct iovec body = { question, sizeof(question) };
	struct vfm_client_call call = { .command = command,
					.body = &body,
					.nr_body = 1,
					.head = head,
					.head_room = sizeof(head),
					.data_room = bytes + 1 };
	int ret = vfm_client_log_room(c, call.data_room, err);

	if (ret)
		return ret;
	call.data = c->log.scratch;
	put_question(question, flags, iova, size, bytes);
	ret = vfm_client_call(c, &call, err);
	if (ret)
		return ret;
	c->log.answer = (uint64_t *)(void *)c->log.scratch;
	*answer = check_answer(&call, question, bytes, err);
	return 0;
}

int vfm_client_dirty_switch(struct vfm_client *c, bool on, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_DIRTY_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_DIRTY_PAGES,
					.body = &body,
					.nr_body = 1 };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));

	vfm_write_he32(&w, sizeof(wire));
	vfm_write_he32(&w, on ? VFM_VU_DIRTY_START : VFM_VU_DIRTY_STOP);
	return vfm_client_call(c, &call, err);
}

int vfm_client_dirty_get(struct vfm_client *c, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	int answer = 0;
	int ret = ask(c, VFM_VU_DIRTY_PAGES, VFM_VU_DIRTY_GET_BITMAP, iova, size, &answer, err);

	return ret ? ret : answer;
}

int vfm_client_dirty_unmap(struct vfm_client *c, uint64_t iova, uint64_t size, bool *known,
			   struct vfm_err *err)
{
	int answer = 0;
	int ret = ask(c, VFM_VU_DMA_UNMAP, VFM_VU_UNMAP_GET_BITMAP, iova, size, &answer, err);

	*known = !ret && !answer;
	return ret;
}
