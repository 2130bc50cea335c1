#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154,SC2034 # serve, start and stop_pair set variables by name, and read some

# Whoever is killed, whenever.

load common
load pair

@test "the source is killed" {
	at_moments sender KILL
}

@test "the destination is killed" {
	at_moments receiver KILL
}

# kill_device NAME: the server of that side, in the middle of pre-copy, which takes seconds
kill_device() {
	local pid=PID_$1
	DEVICE=sim:dma,state=64M,initial=64K,save-rate=8M
	SEND=(--events "$T/events")
	start_pair
	wait_until grep -qs '"precopy"' "$T/events"
	kill -KILL "${!pid}"
	join "${!pid}"
	stop_pair
	[[ $sent == 1 && $received == 1 ]]
}

@test "the device at the destination dies" {
	kill_device b
	[[ $(device "$URI_a") == "$(<"$T/a.before")" ]]
}

@test "the device at the source dies" {
	kill_device a
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
}
