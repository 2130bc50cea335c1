// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Everything at once, at random, by many threads: `storm UUID [SECONDS [SEED]]`. Nothing is
 * expected of a single call; what is tested is that the kernel is there afterwards, the device
 * works after a reset, and the kernel's log is clean, which whoever runs this looks at.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

#define IOVA 0x100000u
#define SIZE 0x40000u
#define SESSIONS 4u
#define REG_BYTES 0x1c0u

static struct raw dev;
static char *memory;
static atomic_bool stop;
static atomic_int sessions[SESSIONS];
static atomic_ulong calls;

struct dice {
	uint64_t state;
};

static uint64_t roll(struct dice *d, uint64_t sides)
{
	d->state = d->state * 6364136223846793005ull + 1442695040888963407ull;
	return (d->state >> 24) % sides;
}

/* Mostly what makes sense, sometimes anything. */
static uint64_t value(struct dice *d)
{
	switch (roll(d, 6)) {
	case 0:
		return roll(d, ~0ull);
	case 1:
		return IOVA + roll(d, 2 * SIZE);
	case 2:
		return roll(d, SIZE / 4096 + 1) * 4096;
	case 3:
		return 1ull << roll(d, 64);
	default:
		return roll(d, 8);
	}
}

static void keep_session(struct dice *d, int fd)
{
	int old;

	if (fd < 0)
		return;
	old = atomic_exchange(&sessions[roll(d, SESSIONS)], fd);
	if (old >= 0)
		close(old);
}

static void set_states(struct dice *d)
{
	int fd;

	raw_set_state(&dev, (uint32_t)roll(d, 10), &fd);
	keep_session(d, fd);
}

static void v1_words(struct dice *d)
{
	static const off_t regs[] = { 0, 4, 8, 16, 24 };
	uint64_t got;
	off_t reg = regs[roll(d, 5)];

	raw_put(&dev, V1_REGION, roll(d, 8) | roll(d, 2) << roll(d, 32), 4);
	raw_get(&dev, V1_REGION + reg, &got, reg < 8 ? 4 : 8);
	raw_put(&dev, V1_REGION + reg, value(d), reg < 8 ? 4 : 8);
	raw_put(&dev, V1_REGION + 4096 + (off_t)roll(d, 70000), value(d), 8);
	raw_get(&dev, V1_REGION + 4096 + (off_t)roll(d, 70000), &got, 8);
}

static void sessions_io(struct dice *d)
{
	char *buf = malloc(100000);
	int from = atomic_load(&sessions[roll(d, SESSIONS)]);
	int to = atomic_load(&sessions[roll(d, SESSIONS)]);
	struct raw_info info = { 0 };
	ssize_t n;

	if (!buf)
		return;
	n = read(from, buf, roll(d, 100000));
	if (n > 0 && !roll(d, 4))
		buf[roll(d, (uint64_t)n)] ^= 1;
	if (n > 0)
		n = write(to, buf, (size_t)n);
	n = write(to, buf, roll(d, 100));
	raw_precopy_info(from, &info);
	free(buf);
}

static void registers(struct dice *d)
{
	off_t reg = (off_t)roll(d, REG_BYTES / 8) * 8;
	uint64_t got, v = value(d);

	/* steps are long, not dangerous: most of them short */
	if (reg == 0x148 || reg == 0x190)
		v %= 1000;
	raw_put(&dev, CONFIG + 4, 6, 2);
	raw_put(&dev, REGS + reg, v, roll(d, 4) ? 8 : 4);
	raw_get(&dev, REGS + (off_t)roll(d, REG_BYTES), &got, 1 + roll(d, 8));
}

/* A ring that really runs, and changes of the state by time. */
static void rings(struct dice *d)
{
	raw_put(&dev, CONFIG + 4, 6, 2);
	raw_put(&dev, REGS + 0x100, IOVA, 8);
	raw_put(&dev, REGS + 0x108, SIZE, 8);
	raw_put(&dev, REGS + 0x118, roll(d, 16) << 20, 8);
	raw_put(&dev, REGS + 0x120, roll(d, 3), 8);
	raw_put(&dev, REGS + 0x128, roll(d, 3), 8);
	raw_put(&dev, REGS + 0x180, roll(d, 16) << 20, 8);
	usleep((useconds_t)roll(d, 3000));
}

static void mappings(struct dice *d)
{
	raw_map(&dev, memory, IOVA, SIZE);
	usleep((useconds_t)roll(d, 2000));
	raw_unmap(&dev, IOVA, SIZE);
}

static void dirty_logs(struct dice *d)
{
	uint64_t bitmap[SIZE / 4096 / 64 + 1] = { 0 };

	raw_log_start(&dev, IOVA & ~4095ull, value(d) & ~4095ull);
	raw_log_start(&dev, IOVA, SIZE);
	raw_log_report(&dev, IOVA, SIZE, bitmap);
	raw_log_report(&dev, IOVA, SIZE, (uint64_t *)(uintptr_t)8);
	if (!roll(d, 3))
		raw_log_stop(&dev);
}

static void interrupts(struct dice *d)
{
	struct {
		struct vfio_irq_set set;
		int32_t data[8];
	} irq = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	unsigned int i;

	irq.set.argsz = sizeof(irq);
	irq.set.flags = 1u << roll(d, 3) | 8u << roll(d, 3);
	irq.set.index = (uint32_t)roll(d, 6);
	irq.set.start = (uint32_t)roll(d, 3);
	irq.set.count = (uint32_t)roll(d, 6);
	for (i = 0; i < 8; i++)
		irq.data[i] = roll(d, 3) ? fd : (int)roll(d, 4) - 2;
	ioctl(dev.device, VFIO_DEVICE_SET_IRQS, &irq);
	raw_put(&dev, REGS + 0x50, roll(d, 4), 8);
	raw_put(&dev, ((off_t)4 << 40) + (off_t)roll(d, 4096), value(d), 4);
	close(fd);
}

