#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name

# migrate, send and receive

load common

DEVICE=sim:dma,state=4M

# two_devices [PARAMS]: a, which has changed, and b, which has not
two_devices() {
	serve a "$DEVICE,seed=1${1:-}"
	serve b "$DEVICE,seed=2${1:-}"
	"$SIMCTL" "$URI_a" step 7 >"$T/a.before"
	"$SIMCTL" "$URI_b" >"$T/b.before"
}

# moved: b runs with what a had, a is stopped
moved() {
	[[ $(device "$URI_b") == "$(<"$T/a.before")" ]]
	[[ $(device "$URI_a") == "STOP "* ]]
}

# stayed: both are as they were
stayed() {
	[[ $(device "$URI_a") == "$(<"$T/a.before")" ]]
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
}

# receive ADDRESS [OPTION...]: in the background, $receiver; $port once it listens
receive() {
	local address=$1
	shift
	wait_until idle "$URI_b"
	start_ready receiver "$T/port" "$VFMIG" receive "$@" "$URI_b" "$address" \
		>"$T/receive.out" 2>"$T/receive.err"
	port=$(<"$T/port")
}

@test "migrate moves a device and stops the source" {
	two_devices
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	wait_until "$VFMIG" migrate "$URI_a" "$URI_b" >"$T/out" 2>"$T/err"
	[[ ! -s $T/out && ! -s $T/err ]]
	moved
}

@test "migrate reports as JSON" {
	"$VFMIG" migrate --json $DEVICE $DEVICE,seed=2 >"$T/json"
	[[ $(jq -s length "$T/json") == 1 ]]
	jq -e '.ok and .protocol == "v2" and .committed and .phase == "done" and .state == "STOP" and
		.rounds >= 1 and .state_bytes > 4194304 and .memory_bytes == 0 and
		.wire_bytes > .state_bytes and .downtime_us > 0 and .total_us >= .downtime_us and
		[.phases[].name] == ["setup", "precopy", "stop", "stop-copy", "load", "commit"]' "$T/json"
}

@test "migrate moves devices with fewer features" {
	for features in 1 3 5; do
		two_devices ",features=$features"
		wait_until idle "$URI_a"
		wait_until idle "$URI_b"
		wait_until "$VFMIG" migrate --max-downtime=0 "$URI_a" "$URI_b"
		moved
		stop_servers
	done
}

@test "migrate moves memory from file to file" {
	head -c 1M /dev/urandom >"$T/from"
	head -c 64K /dev/urandom >"$T/from2"
	"$VFMIG" migrate --json --memory "1M@0x100000=$T/from" --memory "64K=$T/from2" \
		--to-memory "1M@0x100000=$T/to" --to-memory "64K=$T/to2" $DEVICE $DEVICE >"$T/json"
	cmp "$T/from" "$T/to"
	cmp "$T/from2" "$T/to2"
	jq -e '.memory_bytes >= 1114112' "$T/json"
}

@test "what was compressed is told" {
	head -c 2M /dev/zero | tr '\0' a >"$T/from"
	"$VFMIG" migrate --json --compress --memory "2M=$T/from" $DEVICE $DEVICE >"$T/json"
	jq -e '.compressed_bytes >= 2097152 and .compressed_to > 0 and .compressed_to < 100000 and
		.wire_bytes < .state_bytes + .memory_bytes' "$T/json"
	"$VFMIG" migrate --json --memory "2M=$T/from" $DEVICE $DEVICE >"$T/json"
	jq -e '.compressed_bytes == 0 and .compressed_to == 0' "$T/json"
}

@test "memory that does not fit is refused, and the source runs on" {
	two_devices
	status=0
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	"$VFMIG" migrate --memory 1M --to-memory 64K "$URI_a" "$URI_b" 2>"$T/err" || status=$?
	[[ $status == 1 || $status == 3 ]]
	[[ $(wc -l <"$T/err") == 1 ]]
	stayed
}

@test "files of memory are checked" {
	fails 1 "No such file" "$VFMIG" migrate --memory "1M=$T/none" $DEVICE $DEVICE
	: >"$T/short"
	fails 1 "short" "$VFMIG" migrate --memory "1M=$T/short" $DEVICE $DEVICE
	fails 1 "Is a directory" "$VFMIG" migrate --memory "1M=$T" $DEVICE $DEVICE
}

