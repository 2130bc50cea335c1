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

@test "a device that cannot be asked for its model is known by its PCI identity, or by name" {
	serve a sim:dma,state=64K --no-extension
	"$VFMIG" check --format=tap --rule 'vfio.dma.write-arrives' "$URI_a" >"$T/known"
	grep -qx 'ok 1 - vfio.dma.write-arrives' "$T/known"
	"$VFMIG" check --format=tap --rule 'vfio.dma.write-arrives' --exercise vfmig,sim-dma "$URI_a" >"$T/named"
	grep -qx 'ok 1 - vfio.dma.write-arrives' "$T/named"
	# and one of somebody else is not taken for it
	"$VFMIG" check --format=tap --rule 'vfio.dma.write-arrives' "$MYDEV" >"$T/other"
	grep -q '^ok .* # SKIP ' "$T/other"
}

@test "a device that is served passes as one in this process does" {
	local face
	for face in v2 v1; do
		serve "$face" sim:dma,state=64K --face "$face"
		local uri=URI_$face
		"$VFMIG" check --format=tap "${!uri}" >"$T/$face"
		grep -q '^ok .* v2.log.follows-stream$' "$T/$face"
		if grep '^not ok' "$T/$face"; then return 1; fi
	done
}

# misused FILE: check says so by its status; what it says is in $T/err
misused() {
	local status=0
	"$VFMIG" check --exercise "$1" sim:dma,state=64K >"$T/out" 2>"$T/err" || status=$?
	[[ $status == 2 ]]
}

@test "a file that is no exercise is misuse, and the text says why" {
	misused "$T/none.so"
	grep -q none.so "$T/err"
	misused "$MYDEV"
	grep -q 'exports no vfm_exercise_entry' "$T/err"
}
