// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A migration region that says anything, under the device that is made of it. The first two bytes
 * choose how the data section is reached and how large it is; what follows is what the user does,
 * two bytes for each call, and between those bytes what the device answers to each access.
 *
 * Whatever came: each access is of a whole register or of the data section, no call reads more than
 * was asked for, "nothing now" is said in pre-copy only, and after a reset a device that answers
 * the truth can be saved.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/util.h"
#include "device/pass.h"
#include "region/region.h"

#define FILE_SIZE 0x10000u
#define PAGE 0x1000u

/* Bits of the first byte. */
#define MAPPABLE (1u << 0)
#define SEALED (1u << 1)
#define IN_PARTS (1u << 2)
#define WHOLE (1u << 3)

/* What an access is answered with: the truth, an error, eight bytes of the input, or a usual one.
 */
#define ANSWER_ERRORS 8u
#define ANSWER_RAW 16u

/* Calls behind those of set_state() with 0 to 7. */
enum { READ_CHUNK = 8, READ_DATA, WRITE_CHUNK, INFO, DATA_SIZE, GET_STATE, RESET, TRUNCATE };
#define CALL_MASK 15u
#define CALL_END 16u

struct device {
	struct vfm_device dev;
	struct vfm_reader in;
	struct vfm_region region;
	uint32_t word;
	bool honest;
	unsigned int left; /* chunks, of an honest one */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct device *device_of(struct vfm_device *dev)
{
	return (struct device *)dev;
}

static uint8_t next_byte(struct device *d)
{
	return d->in.left && !d->honest ? vfm_read_u8(&d->in) : 0;
}

static int error_of(uint8_t answer)
{
	static const int errors[ANSWER_ERRORS] = { 0,	     -EINVAL, -EIO,	 -ENOMSG,
						   -EBADMSG, -EBUSY,  -ENOTCONN, -ENOTTY };

	return answer < ANSWER_ERRORS ? errors[answer] : 0;
}

static void check(bool right)
{
	if (!right)
		abort();
}

static uint64_t truth(const struct device *d, uint64_t offset)
{
	uint64_t start = d->region.size > PAGE ? PAGE : VFM_V1_REGISTERS_END;

	switch (offset) {
	case VFM_V1_DEVICE_STATE:
		return d->word;
	case VFM_V1_PENDING_BYTES:
		return d->honest ? d->left : 100;
	case VFM_V1_DATA_OFFSET:
		return start;
	default:
		return VFM_MIN(d->region.size - start, UINT64_C(16));
	}
}

static uint64_t answer_value(struct device *d, uint8_t answer, uint64_t offset)
{
	const uint64_t size = d->region.size;
	const uint64_t usual[] = { 0,	     1,		 2,	    3,	       4,
				   6,	     31,	 32,	    33,	       PAGE,
				   PAGE + 1, size - 1,	 size,	    size + 1,  size - 32,
				   PAGE * 2, UINT32_MAX, INT64_MAX, UINT64_MAX };
	uint64_t raw = 0;

	if (!answer)
		return truth(d, offset);
	if (answer >= ANSWER_RAW)
		return usual[(answer - ANSWER_RAW) % VFM_ARRAY_SIZE(usual)];
	for (size_t i = 0; i < sizeof(raw); i++)
		raw = raw << 8 | next_byte(d);
	return raw;
}

static bool is_register(uint64_t offset, size_t len)
{
	return offset == VFM_V1_DEVICE_STATE
		       ? len == 4
		       : len == 8 && (offset == VFM_V1_PENDING_BYTES ||
				      offset == VFM_V1_DATA_OFFSET || offset == VFM_V1_DATA_SIZE);
}

static int read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	struct device *d = device_of(dev);
	uint8_t answer = next_byte(d);
	int ret = error_of(answer);
	uint64_t value;
	uint32_t half;

	check(index == d->region.index);
	if (offset >= VFM_V1_REGISTERS_END) {
		check(vfm_range_inside(offset, len, d->region.size));
		memset(buf, answer, len);
		return ret;
	}
	check(is_register(offset, len));
	if (ret)
		return answer % 2 ? vfm_fail(err, ret, "no") : ret;
	value = answer_value(d, answer, offset);
	half = (uint32_t)value;
	memcpy(buf, len == sizeof(half) ? (void *)&half : (void *)&value, len);
	/* An honest one has given a chunk out when it has said how large it is. */
	if (d->honest && offset == VFM_V1_DATA_SIZE)
		d->left--;
	return 0;
}

static int write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	struct device *d = device_of(dev);
	uint8_t answer = next_byte(d);
	int ret = error_of(answer);
	uint64_t size;

	check(index == d->region.index);
	if (offset >= VFM_V1_REGISTERS_END) {
		check(vfm_range_inside(offset, len, d->region.size));
		return ret;
	}
	check(is_register(offset, len));
	check(offset == VFM_V1_DEVICE_STATE || offset == VFM_V1_DATA_SIZE);
	if (offset == VFM_V1_DATA_SIZE) {
		memcpy(&size, buf, sizeof(size));
		check(size && size <= d->region.size - VFM_V1_REGISTERS_END);
	}
	if (offset == VFM_V1_DEVICE_STATE && answer >= ANSWER_ERRORS)
		d->word = answer % 8;
	else if (offset == VFM_V1_DEVICE_STATE && !ret)
		memcpy(&d->word, buf, sizeof(d->word));
	return ret && answer % 2 ? vfm_fail(err, ret, "no") : ret;
}

static int get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	(void)err;
	*info = (struct vfm_device_info){ .nr_regions = device_of(dev)->region.index + 1 };
	return 0;
}

static int get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
		      struct vfm_err *err)
{
	(void)err;
	*region = (struct vfm_region){ .index = index, .fd = -1 };
	if (index == device_of(dev)->region.index)
		*region = device_of(dev)->region;
	return 0;
}

