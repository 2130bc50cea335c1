// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What a trace says is what was done, also of a device that did not come back, and trying it
 * again does the same. A trace is a file like any other: nothing in it is believed.
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/util.h"
#include "wild.h"
#include "wrap/trace.h"

#define DEV "sim:dma,state=64K,bar=64K"

static char folder[] = "/tmp/vfmig-trace-XXXXXX";
static char path[64], data_path[80], traced[160];

struct again {
	const char *uri;
	unsigned int count;
	uint64_t line;
	char op[256], what[160];
};

static int open_again(void *user, struct vfm_device **out, struct vfm_err *err)
{
	return vfm_open(out, ((const struct again *)user)->uri, err);
}

static void differs(void *user, uint64_t line, const char *op, const char *what)
{
	struct again *a = user;

	if (!a->count++) {
		a->line = line;
		snprintf(a->op, sizeof(a->op), "%s", op);
		snprintf(a->what, sizeof(a->what), "%s", what);
	}
}

static int replay(struct again *a, const char *uri, struct vfm_replay_summary *sum,
		  struct vfm_err *err)
{
	const struct vfm_replay_opts opts = {
		.size = sizeof(opts), .open = open_again, .differs = differs, .user = a
	};

	*a = (struct again){ .uri = uri };
	return vfm_replay(path, &opts, sum, err);
}

static struct vfm_device *open_ok(const char *uri)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err;

	if (vfm_open(&dev, uri, &err))
		fail_msg("%s: %s", uri, err.msg);
	return dev;
}

static void put_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	unlink(data_path);
}

static char *get_file(void)
{
	static char text[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static int clean(void **state)
{
	(void)state;
	unlink(path);
	unlink(data_path);
	return 0;
}

/* ---- all operations -------------------------------------------------------------- */

static void use_regions(struct vfm_device *dev)
{
	struct vfm_device_info info;
	struct vfm_region region;
	struct vfm_irq irq;
	uint8_t big[512] = { 1, 2, 3 };
	uint32_t word = 0;

	assert_int_equal(vfm_device_get_info(dev, &info, NULL), 0);
	assert_int_equal(vfm_device_get_region(dev, 0, &region, NULL), 0);
	assert_int_equal(vfm_device_get_region(dev, 99, &region, NULL), -EINVAL);
	assert_int_equal(vfm_device_get_irq(dev, 0, &irq, NULL), 0);
	assert_int_equal(vfm_device_read_region(dev, VFM_PCI_CONFIG, 0, &word, 4, NULL), 0);
	assert_int_equal(vfm_device_write_region(dev, VFM_PCI_CONFIG, 4, &word, 2, NULL), 0);
	/* too large for a line */
	assert_int_equal(vfm_device_write_region(dev, 2, 64, big, sizeof(big), NULL), 0);
	assert_int_equal(vfm_device_read_region(dev, 2, 64, big, sizeof(big), NULL), 0);
}

static void use_irqs(struct vfm_device *dev)
{
	int fds[4] = { eventfd(0, EFD_CLOEXEC), -1, eventfd(0, EFD_CLOEXEC), -1 };
	const struct vfm_irq_set wire = { .flags = VFM_IRQ_SET_DATA_EVENTFD |
						   VFM_IRQ_SET_ACTION_TRIGGER,
					  .index = VFM_PCI_MSIX,
					  .count = 4,
					  .fds = fds };
	const struct vfm_irq_set off = { .flags =
						 VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER,
					 .index = VFM_PCI_MSIX };

	assert_int_equal(vfm_device_set_irqs(dev, &wire, NULL), 0);
	assert_int_equal(vfm_device_set_irqs(dev, &off, NULL), 0);
	close(fds[0]);
	close(fds[2]);
}

static void use_dma(struct vfm_device *dev)
{
	static uint8_t memory[2 * 4096] __attribute__((aligned(4096)));
	const struct vfm_dma_map map = { .iova = 0x10000,
					 .size = sizeof(memory),
					 .flags = VFM_DMA_READ | VFM_DMA_WRITE,
					 .fd = -1,
					 .vaddr = memory };
	const struct vfm_range range = { 0x10000, sizeof(memory) };
	uint64_t page = 4096, bitmap[1] = { 0 };

	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	assert_int_equal(vfm_device_report_log(dev, 0x10000, 8192, 4096, bitmap, NULL), 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 4096, NULL), -ENOENT);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 8192, NULL), 0);
	assert_int_equal(vfm_device_unmap_all(dev, NULL), 0);
}

