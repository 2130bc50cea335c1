// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Saving sim:dma through the region: its image is the one that v2 reads, in whatever way
 * the section is reached; and the orders in which clients in the field ask.
 */

#include "front-rig.h"

#include <vfmig/sim.h>

#include "fds.h"

#define SIM "sim:dma,state=192K,initial=32K,bar=8K,features=%u"

static struct vfm_device *open_sim(unsigned int features)
{
	struct vfm_device *dev;
	char uri[96];

	snprintf(uri, sizeof(uri), SIM, features);
	assert_int_equal(vfm_open(&dev, uri, NULL), 0);
	return dev;
}

static void work(struct vfm_device *dev, uint64_t n)
{
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_STATE_STEP, &n,
						 sizeof(n), NULL),
			 0);
}

/* ---- the whole image ------------------------------------------------------------------ */

static void read_v2(struct vfm_device *dev, struct client *image)
{
	ssize_t n;

	do {
		image->data = realloc(image->data, image->len + 65536);
		assert_non_null(image->data);
		n = vfm_device_read_data(dev, image->data + image->len, 65536, NULL);
		image->len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
}

/* What v2 reads of such a device, with work in pre-copy. */
static void expected_image(unsigned int features, struct client *image)
{
	struct vfm_device *dev = open_sim(features);

	if (features & VFM_MIGRATION_PRE_COPY) {
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
		read_v2(dev, image);
	}
	work(dev, 3);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	read_v2(dev, image);
	vfm_device_close(dev);
}

static void assert_same(const struct client *image, const struct client *want)
{
	assert_int_equal(image->len, want->len);
	assert_memory_equal(image->data, want->data, want->len);
}

static void save_sim(unsigned int features, enum vfm_section mode, uint64_t size, size_t width,
		     bool map, const struct client *want)
{
	struct vfm_device *sim = open_sim(features), *dev = open_front(sim, mode, size);
	struct client c = client_of(dev, width);

	if (map)
		client_map(&c);
	set_bits(dev, 3);
	assert_int_equal(client_drain(&c) > 0, (features & VFM_MIGRATION_PRE_COPY) != 0);
	assert_int_equal(client_drain(&c), 0);
	work(dev, 3);
	set_bits(dev, 2);
	assert_int_not_equal(client_drain(&c), 0);
	assert_int_equal(client_drain(&c), 0);
	assert_same(&c, want);
	set_bits(dev, 0);
	assert_int_equal(reg_read(dev, PENDING_BYTES), 0);
	assert_int_equal(reg_read(dev, DATA_SIZE), 0);
	client_close(&c);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

static void every_way_to_the_section(void **state)
{
	static const unsigned int features[] = { 1, 3, 5, 7 };
	static const size_t widths[] = { 0, 8, 4, 2, 1 };
	const uint64_t sizes[] = { page_size(), 2 * page_size(), 5 * page_size(), 1 << 20 };
	unsigned int fds = test_count_fds();

	(void)state;
	for (size_t f = 0; f < VFM_ARRAY_SIZE(features); f++) {
		struct client want = { 0 };

		expected_image(features[f], &want);
		for (size_t s = 0; s < VFM_ARRAY_SIZE(sizes); s++) {
			for (size_t w = 0; w < VFM_ARRAY_SIZE(widths); w++)
				save_sim(features[f], VFM_SECTION_TRAPPED, sizes[s], widths[w],
					 false, &want);
			save_sim(features[f], VFM_SECTION_MMAP, sizes[s], 8, true, &want);
			save_sim(features[f], VFM_SECTION_MMAP, sizes[s], 4, false, &want);
			if (sizes[s] > page_size()) {
				save_sim(features[f], VFM_SECTION_SPARSE, sizes[s], 8, true, &want);
				save_sim(features[f], VFM_SECTION_SPARSE, sizes[s], 0, false,
					 &want);
			}
		}
		client_close(&want);
	}
	assert_int_equal(test_count_fds(), fds);
}

/* ---- as QEMU 7.2 does it ---------------------------------------------------------------- */

/*
 * A client that remembers what was pending, and asks for data without asking again.
 * Returns whether it says that it is done.
 */
static bool qemu_iterate(struct client *c, uint64_t *pending)
{
	if (!*pending)
		*pending = reg_read(c->dev, PENDING_BYTES);
	if (!*pending)
		return true;
	client_take(c);
	*pending = 0;
	return false;
}

/* The part with the device stopped: 2 once more, all of it, 0. */
static void qemu_complete(struct client *c)
{
	set_bits(c->dev, 2);
	while (reg_read(c->dev, PENDING_BYTES))
		if (!client_take(c))
			break;
	set_bits(c->dev, 0);
}

static void qemu_live(struct client *c)
{
	uint64_t pending;

	set_bits(c->dev, 3);
	for (int i = 0; i < 4; i++) {
		pending = reg_read(c->dev, PENDING_BYTES);
		qemu_iterate(c, &pending);
	}
	while (reg_read(c->dev, PENDING_BYTES))
		client_take(c);
	/* the question after which it decides to stop has an answer that is never used */
	reg_read(c->dev, PENDING_BYTES);
	work(c->dev, 3);
	set_bits(c->dev, 2);
	qemu_complete(c);
}

static void qemu_savevm(struct client *c)
{
	uint64_t pending = 0;

	set_bits(c->dev, 2); /* the machine stops */
	set_bits(c->dev, 2); /* set-up */
	do
		pending = reg_read(c->dev, PENDING_BYTES);
	while (!qemu_iterate(c, &pending));
	qemu_complete(c);
	set_bits(c->dev, 1);
}

static void qemu_paused(struct client *c)
{
	uint64_t pending;

	set_bits(c->dev, 0);
	set_bits(c->dev, 2);
	pending = reg_read(c->dev, PENDING_BYTES);
	qemu_iterate(c, &pending);
	qemu_complete(c);
}

static void qemu_sequences(void **state)
{
	struct vfm_device *sim = open_sim(7), *dev = open_front(sim, VFM_SECTION_MMAP, 0);
	struct client live = client_of(dev, 8), vm = client_of(dev, 8), paused = client_of(dev, 8);
	struct client want = { 0 };

	(void)state;
	expected_image(7, &want);
	qemu_live(&live);
	assert_same(&live, &want);
	set_bits(dev, 1);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	client_close(&want);
	expected_image(3, &want);
	work(dev, 3);
	qemu_savevm(&vm);
	assert_int_equal(reg_read(dev, DEVICE_STATE), 1);
	assert_same(&vm, &want);
	qemu_paused(&paused);
	assert_same(&paused, &want);
	client_close(&live);
	client_close(&vm);
	client_close(&paused);
	client_close(&want);
	vfm_device_close(dev);
	vfm_device_close(sim);
}

static void qemu_cancels(void **state)
{
	static const uint32_t until[] = { 3, 2 };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(until); i++) {
		for (int steps = 0; steps < 4; steps++) {
			struct vfm_device *sim = open_sim(7);
			struct vfm_device *dev = open_front(sim, VFM_SECTION_MMAP, 0);
			struct client c = client_of(dev, 8), again = client_of(dev, 8),
				      want = { 0 };

			set_bits(dev, 3);
			set_bits(dev, until[i]);
			if (steps > 0)
				reg_read(dev, PENDING_BYTES);
			if (steps > 1)
				reg_read(dev, DATA_OFFSET);
			if (steps > 2)
				reg_read(dev, DATA_SIZE);
			set_bits(dev, 1);
			set_bits(dev, 1);
			assert_int_equal(reg_read(dev, PENDING_BYTES), 0);
			assert_int_equal(reg_read(dev, DATA_SIZE), 0);
			/* and nothing of it is in the next one */
			qemu_live(&again);
			expected_image(7, &want);
			assert_same(&again, &want);
			client_close(&c);
			client_close(&again);
			client_close(&want);
			vfm_device_close(dev);
			vfm_device_close(sim);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_the_section),
		cmocka_unit_test(qemu_sequences),
		cmocka_unit_test(qemu_cancels),
	};

	return RUN_TESTS(tests);
}
