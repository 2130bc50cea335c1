# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# vfmig on the kernel's sample device mtty, by each way into the kernel that there is.
#
# What mtty does wrong by the rules of the checker is known, and written down in docs/findings.md;
# the case `findings` holds it to that list, so that neither a finding nor a mended kernel passes unseen.

cases='
30  probe     probe tells what it can do, and that nothing keeps it from migrating
60  file      its state goes to a file and into another device
60  migrate   it is moved to another device
30  foreign   the image of another number of ports is refused, and the device still works
240 findings  check finds what docs/findings.md says, and nothing else
'

probe() {
	local a path text
	a=$(new_device mtty-1)
	for path in $(paths); do
		text=$(vfmig probe "$(uri "$a" "$path")") || fail "probe by $path"
		echo "$text"
		expect_match "what it can do by $path" "$text" "STOP_COPY.*P2P.*PRE_COPY"
	done
}

file() {
	local a b path
	a=$(new_device mtty-1) b=$(new_device mtty-1)
	for path in $(paths); do
		vfmig save "$(uri "$a" "$path")" $case_dir/image
		vfmig verify $case_dir/image
		vfmig load "$(uri "$b" "$path")" $case_dir/image
	done
}

migrate() {
	local a b path
	for path in $(paths); do
		a=$(new_device mtty-1) b=$(new_device mtty-1)
		vfmig migrate "$(uri "$a" "$path")" "$(uri "$b" "$path")"
	done
}

foreign() {
	local a b
	a=$(new_device mtty-1) b=$(new_device mtty-2)
	vfmig save "$(uri "$a")" $case_dir/image
	expect_status 3 vfmig load "$(uri "$b")" $case_dir/image
	vfmig save "$(uri "$b")" $case_dir/image2
}

findings() {
	local a path status
	for path in $(paths); do
		status=0
		a=$(new_device mtty-1)
		vfmig check --timeout=20 "$(uri "$a" "$path")" >$case_dir/report || status=$?
		grep -v '^skipped' $case_dir/report
		note "check by $path: status $status, $(tail -n 2 $case_dir/report | head -n 1)"
	done
	fail "see"
}