static void use_migration(struct vfm_device *dev)
{
	static uint8_t image[1 << 20];
	struct vfm_precopy_info info;
	struct vfm_compat compat;
	enum vfm_state now;
	size_t size = 0;
	uint64_t number;
	ssize_t n;
	bool ends;

	assert_int_equal(vfm_device_get_migration(dev, &number, NULL), 0);
	assert_int_equal(vfm_device_get_compat(dev, &compat, NULL), 0);
	assert_int_equal(vfm_device_set_orphan(dev, VFM_ORPHAN_RUN, NULL), -ENOTTY);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
	assert_int_equal(vfm_device_get_data_size(dev, &number, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	n = vfm_device_read_chunk(dev, image, 1000, &ends, NULL);
	assert_int_equal(n, 1000);
	for (size = 1000;
	     (n = vfm_device_read_data(dev, image + size, sizeof(image) - size, NULL)) > 0;)
		size += (size_t)n;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), -EINVAL);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(vfm_device_write_chunk(dev, image, 100, false, NULL), 0);
	assert_int_equal(vfm_device_write_data(dev, image + 100, size - 100, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), 0);
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
}

static void use_all(const char *uri)
{
	struct vfm_device *dev = open_ok(uri);

	use_regions(dev);
	use_irqs(dev);
	use_dma(dev);
	use_migration(dev);
	vfm_device_close(dev);
}

static void every_operation_is_traced_and_done_again(void **state)
{
	static const char *const ops[] = {
		"get_info",    "get_region",  "get_irq",    "get_migration",	"get_compat",
		"read_region", "set_irqs",    "map_dma",    "unmap_dma",	"write_region",
		"unmap_all",   "get_state",   "set_state",  "read_data",	"write_data",
		"read_chunk",  "write_chunk", "reset",	    "get_precopy_info", "get_data_size",
		"set_orphan",  "start_log",   "report_log", "stop_log",
	};
	struct vfm_replay_summary sum;
	struct again a;
	struct vfm_err err;
	char word[40];

	(void)state;
	use_all(traced);
	use_all(traced);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ops); i++) {
		snprintf(word, sizeof(word), "\"op\":\"%s\"", ops[i]);
		assert_non_null(strstr(get_file(), word));
		assert_true(vfm_op_exists(ops[i]));
	}
	if (replay(&a, DEV, &sum, &err))
		fail_msg("%s", err.msg);
	if (a.count)
		fail_msg("line %u: %s; %s", (unsigned int)a.line, a.op, a.what);
	assert_int_equal(sum.openings, 2);
	assert_int_equal(sum.left_out, 0);
	assert_int_equal(sum.differences, 0);
}

static void what_is_different_is_told(void **state)
{
	struct vfm_replay_summary sum;
	struct vfm_err err;
	struct again a;

	(void)state;
	use_all(traced);
	assert_int_equal(replay(&a, "fault,fail=2:set_state,errno=ENODEV+" DEV, &sum, &err), 0);
	assert_true(sum.differences > 0);
	assert_int_equal(sum.differences, a.count);
	assert_non_null(strstr(a.op, "set_state(STOP_COPY 3) = ENODEV"));
	assert_string_equal(a.what, "it returned 0 then");
	/* another state has other bytes */
	assert_int_equal(replay(&a, DEV ",seed=9", &sum, &err), 0);
	assert_non_null(strstr(a.what, "other bytes came out then"));
}

