// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * vfmig inspect: explain a stream. What was read before the damage is told all
 * the same, and then the damage.
 */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/params.h"
#include "base/util.h"

static const char *const type_names[] = {
	[VFM_STREAM_IDENTITY] = "identity",
	[VFM_STREAM_MEMORY_MAP] = "memory-map",
	[VFM_STREAM_DEVICE_DATA] = "device-data",
	[VFM_STREAM_MEMORY_DATA] = "memory-data",
	[VFM_STREAM_MEMORY_ZERO] = "memory-zero",
	[VFM_STREAM_PHASE] = "phase",
	[VFM_STREAM_END] = "end",
	[VFM_STREAM_COMMIT] = "commit",
	[VFM_STREAM_ABORT] = "abort",
	[VFM_STREAM_READY] = "ready",
	[VFM_STREAM_LOADED] = "loaded",
	[VFM_STREAM_RUNNING] = "running",
	[VFM_STREAM_RATES] = "rates",
};

static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{ VFM_STREAM_OPTIONAL, "optional" },
	{ VFM_STREAM_CHUNK_END, "chunk-end" },
	{ VFM_STREAM_ZSTD, "zstd" },
};

/* Kinds that this version does not know are counted as one, number 0. */
#define NR_KINDS VFM_ARRAY_SIZE(type_names)

struct kind {
	uint64_t count;
	uint64_t stored;
	uint64_t size;
};

/* A device of the stream, and the bytes of its data. */
struct device {
	struct vfm_identity id;
	uint64_t bytes;
};

/*
 * struct inspection
 * @devices, @nr_devices: those whose identity was there
 */
struct inspection {
	const struct cmd_args *args;
	struct cmd_json *json; /* NULL: for people */
	struct kind kinds[NR_KINDS];
	uint64_t records;
	struct device *devices;
	size_t nr_devices;
};

static const char *type_name(uint32_t type)
{
	return type < NR_KINDS && type_names[type] ? type_names[type] : "unknown";
}

static const char *flags_text(uint32_t flags, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < VFM_ARRAY_SIZE(flag_names) && used < len; i++)
		if (flags & flag_names[i].flag)
			used += (size_t)snprintf(buf + used, len - used, "%s%s", used ? "," : "",
						 flag_names[i].name);
	return buf;
}

/* ---- records ----------------------------------------------------------------------- */

static void json_record(struct cmd_json *j, const struct vfm_stream_record *r, const char *flags)
{
	cmd_json_open(j, NULL);
	cmd_json_u64(j, "offset", r->offset);
	cmd_json_u64(j, "type", r->type);
	cmd_json_text(j, "name", type_name(r->type));
	cmd_json_text(j, "flags", flags);
	cmd_json_u64(j, "device", r->device);
	cmd_json_u64(j, "stored", r->stored);
	cmd_json_u64(j, "size", r->size);
	cmd_json_close(j);
}

static void print_record(const struct inspection *in, const struct vfm_stream_record *r)
{
	char flags[64];

	flags_text(r->flags, flags, sizeof(flags));
	if (in->json) {
		json_record(in->json, r, flags);
		return;
	}
	if (!in->records)
		printf("%7s  %12s  %-12s %6s %9s %9s  %s\n", "record", "offset", "kind", "device",
		       "stored", "size", "flags");
	printf("%7" PRIu64 "  %12" PRIu64 "  %-12s %6" PRIu32 " %9" PRIu64 " %9" PRIu64 "  %s\n",
	       in->records, r->offset, type_name(r->type), r->device, r->stored, r->size, flags);
}

