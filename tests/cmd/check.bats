#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154,SC2034 # serve sets variables by name, teardown reads them

load common

DEV=sim:dma,state=64K
# found by one rule that must hold
BUG=state-off-by-one
RULE=v2.arc.out-of-range-refused
BROKEN=fault,bug=$BUG+$DEV

# check CODE ARGUMENT...: what it prints is in $T/out, errors in $T/err
check() {
	local code=$1
	shift
	status=0
	"$VFMIG" check "$@" >"$T/out" 2>"$T/err" || status=$?
	[[ $status == "$code" ]] || {
		echo "wanted $code, got $status"
		cat "$T/out" "$T/err"
		return 1
	}
}

@test "a healthy device is fit, quickly" {
	local begin=$SECONDS
	check 0 --quick "$DEV"
	((SECONDS - begin < 60)) # 10 on a machine that does nothing else
	grep -q ' passed, 0 failed' "$T/out"
	tail -n 1 "$T/out" | grep -qx "$DEV: fit to migrate, as far as was tried"
	[[ ! -s $T/err ]]
}

@test "what is wrong is told, where it says so, and how to see it again" {
	check 1 --rule="$RULE" "$BROKEN"
	grep -qx "$RULE: failed (must)" "$T/out"
	grep -q '^  it says so  uAPI' "$T/out"
	grep -q '^  was seen    STOP to .*8.* was not refused' "$T/out"
	# the last operation is the one that should have failed
	grep -B1 '^  again ' "$T/out" | grep -q 'set_state(invalid 8) = 0'
	grep -qx 'vfmig: check: 1 rule that must hold does not' "$T/err"
	again=$(sed -n 's/^  again *vfmig //p' "$T/out")
	status=0
	eval "\"\$VFMIG\" $again" >"$T/again" 2>/dev/null || status=$?
	[[ $status == 1 ]]
	cmp <(grep 'was seen' "$T/out") <(grep 'was seen' "$T/again")
}

@test "a name that a shell would read is quoted" {
	check 1 --rule="$RULE" "fault,bug=$BUG+$MYDEV,pages=8" || check 2 "fault,bug=$BUG+$MYDEV,pages=8"
	ln -s "$MYDEV" "$T/it's my dev.so"
	check 1 --rule="$RULE" "fault,bug=$BUG+$T/it's my dev.so"
	again=$(sed -n 's/^  again *vfmig //p' "$T/out")
	status=0
	eval "\"\$VFMIG\" $again" >"$T/again" 2>/dev/null || status=$?
	[[ $status == 1 ]]
	grep -q "^$RULE: failed" "$T/again"
}

@test "a device that cannot migrate is told by the exit code" {
	check 3 "$DEV,features=0"
	grep -qx 'vfmig: check: the device cannot migrate' "$T/err"
	tail -n 1 "$T/out" | grep -q ': cannot migrate$'
}

@test "a device that cannot be brought to RUNNING is not fit, whatever was tried" {
	local stuck="fault,fail=1:set_state+fault,fail=1:reset+fault,bug=begins-in-stop+$DEV"
	check 1 "$stuck"
	grep -q '^vfmig: check: it cannot be brought to RUNNING: ' "$T/err"
	tail -n 1 "$T/out" | grep -q ': not fit to migrate$'
	check 1 --format=json "$stuck"
	jq -e '.fit == false and .migrates and .not_tried > 100 and (.cut | startswith("it cannot be brought to RUNNING"))' "$T/out"
}

@test "names that are wrong are misuse, and no report is left" {
	fails 2 "no such software device" "$VFMIG" check --output="$T/report" sim:nothing
	[[ ! -e $T/report ]]
	fails 2 "no rule has the name v9" "$VFMIG" check --rule=v9 "$DEV"
	fails 2 "there is no bug none" "$VFMIG" check fault,bug=none+sim:dma
	fails 2 "no rule and no bug has the name v2.ark.out-of-range-refused, did you mean $RULE?" \
		"$VFMIG" check --explain=v2.ark.out-of-range-refused
	fails 2 "one of text|tap|junit|json" "$VFMIG" check --format=html "$DEV"
	fails 2 "is too much" "$VFMIG" check --list "$DEV"
	fails 1 "no such socket" "$VFMIG" check "vfio-user:$T/none"
}

@test "rules are listed, explained, and chosen by patterns" {
	check 0 --list
	local all
	all=$(wc -l <"$T/out")
	grep -q "^$RULE  *must  *" "$T/out"
	check 0 --list --rule='v2.arc.*'
	(($(wc -l <"$T/out") <= all))
	if grep -v '^v2\.arc\.' "$T/out"; then return 1; fi
	# each has a page with a text
	for rule in $("$VFMIG" check --list | cut -d ' ' -f 1); do
		"$VFMIG" check --explain="$rule" >"$T/page"
		[[ $(head -n 1 "$T/page") == "$rule" ]]
		grep -q '^Severity: ' "$T/page"
		grep -q '^Demanded by: .' "$T/page"
		(($(wc -l <"$T/page") >= 8))
	done
	for bug in $("$VFMIG" check --list-bugs | cut -d ' ' -f 1); do
		"$VFMIG" check --explain="$bug" >"$T/page"
		grep -q "fault,bug=$bug+" "$T/page"
	done
}

