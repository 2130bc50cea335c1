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
30  file      its state goes to a file and into another device
30  migrate   it is moved to another device
30  foreign   the image of another number of ports is refused, and the device still works
200 findings  check finds what docs/findings.md says, and nothing else
'

probe() {
	local a path text
	a=$(new_device mtty-1)
	for path in $(paths); do
		text=$(vfmig probe "$(uri "$a" "$path")") || fail "probe by $path"
		echo "$text"
		expect_match "what it can do by $path" "$text" "STOP_COPY.*P2P.*PRE_COPY"
		# by the device's log, or the container's where the kernel cannot report that
		expect_match "the dirty log by $path" "$text" "dirty log +yes"
	done
}

file() {
	local a b path
	a=$(new_device mtty-1) b=$(new_device mtty-1)
	for path in $(paths); do
		vfmig save "$(uri "$a" "$path")" "$case_dir/image"
		vfmig verify "$case_dir/image"
		vfmig load "$(uri "$b" "$path")" "$case_dir/image"
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
	vfmig save "$(uri "$a")" "$case_dir/image"
	expect_status 3 vfmig load "$(uri "$b")" "$case_dir/image"
	vfmig save "$(uri "$b")" "$case_dir/image2"
}

# Rules that mtty breaks, and how grave that is; the second list where the kernel can ask it for its log.
known_findings='v2.discovery.reset-flag must
v2.describe.pci-numbering should
v2.race.close-and-reopen must
vfio.irq.loopback should
v2.log.stop-refused should'
known_log_findings='v2.log.double-start-refused should
v2.log.outside-refused should
v2.log.report-refused must'

known() {
	echo "$known_findings"
	! has_cdev || echo "$known_log_findings"
}

# mtty keeps its state when it is closed: each rule has a new one.
try_rule() { # RULE PATH
	local a
	a=$(new_device mtty-1)
	vfmig check --timeout=30 --rule="$1" "$(uri "$a" "$2")" >"$case_dir/report" 2>&1 || true
	remove_device "$a"
	sed -nE 's/^([a-z0-9.-]+): (failed|hung|crashed) \(([a-z]+)\)$/\1 \3/p' "$case_dir/report"
	! grep -qE '^[a-z0-9.-]+: (failed|hung|crashed)' "$case_dir/report" || cat "$case_dir/report" >&2
}

findings() {
	local rule path found
	for path in $(paths); do
		found=$(vfmig check --list | sed -nE 's/^((v2|vfio)\.[a-z0-9.-]+) .*/\1/p' |
			while read -r rule; do
				try_rule "$rule" "$path"
			done)
		diff -u <(known | sort) <(sort <<<"$found") || fail "by $path, check finds something else"
	done
}
