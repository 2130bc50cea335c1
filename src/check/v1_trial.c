// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The migration region as its users see it: what rules about it call.
 *
 * What surprises: a device of the time of v1 may take a reset only while it runs, and one that
 * waits for an image takes nothing else. So the way back depends on where it is.
 */

#include "check/v1_trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/util.h"

/* ---- one access ------------------------------------------------------------------ */

int vfm_v1_read(struct vfm_trial *t, uint64_t offset, void *buf, size_t len, struct vfm_err *err)
{
	return vfm_device_read_region(t->dev, t->region, offset, buf, len, err);
}

int vfm_v1_write(struct vfm_trial *t, uint64_t offset, const void *buf, size_t len,
		 struct vfm_err *err)
{
	return vfm_device_write_region(t->dev, t->region, offset, buf, len, err);
}

int vfm_v1_get(struct vfm_trial *t, uint64_t reg, uint64_t *value, struct vfm_err *err)
{
	return vfm_v1_read(t, reg, value, sizeof(*value), err);
}

int vfm_v1_put(struct vfm_trial *t, uint64_t reg, uint64_t value, struct vfm_err *err)
{
	return vfm_v1_write(t, reg, &value, sizeof(value), err);
}

int vfm_v1_get_word(struct vfm_trial *t, struct vfm_v1_state *word, struct vfm_err *err)
{
	return vfm_v1_read(t, VFM_V1_DEVICE_STATE, &word->word, sizeof(word->word), err);
}

int vfm_v1_put_word(struct vfm_trial *t, struct vfm_v1_state word, struct vfm_err *err)
{
	return vfm_v1_write(t, VFM_V1_DEVICE_STATE, &word.word, sizeof(word.word), err);
}

int vfm_v1_set_state(struct vfm_trial *t, struct vfm_v1_state state, struct vfm_err *err)
{
	struct vfm_v1_state word;
	int ret = vfm_v1_get_word(t, &word, err);

	return ret ? ret : vfm_v1_put_word(t, vfm_v1_modify(word, vfm_v1_bits(state)), err);
}

/* ---- states ----------------------------------------------------------------------- */

static bool is(struct vfm_v1_state a, struct vfm_v1_state b)
{
	return vfm_v1_bits(a) == vfm_v1_bits(b);
}

int vfm_v1_bring_to_running(struct vfm_trial *t, struct vfm_err *err)
{
	struct vfm_v1_state now;
	int ret = vfm_v1_get_word(t, &now, err);
	bool wants_reset;

	if (ret || is(now, VFM_V1_STATE_RUNNING))
		return ret;
	wants_reset = now.word & VFM_V1_RESUMING;
	if (wants_reset && !vfm_device_reset(t->dev, NULL))
		return 0;
	ret = vfm_v1_set_state(t, VFM_V1_STATE_RUNNING, err);
	return ret && !wants_reset ? vfm_device_reset(t->dev, err) : ret;
}

int vfm_trial_v1_go(struct vfm_trial *t, struct vfm_v1_state state)
{
	struct vfm_v1_state now;
	struct vfm_err err;
	int ret = vfm_v1_get_word(t, &now, &err);

	if (!ret && is(now, state))
		return 0;
	if (!ret && !(is(now, VFM_V1_STATE_PRE_COPY) && is(state, VFM_V1_STATE_STOP_COPY)))
		ret = vfm_v1_bring_to_running(t, &err);
	if (!ret && !is(state, VFM_V1_STATE_RUNNING))
		ret = vfm_v1_set_state(t, state, &err);
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

int vfm_trial_v1_fresh(struct vfm_trial *t)
{
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);

	return ret ? ret : vfm_trial_reset(t);
}

int vfm_trial_v1_state(struct vfm_trial *t, struct vfm_v1_state *state)
{
	struct vfm_err err;

	return vfm_v1_get_word(t, state, &err) ? vfm_trial_blocked(t, &err) : 0;
}

int vfm_trial_v1_arc(struct vfm_trial *t, struct vfm_v1_state from, struct vfm_v1_state to)
{
	int ret = vfm_trial_v1_go(t, from);
	struct vfm_v1_state now;
	struct vfm_err err;

	if (ret)
		return ret;
	if (vfm_v1_set_state(t, to, &err))
		return vfm_trial_fail(t, "in %s, %u was written to device_state, and refused: %s",
				      vfm_v1_state_name(from), vfm_v1_bits(to), err.msg);
	ret = vfm_trial_v1_state(t, &now);
	if (!ret && !is(now, to))
		ret = vfm_trial_fail(t,
				     "in %s, %u was written to device_state, which then reads "
				     "0x%x",
				     vfm_v1_state_name(from), vfm_v1_bits(to), now.word);
	return ret;
}

/* ---- iterations --------------------------------------------------------------------- */

void vfm_v1_free_image(struct vfm_v1_image *image)
{
	free(image->data);
	free(image->chunks);
	*image = (struct vfm_v1_image){ NULL };
}

