// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Benchmarks. A row measures what we do and, in the same run and in turns, a
 * limit that nobody can beat on this machine; it prints the ratio of the best
 * round of each. Absolute numbers drift from machine to machine and from hour to
 * hour, ratios hardly.
 */

#ifndef VFM_BENCH_H
#define VFM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vfmig/driver.h>
#include <vfmig/vfmig.h>

/** enum bench_unit - what a measurement is */
enum bench_unit {
	BENCH_SECONDS, /* of one operation; the ratio should be small */
	BENCH_RATE,    /* bytes a second; the ratio should be large */
	BENCH_BYTES,   /* that are needed; the ratio should be small */
};

/**
 * struct bench_row
 * @name, @against: what is measured, and the limit
 * @unit: of both
 * @aim: the ratio that we want
 * @setup: what both need; returns what they get
 * @limit, @ours: one round; a negative value ends the row as failed
 * @asked: it takes long, and is run only with --row
 */
struct bench_row {
	const char *name;
	const char *against;
	enum bench_unit unit;
	double aim;
	void *(*setup)(void);
	double (*limit)(void *ctx);
	double (*ours)(void *ctx);
	void (*teardown)(void *ctx);
	bool asked;
};

extern const struct bench_row bench_vfio_user_rows[], bench_v1_rows[], bench_migrate_rows[],
	bench_tls_rows[], bench_scan_rows[];
extern const size_t bench_nr_vfio_user_rows, bench_nr_v1_rows, bench_nr_migrate_rows,
	bench_nr_tls_rows, bench_nr_scan_rows;

/** bench_migrate() - one migration over TCP; NULL: without TLS. Bytes of state a second. */
double bench_migrate(const struct vfm_tls *tls, unsigned int channels);

/** Bytes of state of such a migration. */
#define BENCH_MIGRATE_BYTES (UINT64_C(256) << 20)

/** Bytes of state that are moved in a round, and of one message. */
#define BENCH_STATE_BYTES (UINT64_C(128) << 20)
#define BENCH_MESSAGE (1u << 20)

/** bench_predict() - a table of predicted against measured downtime, not a row with a ratio. */
void bench_predict(unsigned long rounds);

/** bench_cancel() - a table of how long after a cancellation the source runs again. */
void bench_cancel(void);

/* ---- helpers --------------------------------------------------------------- */

/** bench_seconds() - monotonic. */
double bench_seconds(void);

/** bench_die() - the benchmark itself cannot go on. */
void bench_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** bench_ok() - die unless @ret is not negative. */
void bench_ok(int ret, const struct vfm_err *err);

/**
 * bench_child() - run @body in another process, over a socket pair
 * @socket: our end
 * @tcp: a connection over loopback instead
 *
 * The child ends when @body returns, and with us.
 */
pid_t bench_child(int *socket, bool tcp, void (*body)(int socket, void *user), void *user);

/** bench_tcp_pair() - both ends of a connection over loopback. */
void bench_tcp_pair(int fds[2]);

/** bench_reap() - close our end and wait for the child. */
void bench_reap(pid_t child, int socket);

/**
 * struct bench_served - what a child serves over vfio-user
 * @uri, @driver, @socket: one of them, the last for what is at its other end; none: a
 *	device that costs nothing
 * @face, @section, @section_size: as of the server
 */
struct bench_served {
	const char *uri;
	const struct vfm_driver *driver;
	int socket;
	enum vfm_face face;
	enum vfm_section section;
	uint64_t section_size;
};

/** bench_serve() - a child that serves it; returns a client of that. */
struct vfm_device *bench_serve(const struct bench_served *what, pid_t *child);

/** bench_serve_socket() - the same, without a client. */
int bench_serve_socket(const struct bench_served *what, pid_t *child);

/** bench_null_device() - one that costs nothing, with so much state. */
int bench_null_device(struct vfm_device **out, uint64_t bytes, struct vfm_err *err);

/** bench_peak() - the most that was resident since the last call, in bytes. */
uint64_t bench_peak(void);

/** bench_dirty_driver - writing to its region makes all that is logged dirty. */
extern const struct vfm_driver bench_dirty_driver;

/* ---- limits ------------------------------------------------------------------ */

/** bench_ping_pong() - seconds of one bare round trip of @bytes there and back. */
double bench_ping_pong(size_t bytes, unsigned int times);

/** bench_stream() - bytes a second that a bare socket carries in messages of BENCH_MESSAGE. */
double bench_stream(bool tcp, uint64_t bytes);

#endif
