// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * vfmig probe: what a device can do, and what keeps it from migrating.
 *
 * Everything is asked first, then judged, then printed. What a device refuses to
 * answer is left out, and is no failure of the probe. It leaves the device as it
 * is; whether there is a dirty log can only be found by starting one, which is
 * done when the device is RUNNING and no other log is.
 */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/params.h"
#include "base/util.h"

#define NR_REMARKS 16
#define NR_REGIONS 64
#define NR_IRQS 16

enum log_answer { LOG_UNKNOWN, LOG_NO, LOG_YES };

/* Constant sentences, and what the device said of the same; the second may be NULL. */
struct remarks {
	size_t count;
	struct {
		const char *text;
		const char *why;
	} list[NR_REMARKS];
};

struct findings {
	const char *uri;
	struct vfm_device_info info;
	struct vfm_identity id;
	bool has_identity;
	uint32_t nr_regions, nr_irqs;
	struct vfm_region regions[NR_REGIONS];
	struct vfm_irq irqs[NR_IRQS];
	bool migrates;
	char why_not[VFM_ERR_TEXT];
	uint64_t migration;
	struct vfm_protocol protocol; /* version 0: unknown */
	bool has_state, has_data_size, has_precopy, has_compat;
	enum vfm_state state;
	uint64_t data_size;
	struct vfm_precopy_info precopy;
	struct vfm_compat compat;
	enum log_answer log;
	uint64_t log_page_size;
	char why_no_log[VFM_ERR_TEXT];
	struct remarks blockers, notes;
};

static const struct {
	uint32_t flag;
	const char *name;
} region_flags[] = {
	{ VFM_REGION_READ, "read" },
	{ VFM_REGION_WRITE, "write" },
	{ VFM_REGION_MMAP, "mmap" },
}, irq_flags[] = {
	{ VFM_IRQ_EVENTFD, "eventfd" },
	{ VFM_IRQ_MASKABLE, "maskable" },
	{ VFM_IRQ_AUTOMASKED, "automasked" },
	{ VFM_IRQ_NORESIZE, "noresize" },
}, migration_flags[] = {
	{ VFM_MIGRATION_STOP_COPY, "STOP_COPY" },
	{ VFM_MIGRATION_P2P, "P2P" },
	{ VFM_MIGRATION_PRE_COPY, "PRE_COPY" },
};

static const char *const region_names[VFM_PCI_NR_REGIONS] = {
	"BAR0", "BAR1", "BAR2", "BAR3", "BAR4", "BAR5", "ROM", "config", "VGA",
};
static const char *const irq_names[VFM_PCI_NR_IRQS] = { "INTx", "MSI", "MSI-X", "ERR", "REQ" };
static const char *const log_names[] = { "unknown", "no", "yes" };

/* ---- asking ---------------------------------------------------------------------- */

static int ask_regions(struct findings *f, struct vfm_device *dev, struct vfm_err *err)
{
	for (uint32_t i = 0; i < f->info.nr_regions && f->nr_regions < NR_REGIONS; i++) {
		struct vfm_region *region = &f->regions[f->nr_regions];
		int ret = vfm_device_get_region(dev, i, region, err);

		if (ret && ret != -EINVAL)
			return ret;
		/* an index without a region is told in both ways */
		f->nr_regions += !ret && region->size;
	}
	return 0;
}

static int ask_irqs(struct findings *f, struct vfm_device *dev, struct vfm_err *err)
{
	for (uint32_t i = 0; i < f->info.nr_irqs && f->nr_irqs < NR_IRQS; i++) {
		struct vfm_irq *irq = &f->irqs[f->nr_irqs];
		int ret = vfm_device_get_irq(dev, i, irq, err);

		if (ret && ret != -EINVAL)
			return ret;
		f->nr_irqs += !ret && irq->count;
	}
	return 0;
}

/* What an error says behind the name of the device. */
static void keep_reason(const struct findings *f, const struct vfm_err *err, char *why)
{
	size_t len = strlen(f->uri);
	bool named = !strncmp(err->msg, f->uri, len) && !strncmp(err->msg + len, ": ", 2);

	snprintf(why, VFM_ERR_TEXT, "%s", err->msg + (named ? len + 2 : 0));
	cmd_clean(why);
}

