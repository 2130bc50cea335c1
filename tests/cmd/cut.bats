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
	cut_at_moments
}
