#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors

load common

@test "help goes to standard output and is no failure" {
	"$VFMIG" --help >"$T/out" 2>"$T/err"
	[[ ! -s $T/err ]]
	grep -q '^Usage: vfmig VERB' "$T/out"
	for verb in probe preflight serve save load migrate send receive inspect verify demo; do
		grep -q "^  $verb " "$T/out"
	done
}

@test "every verb has help, as an option anywhere" {
	for verb in $("$VFMIG" --list-verbs); do
		"$VFMIG" "$verb" --help >"$T/out" 2>"$T/err"
		[[ ! -s $T/err ]]
		grep -q "^Usage: vfmig $verb " "$T/out"
		"$VFMIG" "$verb" a b --help | cmp - "$T/out"
	done
}

@test "the version is told" {
	[[ $("$VFMIG" --version) =~ ^vfmig\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "no verb, unknown verbs and unknown options are misuse" {
	fails 2 "a verb is missing" "$VFMIG"
	fails 2 "did you mean probe?" "$VFMIG" prob x
	fails 2 "did you mean migrate?" "$VFMIG" migrat
	fails 2 "unknown verb xyzzy (try 'vfmig --help')" "$VFMIG" xyzzy
	fails 2 "unknown option --what" "$VFMIG" --what
	fails 2 "did you mean --json?" "$VFMIG" probe --jsno x
	fails 2 "unknown option -x" "$VFMIG" probe -x y
	fails 2 "takes no argument" "$VFMIG" probe --json=1 x
	fails 2 "wants an argument" "$VFMIG" send a b --timeout
}

@test "the number of operands is checked" {
	for verb in $("$VFMIG" --list-verbs); do
		case $verb in
		migrate) fails 2 "SOURCE DESTINATION [SOURCE DESTINATION]... wanted, 3 of them" "$VFMIG" "$verb" a b c ;;
		send | receive) fails 2 "too much" "$VFMIG" "$verb" $(seq 258) ;;
		*) fails 2 "too much" "$VFMIG" "$verb" a b c ;;
		esac
		[[ $verb == demo ]] || fails 2 "wanted" "$VFMIG" "$verb"
	done
	fails 2 "empty" "$VFMIG" save "" file
}

@test "values of options are checked" {
	fails 2 "not between 1 and 19" "$VFMIG" save --compress=20 a b
	fails 2 "not a whole number" "$VFMIG" send --max-rounds=many a b
	fails 2 "not between" "$VFMIG" send --timeout=0 a b
	fails 2 "not a size" "$VFMIG" demo --state=big
	fails 2 "multiple of 4096" "$VFMIG" demo --memory=100001
	fails 2 "not an open descriptor" "$VFMIG" serve --ready-fd=99 a b
	fails 2 "SIZE must be" "$VFMIG" send --memory=x a b
	fails 2 "IOVA must be" "$VFMIG" send --memory=4K@x a b
	fails 2 "multiples of 4096" "$VFMIG" send --memory=4K@1 a b
	fails 2 "multiples of 4096" "$VFMIG" send --memory=0 a b
	fails 2 "overlaps" "$VFMIG" send --memory=8K@0x1000 --memory=4K@0x2000 a b
	fails 2 "SIZE[@IOVA][=FILE]" "$VFMIG" send --memory=4K= a b
	fails 2 "leaves the address space" "$VFMIG" send --memory=8K@0xfffffffffffff000 a b
}

@test "operands that begin with a dash stand behind --" {
	fails 1 "open --json: No such file" "$VFMIG" verify -- --json
}

@test "an abbreviation is understood" {
	fails 1 "No such file" "$VFMIG" inspect --rec "$T/none"
}

@test "options for completion are those of the help" {
	for verb in $("$VFMIG" --list-verbs); do
		"$VFMIG" "$verb" --help | grep -o '^  --[a-z0-9-]*' | tr -d ' ' >"$T/help"
		"$VFMIG" "$verb" --list-options | tr -d = >"$T/list"
		cmp "$T/help" "$T/list"
	done
}

@test "the completion offers verbs, options and files" {
	complete_line() { # WORD...: the last one is under the cursor
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		COMPREPLY=()
		PATH="$(dirname "$VFMIG"):$PATH" _vfmig
	}
	source "$SOURCE_ROOT/cmd/vfmig.bash"
	complete_line vfmig se
	[[ ${COMPREPLY[*]} == "serve send" ]]
	complete_line vfmig save --com
	[[ ${COMPREPLY[*]} == "--compress" ]]
	complete_line vfmig send --memory
	[[ ${COMPREPLY[*]} == "--memory-limit= --memory=" ]]
	: >"$T/afile"
	complete_line vfmig verify "$T/af"
	[[ ${COMPREPLY[*]} == "$T/afile" ]]
}

@test "the manual has every verb and every option" {
	for verb in $("$VFMIG" --list-verbs); do
		grep -q "^\*vfmig $verb\*" "$SOURCE_ROOT/man/vfmig.1.scd"
		for option in $("$VFMIG" "$verb" --list-options | tr -d =); do
			grep -q "\\*$option\\*" "$SOURCE_ROOT/man/vfmig.1.scd" || {
				echo "$option is missing"
				false
			}
		done
	done
}

@test "output that cannot be written is a failure" {
	[[ -c /dev/full ]] || skip "no /dev/full"
	status=0
	"$VFMIG" --help >/dev/full 2>"$T/err" || status=$?
	[[ $status == 1 ]]
	grep -q "No space left" "$T/err"
	status=0
	"$VFMIG" --help >&- 2>"$T/err" || status=$?
	[[ $status == 1 ]]
}

@test "a closed standard input is told" {
	status=0
	"$VFMIG" verify - <&- 2>"$T/err" || status=$?
	[[ $status == 1 ]]
	grep -q "Bad file descriptor" "$T/err"
}