static void ask_log(struct findings *f, struct vfm_device *dev)
{
	const struct vfm_range range = { .iova = 0, .size = 4096 };
	struct vfm_err err = { .msg = "" };
	int ret;

	if (!f->has_state || f->state != VFM_STATE_RUNNING)
		return;
	f->log_page_size = 4096;
	ret = vfm_device_start_log(dev, &f->log_page_size, &range, 1, &err);
	if (!ret)
		ret = vfm_device_stop_log(dev, &err);
	f->log = !ret ? LOG_YES : ret == -ENOTTY ? LOG_NO : LOG_UNKNOWN;
	if (ret)
		keep_reason(f, &err, f->why_no_log);
}

/* Whether an answer that may be missing is there: a device that is gone is an error. */
static int optional(int ret, bool *has)
{
	*has = !ret;
	return ret == -ECONNRESET || ret == -ENOTCONN || ret == -ETIMEDOUT ? ret : 0;
}

static int ask_migration(struct findings *f, struct vfm_device *dev, struct vfm_err *err)
{
	int ret = vfm_device_get_migration(dev, &f->migration, err);

	if (ret == -ENOTTY)
		keep_reason(f, err, f->why_not);
	if (ret)
		return ret == -ENOTTY ? 0 : ret;
	f->migrates = true;
	ret = vfm_device_get_protocol(dev, &f->protocol, err);
	if (ret)
		return ret;
	ret = optional(vfm_device_get_state(dev, &f->state, err), &f->has_state);
	if (!ret)
		ret = optional(vfm_device_get_data_size(dev, &f->data_size, err),
			       &f->has_data_size);
	if (!ret && f->has_state && vfm_state_is_precopy(f->state))
		ret = optional(vfm_device_get_precopy_info(dev, &f->precopy, err), &f->has_precopy);
	return ret;
}

static int ask(struct findings *f, struct vfm_device *dev, struct vfm_err *err)
{
	int ret = vfm_device_get_info(dev, &f->info, err);

	if (!ret)
		ret = ask_regions(f, dev, err);
	if (!ret)
		ret = ask_irqs(f, dev, err);
	if (!ret)
		ret = optional(vfm_identity_get(&f->id, dev, err), &f->has_identity);
	if (!ret)
		ret = ask_migration(f, dev, err);
	if (!ret)
		ret = optional(vfm_device_get_compat(dev, &f->compat, err), &f->has_compat);
	if (!ret)
		ask_log(f, dev);
	return ret;
}

/* ---- judging ----------------------------------------------------------------------- */

static bool no_migration(const struct findings *f)
{
	return !f->migrates;
}

static bool no_stop_copy(const struct findings *f)
{
	return f->migrates && !(f->migration & VFM_MIGRATION_STOP_COPY);
}

static bool no_state(const struct findings *f)
{
	return f->migrates && !f->has_state;
}

static bool in_error(const struct findings *f)
{
	return f->has_state && f->state == VFM_STATE_ERROR;
}

static bool in_migration(const struct findings *f)
{
	return f->has_state && (vfm_state_is_saving(f->state) || f->state == VFM_STATE_RESUMING);
}

static bool in_stop(const struct findings *f)
{
	return f->has_state && f->state == VFM_STATE_STOP;
}

static bool no_precopy(const struct findings *f)
{
	return f->migrates && !(f->migration & VFM_MIGRATION_PRE_COPY);
}

static bool no_p2p(const struct findings *f)
{
	return f->migrates && !(f->migration & VFM_MIGRATION_P2P);
}

static bool is_v1(const struct findings *f)
{
	return f->protocol.version == 1;
}

static bool no_data_size(const struct findings *f)
{
	return f->migrates && !is_v1(f) && !f->has_data_size;
}

static bool no_log(const struct findings *f)
{
	return f->log == LOG_NO;
}

static bool log_fails(const struct findings *f)
{
	return f->log == LOG_UNKNOWN && *f->why_no_log;
}

static const char *why_no_migration(const struct findings *f)
{
	return f->why_not;
}

static const char *why_no_log(const struct findings *f)
{
	return f->why_no_log;
}

