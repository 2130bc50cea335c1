#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve, start and stop_pair set variables by name
# shellcheck disable=SC2034 # SEND, RECEIVE and DEVICE are for start_pair

# send and receive over several connections: how many they are, that the device is moved as over
# one, and whose it is when one of them breaks

load common
load pair

# Enough records for each channel, slow enough that each phase can be hit.
DEVICE=sim:dma,state=12M,bar=8K,save-rate=64M,load-rate=96M,arc-us=12000

certs() {
	mkdir "$T/tls"
	"$MKCERTS" "$T/tls"
}

# move_by SENT RECEIVED USED [OPTION...]: a whole move, with options of both halves
move_by() {
	local used=$3
	SEND=(--json --max-downtime=0 --channels="$1" "${@:4}")
	RECEIVE=(--json --channels="$2")
	if [[ -d $T/tls ]]; then
		SEND+=(--tls "$T/tls/source" --tls-peer localhost)
		RECEIVE+=(--tls "$T/tls/destination")
	fi
	start_pair >"$T/out" 2>&1
	stop_pair
	cat "$T"/{send,receive}.err
	((sent == 0 && received == 0))
	one_owner
	[[ $owner == destination ]]
	jq -es "length == 2 and all(.ok and .committed and .channels == $used)" "$T/out"
	stop_servers
}

@test "however many, the same device arrives" {
	for channels in 1 2 3 16; do
		move_by "$channels" "$channels" "$channels"
	done
	move_by 4 4 4 --compress
	certs
	for channels in 1 2 16; do
		move_by "$channels" "$channels" "$channels" --compress
	done
}

@test "the smaller number counts" {
	move_by 4 1 1
	move_by 1 4 1
	move_by 3 16 3
	move_by 16 16 1 --memory-limit=8M
	# a side that knows nothing of it
	fails 2 "--channels=17 is not between 1 and 16" "$VFMIG" send --channels=17 $DEVICE 127.0.0.1:1
	fails 2 "--channels=0 is not between" "$VFMIG" receive --channels=0 $DEVICE 0
}

@test "over TCP, with strangers in between, and with nobody afterwards" {
	command -v socat >/dev/null || skip "no socat"
	start_ready receiver "$T/port" "$VFMIG" receive --channels=4 --json $DEVICE 127.0.0.1:0 \
		>"$T/receive.out" 2>"$T/receive.err"
	port=$(<"$T/port")
	# they stand in line before the source does
	for n in 1 2 3; do
		start "stranger$n" socat -u "TCP:127.0.0.1:$port" "OPEN:$T/stranger$n,creat"
	done
	start sender "$VFMIG" send --max-downtime=0 --channels=4 --json --timeout=120 $DEVICE "127.0.0.1:$port" >"$T/send.out"
	# the first that connects is waited for until the timeout is over; end it
	for n in 1 2 3; do
		local -n stranger=stranger$n
		kill -TERM "$stranger"
		join "$stranger"
	done
	# once all are there, nobody listens any more
	wait_until refuses "$port"
	join "$sender"
	[[ $status == 0 ]]
	join "$receiver"
	[[ $status == 0 ]]
	jq -e '.channels == 4 and .state == "RUNNING"' "$T/receive.out"
	jq -e '.channels == 4 and .committed' "$T/send.out"
	[[ ! -s $T/stranger1 && ! -s $T/stranger2 && ! -s $T/stranger3 ]]
}

refuses() {
	! socat -u OPEN:/dev/null "TCP:127.0.0.1:$1" 2>/dev/null
}

@test "in one process, one device and several" {
	"$VFMIG" migrate --max-downtime=0 --channels=4 --compress --json $DEVICE $DEVICE >"$T/json"
	jq -e '.ok and .channels == 4' "$T/json"
	"$VFMIG" migrate --max-downtime=0 --channels=4 --json $DEVICE $DEVICE $DEVICE,seed=2 $DEVICE,seed=3 \
		sim:dma,state=64K sim:dma,state=64K >"$T/json"
	jq -e '.ok and .channels == 4 and (.devices | length) == 3' "$T/json"
}

@test "the rate is that of all channels together" {
	"$VFMIG" migrate --max-downtime=0 --channels=4 --json --rate=16M sim:dma,state=4M sim:dma,state=4M >"$T/json"
	jq -e '.bytes_per_second > 0 and .bytes_per_second < 25000000' "$T/json"
}

# cut_one N WHEN...: the Nth connection, through a proxy that has a child for each
cut_one() {
	local children
	start proxy socat "UNIX-LISTEN:$T/proxy.sock,fork" \
		"UNIX-CONNECT:$T/wire.sock,retry=100,interval=0.05"
	wait_until test -S "$T/proxy.sock"
	start_pair "unix:$T/proxy.sock"
	"${@:2}"
	mapfile -t children < <(pgrep -P "$proxy" | sort -n)
	kill -KILL "${children[$1]:-$proxy}" 2>/dev/null || true
	stop_pair
	kill -KILL "$proxy" 2>/dev/null || true
	join "$proxy"
	rm -f "$T/proxy.sock"
	one_owner
	stop_servers
}

@test "one of them is cut" {
	command -v socat >/dev/null || skip "no socat"
	SEND=(--max-downtime=0 --channels=3)
	RECEIVE=(--channels=3)
	MOMENTS=(0 40 80 95)
	measure
	for moment in "${MOMENTS[@]}"; do
		for channel in 0 1 2; do
			cut_one "$channel" at_moment "$moment"
			owners+=" $owner"
		done
	done
	echo "# in $took ms:$owners" >&3
}

in_precopy() {
	grep -qs '"precopy"' "$T/events"
}

@test "one of them is cut before the stop" {
	command -v socat >/dev/null || skip "no socat"
	DEVICE=sim:dma,state=64M,initial=64K,save-rate=8M
	SEND=(--channels=3 --events "$T/events")
	RECEIVE=(--channels=3)
	for channel in 0 1 2; do
		rm -f "$T/events"
		cut_one "$channel" wait_until in_precopy
		[[ $owner == source ]]
	done
}

@test "whoever is killed with several" {
	SEND=(--max-downtime=0 --channels=3)
	RECEIVE=(--channels=3)
	MOMENTS=(0 60 95)
	at_moments sender KILL
	at_moments receiver KILL
	at_moments sender TERM
}
