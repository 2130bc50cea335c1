#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154,SC2034 # serve sets variables by name, teardown reads them

load common

DEV=sim:dma,state=64K

@test "a trace for people goes to standard error, or to a file" {
	"$VFMIG" save "trace+$DEV" "$T/a" 2>"$T/err"
	grep -qE '^ +[0-9]+\.[0-9]{6} set_state\(STOP_COPY 3\) = 0 \([0-9]+ us\)$' "$T/err"
	"$VFMIG" save "trace,file=$T/trace+$DEV" "$T/a" 2>"$T/err"
	[[ ! -s $T/err ]]
	grep -q 'set_state(STOP_COPY 3) = 0' "$T/trace"
	[[ ! -e $T/trace.data ]]
}

@test "each line of a trace in JSON is an object" {
	"$VFMIG" save "$DEV" "$T/a"
	"$VFMIG" load "trace,file=$T/trace,format=json+$DEV" "$T/a"
	jq -es '.[0].vfmig_trace == 1 and ([.[1:][] | has("op") and has("ret") and has("us")] | all)' "$T/trace"
	# all that was written is beside it
	[[ $(stat -c %s "$T/trace.data") == $(jq -s '[.[].data_size // 0] | add' "$T/trace") ]]
}

@test "what was traced is done again, and differences are told" {
	"$VFMIG" save "$DEV" "$T/a"
	"$VFMIG" load "trace,file=$T/trace,format=json+$DEV" "$T/a"
	"$VFMIG" replay "$T/trace" "$DEV" >"$T/out"
	[[ ! -s $T/out ]]
	fails 1 "came out different" "$VFMIG" replay "$T/trace" "$DEV,bar=64K"
	grep -q 'ENOTUNIQ.*it returned 0 then$' "$T/out"
	status=0
	"$VFMIG" replay --json "$T/trace" "$DEV,bar=64K" >"$T/out" 2>/dev/null || status=$?
	[[ $status == 1 ]]
	jq -e '.ok == false and .openings == 1 and .different == (.differences | length) and .left_out == 0' "$T/out"
	fails 1 "not a line of a trace" "$VFMIG" replay "$T/a" "$DEV"
	fails 1 "No such file" "$VFMIG" replay "$T/none" "$DEV"
	fails 2 "no such software device" "$VFMIG" replay "$T/trace" sim:nothing
}

@test "a finding of the checker can be traced, and seen again" {
	local bug=fault,bug=state-off-by-one+$DEV
	status=0
	"$VFMIG" check --rule=v2.arc.out-of-range-refused "trace,file=$T/trace,format=json+$bug" \
		>/dev/null 2>&1 || status=$?
	[[ $status == 1 ]]
	"$VFMIG" replay "$T/trace" "$bug"
	# where it is mended it comes out different
	fails 1 "came out different" "$VFMIG" replay "$T/trace" "$DEV"
	grep -q 'set_state(invalid 8) = EINVAL.*; it returned 0 then' "$T/out"
}

@test "a device is served with a trace, and with a fault" {
	serve a "trace,file=$T/trace+$DEV"
	serve b "fault,fail=1:set_state,errno=EBUSY+$DEV"
	"$VFMIG" save "$URI_a" "$T/a"
	grep -q 'set_state(STOP_COPY 3) = 0' "$T/trace"
	fails 1 EBUSY "$VFMIG" save "$URI_b" "$T/b"
	"$VFMIG" save "$URI_b" "$T/b"
	cmp "$T/a" "$T/b"
}

@test "a trace that cannot be written does not harm the device" {
	[[ -c /dev/full ]] || skip "no /dev/full"
	ln -s /dev/full "$T/trace"
	"$VFMIG" save "trace,file=$T/trace+$DEV" "$T/a"
	"$VFMIG" verify "$T/a"
}