static bool no_compat(const struct findings *f)
{
	return f->migrates && !f->has_compat;
}

static bool proves_late(const struct findings *f)
{
	return is_v1(f) && f->protocol.late_proof;
}

static bool no_reset(const struct findings *f)
{
	return !(f->info.flags & VFM_DEVICE_RESET);
}

struct judgement {
	bool (*applies)(const struct findings *f);
	const char *text;
	const char *(*why)(const struct findings *f); /* or NULL */
};

static const struct judgement blockers[] = {
	{ no_migration, "the device, or the way to it, has no migration", why_no_migration },
	{ no_stop_copy, "the device does not offer STOP_COPY, without which nothing can be moved" },
	{ no_state, "the device does not tell its migration state" },
	{ in_error, "the device is in ERROR and must be reset first" },
	{ in_migration, "the device is in the middle of a migration" },
};

static const struct judgement notes[] = {
	{ no_precopy, "no PRE_COPY: the device is stopped for all of its state" },
	{ no_p2p, "no P2P: it cannot be stopped together with devices that do DMA to it" },
	{ no_data_size, "the device does not tell how much is left to copy" },
	{ is_v1,
	  "protocol v1: what is left is told only while it saves, initial and dirty data in one "
	  "number" },
	{ is_v1, "protocol v1: there is no end of resume; a device that refuses RESUMING -> STOP "
		 "proves an "
		 "image only when it runs" },
	{ proves_late, "the device refuses RESUMING -> STOP" },
	{ no_log, "no dirty log: its DMA memory cannot be moved while it runs", why_no_log },
	{ log_fails, "the dirty log cannot be started or stopped now", why_no_log },
	{ no_compat, "whether an image fits another device is found out only by loading it" },
	{ no_reset, "no reset: a failed load cannot be undone" },
	{ in_stop, "the device is stopped: it can be moved as it is" },
};

static void judge(struct remarks *to, const struct judgement *list, size_t count,
		  const struct findings *f)
{
	for (size_t i = 0; i < count; i++) {
		if (!list[i].applies(f))
			continue;
		to->list[to->count].text = list[i].text;
		to->list[to->count++].why = list[i].why ? list[i].why(f) : NULL;
	}
}

/* ---- JSON ----------------------------------------------------------------------------- */

#define json_flags(j, key, table, flags)                                                           \
	do {                                                                                       \
		cmd_json_open_list(j, key);                                                        \
		for (size_t n = 0; n < VFM_ARRAY_SIZE(table); n++)                                 \
			if ((flags) & (table)[n].flag)                                             \
				cmd_json_text(j, NULL, (table)[n].name);                           \
		cmd_json_close(j);                                                                 \
	} while (0)

static const char *region_name(const struct findings *f, uint32_t index)
{
	return f->info.flags & VFM_DEVICE_PCI && index < VFM_PCI_NR_REGIONS ? region_names[index]
									    : NULL;
}

static const char *irq_name(const struct findings *f, uint32_t index)
{
	return f->info.flags & VFM_DEVICE_PCI && index < VFM_PCI_NR_IRQS ? irq_names[index] : NULL;
}

static void json_region(struct cmd_json *j, const struct findings *f, const struct vfm_region *r)
{
	cmd_json_open(j, NULL);
	cmd_json_u64(j, "index", r->index);
	cmd_json_text(j, "name", region_name(f, r->index));
	cmd_json_u64(j, "size", r->size);
	json_flags(j, "flags", region_flags, r->flags);
	cmd_json_open_list(j, "areas");
	for (uint32_t a = 0; a < r->nr_areas; a++) {
		cmd_json_open(j, NULL);
		cmd_json_u64(j, "offset", r->areas[a].offset);
		cmd_json_u64(j, "size", r->areas[a].size);
		cmd_json_close(j);
	}
	cmd_json_close(j);
	cmd_json_close(j);
}

