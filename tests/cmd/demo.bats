#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name

load common

# Small, so that it is quick under every checker.
SMALL=(--state 4M --memory 8M --dirty 2M --dma-rate 4M)

# nothing_left: no folder, no process that has one
nothing_left() {
	! compgen -G "$T/tmp/vfmig-demo-*" >/dev/null && no_process
}

no_process() {
	local found=0
	pgrep -f "$T/tmp/vfmig-demo-" >/dev/null || found=$?
	# 1 is none; a pgrep that fails, or is not there, has not looked
	((found == 1))
}

demo() {
	mkdir -p "$T/tmp"
	TMPDIR=$T/tmp "$VFMIG" demo "$@"
}

@test "the demo proves itself, as JSON" {
	demo --json "${SMALL[@]}" >"$T/json" 2>"$T/err"
	[[ ! -s $T/err && $(jq -s length "$T/json") == 1 ]]
	jq -e '.ok and .verified and .protocol == "v2" and .state_bytes > 4194304 and
		.memory_bytes >= 8388608 and .rounds >= 1 and .downtime_us > 0 and
		.total_us > .downtime_us and (.phases | length) == 6 and
		(.checks | length) == 7 and all(.checks[]; .ok) and
		.source.interrupts > 0 and .destination.interrupts > 0 and
		.destination.writes > .source.writes' "$T/json"
	nothing_left
}

@test "the demo proves itself, in words" {
	demo "${SMALL[@]}" >"$T/out" 2>"$T/err"
	[[ ! -s $T/err ]]
	[[ $(grep -c '^verified: ' "$T/out") == 7 ]]
	for phase in setup precopy stop stop-copy load commit total; do
		grep -q "^$phase " "$T/out"
	done
	grep -q '^downtime ' "$T/out"
	nothing_left
}

@test "the demo can be kept" {
	demo --keep --json "${SMALL[@]}" >"$T/json" 2>"$T/err"
	folder=$(sed -n 's/^vfmig: demo: //p' "$T/err")
	[[ -f $folder/source.log && -f $folder/destination.log ]]
	no_process
}

@test "a limit that cannot be kept is refused with 4" {
	# so much changes in a round that no machine copies it in a millisecond
	fails 4 "" demo --state 128M --memory 128M --dirty 200M --dma-rate 200M \
		--max-downtime 1 --max-rounds 2
	nothing_left
}

@test "a signal ends the demo and all that it started" {
	for signal in INT TERM; do
		mkdir -p "$T/tmp"
		TMPDIR=$T/tmp start demo_pid "$VFMIG" demo 2>"$T/err"
		wait_until compgen -G "$T/tmp/vfmig-demo-*/destination.sock" >/dev/null
		kill "-$signal" "$demo_pid"
		join "$demo_pid"
		[[ $status == 1 ]]
		grep -q "interrupted by SIG$signal" "$T/err"
		nothing_left
	done
}

@test "a demo that is killed takes its servers with it" {
	mkdir -p "$T/tmp"
	TMPDIR=$T/tmp start demo_pid "$VFMIG" demo
	wait_until compgen -G "$T/tmp/vfmig-demo-*/destination.sock" >/dev/null
	kill -KILL "$demo_pid"
	wait "$demo_pid" || true
	wait_until no_process
}

@test "a folder that cannot be written to is told" {
	fails 1 "create a folder in $T/none" env TMPDIR="$T/none" "$VFMIG" demo
}