/* The stream's reader has found them in order, and bounds them. */
static int add_device(struct inspection *in, const struct vfm_stream_record *r)
{
	struct device *more =
		(struct device *)realloc(in->devices, (in->nr_devices + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	in->devices = more;
	more += in->nr_devices++;
	*more = (struct device){ 0 };
	return vfm_stream_parse_identity(&more->id, r, NULL);
}

static int each_record(void *user, const struct vfm_stream_record *r)
{
	struct inspection *in = (struct inspection *)user;
	struct kind *kind = &in->kinds[r->type < NR_KINDS ? r->type : 0];
	int ret = 0;

	if (r->type == VFM_STREAM_IDENTITY)
		ret = add_device(in, r);
	else if (r->type == VFM_STREAM_DEVICE_DATA && r->device < in->nr_devices)
		in->devices[r->device].bytes += r->size;

	kind->count++;
	kind->stored += r->stored;
	kind->size += r->size;
	if (in->args->records)
		print_record(in, r);
	in->records++;
	return ret;
}

/* ---- identity ------------------------------------------------------------------------ */

static void json_identity(struct cmd_json *j, const struct vfm_identity *id)
{
	cmd_json_pci(j, id);
	cmd_json_u64(j, "migration", id->migration);
	cmd_json_open_list(j, "regions");
	for (uint32_t i = 0; i < VFM_MIN(id->nr_regions, (uint32_t)VFM_IDENTITY_REGIONS); i++)
		cmd_json_u64(j, NULL, id->region_size[i]);
	cmd_json_close(j);
	cmd_json_text(j, "model", id->has_compat ? id->compat.model : NULL);
	if (id->has_compat) {
		cmd_json_u64(j, "version", id->compat.version);
		cmd_json_text(j, "params", id->compat.params);
	}
	cmd_json_u64(j, "data_size", id->data_size);
}

static void json_devices(struct cmd_json *j, const struct inspection *in)
{
	cmd_json_open_list(j, "device_list");
	for (size_t i = 0; i < in->nr_devices; i++) {
		cmd_json_open(j, NULL);
		json_identity(j, &in->devices[i].id);
		cmd_json_u64(j, "device_bytes", in->devices[i].bytes);
		cmd_json_close(j);
	}
	cmd_json_close(j);
}

static void print_identity(const struct vfm_identity *id)
{
	struct vfm_compat compat = id->compat;

	cmd_clean(compat.model);
	cmd_clean(compat.params);
	if (id->has_compat)
		printf("device      %s, version %" PRIu32 "%s%s\n", compat.model, compat.version,
		       compat.params[0] ? ", " : "", compat.params);
	if (id->vendor != 0xffff)
		printf("pci         %04x:%04x, subsystem %04x:%04x, class %06" PRIx32
		       ", revision %02x\n",
		       id->vendor, id->device, id->subvendor, id->subdevice, id->class_code,
		       id->revision);
	printf("migration   %s%s%s\n",
	       id->migration & VFM_MIGRATION_STOP_COPY ? "STOP_COPY" : "none",
	       id->migration & VFM_MIGRATION_P2P ? ", P2P" : "",
	       id->migration & VFM_MIGRATION_PRE_COPY ? ", PRE_COPY" : "");
}

/* Of several: which they are, and what each of them has in the stream. */
static void print_devices(const struct inspection *in)
{
	for (size_t i = 0; i < in->nr_devices; i++) {
		printf("number      %zu, %" PRIu64 " bytes of state\n", i, in->devices[i].bytes);
		print_identity(&in->devices[i].id);
	}
}

/* ---- all of it ------------------------------------------------------------------------- */

static void json_summary(struct inspection *in, const struct vfm_stream_summary *s)
{
	struct cmd_json *j = in->json;

	cmd_json_u64(j, "version", s->version);
	cmd_json_u64(j, "records", s->records);
	cmd_json_u64(j, "bytes", s->bytes);
	cmd_json_u64(j, "device_bytes", s->device_bytes);
	cmd_json_u64(j, "memory_bytes", s->memory_bytes);
	cmd_json_bool(j, "ended", s->ended);
	cmd_json_text(j, "digest", s->ended ? s->digest : NULL);
	cmd_json_u64(j, "devices", s->nr_devices);
	if (s->nr_devices) {
		cmd_json_open(j, "identity");
		json_identity(j, &s->identity);
		cmd_json_close(j);
	}
	json_devices(j, in);
	cmd_json_open_list(j, "kinds");
	for (uint32_t t = 0; t < NR_KINDS; t++) {
		if (!in->kinds[t].count)
			continue;
		cmd_json_open(j, NULL);
		cmd_json_text(j, "name", type_name(t));
		cmd_json_u64(j, "count", in->kinds[t].count);
		cmd_json_u64(j, "stored", in->kinds[t].stored);
		cmd_json_u64(j, "size", in->kinds[t].size);
		cmd_json_close(j);
	}
	cmd_json_close(j);
}

static void print_summary(const struct inspection *in, const struct vfm_stream_summary *s)
{
	if (in->args->records && in->records)
		putchar('\n');
	if (s->version)
		printf("format      version %" PRIu32 ", %" PRIu64 " records, %" PRIu64 " bytes\n",
		       s->version, s->records, s->bytes);
	if (s->nr_devices > 1)
		print_devices(in);
	else if (s->nr_devices)
		print_identity(&s->identity);
	if (in->records)
		printf("\n%-12s %9s %14s %14s\n", "kind", "records", "stored", "size");
	for (uint32_t t = 0; t < NR_KINDS; t++)
		if (in->kinds[t].count)
			printf("%-12s %9" PRIu64 " %14" PRIu64 " %14" PRIu64 "\n", type_name(t),
			       in->kinds[t].count, in->kinds[t].stored, in->kinds[t].size);
	if (in->records)
		printf("\nstate       %" PRIu64 " bytes\nmemory      %" PRIu64 " bytes\n",
		       s->device_bytes, s->memory_bytes);
	if (s->ended)
		printf("digest      %s, whole\n", s->digest);
}

static int print_all(struct inspection *in, const struct vfm_stream_summary *s, int ret,
		     const struct vfm_err *why, struct vfm_err *err)
{
	if (!in->json) {
		print_summary(in, s);
		return 0;
	}
	json_summary(in, s);
	cmd_json_text(in->json, "file", in->args->operands[0]);
	cmd_json_bool(in->json, "ok", !ret);
	if (ret)
		cmd_json_text(in->json, "error", why->msg);
	return cmd_json_print(in->json, err);
}

static int inspect(struct inspection *in, int fd, struct vfm_err *err)
{
	const struct cmd_args *args = in->args;
	struct vfm_stream_summary summary = { 0 };
	int ret, printed;

	if (in->json && args->records)
		cmd_json_open_list(in->json, "record_list");
	ret = vfm_stream_scan(fd, &summary, each_record, in, err);
	if (in->json && args->records)
		cmd_json_close(in->json);
	if (ret) {
		vfm_fail_prefix(err, "%s", args->operands[0]);
		cmd_explain(ret, err);
	}
	printed = print_all(in, &summary, ret, err, ret ? NULL : err);
	return ret ? ret : printed;
}

int cmd_inspect(const struct cmd_args *args, struct vfm_err *err)
{
	vfm_auto_fd int fd = cmd_infile_open(args->operands[0], err);
	cmd_auto_json struct cmd_json *j = args->json ? cmd_json_new() : NULL;
	struct inspection in = { .args = args, .json = j };
	int ret;

	if (fd < 0)
		return fd;
	if (args->json && !j)
		return vfm_fail(err, -ENOMEM, "make the JSON object");
	ret = inspect(&in, fd, err);
	free(in.devices);
	return ret;
}