static void json_parts(struct cmd_json *j, const struct findings *f)
{
	cmd_json_open_list(j, "regions");
	for (uint32_t i = 0; i < f->nr_regions; i++)
		json_region(j, f, &f->regions[i]);
	cmd_json_close(j);
	cmd_json_open_list(j, "irqs");
	for (uint32_t i = 0; i < f->nr_irqs; i++) {
		cmd_json_open(j, NULL);
		cmd_json_u64(j, "index", f->irqs[i].index);
		cmd_json_text(j, "name", irq_name(f, f->irqs[i].index));
		cmd_json_u64(j, "count", f->irqs[i].count);
		json_flags(j, "flags", irq_flags, f->irqs[i].flags);
		cmd_json_close(j);
	}
	cmd_json_close(j);
}

static void json_protocol(struct cmd_json *j, const struct findings *f)
{
	cmd_json_text(j, "protocol", !f->migrates ? NULL : is_v1(f) ? "v1" : "v2");
	if (!is_v1(f))
		return;
	cmd_json_u64(j, "region", f->protocol.region);
	cmd_json_u64(j, "region_size", f->protocol.region_size);
	cmd_json_u64(j, "mapped_size", f->protocol.mapped_size);
}

static void json_migration(struct cmd_json *j, const struct findings *f)
{
	cmd_json_open(j, "migration");
	json_protocol(j, f);
	cmd_json_u64(j, "flags", f->migration);
	json_flags(j, "features", migration_flags, f->migration);
	cmd_json_text(j, "state", f->has_state ? vfm_state_name(f->state) : NULL);
	if (f->has_data_size)
		cmd_json_u64(j, "data_size", f->data_size);
	if (f->has_precopy) {
		cmd_json_u64(j, "initial_bytes", f->precopy.initial_bytes);
		cmd_json_u64(j, "dirty_bytes", f->precopy.dirty_bytes);
	}
	cmd_json_text(j, "dirty_log", log_names[f->log]);
	if (f->log == LOG_YES)
		cmd_json_u64(j, "dirty_log_page_size", f->log_page_size);
	cmd_json_close(j);
	if (f->has_compat) {
		cmd_json_open(j, "compat");
		cmd_json_text(j, "model", f->compat.model);
		cmd_json_u64(j, "version", f->compat.version);
		cmd_json_u64(j, "min_version", f->compat.min_version);
		cmd_json_text(j, "params", f->compat.params);
		cmd_json_close(j);
	}
}

static void json_remarks(struct cmd_json *j, const char *key, const struct remarks *r)
{
	char text[2 * VFM_ERR_TEXT];

	cmd_json_open_list(j, key);
	for (size_t i = 0; i < r->count; i++) {
		snprintf(text, sizeof(text), "%s%s%s", r->list[i].text, r->list[i].why ? ": " : "",
			 r->list[i].why ? r->list[i].why : "");
		cmd_json_text(j, NULL, text);
	}
	cmd_json_close(j);
}

static int print_json(const struct findings *f, struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = cmd_json_new();

	cmd_json_text(j, "uri", f->uri);
	cmd_json_text(j, "kind", f->info.flags & VFM_DEVICE_PCI ? "pci" : "other");
	cmd_json_bool(j, "reset", f->info.flags & VFM_DEVICE_RESET);
	if (f->has_identity && f->info.flags & VFM_DEVICE_PCI) {
		cmd_json_open(j, "pci");
		cmd_json_pci(j, &f->id);
		cmd_json_close(j);
	}
	json_parts(j, f);
	cmd_json_text(j, "state", f->has_state ? vfm_state_name(f->state) : NULL);
	json_migration(j, f);
	cmd_json_bool(j, "migratable", f->blockers.count == 0);
	json_remarks(j, "blockers", &f->blockers);
	json_remarks(j, "notes", &f->notes);
	return cmd_json_print(j, err);
}

/* ---- words ------------------------------------------------------------------------------ */

#define print_flags(table, flags)                                                                  \
	do {                                                                                       \
		for (size_t n = 0; n < VFM_ARRAY_SIZE(table); n++)                                 \
			if ((flags) & (table)[n].flag)                                             \
				printf(" %s", (table)[n].name);                                    \
	} while (0)

