// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The IOVA map against a model: an owner for each of a few hundred places. */

#include "base/iova_map.h"

#include <errno.h>
#include <stdbool.h>

#include "random.h"
#include "test.h"

#define PLACES 200

/* One step of the random walk: where the places begin in the address space. */
struct world {
	struct vfm_iova_map map;
	uint64_t base;
	int owner[PLACES]; /* 0: free, else a number that is unique */
	int last;
};

/* What is mapped at @at, as the model has it: from its first place to its last. */
static void extent(const struct world *w, size_t at, size_t *first, size_t *size)
{
	size_t end = at;

	*first = at;
	while (*first > 0 && w->owner[*first - 1] == w->owner[at])
		--*first;
	while (end < PLACES && w->owner[end] == w->owner[at])
		end++;
	*size = end - *first;
}

static void *name(int owner)
{
	return (void *)(uintptr_t)owner;
}

static void check_find(const struct world *w)
{
	for (size_t at = 0; at < PLACES; at++) {
		const struct vfm_iova_entry *e = vfm_iova_map_find(&w->map, w->base + at);
		size_t first, size;

		if (!w->owner[at]) {
			assert_null(e);
			continue;
		}
		extent(w, at, &first, &size);
		assert_non_null(e);
		assert_int_equal(e->iova, w->base + first);
		assert_int_equal(e->size, size);
		assert_ptr_equal(e->data, name(w->owner[at]));
	}
}

/* The owner of the first place at or behind @at that has one, 0 if there is none. */
static int owner_from(const struct world *w, size_t at)
{
	while (at < PLACES && !w->owner[at])
		at++;
	return at < PLACES ? w->owner[at] : 0;
}

static void check_from(const struct world *w)
{
	for (size_t at = 0; at < PLACES; at++) {
		size_t found = vfm_iova_map_from(&w->map, w->base + at);
		int owner = owner_from(w, at);

		if (!owner)
			assert_int_equal(found, w->map.count);
		else
			assert_ptr_equal(w->map.entries[found].data, name(owner));
	}
}

static void try_add(struct world *w, size_t first, size_t size)
{
	bool taken = false;
	int ret;

	for (size_t i = first; i < first + size; i++)
		taken |= w->owner[i] != 0;
	ret = vfm_iova_map_add(&w->map, w->base + first, size, name(w->last + 1));
	assert_int_equal(ret, !size ? -EINVAL : taken ? -EEXIST : 0);
	if (ret)
		return;
	w->last++;
	for (size_t i = first; i < first + size; i++)
		w->owner[i] = w->last;
}

static void try_remove(struct world *w, size_t at, size_t size)
{
	size_t first = PLACES, real = 0;
	void *data = NULL;
	int ret = vfm_iova_map_remove(&w->map, w->base + at, size, &data);

	if (w->owner[at])
		extent(w, at, &first, &real);
	assert_int_equal(ret, first == at && real == size ? 0 : -ENOENT);
	if (ret)
		return;
	assert_ptr_equal(data, name(w->owner[at]));
	for (size_t i = at; i < at + size; i++)
		w->owner[i] = 0;
}

static void random_step(struct world *w, uint64_t *seed)
{
	size_t at = test_random_below(seed, PLACES), size = test_random_below(seed, 12), first;

	if (size > PLACES - at)
		size = PLACES - at;
	if (test_random_below(seed, 2)) {
		try_add(w, at, size);
		return;
	}
	/* half of the time a removal that is right */
	if (w->owner[at] && test_random_below(seed, 2)) {
		extent(w, at, &first, &size);
		at = first;
	}
	try_remove(w, at, size);
}

static void walk(uint64_t base)
{
	struct world w = { .base = base };
	uint64_t seed = base + 5;

	for (int step = 0; step < 3000; step++) {
		random_step(&w, &seed);
		if (step % 16)
			continue;
		check_find(&w);
		check_from(&w);
	}
	check_find(&w);
	check_from(&w);
	for (size_t i = 1; i < w.map.count; i++)
		assert_true(w.map.entries[i - 1].iova + w.map.entries[i - 1].size <=
			    w.map.entries[i].iova);
	vfm_iova_map_free(&w.map);
	assert_int_equal(w.map.count, 0);
	assert_null(vfm_iova_map_find(&w.map, base));
}

static void random_walk_in_the_middle(void **state)
{
	(void)state;
	walk(UINT64_C(0x123456789000));
}

static void random_walk_at_the_beginning(void **state)
{
	(void)state;
	walk(0);
}

/* The last place is the last address there is. */
static void random_walk_at_the_end(void **state)
{
	(void)state;
	walk(UINT64_MAX - (PLACES - 1));
}

static void ends_of_the_address_space(void **state)
{
	struct vfm_iova_map map = { 0 };
	void *data;
	int a, b;

	(void)state;
	assert_int_equal(vfm_iova_map_add(&map, UINT64_MAX, 1, &a), 0);
	assert_int_equal(vfm_iova_map_add(&map, UINT64_MAX, 2, &b), -EINVAL);
	assert_int_equal(vfm_iova_map_add(&map, UINT64_MAX - 4096, 4098, &b), -EINVAL);
	assert_int_equal(vfm_iova_map_add(&map, 1, UINT64_MAX, &b), -EEXIST);
	assert_int_equal(vfm_iova_map_add(&map, 2, UINT64_MAX, &b), -EINVAL);
	assert_int_equal(vfm_iova_map_add(&map, 0, UINT64_MAX, &b), 0);
	assert_ptr_equal(vfm_iova_map_find(&map, 0)->data, &b);
	assert_ptr_equal(vfm_iova_map_find(&map, UINT64_MAX - 1)->data, &b);
	assert_ptr_equal(vfm_iova_map_find(&map, UINT64_MAX)->data, &a);
	assert_int_equal(vfm_iova_map_remove(&map, 0, UINT64_MAX, &data), 0);
	assert_ptr_equal(data, &b);
	assert_null(vfm_iova_map_find(&map, UINT64_MAX - 1));
	assert_int_equal(vfm_iova_map_add(&map, 0, 0, &b), -EINVAL);
	vfm_iova_map_free(&map);
}

/* Many entries, added in an order that moves the others each time. */
static void grows(void **state)
{
	struct vfm_iova_map map = { 0 };
	const uint64_t count = 5000;
	void *data;

	(void)state;
	for (uint64_t i = count; i-- > 0;)
		assert_int_equal(vfm_iova_map_add(&map, i * 8192, 4096, name((int)i + 1)), 0);
	assert_int_equal(map.count, count);
	for (uint64_t i = 0; i < count; i++) {
		assert_ptr_equal(vfm_iova_map_find(&map, i * 8192 + 4095)->data, name((int)i + 1));
		assert_null(vfm_iova_map_find(&map, i * 8192 + 4096));
	}
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(vfm_iova_map_remove(&map, i * 8192, 4096, &data), 0);
	assert_int_equal(map.count, 0);
	vfm_iova_map_free(&map);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_walk_in_the_middle),
		cmocka_unit_test(random_walk_at_the_beginning),
		cmocka_unit_test(random_walk_at_the_end),
		cmocka_unit_test(ends_of_the_address_space),
		cmocka_unit_test(grows),
	};

	return RUN_TESTS(tests);
}
