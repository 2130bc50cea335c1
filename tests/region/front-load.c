// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Resuming through the region: sim:dma is on the other side what it was, in whatever way
 * the section is reached; a user that changes the section while it is read; devices
 * that fail.
 */

#include "front-rig.h"

#include <vfmig/sim.h>

#include "fds.h"
#include "front-inner.h"

static struct vfm_device *open_sim(unsigned int seed)
{
	struct vfm_device *dev;
	char uri[96];

	snprintf(uri, sizeof(uri), "sim:dma,state=192K,initial=32K,bar=8K,seed=%u", seed);
	assert_int_equal(vfm_open(&dev, uri, NULL), 0);
	return dev;
}

/* The image of a device with something in it, through a region with a section of @size. */
static void make_image(uint64_t size, struct client *image, struct vfm_sim_state *sim_state)
{
	struct vfm_device *sim = open_sim(5), *dev = open_front(sim, VFM_SECTION_MMAP, size);
	uint64_t steps = 7;

	*image = client_of(dev, 0);
	set_bits(dev, 3);
	client_drain(image);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_STATE_STEP,
						 &steps, sizeof(steps), NULL),
			 0);
	set_bits(dev, 2);
	client_drain(image);
	assert_int_equal(vfm_sim_get_state(dev, sim_state, NULL), 0);
	set_bits(dev, 0);
	image->dev = NULL;
	vfm_device_close(dev);
	vfm_device_close(sim);
}

static void assert_loaded(struct vfm_device *dev, const struct vfm_sim_state *want)
{
	struct vfm_sim_state got;
	struct vfm_err err;

	assert_int_equal(vfm_sim_get_state(dev, &got, NULL), 0);
	assert_memory_equal(&got, want, sizeof(got));
	if (vfm_sim_check_state(&got, &err))
		fail_msg("%s", err.msg);
}

/* ---- the whole image ----------------------------------------------------------------- */

struct load_case {
	enum vfm_section mode;
	uint64_t size;
	size_t width;
	bool map;
	uint32_t final; /* where it goes from 4: 1, or 0 and then 1 */
};

static void load_sim(const struct load_case *how, const struct client *image,
		     const struct vfm_sim_state *want)
{
	struct vfm_device *sim = open_sim(9), *dev = open_front(sim, how->mode, how->size);
	struct client c = client_of(dev, how->width);

	if (how->map)
		client_map(&c);
	client_load(&c, image);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 4);
	set_bits(dev, how->final);
	assert_loaded(dev, want);
	set_bits(dev, 1);
	assert_loaded(dev, want);
	client_close(&c);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

static void every_way_to_the_section(void **state)
{
	const uint64_t sizes[] = { page_size(), 3 * page_size(), 1 << 20 };
	static const size_t widths[] = { 0, 8, 4, 2, 1 };
	unsigned int fds = test_count_fds();
	struct vfm_sim_state want;
	struct client image;

	(void)state;
	for (size_t from = 0; from < VFM_ARRAY_SIZE(sizes); from++) {
		make_image(sizes[from], &image, &want);
		for (size_t to = 0; to < VFM_ARRAY_SIZE(sizes); to++) {
			for (size_t w = 0; w < VFM_ARRAY_SIZE(widths); w++)
				load_sim(&(struct load_case){ VFM_SECTION_TRAPPED, sizes[to],
							      widths[w], false, w & 1 },
					 &image, &want);
			load_sim(&(struct load_case){ VFM_SECTION_MMAP, sizes[to], 8, true, 1 },
				 &image, &want);
			if (sizes[to] > page_size())
				load_sim(&(struct load_case){ VFM_SECTION_SPARSE, sizes[to], 8,
							      true, 0 },
					 &image, &want);
		}
		client_close(&image);
	}
	assert_int_equal(test_count_fds(), fds);
}