@test "TAP has a plan, reasons to skip, and diagnostics" {
	check 1 --format=tap "$BROKEN"
	[[ $(head -n 1 "$T/out") == "TAP version 14" ]]
	local n
	n=$("$VFMIG" check --list | wc -l)
	grep -qx "1..$n" "$T/out"
	[[ $(grep -cE '^(not )?ok [0-9]+ - ' "$T/out") == "$n" ]]
	grep -A1 "^not ok .* - $RULE$" "$T/out" | grep -qx '  ---'
	grep -q '^    - "set_state(invalid 8) = 0' "$T/out"
	check 3 --format=tap "$DEV,features=0"
	grep -q "^ok .* - $RULE # SKIP the device cannot migrate$" "$T/out"
}

@test "JUnit XML is well formed and as CI servers want it" {
	for uri in "$DEV" "$BROKEN"; do
		"$VFMIG" check --format=junit --output="$T/report.xml" "$uri" >"$T/out" 2>/dev/null || true
		[[ ! -s $T/out ]]
		grep -q '<testsuite ' "$T/report.xml"
		command -v xmllint >/dev/null || continue
		xmllint --noout --schema "$SOURCE_ROOT/tests/check/junit.xsd" "$T/report.xml"
		[[ $(xmllint --xpath 'count(//testcase)' "$T/report.xml") == "$("$VFMIG" check --list | wc -l)" ]]
		[[ $(xmllint --xpath 'number(//testsuite/@failures)' "$T/report.xml") == \
			"$(xmllint --xpath 'count(//failure)' "$T/report.xml")" ]]
		[[ $(xmllint --xpath 'number(//testsuite/@skipped)' "$T/report.xml") == \
			"$(xmllint --xpath 'count(//skipped)' "$T/report.xml")" ]]
	done
}

@test "JSON has everything" {
	check 1 --format=json "$BROKEN"
	jq -e '.fit == false and .migrates and .cut == null and .not_tried == 0 and .failed.must >= 1' "$T/out"
	jq -e --arg rule "$RULE" '.rules[] | select(.name == $rule) | .verdict == "failed" and
		(.operations | last | startswith("set_state(invalid 8)"))' "$T/out"
	jq -e '[.verdicts[]] == [.verdicts[]] and ([.verdicts[]] | add) == (.rules | length)' "$T/out"
}

@test "over a socket the same is found" {
	serve a "fault,bug=stop-copy-loop+$DEV"
	check 1 --timeout=2 "$URI_a"
	grep -q '^v2.arc.stop-copy-to-pre-copy-refused: hung (must)$' "$T/out"
	grep -B1 '^  again ' "$T/out" | grep -q 'set_state(PRE_COPY 6)'
	# it hangs indeed, and so takes no signal but this one
	grep -q '^the end: ' "$T/out"
	kill -KILL "$PID_a"
	wait "$PID_a" || true
	SERVERS=()
}

@test "a server that dies is the end of the run, and a report is written" {
	serve a "$DEV"
	kill -KILL "$PID_a"
	wait "$PID_a" || true
	SERVERS=()
	check 1 --format=junit --output="$T/report.xml" "$URI_a"
	grep -q 'all-rules-are-tried' "$T/report.xml"
	grep -q 'errors="1"' "$T/report.xml"
}

@test "a signal ends the run and what it had begun" {
	start_check() {
		"$VFMIG" check --timeout=600 --rule=v2.arc.stop-copy-to-pre-copy-refused \
			"fault,bug=stop-copy-loop+$DEV" >"$T/out" 2>"$T/err" 3>&-
	}
	start_check &
	local shell=$! trial checker
	STARTED+=("$shell")
	child_of() { [[ -n $(pgrep -P "$1") ]]; }
	wait_until child_of "$shell"
	checker=$(pgrep -P "$shell")
	wait_until child_of "$checker"
	trial=$(pgrep -P "$checker")
	kill -INT "$checker"
	join "$shell"
	[[ $status == 1 ]]
	grep -q 'interrupted by SIGINT' "$T/err"
	gone "$trial"
}

@test "what cannot be written is told" {
	[[ -c /dev/full ]] || skip "no /dev/full"
	fails 1 "No space left" "$VFMIG" check --format=tap --output=/dev/full --rule="$RULE" "$DEV"
}