static int reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct device *d = device_of(dev);
	int ret = error_of(next_byte(d));

	(void)err;
	if (!ret)
		d->word = VFM_V1_RUNNING;
	return ret;
}

static void close_device(struct vfm_device *dev)
{
	close(device_of(dev)->region.fd);
}

static const struct vfm_device_ops ops = {
	.close = close_device,
	.get_info = get_info,
	.get_region = get_region,
	.read_region = read_region,
	.write_region = write_region,
	.reset = reset,
};

static void lay_out(struct vfm_region *region, uint8_t how)
{
	int fd = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	check(fd >= 0 && !ftruncate(fd, FILE_SIZE));
	if (how & SEALED)
		check(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	region->fd = fd;
	if (!(how & MAPPABLE))
		return;
	region->flags |= VFM_REGION_MMAP;
	if (how & WHOLE || region->size <= 4 * PAGE)
		return;
	region->nr_areas = how & IN_PARTS ? 2 : 1;
	region->areas[0] = (struct vfm_area){ PAGE, how & IN_PARTS ? PAGE : region->size - PAGE };
	region->areas[1] = (struct vfm_area){ 3 * PAGE, PAGE };
}

static struct vfm_device *open_device(const uint8_t *data, size_t size)
{
	struct device *d = calloc(1, sizeof(*d));
	struct vfm_device *dev;

	check(d && !vfm_device_init(&d->dev, &ops, "fuzz", NULL));
	d->in = vfm_reader_of(data + 2, size - 2);
	d->word = VFM_V1_RUNNING;
	d->region = (struct vfm_region){
		.index = 9,
		.flags = VFM_REGION_READ | VFM_REGION_WRITE,
		.size = VFM_V1_REGISTERS_END + 1 + data[1] * UINT64_C(256),
		.type = VFM_V1_REGION_TYPE,
		.subtype = VFM_V1_REGION_SUBTYPE,
	};
	lay_out(&d->region, data[0]);
	check(!vfm_back_open(&dev, &d->dev, NULL));
	return dev;
}

/* In memory of its own size, so that a sanitizer sees a byte too far. */
static ssize_t read_some(struct vfm_device *dev, size_t len, bool chunk)
{
	uint8_t *buf = malloc(len);
	bool end = false;
	ssize_t n;

	check(buf);
	n = chunk ? vfm_device_read_chunk(dev, buf, len, &end, NULL)
		  : vfm_device_read_data(dev, buf, len, NULL);
	check(n <= (ssize_t)len && (n > 0 || !end));
	free(buf);
	return n;
}

static int write_some(struct vfm_device *dev, size_t len, bool end)
{
	uint8_t *buf = calloc(1, len ? len : 1);
	int ret;

	check(buf);
	ret = vfm_device_write_chunk(dev, buf, len, end, NULL);
	free(buf);
	return ret;
}

/* "Nothing now" means pre-copy, where what is left can be asked for. */
static void check_nothing(struct vfm_device *dev, struct device *d)
{
	struct vfm_precopy_info info;

	d->honest = true;
	d->left = 0;
	check(!vfm_device_get_precopy_info(dev, &info, NULL));
	d->honest = false;
}

static void call(struct vfm_device *dev, struct device *d, uint8_t op, uint8_t arg)
{
	struct vfm_precopy_info info;
	enum vfm_state state;
	uint64_t bytes;
	int ret = 0;

	switch (op & CALL_MASK) {
	case READ_CHUNK:
	case READ_DATA:
		if (read_some(dev, 1 + arg * (op & CALL_END ? 64u : 1u),
			      (op & CALL_MASK) == READ_CHUNK) == -ENOMSG)
			check_nothing(dev, d);
		break;
	case WRITE_CHUNK:
		ret = write_some(dev, arg * UINT64_C(64), op & CALL_END);
		break;
	case INFO:
		ret = vfm_device_get_precopy_info(dev, &info, NULL);
		check(ret || info.initial_bytes <= UINT64_MAX - info.dirty_bytes);
		break;
	case DATA_SIZE:
		ret = vfm_device_get_data_size(dev, &bytes, NULL);
		check(ret || bytes);
		break;
	case GET_STATE:
		ret = vfm_device_get_state(dev, &state, NULL);
		check(ret || (unsigned int)state < VFM_NR_STATES);
		break;
	case RESET:
		ret = vfm_device_reset(dev, NULL);
		break;
	case TRUNCATE:
		if (ftruncate(d->region.fd, arg * 256))
			return; /* sealed */
		break;
	default:
		ret = vfm_device_set_state(dev, (enum vfm_state)(op & CALL_MASK), NULL);
		break;
	}
	check(ret != -ENOMSG);
}

static void check_recovery(struct vfm_device *dev, struct device *d)
{
	unsigned int chunks = 0;

	check(!ftruncate(d->region.fd, FILE_SIZE));
	d->honest = true;
	d->left = 3;
	check(!vfm_device_reset(dev, NULL));
	check(!vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL));
	check(read_some(dev, FILE_SIZE, true) > 0);
	check(!vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL));
	while (read_some(dev, FILE_SIZE, true) > 0)
		chunks++;
	check(chunks == 2 && !read_some(dev, 1, true));
	check(!vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfm_device *dev;
	struct device *d;

	if (size < 2)
		return 0;
	dev = open_device(data, size);
	d = device_of(((struct vfm_pass *)dev)->inner);
	while (d->in.left >= 2) {
		uint8_t op = vfm_read_u8(&d->in);

		call(dev, d, op, vfm_read_u8(&d->in));
	}
	check_recovery(dev, d);
	vfm_device_close(dev);
	return 0;
}