/* From one region to another, and from there to v2. */
static void what_was_loaded_can_be_saved(void **state)
{
	struct vfm_device *sim = open_sim(9), *dev = open_front(sim, VFM_SECTION_SPARSE, 0);
	struct client c = client_of(dev, 8), again = client_of(dev, 0), image;
	struct vfm_sim_state want;

	(void)state;
	make_image(0, &image, &want);
	client_load(&c, &image);
	set_bits(dev, 1);
	set_bits(dev, 2);
	client_drain(&again);
	set_bits(dev, 0);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	client_load(&c, &again);
	set_bits(dev, 0);
	assert_loaded(dev, &want);
	client_close(&c);
	client_close(&again);
	client_close(&image);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

/* The write that ends it says what was wrong, and the device does not run. */
static void a_cut_image_is_refused(void **state)
{
	struct vfm_device *sim = open_sim(9), *dev = open_front(sim, VFM_SECTION_MMAP, 0);
	struct client c = client_of(dev, 0), image;
	struct vfm_sim_state want;

	(void)state;
	make_image(page_size(), &image, &want);
	image.nr_ends--;
	client_load(&c, &image);
	assert_int_equal(try_write(dev, DEVICE_STATE, 1), -EBADMSG);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 4);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	image.nr_ends++;
	image.data[image.len / 2] ^= 1;
	set_bits(dev, 4);
	for (size_t i = 0, at = 0; i < image.nr_ends; at = image.ends[i++])
		if (data_write(dev, 0, image.data + at, image.ends[i] - at) ||
		    try_write(dev, DATA_SIZE, image.ends[i] - at))
			break;
	assert_int_equal(try_write(dev, DATA_SIZE, 1), -EBADMSG);
	assert_int_not_equal(try_write(dev, DEVICE_STATE, 1), 0);
	assert_int_not_equal(reg_read(dev, DEVICE_STATE), 1);
	client_close(&image);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

/* ---- a device by hand --------------------------------------------------------------------- */

static void fill_section(struct client *c, uint8_t *data, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = inner_byte(seed, i);
	client_put(c, data, len);
}

static void chunks_end_where_the_client_says(void **state)
{
	const size_t big = (1 << 20) + page_size();
	const size_t lens[] = {
		1, 2, page_size(), (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 512 << 10, big
	};
	uint8_t *data = malloc(big);

	(void)state;
	for (int mode = VFM_SECTION_TRAPPED; mode <= VFM_SECTION_SPARSE; mode++) {
		struct inner *in = inner_new(ALL_FEATURES, true);
		struct vfm_device *dev = open_front(&in->dev, (enum vfm_section)mode, big);
		struct client c = client_of(dev, 0);
		size_t sum = 0;

		set_bits(dev, 4);
		for (size_t i = 0; i < VFM_ARRAY_SIZE(lens); i++) {
			fill_section(&c, data, lens[i], (unsigned int)i);
			reg_write(dev, DATA_SIZE, 0); /* which means nothing */
			assert_int_equal(in->nr_loaded, sum + lens[i]);
			assert_memory_equal(in->loaded + sum, data, lens[i]);
			sum += lens[i];
			assert_int_equal(in->nr_ends, i + 1);
			assert_int_equal(in->ends[i], sum);
		}
		assert_int_equal(try_write(dev, DATA_SIZE, big + 1), -EINVAL);
		assert_int_equal(try_write(dev, DATA_SIZE, UINT64_MAX), -EINVAL);
		assert_int_equal(in->nr_loaded, sum);
		client_close(&c);
		vfm_device_close(dev);
		inner_free(in);
	}
	free(data);
}

/* Data that is put there in another order, twice, and with gaps: what counts is what is there. */
static void the_section_is_memory(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());

	(void)state;
	set_bits(dev, 4);
	assert_int_equal(data_write(dev, 4, "cd", 2), 0);
	assert_int_equal(data_write(dev, 0, "zz", 2), 0);
	assert_int_equal(data_write(dev, 2, "b", 1), 0);
	assert_int_equal(data_write(dev, 0, "a", 1), 0);
	reg_write(dev, DATA_SIZE, 6);
	assert_memory_equal(in->loaded, "azb\0cd", 6);
	reg_write(dev, DATA_SIZE, 1); /* still there */
	assert_int_equal(in->loaded[6], 'a');
	vfm_device_close(dev);
	inner_free(in);
}

/* A device that looks at its data again, and a user that changes it meanwhile. */
struct attack {
	struct client *c;
	unsigned int rounds;
};

static void scribble(struct inner *in, enum inner_call call)
{
	struct attack *attack = in->user;

	if (call != INNER_WRITE)
		return;
	memset(attack->c->map, 0xff, attack->c->map_size);
	attack->rounds++;
}

/* What one call gets must be of one moment: all of it from before the user changed it, or after. */
static void a_section_that_changes(void **state)
{
	static const enum vfm_section modes[] = { VFM_SECTION_MMAP, VFM_SECTION_SPARSE };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(modes); i++) {
		const size_t size = 1 << 20, piece = 256 << 10;
		struct inner *in = inner_new(ALL_FEATURES, true);
		struct vfm_device *dev = open_front(&in->dev, modes[i], size);
		struct client c = client_of(dev, 0);
		struct attack attack = { &c, 0 };
		uint8_t *data = calloc(1, size);

		client_map(&c);
		in->hook = scribble;
		in->user = &attack;
		set_bits(dev, 4);
		client_put(&c, data, size);
		assert_int_equal(attack.rounds, size / piece);
		assert_int_equal(in->nr_loaded, size);
		assert_int_equal(in->nr_ends, 1);
		for (size_t at = 0; at < size; at += piece)
			assert_memory_equal(in->loaded + at, in->loaded + at + 1, piece - 1);
		assert_int_equal(in->loaded[0], 0);
		free(data);
		client_close(&c);
		vfm_device_close(dev);
		inner_free(in);
	}
}

