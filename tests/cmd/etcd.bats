#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve, start and stop_pair set variables by name
# shellcheck disable=SC2030,SC2031 # each test is a shell of its own
# shellcheck disable=SC2034 # SEND and RECEIVE are for start_pair

# Moves whose owner is decided by a real etcd: what is cut, killed or partitioned is settled by
# each side alone.

load common
load pair
load etcd

SMALL=sim:dma,state=1M

# both_use OPTION...: what send and receive of start_pair are given, with a journal each
both_use() {
	mkdir -p "$T/ja" "$T/jb"
	SEND=(--journal "$T/ja" --etcd-node a --etcd-timeout 1 "$@")
	RECEIVE=(--journal "$T/jb" --etcd-node b --etcd-timeout 1 "$@")
}

# each_recovers FIRST SECOND: folders; alone, each of them
each_recovers() {
	local dir
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	for dir; do
		run "$VFMIG" recover "$dir"
		((status == 0)) || {
			echo "$dir: $output"
			return 1
		}
	done
}

# exactly_one: of the two devices owns what the source began with; who, in $owner
exactly_one() {
	one_owner
	[[ $owner != none && $(device "$URI_a") == *" 1 "* ]]
	[[ $owner == destination || $(device "$URI_a") == "RUNNING "* ]]
}

# left: how many journals there are
left() {
	find "$T/ja" "$T/jb" -type f | wc -l
}

@test "a move is decided in etcd, and the next one by the new owner alone" {
	start_etcd
	mkdir "$T/j"
	use=(--journal "$T/j" --etcd "$ETCD" --etcd-key nic0)
	"$VFMIG" migrate "${use[@]}" $SMALL $SMALL
	[[ -z $(ls "$T/j") ]]
	etcd_value vfmig/owner/nic0 >"$T/value"
	[[ $(jq -r '[.vfmig, .epoch, .state, .owner] | join(" ")' "$T/value") == "1 1 committed $(uname -n)" ]]
	# now it is here, and goes on to another node
	serve b $SMALL
	start_ready receiver "$T/port" "$VFMIG" receive "${use[@]}" --etcd-node elsewhere "$URI_b" "unix:$T/wire.sock"
	"$VFMIG" send "${use[@]}" $SMALL "unix:$T/wire.sock"
	join "$receiver"
	((status == 0))
	[[ $(etcd_value vfmig/owner/nic0 | jq -r '[.epoch, .state, .owner] | join(" ")') == "2 committed elsewhere" ]]
	# who has given it away is no source any more
	fails 1 "the device is at elsewhere since epoch 2" "$VFMIG" migrate "${use[@]}" $SMALL $SMALL
	# a name is not needed, and then nothing stays
	"$VFMIG" migrate --journal "$T/j" --etcd "$ETCD" --etcd-prefix other/ $SMALL $SMALL
	[[ -z $(ls "$T/j") && $(etcd_keys) == "vfmig/owner/nic0" ]]
}

@test "both sides use a store, and the same key, or nothing begins" {
	start_etcd
	both_use --etcd "$ETCD"
	mkdir "$T/j"
	while IFS='|' read -r source destination code says; do
		read -ra source <<<"$source"
		read -ra destination <<<"$destination"
		start_ready receiver "$T/port" "$VFMIG" receive --journal "$T/jb" "${destination[@]}" $SMALL "unix:$T/wire.sock" 2>"$T/receive.err"
		fails "$code" "$says" "$VFMIG" send --journal "$T/ja" "${source[@]}" $SMALL "unix:$T/wire.sock"
		join "$receiver"
		((status == code))
		[[ $(left) == 0 ]]
	done <<-END
		--etcd $ETCD||3|decides by key
		|--etcd $ETCD|3|the source uses none
		--etcd $ETCD --etcd-key x|--etcd $ETCD --etcd-key y|3|uses key vfmig/owner/x in the store, and we vfmig/owner/y
		--etcd $ETCD --etcd-prefix other/|--etcd $ETCD|3|uses key other/
	END
	fails 2 "without --journal" "$VFMIG" migrate --etcd "$ETCD" $SMALL $SMALL
	fails 2 "--etcd-key without --etcd" "$VFMIG" migrate --journal "$T/j" --etcd-key x $SMALL $SMALL
	fails 2 "--insecure allows it" "$VFMIG" migrate --journal "$T/j" --etcd http://192.0.2.1:2379 $SMALL $SMALL
	fails 2 "is not the address" "$VFMIG" migrate --journal "$T/j" --etcd 127.0.0.1:2379 $SMALL $SMALL
}

