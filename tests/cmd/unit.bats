#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name
# shellcheck disable=SC2030,SC2031 # each test is a shell of its own
# shellcheck disable=SC2119,SC2120 # the options of serve_unit may be missing

# Several devices that are moved as one unit.

load common
load pair

SMALL=sim:dma,state=1M,bar=8K

# serve_unit: two devices, source and destination of each
serve_unit() {
	serve a0 "${DEV:-$SMALL},seed=1"
	serve a1 "${DEV:-$SMALL},seed=2"
	serve b0 "${DEV:-$SMALL},seed=3"
	serve b1 "${DEV:-$SMALL},seed=4"
	"$SIMCTL" "$URI_a0" step 7 >"$T/a0.before"
	"$SIMCTL" "$URI_a1" step 11 >"$T/a1.before"
	wait_until idle "$URI_a0"
	wait_until idle "$URI_a1"
}

stop_unit() {
	local name pid
	for name in a0 a1 b0 b1; do
		local -n pid=PID_$name
		kill -TERM "$pid"
		wait "$pid"
	done
}

# all_moved, none_moved: both devices
all_moved() {
	for n in 0 1; do
		local -n src=URI_a$n dst=URI_b$n
		[[ $(device "$src") == STOP* ]]
		[[ $(device "$dst") == "$(<"$T/a$n.before")" ]]
	done
}

none_moved() {
	for n in 0 1; do
		local -n src=URI_a$n dst=URI_b$n
		[[ $(device "$src") == "$(<"$T/a$n.before")" ]]
		[[ $(device "$dst") == "RUNNING $((n + 3)) "* ]]
	done
}

@test "two devices go over one connection" {
	serve_unit
	start_ready receiver "$T/port" "$VFMIG" receive --json "$URI_b0" "$URI_b1" 0 \
		>"$T/receive.json" 2>"$T/receive.err"
	start sender "$VFMIG" send --json "$URI_a0" "$URI_a1" "127.0.0.1:$(<"$T/port")" >"$T/send.json"
	join "$sender"
	((status == 0))
	join "$receiver"
	((status == 0))
	all_moved
	for side in send receive; do
		jq -e '.ok and (.devices | length == 2) and
			([.devices[].state_bytes] | add) == .state_bytes and
			([.devices[].failed] | any | not)' "$T/$side.json"
	done
	[[ $(jq -r '.devices[1].device' "$T/send.json") == "$URI_a1" ]]
	[[ $(jq -r '.devices[1].state' "$T/receive.json") == RUNNING ]]
}

@test "two pairs are moved with both ends from here" {
	serve_unit
	"$VFMIG" migrate --json "$URI_a0" "$URI_b0" "$URI_a1" "$URI_b1" --memory=1M >"$T/json"
	all_moved
	jq -e --arg a "$URI_a1" --arg b "$URI_b1" '.devices[1].device == $a and
		.devices[1].destination == $b and .memory_bytes == 1048576' "$T/json"
}

@test "events tell of each device" {
	"$VFMIG" migrate --events="$T/events" $SMALL $SMALL $SMALL $SMALL
	jq -es '.[0].devices | length == 2' "$T/events"
	jq -es 'map(select(.phase == "done" and .event == "phase"))[0] |
		(.device_bytes | add) == .state_bytes' "$T/events"
	jq -es '.[-1].devices | length == 2' "$T/events"
}

@test "counts that differ are refused by both, and nothing is touched" {
	serve_unit
	start_ready receiver "$T/port" "$VFMIG" receive "$URI_b0" "unix:$T/wire.sock" 2>"$T/receive.err"
	fails 3 "the source moves 2 devices as one, and 1 is here to take them" \
		"$VFMIG" send "$URI_a0" "$URI_a1" "unix:$T/wire.sock"
	join "$receiver"
	((status == 3))
	none_moved
}

@test "devices of another order are refused" {
	fails 3 "device 0 " "$VFMIG" migrate $SMALL sim:dma,state=2M sim:dma,state=2M $SMALL
}

@test "a device without P2P is refused, unless it is allowed" {
	local solo=sim:dma,state=1M,features=5
	fails 3 "device 1 ($solo): it has no P2P states" "$VFMIG" migrate $SMALL $SMALL $solo $solo
	"$VFMIG" migrate --allow-no-p2p $SMALL $SMALL $solo $solo
	"$VFMIG" migrate --help | grep -q "allow-no-p2p"
}

