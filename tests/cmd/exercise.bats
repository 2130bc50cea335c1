#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name

# check --exercise: how to make a device do something

load common

@test "a device is checked with its author's exercise" {
	"$VFMIG" check --exercise "$EXERCISE" "$MYDEV" >"$T/out"
	grep -q ' 0 failed' "$T/out"
	# also behind a socket, where the device is not in our process
	serve a "$MYDEV"
	"$VFMIG" check --exercise "$EXERCISE" "$URI_a" >"$T/served"
	grep -q ' 0 failed' "$T/served"
}

@test "a file that is no exercise is misuse, and the text says why" {
	run -2 "$VFMIG" check --exercise "$T/none.so" sim:dma,state=64K
	[[ $output == *none.so* ]]
	run -2 "$VFMIG" check --exercise "$MYDEV" sim:dma,state=64K
	[[ $output == *"exports no vfm_exercise_entry"* ]]
}