@test "send and receive over TCP, at a port that the system chose" {
	two_devices
	receive 0 --json
	[[ $port -gt 0 ]]
	wait_until idle "$URI_a"
	"$VFMIG" send --json "$URI_a" "127.0.0.1:$port" >"$T/send.out"
	join "$receiver"
	[[ $status == 0 && ! -s $T/receive.err ]]
	jq -e '.ok and .role == "source" and .committed' "$T/send.out"
	jq -e '.ok and .role == "destination" and .committed and .state == "RUNNING"' "$T/receive.out"
	moved
}

@test "send and receive over IPv6 and over a unix socket" {
	addresses=("unix:$T/wire.sock")
	if [[ -e /proc/net/if_inet6 ]] && grep -q ' lo$' /proc/net/if_inet6; then addresses+=("[::1]:0"); fi
	for address in "${addresses[@]}"; do
		two_devices
		receive "$address"
		wait_until idle "$URI_a"
		"$VFMIG" send --compress "$URI_a" "${address/%:0/:$port}"
		join "$receiver"
		[[ $status == 0 && ! -e $T/wire.sock ]]
		moved
		stop_servers
	done
}

@test "memory arrives in a file that receive makes" {
	head -c 2M /dev/urandom >"$T/from"
	two_devices
	receive "unix:$T/wire.sock" --memory "2M@0x40000000=$T/to"
	wait_until idle "$URI_a"
	"$VFMIG" send --memory "2M@0x40000000=$T/from" "$URI_a" "unix:$T/wire.sock"
	join "$receiver"
	[[ $status == 0 ]]
	cmp "$T/from" "$T/to"
	moved
}

@test "a port that was chosen is told on standard error when nobody listens elsewhere" {
	start receiver "$VFMIG" receive $DEVICE 0 2>"$T/err"
	wait_until grep -q '^vfmig: receive: listening on port [0-9]*$' "$T/err"
	kill -TERM "$receiver"
	join "$receiver"
	[[ $status == 1 ]]
	grep -q "interrupted by SIGTERM; the device is in RUNNING" "$T/err"
}

@test "addresses beyond this machine want --insecure" {
	fails 2 "--insecure allows it" "$VFMIG" send $DEVICE 192.0.2.1:4444
	fails 2 "--insecure allows it" "$VFMIG" send $DEVICE "[2001:db8::1]:4444"
	fails 2 "--insecure allows it" "$VFMIG" receive $DEVICE 0.0.0.0:4444
	fails 2 "--insecure allows it" "$VFMIG" receive $DEVICE "[::]:4444"
	receiver_any() {
		two_devices
		receive 0.0.0.0:0 --insecure
	}
	receiver_any
	wait_until idle "$URI_a"
	"$VFMIG" send "$URI_a" "127.0.0.1:$port"
	join "$receiver"
	[[ $status == 0 ]]
}

@test "wrong addresses are misuse" {
	for address in "" host :1 host:port host:65536 host:-1 ::1:4444 "[::1]" unix: 1.2.3.4; do
		fails 2 "" "$VFMIG" send $DEVICE "$address"
	done
	fails 2 "a path of 1 to 107" "$VFMIG" receive $DEVICE "unix:/$(printf 'x%.0s' {1..120})"
}

@test "nobody at the other side is told at once" {
	two_devices
	wait_until idle "$URI_a"
	fails 1 "No such file" "$VFMIG" send "$URI_a" "unix:$T/none"
	# a port that was free a moment ago
	receive 0
	kill -TERM "$receiver"
	join "$receiver"
	wait_until idle "$URI_a"
	fails 1 "Connection refused" "$VFMIG" send "$URI_a" "127.0.0.1:$port"
	stayed
}

@test "receive waits no longer than it was told" {
	fails 1 "nobody connected in 1 s" timeout 10 "$VFMIG" receive --timeout=1 $DEVICE "unix:$T/wire.sock"
	[[ ! -e $T/wire.sock ]]
}