/* In whichever piece it fails, the write tells, and so do those after it. */
static void a_load_that_fails(void **state)
{
	const size_t size = 1 << 20;
	struct inner *in = inner_new(ALL_FEATURES, true);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, size);

	(void)state;
	for (unsigned int piece = 1; piece <= 4; piece++) {
		set_bits(dev, 4);
		in->fail_at = piece;
		in->fail_code = -ENOTUNIQ;
		assert_int_equal(try_write(dev, DATA_SIZE, size), -ENOTUNIQ);
		assert_int_equal(in->nr_loaded, (piece - 1) * (size / 4));
		assert_int_equal(in->nr_ends, 0);
		for (int again = 0; again < 2; again++)
			assert_int_equal(try_write(dev, DATA_SIZE, 1), -ENOTUNIQ);
		reg_write(dev, DATA_SIZE, 0);
		reg_write(dev, DEVICE_STATE, 4); /* the state that it has: still the same session */
		assert_int_equal(try_write(dev, DATA_SIZE, 1), -ENOTUNIQ);
		assert_int_equal(in->nr_loaded, (piece - 1) * (size / 4));
		set_bits(dev, 1);
	}
	set_bits(dev, 4);
	reg_write(dev, DATA_SIZE, size);
	vfm_device_close(dev);
	inner_free(in);
}

/* A loader that leaves the device in 4, and somebody who lets it run much later. */
static void until_cont(void **state)
{
	struct vfm_device *sim = open_sim(9), *dev = open_front(sim, VFM_SECTION_MMAP, 0);
	struct client c = client_of(dev, 8), image;
	struct vfm_sim_state want;

	(void)state;
	make_image(0, &image, &want);
	client_load(&c, &image);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(reg_read(dev, DEVICE_STATE), 4);
		assert_int_equal(reg_read(dev, PENDING_BYTES), 0);
		set_bits(dev, 4);
	}
	set_bits(dev, 1);
	assert_loaded(dev, &want);
	client_close(&image);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

/* A destination that was stopped and not reset. */
static void from_stop(void **state)
{
	struct vfm_device *sim = open_sim(9), *dev = open_front(sim, VFM_SECTION_MMAP, 0);
	struct client c = client_of(dev, 8), image;
	struct vfm_sim_state want;

	(void)state;
	make_image(0, &image, &want);
	set_bits(dev, 0);
	client_load(&c, &image);
	set_bits(dev, 1);
	assert_loaded(dev, &want);
	client_close(&image);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_the_section),
		cmocka_unit_test(what_was_loaded_can_be_saved),
		cmocka_unit_test(a_cut_image_is_refused),
		cmocka_unit_test(chunks_end_where_the_client_says),
		cmocka_unit_test(the_section_is_memory),
		cmocka_unit_test(a_section_that_changes),
		cmocka_unit_test(a_load_that_fails),
		cmocka_unit_test(until_cont),
		cmocka_unit_test(from_stop),
	};

	return RUN_TESTS(tests);
}