/* ---- a device that does not come back ---------------------------------------------- */

static void a_trace_ends_in_what_did_not_come_back(void **state)
{
	struct vfm_replay_summary sum;
	struct vfm_device *dev;
	struct vfm_err err;
	struct again a;
	pid_t pid = fork();
	char *text;

	(void)state;
	if (pid == 0) {
		char params[128];

		snprintf(params, sizeof(params), "file=%s,format=json", path);
		if (wild_open(&dev, WILD_ABORT, false, &err) ||
		    vfm_trace_open(&dev, dev, params, &err))
			_exit(1);
		signal(SIGABRT, SIG_DFL);
		_exit(vfm_device_set_state(dev, VFM_STATE_STOP, NULL) ? 2 : 3);
	}
	waitpid(pid, NULL, 0);
	text = get_file();
	assert_non_null(strstr(text, "\"op\":\"set_state\",\"args\":{\"state\":1}"));
	assert_true(text[strlen(text) - 1] != '\n');
	/* and another one is added behind it */
	vfm_device_close(open_ok(traced));
	if (replay(&a, DEV, &sum, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(sum.openings, 2);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.line, 2);
	assert_string_equal(a.what, "it did not come back then");
}

/* ---- limits ------------------------------------------------------------------------- */

static void data_beyond_the_limit_is_left_out(void **state)
{
	struct vfm_replay_summary sum;
	struct again a;
	struct stat st;
	char uri[256];

	(void)state;
	snprintf(uri, sizeof(uri), "trace,file=%s,format=json,data=1K+" DEV, path);
	use_all(uri);
	assert_int_equal(stat(data_path, &st), 0);
	assert_true(st.st_size <= 1024);
	assert_int_equal(replay(&a, DEV, &sum, NULL), 0);
	assert_true(sum.left_out > 0);
}

static void a_trace_that_cannot_be_opened_is_an_error(void **state)
{
	static const char *const wrong[] = { "trace,file=/none/such+" DEV, "trace,format=xml+" DEV,
					     "trace,data=1P+" DEV, "trace,what=1+" DEV };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(wrong); i++) {
		struct vfm_device *dev;
		struct vfm_err err;

		assert_true(vfm_open(&dev, wrong[i], &err) < 0);
		assert_non_null(strstr(err.msg, "trace"));
	}
}

/* ---- traces that are none --------------------------------------------------------------- */

#define HEAD "{\"vfmig_trace\":1}\n"

static void what_is_no_trace_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"\n",
		"what\n",
		"[]\n",
		"{}\n",
		"{\"vfmig_trace\":2}\n",
		"{\"vfmig_trace\":\"x\"}\n",
		"{\"op\":\"get_info\",\"args\":{}}\n", /* nothing opened */
		HEAD "{\"op\":7}\n",
		HEAD "{\"op\":\"a name that is much too long for it\",\"args\":{}}\n",
		HEAD "{\"op\":\"reset\",\"args\":{\"x\":[]}}\n",
		HEAD "{\"op\":\"reset\",\"args\":{\"x\":\"0xg\"}}\n",
		HEAD "{\"op\":\"reset\",\"args\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,"
		     "\"g\":1}}\n",
		HEAD "{\"op\":\"write_data\",\"args\":{},\"data\":\"0\"}\n",
		HEAD "{\"op\":\"write_data\",\"args\":{},\"data\":\"0G\"}\n",
		HEAD "{\"op\":\"write_data\",\"args\":{},\"data_at\":0,\"data_size\":100}\n",
		HEAD "{\"op\":\"write_data\",\"args\":{},\"data_at\":\"0xffffffffffffffff\","
		     "\"data_size\":100}\n",
		HEAD "{\"op\":\"reset\",\"args\":{},\"ret\":\"0\"}\n",
		HEAD "{\"op\":\"reset\",\"op\":\"reset\",\"args\":{}}\n",
	};
	static char longest[20000];
	struct vfm_replay_summary sum;
	struct again a;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(wrong); i++) {
		struct vfm_err err = { 0 };

		put_file(wrong[i]);
		if (replay(&a, DEV, &sum, &err) != -EBADMSG)
			fail_msg("%s: %s", wrong[i], err.msg);
	}
	memset(longest, ' ', sizeof(longest) - 1);
	put_file(longest);
	assert_int_equal(replay(&a, DEV, &sum, NULL), -EBADMSG);
	clean(NULL);
	assert_int_equal(replay(&a, DEV, &sum, NULL), -ENOENT);
}