@test "a store that cannot be reached is an error before the device is touched" {
	start_etcd
	stop_etcd
	serve a "$SMALL,seed=1"
	mkdir "$T/j"
	fails 1 "$ETCD" "$VFMIG" migrate --journal "$T/j" --etcd "$ETCD" --etcd-timeout 1 "$URI_a" "$SMALL"
	[[ $(device "$URI_a") == "RUNNING 1 "* && -z $(ls "$T/j") ]]
}

@test "TLS to the store, and who is refused" {
	etcd_with_tls
	start_etcd
	mkdir "$T/j"
	use=(--journal "$T/j" --etcd "$ETCD" --etcd-key nic0)
	"$VFMIG" migrate "${use[@]}" --etcd-tls "$T/tls/source" $SMALL $SMALL
	fails 1 "store $ETCD" "$VFMIG" migrate "${use[@]}" --etcd-tls "$T/tls/stranger" $SMALL $SMALL
	fails 1 "store $ETCD" "$VFMIG" migrate "${use[@]}" $SMALL $SMALL
	fails 2 "without TLS" "$VFMIG" migrate --journal "$T/j" --etcd http://127.0.0.1:1 --etcd-tls "$T/tls/source" $SMALL $SMALL
	chmod 644 "$T/tls/source/key.pem"
	fails 1 "key.pem" "$VFMIG" migrate "${use[@]}" --etcd-tls "$T/tls/source" $SMALL $SMALL
}