@test "a source that says nothing is given up, and the destination reset" {
	command -v socat >/dev/null || skip "no socat"
	two_devices
	receive "unix:$T/wire.sock" --timeout=1
	start mute socat "UNIX-CONNECT:$T/wire.sock" "PIPE:$T/mute"
	join "$receiver"
	[[ $status == 1 && $(wc -l <"$T/receive.err") == 1 ]]
	stayed
}

@test "a peer that speaks something else is logged, and the destination unharmed" {
	command -v socat >/dev/null || skip "no socat"
	two_devices
	receive "unix:$T/wire.sock"
	echo "GET / HTTP/1.1, and so much more that a header is full" |
		socat - "UNIX-CONNECT:$T/wire.sock" >/dev/null || true
	wait_until grep -q "still listening: .*does not speak the protocol" "$T/receive.err"
	kill -TERM "$receiver"
	join "$receiver"
	[[ $status == 1 && $(wc -l <"$T/receive.err") == 2 ]]
	stayed
}

@test "another model is refused with 3 on both sides" {
	two_devices
	serve c sim:dma,state=8M
	receive "unix:$T/wire.sock"
	fails 3 "state=" "$VFMIG" send "$URI_c" "unix:$T/wire.sock"
	join "$receiver"
	[[ $status == 3 ]]
	stayed
	[[ $(device "$URI_c") == "RUNNING "* ]]
}

@test "a limit that cannot be kept refuses with 4, and the source runs on" {
	# it changes faster than it can be saved
	serve a $DEVICE,dirty=200M,save-rate=20M
	serve b $DEVICE,seed=2
	fails 4 "" "$VFMIG" migrate --max-downtime=1 --max-rounds=3 "$URI_a" "$URI_b"
	[[ $(device "$URI_a") == "RUNNING 1 "* ]]
	[[ $(device "$URI_b") == "RUNNING 2 0 "* ]]
}