@test "a device that speaks v1 goes with one that speaks v2, if that is allowed" {
	serve a0 "$SMALL,seed=1"
	serve a1 "$SMALL,seed=2" --face=v1
	serve b0 "$SMALL,seed=3" --face=v1
	serve b1 "$SMALL,seed=4"
	"$SIMCTL" "$URI_a0" step 7 >"$T/a0.before"
	"$SIMCTL" "$URI_a1" step 11 >"$T/a1.before"
	wait_until idle "$URI_a0"
	wait_until idle "$URI_a1"
	fails 3 "device 1 ($URI_a1): it has no P2P states" \
		"$VFMIG" migrate "$URI_a0" "$URI_b0" "$URI_a1" "$URI_b1"
	none_moved
	# nor does it go to one, which the destination says
	fails 3 "destination: setup: device 1 ($URI_b0): it has no P2P states" \
		"$VFMIG" migrate $SMALL $SMALL "$URI_a0" "$URI_b0"
	none_moved
	"$VFMIG" migrate --json --allow-no-p2p "$URI_a0" "$URI_b0" "$URI_a1" "$URI_b1" >"$T/json"
	all_moved
	[[ $(jq -c '[.protocol, .devices[].protocol]' "$T/json") == '["v1","v2","v1"]' ]]
}

@test "one device that is paused among others is refused, and all of them go" {
	serve_unit
	"$SIMCTL" "$URI_a1" state STOP
	wait_until idle "$URI_a1"
	fails 1 "device 1 ($URI_a1): it is in STOP, and device 0 in RUNNING" \
		"$VFMIG" migrate "$URI_a0" "$URI_b0" "$URI_a1" "$URI_b1"
	"$SIMCTL" "$URI_a0" state STOP
	wait_until idle "$URI_a0"
	"$VFMIG" migrate "$URI_a0" "$URI_b0" "$URI_a1" "$URI_b1"
	[[ $(device "$URI_b0") == "STOP 1 "* && $(device "$URI_b1") == "STOP 2 "* ]]
}

@test "pairs that are none, and devices that are named twice, are misuse" {
	fails 2 "3 of them given" "$VFMIG" migrate $SMALL $SMALL $SMALL
	fails 2 "is named twice" "$VFMIG" migrate vfio-user:/a vfio-user:/b vfio-user:/c vfio-user:/a
	fails 2 "is named twice" "$VFMIG" send vfio-user:/a vfio-user:/a 127.0.0.1:1
}

@test "a file of several devices is explained, and not loaded" {
	"$MKSTREAM" unit $SMALL >"$T/unit"
	"$VFMIG" verify "$T/unit"
	"$VFMIG" inspect "$T/unit" >"$T/out"
	grep -q "number      0, 5 bytes" "$T/out"
	grep -q "number      1, 6 bytes" "$T/out"
	[[ $("$VFMIG" inspect --json "$T/unit" | jq -c '[.devices, .device_list[].device_bytes]') == "[2,5,6]" ]]
	fails 3 "a stream of 2 devices" "$VFMIG" load $SMALL "$T/unit"
}

# ---- killed ------------------------------------------------------------------

unit_pair() {
	mkdir -p "$T/ja" "$T/jb"
	DEV=$DEVICE serve_unit
	start_ready receiver "$T/port" "$VFMIG" receive --journal "$T/jb" "$URI_b0" "$URI_b1" \
		"unix:$T/wire.sock" 2>"$T/receive.err"
	start sender "$VFMIG" send --journal "$T/ja" "$URI_a0" "$URI_a1" "unix:$T/wire.sock" 2>"$T/send.err"
	wait_until test ! -e "$T/wire.sock"
}

# whole: both run here, or both there
whole() {
	local a0 a1 b0 b1
	a0=$(device "$URI_a0") a1=$(device "$URI_a1") b0=$(device "$URI_b0") b1=$(device "$URI_b1")
	if [[ "$a0 $a1" == "$(<"$T/a0.before") $(<"$T/a1.before")" && "$b0$b1" != *"RUNNING 1 "* && "$b0$b1" != *"RUNNING 2 "* ]]; then
		owner=source
	elif [[ "$a0$a1" == "STOP 1 "*"STOP 2 "* && "$b0 $b1" == "$(<"$T/a0.before") $(<"$T/a1.before")" ]]; then
		owner=destination
	else
		echo "source: $a0, $a1; destination: $b0, $b1"
		return 1
	fi
}

kill_unit_at_moments() {
	local victim=$1 n owners="" begin
	unit_pair
	begin=$(now_ms)
	stop_pair
	((sent == 0 && received == 0))
	took=$(($(now_ms) - begin))
	whole
	[[ $owner == destination && -z $(find "$T/ja" "$T/jb" -type f) ]]
	stop_unit
	for n in 0 50 75 85 90 94 97 99; do
		unit_pair
		at_moment "$n"
		kill -KILL "${!victim}" 2>/dev/null || true
		stop_pair
		recover_both "$T/ja" "$T/jb" "$URI_a0" "$URI_a1" "$URI_b0" "$URI_b1"
		whole
		owners+=" $owner"
		stop_unit
		rm -rf "$T/ja" "$T/jb"
	done
	echo "# $victim, in $took ms:$owners" >&3
}

@test "the source of a unit is killed, and both recover all of it" {
	kill_unit_at_moments sender
}

@test "the destination of a unit is killed, and both recover all of it" {
	kill_unit_at_moments receiver
}