static void print_parts(const struct findings *f)
{
	char size[32], name[16];

	for (uint32_t i = 0; i < f->nr_regions; i++) {
		const struct vfm_region *r = &f->regions[i];

		vfm_format_size(size, sizeof(size), r->size);
		snprintf(name, sizeof(name), "%" PRIu32, r->index);
		printf("region %-8s %8s ",
		       region_name(f, r->index) ? region_name(f, r->index) : name, size);
		print_flags(region_flags, r->flags);
		for (uint32_t a = 0; a < r->nr_areas; a++)
			printf("%s0x%" PRIx64 "+0x%" PRIx64, a ? ", " : ", only ",
			       r->areas[a].offset, r->areas[a].size);
		putchar('\n');
	}
	for (uint32_t i = 0; i < f->nr_irqs; i++) {
		snprintf(name, sizeof(name), "%" PRIu32, f->irqs[i].index);
		printf("irq    %-8s %8" PRIu32 " ",
		       irq_name(f, f->irqs[i].index) ? irq_name(f, f->irqs[i].index) : name,
		       f->irqs[i].count);
		print_flags(irq_flags, f->irqs[i].flags);
		putchar('\n');
	}
}

static void print_protocol(const struct findings *f)
{
	char size[32], mapped[32] = "nothing";

	if (!is_v1(f)) {
		puts("protocol   v2");
		return;
	}
	vfm_format_size(size, sizeof(size), f->protocol.region_size);
	if (f->protocol.mapped_size)
		vfm_format_size(mapped, sizeof(mapped), f->protocol.mapped_size);
	printf("protocol   v1, migration region %" PRIu32 " of %s, %s mapped\n", f->protocol.region,
	       size, mapped);
}

static void print_migration(const struct findings *f)
{
	char size[32];

	if (!f->migrates)
		return;
	print_protocol(f);
	printf("migration ");
	print_flags(migration_flags, f->migration);
	printf("\nstate      %s\n", f->has_state ? vfm_state_name(f->state) : "unknown");
	if (f->has_data_size) {
		vfm_format_size(size, sizeof(size), f->data_size);
		printf("data size  %s\n", size);
	}
	if (f->has_precopy)
		printf("pre-copy   %" PRIu64 " bytes initial, %" PRIu64 " dirty\n",
		       f->precopy.initial_bytes, f->precopy.dirty_bytes);
	printf("dirty log  %s", log_names[f->log]);
	if (f->log == LOG_YES)
		printf(", pages of %" PRIu64, f->log_page_size);
	putchar('\n');
}

static void print_remarks(const char *kind, const struct remarks *r)
{
	for (size_t i = 0; i < r->count; i++)
		printf("%-10s %s%s%s\n", kind, r->list[i].text, r->list[i].why ? ": " : "",
		       r->list[i].why ? r->list[i].why : "");
}

static void print_words(struct findings *f)
{
	const struct vfm_identity *id = &f->id;

	printf("device     %s\n", f->uri);
	if (f->has_compat) {
		cmd_clean(f->compat.model);
		cmd_clean(f->compat.params);
		printf("model      %s, version %" PRIu32 "%s%s\n", f->compat.model,
		       f->compat.version, f->compat.params[0] ? ", " : "", f->compat.params);
	}
	if (f->has_identity && f->info.flags & VFM_DEVICE_PCI)
		printf("pci        %04x:%04x, subsystem %04x:%04x, class %06" PRIx32
		       ", revision %02x\n",
		       id->vendor, id->device, id->subvendor, id->subdevice, id->class_code,
		       id->revision);
	print_parts(f);
	print_migration(f);
	print_remarks("note", &f->notes);
	print_remarks("blocker", &f->blockers);
	printf("migratable %s\n", f->blockers.count ? "no" : "yes");
}

int cmd_probe(const struct cmd_args *args, struct vfm_err *err)
{
	static struct findings f; /* too big for a stack */
	struct vfm_device *dev;
	int ret;

	f.uri = args->operands[0];
	ret = cmd_open(&dev, f.uri, err);
	if (ret)
		return ret;
	ret = ask(&f, dev, err);
	vfm_device_close(dev);
	if (ret)
		return ret;
	judge(&f.blockers, blockers, VFM_ARRAY_SIZE(blockers), &f);
	judge(&f.notes, notes, VFM_ARRAY_SIZE(notes), &f);
	if (args->json)
		return print_json(&f, err);
	print_words(&f);
	return 0;
}
