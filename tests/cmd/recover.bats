#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve, start and stop_pair set variables by name
# shellcheck disable=SC2030,SC2031 # each test is a shell of its own

# Whoever is killed, whenever: with journals there is one owner when both have recovered.

load common
load pair

journal_pair() {
	mkdir -p "$T/ja" "$T/jb"
	serve a "$DEVICE,seed=1"
	serve b "$DEVICE,seed=2"
	"$SIMCTL" "$URI_a" step 7 >"$T/a.before"
	"$SIMCTL" "$URI_b" >"$T/b.before"
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	start_ready receiver "$T/port" "$VFMIG" receive --journal "$T/jb" "$URI_b" \
		"unix:$T/wire.sock" 2>"$T/receive.err"
	start sender "$VFMIG" send --journal "$T/ja" "$URI_a" "unix:$T/wire.sock" 2>"$T/send.err"
	wait_until test ! -e "$T/wire.sock"
}

# both_recover ASKS ANSWERS: folders
both_recover() {
	recover_both "$1" "$2" "$URI_a" "$URI_b"
}

# exactly_one: RUNNING devices of the source's seed
exactly_one() {
	local a b
	a=$(device "$URI_a")
	b=$(device "$URI_b")
	if [[ $a == "$(<"$T/a.before")" && $b != "RUNNING 1 "* ]]; then
		owner=source
	elif [[ $a == "STOP 1 "* && $b == "$(<"$T/a.before")" ]]; then
		owner=destination
	else
		echo "source: $a; destination: $b"
		return 1
	fi
}