int vfm_trial_v1_get(struct vfm_trial *t, uint64_t reg, uint64_t *value)
{
	struct vfm_err err;

	return vfm_v1_get(t, reg, value, &err) ? vfm_trial_blocked(t, &err) : 0;
}

/* Nothing is read or written where a device says that its data is before that is looked at. */
static int check_place(struct vfm_trial *t, uint64_t offset, uint64_t size, struct vfm_err *err)
{
	if (offset >= VFM_V1_REGISTERS_END && vfm_range_inside(offset, size, t->described.size))
		return 0;
	return vfm_fail(err, -EPROTO,
			"data of 0x%" PRIx64 " bytes at 0x%" PRIx64 " of a region of 0x%" PRIx64,
			size, offset, t->described.size);
}

int vfm_trial_v1_chunk(struct vfm_trial *t, struct vfm_v1_chunk *chunk)
{
	struct vfm_err err;
	int ret;

	*chunk = (struct vfm_v1_chunk){ 0 };
	ret = vfm_v1_get(t, VFM_V1_PENDING_BYTES, &chunk->pending, &err);
	if (!ret && chunk->pending) {
		ret = vfm_v1_get(t, VFM_V1_DATA_OFFSET, &chunk->offset, &err);
		if (!ret)
			ret = vfm_v1_get(t, VFM_V1_DATA_SIZE, &chunk->size, &err);
		if (!ret)
			ret = check_place(t, chunk->offset, chunk->size, &err);
	}
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

int vfm_trial_v1_first(struct vfm_trial *t, struct vfm_v1_chunk *chunk)
{
	int ret = vfm_trial_v1_chunk(t, chunk);

	return ret || chunk->size ? ret : vfm_trial_skip(t, "the device has nothing to save");
}

static int make_room(struct vfm_v1_image *image, size_t size, struct vfm_err *err)
{
	size_t need = image->size + size;
	size_t *chunks;
	uint8_t *data;

	if (need > VFM_IMAGE_MAX)
		return vfm_fail(err, -EFBIG, "the image is larger than %zu bytes", VFM_IMAGE_MAX);
	if (need > image->room) {
		data = realloc(image->data, VFM_MAX(need, image->room * 2));
		if (!data)
			return vfm_fail(err, -ENOMEM, "no memory for an image");
		image->data = data;
		image->room = VFM_MAX(need, image->room * 2);
	}
	chunks = realloc(image->chunks, (image->nr_chunks + 1) * sizeof(*chunks));
	if (!chunks)
		return vfm_fail(err, -ENOMEM, "no memory for an image");
	image->chunks = chunks;
	return 0;
}

int vfm_trial_v1_append(struct vfm_trial *t, const struct vfm_v1_chunk *chunk,
			struct vfm_v1_image *image)
{
	struct vfm_err err;
	int ret = make_room(image, chunk->size, &err);

	if (!ret)
		ret = vfm_v1_read(t, chunk->offset, image->data + image->size, chunk->size, &err);
	if (ret)
		return vfm_trial_blocked(t, &err);
	image->chunks[image->nr_chunks++] = chunk->size;
	image->size += chunk->size;
	return 0;
}

int vfm_trial_v1_collect(struct vfm_trial *t, size_t most, struct vfm_v1_image *image)
{
	struct vfm_v1_chunk chunk;
	int ret = 0;

	while (!ret && most--) {
		ret = vfm_trial_v1_chunk(t, &chunk);
		if (ret || !chunk.pending)
			break;
		if (!chunk.size)
			return vfm_trial_skip(t, "could not be tried: a chunk is empty");
		ret = vfm_trial_v1_append(t, &chunk, image);
	}
	return ret;
}

int vfm_trial_v1_save(struct vfm_trial *t, struct vfm_v1_image *image)
{
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);
	uint64_t pending = 0;

	if (!ret)
		ret = vfm_trial_v1_collect(t, SIZE_MAX, image);
	if (!ret)
		ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &pending);
	if (!ret && pending)
		ret = vfm_trial_skip(t, "could not be tried: the save has no end");
	if (!ret && !image->size)
		ret = vfm_trial_skip(t, "the device has nothing to save");
	return ret;
}

/* ---- images that are the same ------------------------------------------------------- */

/* A difference must be there so many times... */
#define TRIES 3

/* ...and the device run that long without one. */
#define STILL_MS 50

static bool same(const struct vfm_v1_image *a, const struct vfm_v1_image *b)
{
	return a->size == b->size && (!a->size || !memcmp(a->data, b->data, a->size));
}

static size_t first_difference(const struct vfm_v1_image *a, const struct vfm_v1_image *b)
{
	size_t at = 0;

	while (at < a->size && at < b->size && a->data[at] == b->data[at])
		at++;
	return at;
}