@test "the connection is cut, and both sides know at once whose it is" {
	command -v socat >/dev/null || skip "no socat"
	local owners=""
	start_etcd
	both_use --etcd "$ETCD" --etcd-key nic0
	measure
	for n in "${MOMENTS[@]}"; do
		etcd_remove vfmig/owner/nic0
		cut_pair "$n"
		exactly_one
		owners+=" $owner"
		# a destination that runs may have had nobody to tell
		[[ -z $(ls "$T/ja") && ($owner == destination || -z $(ls "$T/jb")) ]]
		rm -f "$T"/jb/*
		stop_servers
	done
	echo "# cut, in $took ms:$owners" >&3
}

# kill_each VICTIM: at the moments, and each side recovers alone
kill_each() {
	local victim=$1 n owners="" some=0
	start_etcd
	both_use --etcd "$ETCD" --etcd-key nic0
	measure
	for n in "${MOMENTS[@]}"; do
		etcd_remove vfmig/owner/nic0
		start_pair
		at_moment "$n"
		kill -KILL "${!victim}" 2>/dev/null || true
		stop_pair
		some=$((some + $(left)))
		if ((n % 2)); then
			each_recovers "$T/ja" "$T/jb"
		else
			each_recovers "$T/jb" "$T/ja"
		fi
		exactly_one
		[[ $(left) == 0 ]]
		owners+=" $owner"
		stop_servers
	done
	echo "# $victim, in $took ms, $some journals left:$owners" >&3
}

@test "the source is killed, and each side recovers alone" {
	kill_each sender
}

@test "the destination is killed, and each side recovers alone" {
	kill_each receiver
}

@test "etcd is killed in the middle, and what it leaves open is settled when it is back" {
	local owners="" n
	start_etcd
	both_use --etcd "$ETCD" --etcd-key nic0
	measure
	for n in "${MOMENTS[@]}"; do
		etcd_remove vfmig/owner/nic0
		start_pair
		at_moment "$n"
		kill_etcd
		stop_pair
		one_owner
		# nothing is done that it must decide
		if ((n == 90)); then
			"$VFMIG" recover --etcd "$ETCD" --etcd-timeout 1 "$T/ja" >"$T/out" 2>&1 || true
			"$VFMIG" recover --etcd "$ETCD" --etcd-timeout 1 "$T/jb" >"$T/out" 2>&1 || true
			one_owner
		fi
		restart_etcd
		each_recovers "$T/jb" "$T/ja"
		exactly_one
		[[ $(left) == 0 ]]
		owners+=" $owner"
		stop_servers
	done
	echo "# etcd, in $took ms:$owners" >&3
}

@test "a recovery takes the address and the key from the journal" {
	start_etcd
	both_use --etcd "$ETCD" --etcd-key nic0
	DEVICE=sim:dma,state=1M,bar=8K,arc-us=100000
	start_pair
	wait_until moving
	kill -KILL "$sender"
	stop_pair
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	"$VFMIG" recover --json "$T/ja" >"$T/json"
	cat "$T/json"
	[[ $(jq -r '.journals[0] | [.by_store, .settled, .removed] | join(" ")' "$T/json") == "true true true" ]]
	"$VFMIG" recover "$T/jb"
	exactly_one
}

moving() {
	[[ -n $(ls "$T/ja") && -n $(ls "$T/jb") && $(etcd_keys 2>/dev/null) == vfmig/owner/nic0 ]]
}

# one_unit: the two devices of one side run with what the source's had, and none of the other
one_unit() {
	local n owners=""
	for n in 1 2; do
		local -n from="URI_a$n" to="URI_b$n"
		if [[ $(device "$from") == "RUNNING 1"* && $(device "$to") != "RUNNING 1"* ]]; then owners+=a; fi
		if [[ $(device "$from") == "STOP 1"* && $(device "$to") == "RUNNING 1"* ]]; then owners+=b; fi
	done
	[[ $owners == aa || $owners == bb ]] && owner=$owners
}

@test "a unit of two devices has one key, and one owner" {
	local owners="" n
	start_etcd
	both_use --etcd "$ETCD" --etcd-key unit
	for n in 0 100 200 300 400 500 600; do
		etcd_remove vfmig/owner/unit
		for name in a1 a2; do serve $name "$DEVICE,seed=1"; done
		for name in b1 b2; do serve $name "$DEVICE,seed=2"; done
		start_ready receiver "$T/port" "$VFMIG" receive "${RECEIVE[@]}" "$URI_b1" "$URI_b2" "unix:$T/wire.sock" 2>"$T/receive.err"
		start sender "$VFMIG" send "${SEND[@]}" "$URI_a1" "$URI_a2" "unix:$T/wire.sock" 2>"$T/send.err"
		wait_until test ! -e "$T/wire.sock"
		took=100
		at_moment "$n"
		kill -KILL "$sender" 2>/dev/null || true
		stop_pair
		for name in "$URI_a1" "$URI_a2" "$URI_b1" "$URI_b2"; do wait_until idle "$name"; done
		"$VFMIG" recover "$T/ja"
		"$VFMIG" recover "$T/jb"
		one_unit
		owners+=" $owner"
		[[ $(left) == 0 ]]
		for pid in "$PID_a1" "$PID_a2" "$PID_b1" "$PID_b2"; do
			kill -TERM "$pid"
			wait "$pid"
		done
	done
	echo "# units:$owners" >&3
}

# Three hosts in namespaces: a and b know each other through the store's.
@test "source and destination are partitioned, with the store in reach of both" {
	local owners="" n
	have_hosts || skip "no network namespaces here"
	start_etcd_between
	both_use --etcd "$ETCD" --etcd-key nic0 --insecure --timeout 3
	took=250
	for n in 0 40 80 95 110; do
		etcd_remove vfmig/owner/nic0
		hosts_joined
		start_apart
		at_moment "$n"
		hosts_parted
		stop_pair
		exactly_one
		[[ -z $(ls "$T/ja") && ($owner == destination || -z $(ls "$T/jb")) ]]
		rm -f "$T"/jb/*
		owners+=" $owner"
		stop_servers
	done
	echo "# parted:$owners" >&3
}

@test "the source is partitioned from everybody, and settles when it has the store again" {
	local owners="" n
	have_hosts || skip "no network namespaces here"
	start_etcd_between
	both_use --etcd "$ETCD" --etcd-key nic0 --insecure --timeout 3
	took=250
	for n in 0 60 80 95; do
		etcd_remove vfmig/owner/nic0
		hosts_joined
		start_apart
		at_moment "$n"
		on store ip link set to-a down
		stop_pair
		one_owner
		hosts_joined
		wait_until idle "$URI_a"
		wait_until idle "$URI_b"
		on a "$VFMIG" recover "$T/ja"
		on b "$VFMIG" recover "$T/jb"
		exactly_one
		[[ $(left) == 0 ]]
		owners+=" $owner"
		stop_servers
	done
	echo "# the source is alone:$owners" >&3
}