@test "a signal ends a move in order" {
	for signal in INT TERM; do
		for victim in sender receiver; do
			two_devices ",save-rate=2M"
			receive "unix:$T/wire.sock"
			wait_until idle "$URI_a"
			start sender "$VFMIG" send "$URI_a" "unix:$T/wire.sock" 2>"$T/send.err"
			# the listener goes when the source has connected
			wait_until test ! -e "$T/wire.sock"
			kill "-$signal" "${!victim}"
			join "$sender"
			[[ $status == 1 && $(wc -l <"$T/send.err") == 1 ]]
			join "$receiver"
			[[ $status == 1 && $(wc -l <"$T/receive.err") == 1 ]]
			cat "$T"/*.err | grep -q "interrupted by SIG$signal; the device is in RUNNING"
			stayed
			stop_servers
		done
	done
}

@test "source and destination must be two devices" {
	serve a $DEVICE
	fails 2 "the device $URI_a is named twice" "$VFMIG" migrate "$URI_a" "$URI_a"
}

@test "a failure is told as JSON, too" {
	status=0
	"$VFMIG" migrate --json $DEVICE sim:dma,state=8M >"$T/json" 2>"$T/err" || status=$?
	[[ $status == 3 && $(wc -l <"$T/err") == 1 ]]
	jq -e '(.ok | not) and (.error | length) > 0 and (.committed | not)' "$T/json"
}

@test "a driver in a shared object is served, saved, loaded and moved" {
	serve a "$MYDEV"
	serve b "$MYDEV"
	"$VFMIG" probe --json "$URI_a" | jq -e '.migratable'
	wait_until "$VFMIG" save "$URI_a" "$T/file"
	"$VFMIG" verify "$T/file"
	"$VFMIG" load "$URI_b" "$T/file"
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	"$VFMIG" migrate --max-downtime=0 "$URI_a" "$URI_b"
	wait_until idle "$URI_a"
	[[ $("$VFMIG" probe --json "$URI_a" | jq -r .state) == STOP ]]
}

@test "a driver of another model is refused with 3, and both run on" {
	serve a "$MYDEV"
	serve b $DEVICE,seed=2
	device "$URI_b" >"$T/b.before"
	wait_until idle "$URI_b"
	fails 3 "" "$VFMIG" migrate "$URI_a" "$URI_b"
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
	[[ $("$VFMIG" probe --json "$URI_a" | jq -r .state) == RUNNING ]]
	wait_until "$VFMIG" save "$URI_a" "$T/file"
	wait_until idle "$URI_b"
	fails 3 "" "$VFMIG" load "$URI_b" "$T/file"
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
}

@test "events tell each phase as it begins, and how it ended" {
	"$VFMIG" migrate --events "$T/events" $DEVICE $DEVICE,seed=2
	jq -es '[.[] | select(.event != "progress") | [.event, .phase]] == [["begin", null], ["phase", "setup"],
		["phase", "precopy"], ["phase", "stop"], ["phase", "stop-copy"], ["phase", "load"],
		["phase", "commit"], ["phase", "done"], ["end", "done"]] and
		([.[].us] | . == sort) and (.[0] | .verb == "migrate" and .time_us > 1600000000000000) and
		(.[-1] | .ok and .committed and .state_bytes > 4194304 and (.phases | length) == 6) and
		all(.[]; has("missed") | not) and
		([.[] | select(.phase == "stop")] | length == 1 and all(.[]; .predicted_downtime_us > 0 and
		.predicted_error_us > 0 and .limiting != "none"))' "$T/events"
	(($(wc -l <"$T/events") == $(jq -s length "$T/events")))
}

@test "events say why a move failed, and go to a descriptor" {
	fails 4 "" "$VFMIG" migrate --events 5 --max-downtime=1 --max-rounds=3 \
		$DEVICE,dirty=200M,save-rate=20M $DEVICE,seed=2 5>"$T/events"
	jq -es '(.[0].event == "begin") and (.[-1] | .event == "end" and (.ok | not) and
		(.committed | not) and .error != null)' "$T/events"
	[[ $(jq -r .event "$T/events") == *progress* ]]
	grep -qF "$(jq -r 'select(.event == "end").error' "$T/events")" "$T/err"
}

@test "save, load, send and receive tell events, too" {
	"$VFMIG" save --events "$T/save" $DEVICE "$T/state"
	"$VFMIG" load --events "$T/load" $DEVICE,seed=2 "$T/state"
	two_devices
	receive 0 --events "$T/receive"
	wait_until idle "$URI_a"
	"$VFMIG" send --events "$T/send" "$URI_a" "127.0.0.1:$port"
	join "$receiver"
	[[ $status == 0 ]]
	for verb in save load send receive; do
		jq -es --arg verb $verb '.[0].verb == $verb and (.[-1] | .event == "end" and .ok)' "$T/$verb"
	done
	moved
}

@test "events that nobody reads do not hold up a move" {
	mkfifo "$T/fifo"
	fails 1 "nobody reads it" "$VFMIG" migrate --events "$T/fifo" $DEVICE $DEVICE,seed=2
	# a pipe that is full from the beginning to the end
	exec 6<>"$T/fifo"
	dd if=/dev/zero of="$T/fifo" bs=4096 count=1000 oflag=nonblock 2>/dev/null || true
	"$VFMIG" migrate --events 6 $DEVICE $DEVICE,seed=2
	# and one that is read only when some were missed
	start saving "$VFMIG" save --events 6 $DEVICE,save-rate=8M - >"$T/state"
	wait_until test -s "$T/state"
	start reading sed -u '/"event":"end"/q' "$T/fifo" >"$T/events"
	join "$saving"
	[[ $status == 0 ]]
	join "$reading"
	exec 6>&-
	tr -d '\0' <"$T/events" | jq -es '.[0].missed >= 3 and .[-1].ok'
	# a full disk, which is told once
	"$VFMIG" migrate --events /dev/full $DEVICE $DEVICE,seed=2 2>"$T/err"
	[[ $(<"$T/err") == "vfmig: events: no more events: No space left on device" ]]
}

@test "a wrong place for events is refused before anything begins" {
	fails 2 "no descriptor" "$VFMIG" migrate --events 77 $DEVICE $DEVICE,seed=2
	fails 2 "no descriptor" "$VFMIG" migrate --events 5 $DEVICE $DEVICE,seed=2 5</dev/null
	fails 2 "standard output" "$VFMIG" save --events 1 $DEVICE -
	fails 1 "$T/none/events" "$VFMIG" migrate --events "$T/none/events" $DEVICE $DEVICE,seed=2
}