# kill_at_moments VICTIM
kill_at_moments() {
	local victim=$1 n owners="" left=0
	took=400
	journal_pair
	local begin
	begin=$(now_ms)
	stop_pair
	((sent == 0 && received == 0))
	took=$(($(now_ms) - begin))
	[[ -z $(find "$T/ja" "$T/jb" -type f) ]]
	stop_servers
	for n in 0 30 60 80 85 88 91 94 96 98 100; do
		journal_pair
		at_moment "$n"
		kill -KILL "${!victim}" 2>/dev/null || true
		stop_pair
		if ls "$T"/ja/* "$T"/jb/* >/dev/null 2>&1; then left=$((left + 1)); fi
		if ((n % 2)); then
			both_recover "$T/ja" "$T/jb"
		else
			both_recover "$T/jb" "$T/ja"
		fi
		exactly_one
		owners+=" $owner"
		stop_servers
		rm -rf "$T/ja" "$T/jb"
	done
	echo "# $victim, in $took ms, journals left $left times:$owners" >&3
}

@test "the source is killed, and both recover" {
	kill_at_moments sender
}

@test "the destination is killed, and both recover" {
	kill_at_moments receiver
}

@test "a migration that went well leaves no journal" {
	mkdir "$T/j"
	"$VFMIG" migrate --journal "$T/j" sim:dma,state=1M sim:dma,state=1M
	[[ -z $(ls "$T/j") ]]
	run "$VFMIG" recover "$T/j"
	[[ $status == 0 && -z $output ]]
}

@test "a folder of journals that is not there is an error before the device is touched" {
	serve a sim:dma,state=1M,seed=1
	serve b sim:dma,state=1M,seed=2
	fails 1 "folder of journals $T/none" "$VFMIG" migrate --journal "$T/none" "$URI_a" "$URI_b"
	[[ $(device "$URI_a") == "RUNNING 1 "* && $(device "$URI_b") == "RUNNING 2 "* ]]
}

# A source that is killed when COMMIT may be out: what nobody can decide alone.
in_doubt() {
	mkdir -p "$T/ja" "$T/jb"
	serve a sim:dma,state=1M,seed=1
	# it takes so long to run that the source can be killed while it waits to hear of it
	serve b sim:dma,state=1M,seed=2,arc-us=400000
	start_ready receiver "$T/port" "$VFMIG" receive --journal "$T/jb" "$URI_b" "unix:$T/w.sock" 2>/dev/null
	start sender "$VFMIG" send --max-downtime 0 --journal "$T/ja" "$URI_a" "unix:$T/w.sock" 2>/dev/null
	wait_until giving
	kill -KILL "$sender"
	join "$sender"
	join "$receiver"
	((status == 0))
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
}

# header_size JOURNAL: where its records begin
header_size() {
	od -An -tu4 -j12 -N4 "$1" | tr -d ' '
}

# The second record of a journal is there: giving
giving() {
	local size
	[[ -s $(echo "$T"/ja/*.source) ]] || return
	size=$(stat -c %s "$T"/ja/*.source)
	((size >= $(header_size "$T"/ja/*.source) + 128))
}

@test "what cannot be decided is said, and a person decides" {
	in_doubt
	run "$VFMIG" recover "$T/ja"
	[[ $status == 1 ]]
	[[ $output == *"NOT SETTLED, journal giving -> giving, device in STOP"*"only the destination knows"* ]]
	[[ $(device "$URI_a") == "STOP 1 "* ]]
	wait_until idle "$URI_a"
	"$VFMIG" recover --json "$T/ja" >"$T/json" 2>/dev/null && false
	[[ $(jq -r '.ok, .journals[0].settled, .journals[0].after, .journals[0].state' "$T/json" | paste -sd ' ') == "false false giving STOP" ]]
	wait_until idle "$URI_a"
	run "$VFMIG" recover --id=zz --owner destination "$T/ja"
	[[ $status == 0 && -z $output ]]
	run "$VFMIG" recover --owner destination "$T/ja"
	[[ $status == 0 && $output == *"settled, journal giving -> given"* ]]
	[[ $(device "$URI_a") == "STOP 1 "* && $(device "$URI_b") == "RUNNING 1 "* ]]
	[[ -z $(ls "$T/ja") ]]
}

@test "what was left open is settled before the device is moved again" {
	in_doubt
	fails 1 "$URI_a: an earlier migration of it was left open (source, giving" \
		"$VFMIG" migrate --journal "$T/ja" "$URI_a" sim:dma,state=1M
	[[ $(device "$URI_a") == "STOP 1 "* ]]
	wait_until idle "$URI_a"
	"$VFMIG" recover --owner source "$T/ja"
	wait_until idle "$URI_a"
	"$VFMIG" migrate --journal "$T/ja" "$URI_a" sim:dma,state=1M
}

@test "the other side knows" {
	in_doubt
	both_recover "$T/ja" "$T/jb"
	[[ $(device "$URI_a") == "STOP 1 "* && $(device "$URI_b") == "RUNNING 1 "* ]]
	[[ -z $(ls "$T/ja") && -z $(ls "$T/jb") ]]
}

@test "a migration that is under way cannot be recovered" {
	mkdir "$T/ja" "$T/jb"
	serve a sim:dma,state=1M,seed=1
	serve b sim:dma,state=1M,seed=2,arc-us=400000
	start_ready receiver "$T/port" "$VFMIG" receive --journal "$T/jb" "$URI_b" "unix:$T/w.sock"
	start sender "$VFMIG" send --max-downtime 0 --journal "$T/ja" "$URI_a" "unix:$T/w.sock"
	wait_until giving
	run "$VFMIG" recover --owner source "$T/ja"
	[[ $status == 1 && $output == *"is in use: its migration is under way"* ]]
	stop_pair
	((sent == 0 && received == 0))
}

@test "a damaged journal is refused, with the place" {
	local journal first
	in_doubt
	journal=$(ls "$T"/ja/*.source)
	first=$(header_size "$journal")
	printf x | dd of="$journal" bs=1 seek=$((first + 12)) conv=notrunc status=none
	run "$VFMIG" recover --owner source "$T/ja"
	[[ $status == 1 && $output == *"is damaged at $first"* ]]
	[[ $(device "$URI_a") == "STOP 1 "* ]]
}

@test "somebody who talks nonsense settles nothing" {
	command -v socat >/dev/null || skip "no socat"
	in_doubt
	start liar socat "UNIX-LISTEN:$T/l.sock" "SYSTEM:head -c 48 /dev/zero"
	wait_until test -S "$T/l.sock"
	run "$VFMIG" recover --peer "unix:$T/l.sock" "$T/ja"
	[[ $status == 1 && $output == *"makes no sense"* ]]
	[[ $(device "$URI_a") == "STOP 1 "* ]]
}

@test "wrong usage of recover" {
	fails 2 "exclude each other" "$VFMIG" recover --peer 1:1 --listen 1 "$T"
	fails 2 "not one of" "$VFMIG" recover --owner me "$T"
	fails 2 "--journal is empty" "$VFMIG" migrate --journal= sim:dma sim:dma
	fails 1 "folder of journals" "$VFMIG" recover "$T/none"
}