/* Legal as lines, absurd as operations: bounded, and told. */
static void operations_that_make_no_sense_are_harmless(void **state)
{
	static const char *const odd[] = {
		"{\"op\":\"what\",\"args\":{}}\n",
		"{\"op\":\"read_data\",\"args\":{\"size\":\"0xffffffffffffffff\"},\"ret\":1}\n",
		"{\"op\":\"read_region\",\"args\":{\"size\":0},\"ret\":0}\n",
		"{\"op\":\"map_dma\",\"args\":{\"size\":\"0xffffffffffffffff\"},\"ret\":0}\n",
		"{\"op\":\"start_log\",\"args\":{},\"data\":\"00\",\"ret\":0}\n",
		"{\"op\":\"start_log\",\"args\":{},\"ret\":0}\n",
		"{\"op\":\"report_log\",\"args\":{\"size\":\"0xffffffffffffffff\",\"page_size\":1},"
		"\"ret\":0}\n",
		"{\"op\":\"report_log\",\"args\":{},\"ret\":0}\n",
		"{\"op\":\"set_irqs\",\"args\":{\"count\":9,\"flags\":36},\"data\":\"01\","
		"\"ret\":0}\n",
		"{\"op\":\"set_irqs\",\"args\":{\"count\":4294967295,\"flags\":36},\"ret\":0}\n",
		"{\"op\":\"write_data\",\"args\":{},\"data_size\":1099511627776,\"ret\":0}\n",
		"{\"op\":\"set_state\",\"args\":{\"state\":-1},\"ret\":0}\n",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(odd); i++) {
		struct vfm_replay_summary sum;
		struct vfm_err err = { 0 };
		struct again a;

		snprintf(text, sizeof(text), HEAD "%s", odd[i]);
		put_file(text);
		if (replay(&a, DEV, &sum, &err))
			fail_msg("%s: %s", odd[i], err.msg);
		assert_int_equal(sum.differences + sum.left_out, 1);
	}
}

/* A valid trace with any one byte changed is refused, or tried. */
static void damage_does_no_harm(void **state)
{
	char *text, original;
	size_t len;

	(void)state;
	use_all(traced);
	text = strdup(get_file());
	len = strlen(text);
	for (size_t i = 0; i < len; i += 97) {
		struct vfm_replay_summary sum;
		struct again a;
		FILE *f;

		original = text[i];
		text[i] = (char)(original ^ (1 << (i % 7)));
		f = fopen(path, "we");
		assert_int_equal(fwrite(text, 1, len, f), len);
		fclose(f);
		text[i] = original;
		if (replay(&a, DEV, &sum, NULL))
			continue;
	}
	free(text);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/trace", folder);
	snprintf(data_path, sizeof(data_path), "%s.data", path);
	snprintf(traced, sizeof(traced), "trace,file=%s,format=json+" DEV, path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, clean, clean)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_operation_is_traced_and_done_again),
		TEST(what_is_different_is_told),
		TEST(a_trace_ends_in_what_did_not_come_back),
		TEST(data_beyond_the_limit_is_left_out),
		TEST(a_trace_that_cannot_be_opened_is_an_error),
		TEST(what_is_no_trace_is_refused),
		TEST(operations_that_make_no_sense_are_harmless),
		TEST(damage_does_no_harm),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
