/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * What the pure parts (model.c, xxh3.c) need of the kernel, and the same for user
 * space, where tests/ compares them with the library. Nothing else may use the
 * second half.
 */

#ifndef VFMS_PORTABLE_H
#define VFMS_PORTABLE_H

#ifdef __KERNEL__

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/swab.h>
#include <linux/types.h>

#else

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define swab32(x) __builtin_bswap32(x)
#define swab64(x) __builtin_bswap64(x)
#define rol32(x, n) ((u32)(x) << (n) | (u32)(x) >> (32 - (n)))
#define rol64(x, n) ((u64)(x) << (n) | (u64)(x) >> (64 - (n)))

#endif

/* Only little-endian machines have this device: the image and the registers are theirs. */
static inline u32 get32(const void *p)
{
	u32 value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static inline u64 get64(const void *p)
{
	u64 value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static inline void put32(void *p, u32 value)
{
	memcpy(p, &value, sizeof(value));
}

static inline void put64(void *p, u64 value)
{
	memcpy(p, &value, sizeof(value));
}

#endif