static void configuration(struct dice *d)
{
	uint64_t got;

	raw_put(&dev, CONFIG + (off_t)roll(d, 256), value(d), 1 + roll(d, 8));
	raw_get(&dev, CONFIG + (off_t)roll(d, 300), &got, 1 + roll(d, 8));
	raw_put(&dev, ((off_t)5 << 40) + (off_t)roll(d, 16), value(d), 4);
	raw_get(&dev, ((off_t)roll(d, 12) << 40) + (off_t)roll(d, 8192), &got, 1 + roll(d, 8));
	raw_put(&dev, (off_t)value(d), value(d), 8);
}

static void map_regions(struct dice *d)
{
	off_t at = ((off_t)(roll(d, 2) ? 2 : 9) << 40) + (off_t)roll(d, 20) * 4096;
	size_t len = (1 + roll(d, 20)) * 4096;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, dev.device, at);

	if (p == MAP_FAILED)
		return;
	p[roll(d, len)] = 1;
	p[len - 1] ^= 2;
	munmap(p, len);
}

static void infos(struct dice *d)
{
	struct {
		struct vfio_region_info info;
		uint8_t caps[64];
	} region = { .info.argsz = (uint32_t)roll(d, sizeof(region)),
		     .info.index = (uint32_t)roll(d, 12) };
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = (uint32_t)roll(d, 7) };
	uint64_t bytes;

	ioctl(dev.device, VFIO_DEVICE_GET_REGION_INFO, &region);
	ioctl(dev.device, VFIO_DEVICE_GET_IRQ_INFO, &irq);
	ioctl(dev.device, VFIO_DEVICE_GET_INFO, (void *)(uintptr_t)roll(d, 4096));
	raw_data_size(&dev, &bytes);
	raw_get_state(&dev);
}

static void resets(struct dice *d)
{
	usleep((useconds_t)roll(d, 20000));
	raw_reset(&dev);
}

/* All but the one that hangs. */
static void faults(struct dice *d)
{
	static const char *const some[] = {
		"",
		"reset-keeps-session,reset-keeps-content,position-kept",
		"session-outlives-saving,precopy-position-lost,payload-unchecked",
		"dma-after-stop,irq-after-stop,dma-in-p2p",
		"foreign-accepted,resume-overflow,oversize-accepted,refusal-forgotten",
		"short-read-lost,short-write-lost,truncated-accepted,load-not-applied",
		"log-all-dirty,log-double-start,log-remembers,log-cleared-by-stop",
		"v1-pending-acknowledges,v1-chunk-beyond,v1-oversize-accepted,v1-any-width",
		"v1-error-writable,v1-reset-keeps-state,v1-chunk-twice,error-accepted",
	};

	raw_set_fault(&dev, some[roll(d, sizeof(some) / sizeof(some[0]))]);
	usleep((useconds_t)roll(d, 50000));
}

static void (*const jobs[])(struct dice *d) = {
	set_states,  sessions_io,   registers,	 rings, mappings, dirty_logs, interrupts, v1_words,
	sessions_io, configuration, map_regions, infos, resets,	  faults,     set_states, registers,
};

#define THREADS (sizeof(jobs) / sizeof(jobs[0]))

struct thread {
	pthread_t id;
	void (*job)(struct dice *d);
	struct dice dice;
};

static void *work(void *arg)
{
	struct thread *t = arg;

	while (!atomic_load(&stop)) {
		t->job(&t->dice);
		atomic_fetch_add(&calls, 1);
	}
	return NULL;
}

/* After all of it a reset must give a device that works. */
static int works(void)
{
	uint64_t magic = 0;
	int fd = -1, ret;

	raw_set_fault(&dev, "");
	ret = raw_reset(&dev);
	if (!ret)
		ret = raw_get(&dev, REGS, &magic, 8);
	if (!ret && magic != 0x616d642d676d6676ull)
		ret = -EIO;
	if (!ret && raw_get_state(&dev) >= 0) {
		ret = raw_set_state(&dev, ST_STOP_COPY, &fd);
		ret = ret == ST_STOP_COPY && fd >= 0 ? 0 : -EPROTO;
	}
	return ret;
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 2 ? (unsigned int)atoi(argv[2]) : 5;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	struct thread threads[THREADS];
	size_t i;
	int ret;

	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argc < 2 || memory == MAP_FAILED || raw_open(&dev, argv[1]) < 0) {
		fprintf(stderr, "usage: storm UUID [SECONDS [SEED]]: %s\n", strerror(errno));
		return 2;
	}
	for (i = 0; i < SESSIONS; i++)
		atomic_store(&sessions[i], -1);
	for (i = 0; i < THREADS; i++) {
		threads[i].job = jobs[i];
		threads[i].dice.state = seed * 1000 + i;
		pthread_create(&threads[i].id, NULL, work, &threads[i]);
	}
	sleep(seconds);
	atomic_store(&stop, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i].id, NULL);
	ret = works();
	printf("1..1\n# %lu rounds, seed %llu\n%sok 1 - the device works after all that\n",
	       atomic_load(&calls), (unsigned long long)seed, ret ? "not " : "");
	raw_close(&dev);
	return ret != 0;
}
