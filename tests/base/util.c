// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The small things of base/util.h and base/cleanup.h. */

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "test.h"

static void powers_of_2(void **state)
{
	(void)state;
	assert_false(vfm_is_power_of_2(0));
	for (int i = 0; i < 64; i++) {
		uint64_t n = UINT64_C(1) << i;

		assert_true(vfm_is_power_of_2(n));
		assert_false(vfm_is_power_of_2(n | 1) && n > 1);
		assert_int_equal(vfm_is_power_of_2(n - 1), n == 2);
	}
}

static void ranges_that_wrap(void **state)
{
	(void)state;
	assert_false(vfm_range_wraps(0, 0));
	assert_false(vfm_range_wraps(UINT64_MAX, 0));
	assert_false(vfm_range_wraps(UINT64_MAX, 1));
	assert_true(vfm_range_wraps(UINT64_MAX, 2));
	assert_false(vfm_range_wraps(0, UINT64_MAX));
	assert_false(vfm_range_wraps(1, UINT64_MAX));
	assert_true(vfm_range_wraps(2, UINT64_MAX));
	assert_true(vfm_range_wraps(UINT64_MAX, UINT64_MAX));
}

/* Every offset and size around a limit, and around the end of 64 bits. */
static void ranges_that_lie_inside(void **state)
{
	static const uint64_t limits[] = { 0, 1, 5, UINT64_MAX - 5, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(limits); i++)
		for (uint64_t a = 0; a < 16; a++)
			for (uint64_t b = 0; b < 16; b++) {
				uint64_t offset = a < 8 ? a : UINT64_MAX - (a - 8);
				uint64_t size = b < 8 ? b : UINT64_MAX - (b - 8);
				unsigned __int128 end = (unsigned __int128)offset + size;

				assert_int_equal(vfm_range_inside(offset, size, limits[i]),
						 end <= limits[i]);
			}
}

/* Clean-up happens between a failure and the look at errno. */
static void closing_keeps_errno(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd, never = 1 << 20, none = -1;

	(void)state;
	assert_true(fd >= 0);
	errno = ENOSPC;
	vfm_close_fd(&fd);
	vfm_close_fd(&never); /* EBADF inside */
	vfm_close_fd(&none);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(fd, -1);
	assert_int_equal(never, -1);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
}

static int give_away(int *out)
{
	vfm_auto_fd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	vfm_auto_fd int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	vfm_auto_free char *text = malloc(1);
	char *taken = vfm_take_ptr(text);

	assert_null(text);
	free(taken);
	*out = vfm_take_fd(&fd);
	return closed;
}

static void locals_clean_up_unless_taken(void **state)
{
	int taken = -1, closed = give_away(&taken);

	(void)state;
	assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(closed, F_GETFD), -1);
	close(taken);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(powers_of_2),
		cmocka_unit_test(ranges_that_wrap),
		cmocka_unit_test(ranges_that_lie_inside),
		cmocka_unit_test(closing_keeps_errno),
		cmocka_unit_test(locals_clean_up_unless_taken),
	};

	return RUN_TESTS(tests);
}
