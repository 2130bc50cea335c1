#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# What the machine tier makes of the logs of a machine, without a machine: a tier that passes what it
# should not is worse than none.

setup() {
	T=$BATS_TEST_TMPDIR
	# shellcheck source=/dev/null
	. "$SOURCE_ROOT/tests/vm/lib/judge.sh"
	good_logs
}

good_logs() {
	printf 'ok 1 - a: one (12 ms)\nok 2 - a: two (5 ms)\n1..2\n' >"$T/results.log"
	printf '[    1.0] Key type fscrypt registered\n[    9.0] reboot: Power down\n' >"$T/console.log"
}

# PASSED FAILED SKIPPED WITH-STATUS [COMPLAINT]
judged() {
	judge m "$T" "$4" "${5:--}" >"$T/out"
	cat "$T/out"
	[[ "$passed $failed $skipped" == "$1 $2 $3" ]]
}

@test "a machine that ended well passes, with the three tests of the host" {
	judged 5 0 0 0
}

@test "a case that failed is counted" {
	sed -i 's/^ok 2/not ok 2/' "$T/results.log"
	judged 4 1 0 0
	grep -q '^m: not ok 2 - a: two' "$T/out"
}

@test "a case that was skipped is neither passed nor failed, and says why" {
	sed -i 's/^ok 2.*/ok 2 - a: two # SKIP no iommufd/' "$T/results.log"
	judged 4 0 1 0
	grep -q 'no iommufd' "$T/out"
}

@test "lines of a serial port may end in a carriage return" {
	sed -i 's/$/\r/' "$T/results.log"
	judged 5 0 0 0
}

@test "a machine that was ended from outside fails" {
	judged 4 1 0 124
	grep -q 'hung' "$T/out"
}

@test "an emulator that failed fails" {
	judged 4 1 0 1
}

@test "a machine without a plan fails" {
	sed -i '/^1\.\./d' "$T/results.log"
	judged 4 1 0 0
}

@test "a machine that told of less than it meant to fails" {
	sed -i '/^ok 2/d' "$T/results.log"
	judged 3 1 0 0
}

@test "a machine without tests fails" {
	echo 1..0 >"$T/results.log"
	judged 2 1 0 0
}

@test "a machine that wrote nothing at all passes nothing" {
	rm "$T/results.log" "$T/console.log"
	judged 0 3 0 124
}

@test "whatever a kernel complains of fails" {
	local text
	for text in 'WARNING: CPU: 0 PID: 1 at kernel/x.c:1' 'BUG: kernel NULL pointer dereference' \
		'Oops: 0002 [#1] PREEMPT' 'Call Trace:' 'Kernel panic - not syncing' \
		'watchdog: BUG: soft lockup - CPU#1 stuck for 37s!' 'INFO: task vfmig:1 blocked for more than 120 seconds'; do
		good_logs
		echo "[    5.0] $text" >>"$T/console.log"
		judged 4 1 0 0
	done
}

@test "a kernel that is meant to complain passes if it does, and of that" {
	echo '[    5.0] BUG: kernel NULL pointer dereference' >>"$T/console.log"
	echo '[    5.1]  mtty_set_state+0x305/0x760 [mtty]' >>"$T/console.log"
	judged 5 0 0 0 mtty_set_state
}

@test "a kernel that is meant to complain and does not, or of something else, fails" {
	judged 4 1 0 0 mtty_set_state
	echo '[    5.0] BUG: kernel NULL pointer dereference' >>"$T/console.log"
	judged 4 1 0 0 mtty_set_state
}
