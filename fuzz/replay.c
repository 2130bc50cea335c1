// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Runs a fuzz target over every file of a corpus, once, and says so in TAP: what a fuzzer has found
 * stays found, without a fuzzer.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Larger ones are no use to a fuzzer. */
#define INPUT_MAX (1u << 20)

/* In memory of its own size, so that a sanitizer sees a byte too far. Returns whether it ran. */
static int run_file(const char *dir, const char *name)
{
	static uint8_t whole[INPUT_MAX];
	char path[4096];
	uint8_t *data;
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return 0;
	size = fread(whole, 1, sizeof(whole), f);
	fclose(f);
	data = malloc(size ? size : 1);
	if (!data)
		return 0;
	memcpy(data, whole, size);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 1;
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int n, i, failed = 0;

	if (argc != 2 || (n = scandir(argv[1], &entries, is_input, alphasort)) < 0) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	printf("1..%d\n", n);
	for (i = 0; i < n; i++) {
		int ok = run_file(argv[1], entries[i]->d_name);

		printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
		fflush(stdout);
		failed |= !ok;
		free(entries[i]);
	}
	free(entries);
	return failed;
}
