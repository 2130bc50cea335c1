// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The public header of protocol v1 beside the names that it had before Linux 5.18:
 * layout, numbers, and predicates over every word that matters. That it compiles alone, in
 * other languages and beside the host's header is the business of scripts/check-headers.
 */

#include "test.h"
#include "old_vfio.h"

#include <vfmig/v1.h>

#include "base/util.h"

_Static_assert(sizeof(struct vfm_v1_registers) == sizeof(struct vfio_device_migration_info),
	       "size");
_Static_assert(VFM_V1_REGISTERS_END == sizeof(struct vfm_v1_registers), "size");

static void layout(void **state)
{
	(void)state;
	assert_int_equal(VFM_V1_DEVICE_STATE, offsetof(struct vfm_v1_registers, device_state));
	assert_int_equal(VFM_V1_RESERVED, offsetof(struct vfm_v1_registers, reserved));
	assert_int_equal(VFM_V1_PENDING_BYTES, offsetof(struct vfm_v1_registers, pending_bytes));
	assert_int_equal(VFM_V1_DATA_OFFSET, offsetof(struct vfm_v1_registers, data_offset));
	assert_int_equal(VFM_V1_DATA_SIZE, offsetof(struct vfm_v1_registers, data_size));
	assert_int_equal(VFM_V1_RESERVED, offsetof(struct vfio_device_migration_info, reserved));
	assert_int_equal(VFM_V1_PENDING_BYTES,
			 offsetof(struct vfio_device_migration_info, pending_bytes));
	assert_int_equal(VFM_V1_DATA_OFFSET,
			 offsetof(struct vfio_device_migration_info, data_offset));
	assert_int_equal(VFM_V1_DATA_SIZE, offsetof(struct vfio_device_migration_info, data_size));
}

static void numbers(void **state)
{
	(void)state;
	assert_int_equal(VFM_V1_REGION_TYPE, VFIO_REGION_TYPE_MIGRATION);
	assert_int_equal(VFM_V1_REGION_SUBTYPE, VFIO_REGION_SUBTYPE_MIGRATION);
	assert_int_equal(VFM_V1_RUNNING, VFIO_DEVICE_STATE_RUNNING);
	assert_int_equal(VFM_V1_SAVING, VFIO_DEVICE_STATE_SAVING);
	assert_int_equal(VFM_V1_RESUMING, VFIO_DEVICE_STATE_RESUMING);
	assert_int_equal(VFM_V1_MASK, VFIO_DEVICE_STATE_MASK);
	assert_int_equal(VFM_V1_STATE_STOP.word, 0);
	assert_int_equal(VFM_V1_STATE_RUNNING.word, 1);
	assert_int_equal(VFM_V1_STATE_STOP_COPY.word, 2);
	assert_int_equal(VFM_V1_STATE_PRE_COPY.word, 3);
	assert_int_equal(VFM_V1_STATE_RESUMING.word, 4);
	assert_int_equal(VFM_V1_STATE_ERROR.word, 6);
}

/* What the reserved bits may hold. */
static const uint32_t reserved[] = { 0, 8, 0x10, 0x1000, 0x80000000, 0xfffffff8 };

static void predicates(void **state)
{
	static const bool valid[8] = { true, true, true, true, true, false, false, false };

	(void)state;
	for (size_t r = 0; r < VFM_ARRAY_SIZE(reserved); r++)
		for (uint32_t bits = 0; bits < 8; bits++) {
			struct vfm_v1_state s = vfm_v1_state_of(reserved[r] | bits);

			assert_int_equal(vfm_v1_bits(s), bits);
			assert_int_equal(vfm_v1_is_valid(s), valid[bits]);
			assert_int_equal(vfm_v1_is_error(s), bits == 6);
			assert_int_equal(vfm_v1_set_error(s).word, reserved[r] | 6);
			assert_true(vfm_v1_is_error(vfm_v1_set_error(s)));
			for (uint32_t to = 0; to < 16; to++)
				assert_int_equal(vfm_v1_modify(s, to).word, reserved[r] | (to & 7));
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),
		cmocka_unit_test(numbers),
		cmocka_unit_test(predicates),
	};

	return RUN_TESTS(tests);
}
