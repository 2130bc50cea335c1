#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve, start and stop_pair set variables by name

# Whoever is killed, whenever.

load common
load pair

@test "the source is killed" {
	at_moments sender KILL
}

@test "the destination is killed" {
	at_moments receiver KILL
}

@test "the device at the destination dies" {
	measure
	start_pair
	at_moment 33
	kill -KILL "$PID_b"
	join "$PID_b"
	stop_pair
	[[ $sent == 1 && $received == 1 ]]
	[[ $(device "$URI_a") == "$(<"$T/a.before")" ]]
}

@test "the device at the source dies" {
	measure
	start_pair
	at_moment 33
	kill -KILL "$PID_a"
	join "$PID_a"
	stop_pair
	[[ $sent == 1 && $received == 1 ]]
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
}
