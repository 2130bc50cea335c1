#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve, start and stop_pair set variables by name

# Whoever is told to end, whenever, and whenever the connection is cut.

load common
load pair

@test "the source is told to end" {
	at_moments sender TERM
}

@test "the destination is told to end" {
	at_moments receiver TERM
}

@test "the connection is cut" {
	command -v socat >/dev/null || skip "no socat"
	measure
	for n in "${MOMENTS[@]}"; do
		start proxy socat "UNIX-LISTEN:$T/proxy.sock" "UNIX-CONNECT:$T/wire.sock,retry=100,interval=0.05"
		wait_until test -S "$T/proxy.sock"
		start_pair "unix:$T/proxy.sock"
		at_moment "$n"
		kill -KILL "$proxy" 2>/dev/null || true
		join "$proxy"
		rm -f "$T/proxy.sock"
		stop_pair
		one_owner
		stop_servers
	done
}