/* Whether it changes while nobody tells it to: then the rule is blocked. */
static int stands_still(struct vfm_trial *t)
{
	const struct timespec pause = { .tv_nsec = STILL_MS * 1000000L };
	vfm_auto_image struct vfm_v1_image before = { NULL };
	vfm_auto_image struct vfm_v1_image after = { NULL };
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_v1_save(t, &before);
	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);
	if (!ret) {
		nanosleep(&pause, NULL);
		ret = vfm_trial_v1_save(t, &after);
	}
	if (!ret && !same(&before, &after))
		ret = vfm_trial_skip(t, "could not be tried: the device changes by itself");
	return ret;
}

static void free_pair(struct vfm_v1_pair *pair)
{
	vfm_v1_free_image(&pair->first);
	vfm_v1_free_image(&pair->second);
}

int vfm_trial_v1_equal(struct vfm_trial *t,
		       int (*make)(struct vfm_trial *t, const void *user, struct vfm_v1_pair *pair),
		       const void *user)
{
	for (int i = 1;; i++) {
		__attribute__((cleanup(free_pair))) struct vfm_v1_pair pair = { .how = "" };
		int ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);

		if (!ret)
			ret = make(t, user, &pair);
		if (ret || pair.nothing || same(&pair.first, &pair.second))
			return ret;
		ret = stands_still(t);
		if (!ret && i == TRIES)
			ret = vfm_trial_fail(t,
					     "%s: the image has %zu bytes, the one before had %zu, "
					     "and they differ from byte %zu on",
					     pair.how, pair.second.size, pair.first.size,
					     first_difference(&pair.first, &pair.second));
		if (ret)
			return ret;
	}
}

/* ---- loading ---------------------------------------------------------------------------- */

int vfm_trial_v1_resuming(struct vfm_trial *t)
{
	int ret = vfm_trial_v1_fresh(t);
	struct vfm_err err;
	uint64_t offset;

	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RESUMING);
	if (!ret)
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &offset);
	if (!ret && check_place(t, offset, 1, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

int vfm_v1_give(struct vfm_trial *t, const void *data, size_t len, struct vfm_err *err)
{
	uint64_t offset;
	int ret = vfm_v1_get(t, VFM_V1_DATA_OFFSET, &offset, err);

	if (!ret)
		ret = check_place(t, offset, len, err);
	if (!ret)
		ret = vfm_v1_write(t, offset, data, len, err);
	return ret ? ret : vfm_v1_put(t, VFM_V1_DATA_SIZE, len, err);
}

int vfm_v1_send(struct vfm_trial *t, const struct vfm_v1_image *image, size_t size,
		struct vfm_err *err)
{
	size_t at = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < image->nr_chunks && at < size; i++) {
		size_t n = VFM_MIN(image->chunks[i], size - at);

		ret = vfm_v1_give(t, image->data + at, n, err);
		at += n;
	}
	return ret;
}

int vfm_v1_resume(struct vfm_trial *t, const struct vfm_v1_image *image, struct vfm_err *err)
{
	int ret = vfm_v1_send(t, image, image->size, err);

	return ret ? ret : vfm_v1_set_state(t, VFM_V1_STATE_RUNNING, err);
}

int vfm_trial_v1_load(struct vfm_trial *t, const struct vfm_v1_image *image)
{
	int ret = vfm_trial_v1_resuming(t);
	struct vfm_err err;

	if (!ret && vfm_v1_resume(t, image, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

/* ---- mappings ------------------------------------------------------------------------- */

int vfm_trial_v1_map(struct vfm_trial *t, struct vfm_v1_map *map)
{
	struct vfm_region *r = &map->region;

	*r = t->described;
	if (!(r->flags & VFM_REGION_MMAP) || r->fd < 0)
		return vfm_trial_skip(t, "nothing of the region can be mapped");
	if (!r->nr_areas)
		r->areas[r->nr_areas++] = (struct vfm_area){ .size = r->size };
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		const struct vfm_area *a = &r->areas[i];
		void *mem = mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
				 (off_t)(r->fd_offset + a->offset));

		if (mem == MAP_FAILED)
			return vfm_trial_skip(t,
					      "could not be tried: area %u, 0x%" PRIx64
					      "+0x%" PRIx64 ", cannot be mapped: %s",
					      i, a->offset, a->size, strerror(errno));
		map->mem[i] = mem;
	}
	return 0;
}

void vfm_v1_unmap(struct vfm_v1_map *map)
{
	for (uint32_t i = 0; i < map->region.nr_areas; i++)
		if (map->mem[i])
			munmap(map->mem[i], map->region.areas[i].size);
	memset(map->mem, 0, sizeof(map->mem));
}

uint8_t *vfm_v1_mapped(const struct vfm_v1_map *map, uint64_t offset, size_t *len)
{
	for (uint32_t i = 0; i < map->region.nr_areas; i++) {
		const struct vfm_area *a = &map->region.areas[i];

		if (offset >= a->offset && offset - a->offset < a->size) {
			*len = VFM_MIN(*len, a->size - (offset - a->offset));
			return map->mem[i] + (offset - a->offset);
		}
		if (a->offset > offset)
			*len = VFM_MIN(*len, a->offset - offset);
	}
	return NULL;
}
