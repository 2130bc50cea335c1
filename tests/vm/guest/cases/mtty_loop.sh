# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Kernels from 2022 to 2026 never come back from STOP_COPY to PRE_COPY, on every device with pre-copy
# (docs/findings.md). The process is beyond signals then, and so is its device: the checker must report
# it and end all the same.

cases='
60  loop  a state change that never returns is reported as hung
'

loop() {
	expect_status 1 timeout 150 vfmig check --timeout=15 --rule=v2.arc.stop-copy-to-pre-copy-refused \
		"$(uri "$(new_device mtty-1)")" >"$case_dir/report"
	cat "$case_dir/report"
	grep -q '^v2.arc.stop-copy-to-pre-copy-refused: hung (must)' "$case_dir/report" || fail "the report says something else"
}
