#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name

# save, load, inspect and verify

load common

# A small device, so that a file has few records and every one can be damaged.
SMALL=sim:dma,state=64K,bar=8K

# unharmed URI LINE: RUNNING with the state it had
unharmed() {
	[[ $(device "$1") == "$2" ]]
}

# flip FILE OFFSET: one bit of it
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf '%b' "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "save, verify and load bring the state to another device" {
	serve a sim:dma,state=8M,seed=1
	serve b sim:dma,state=8M,seed=2
	"$SIMCTL" "$URI_a" step 5 >"$T/before"
	[[ $(device "$URI_b") != "$(<"$T/before")" ]]
	wait_until "$VFMIG" save "$URI_a" "$T/file" >"$T/out" 2>"$T/err"
	[[ ! -s $T/out ]]
	"$VFMIG" verify "$T/file" >"$T/out" 2>"$T/err"
	[[ ! -s $T/out && ! -s $T/err ]]
	wait_until "$VFMIG" load "$URI_b" "$T/file" >"$T/out"
	[[ ! -s $T/out ]]
	unharmed "$URI_a" "$(<"$T/before")"
	unharmed "$URI_b" "$(<"$T/before")"
}

@test "a state that was loaded is saved as the same file" {
	"$VFMIG" save --json $SMALL "$T/one" >"$T/one.json"
	serve b $SMALL,seed=2
	"$VFMIG" load --json "$URI_b" "$T/one" >"$T/load.json"
	wait_until "$VFMIG" save --json "$URI_b" "$T/two" >"$T/two.json"
	cmp "$T/one" "$T/two"
	jq -e '.ok and .state == "RUNNING" and .total_us > 0 and (.phases | length) == 6' "$T/load.json"
	[[ $(jq -r .digest "$T/one.json") == "$(jq -r .digest "$T/two.json")" ]]
	[[ $(jq -r .digest "$T/one.json") == "$(jq -r .digest "$T/load.json")" ]]
	[[ $(jq -r .digest "$T/one.json") == "$("$VFMIG" inspect --json "$T/one" | jq -r .digest)" ]]
	[[ $(jq -r .digest "$T/one.json") == "$("$VFMIG" verify --json "$T/one" | jq -r .digest)" ]]
}

@test "a compressed file is smaller and holds the same state" {
	serve a sim:dma,state=4M
	device "$URI_a" >"$T/before"
	serve b sim:dma,state=4M,seed=2
	"$VFMIG" save --compress=1 --json "$URI_a" "$T/file" >"$T/json"
	[[ $(stat -c %s "$T/file") -le $(jq .state_bytes "$T/json") ]]
	"$VFMIG" verify "$T/file"
	"$VFMIG" load "$URI_b" "$T/file"
	unharmed "$URI_b" "$(<"$T/before")"
}

@test "pipes will do on both sides" {
	serve a $SMALL
	device "$URI_a" >"$T/before"
	serve b $SMALL,seed=2
	wait_until "$VFMIG" probe "$URI_a" >/dev/null
	"$VFMIG" save $SMALL - | "$VFMIG" load "$URI_b" -
	unharmed "$URI_b" "$(<"$T/before")"
	"$VFMIG" save $SMALL - | "$VFMIG" verify -
	"$VFMIG" save $SMALL - | "$VFMIG" inspect - | grep -q '^digest .*whole$'
	fails 2 "both want standard output" "$VFMIG" save --json $SMALL -
}

@test "a terminal is refused" {
	command -v script >/dev/null || skip "no script"
	script -qec "'$VFMIG' save $SMALL -" /dev/null >"$T/out" </dev/null || status=$?
	[[ $status == 2 ]]
	grep -q "standard output is a terminal" "$T/out"
}

@test "inspect explains a file, in words and as JSON" {
	"$VFMIG" save $SMALL "$T/file"
	"$VFMIG" inspect "$T/file" >"$T/out"
	grep -q '^device  *vfmig,sim-dma, version 1' "$T/out"
	grep -q '^device-data ' "$T/out"
	"$VFMIG" inspect --json --records "$T/file" >"$T/json"
	jq -e --argjson size "$(stat -c %s "$T/file")" '
		.ok and .ended and .bytes == $size and .identity.model == "vfmig,sim-dma" and
		(.record_list | length) == .records and .record_list[0].name == "identity" and
		.record_list[-1].name == "end" and ([.kinds[].count] | add) == .records and
		([.record_list[] | select(.name == "device-data") | .size] | add) == .device_bytes' "$T/json"
	[[ $("$VFMIG" inspect --records "$T/file" | grep -c '^ *[0-9][0-9]* *[0-9]') == \
		"$(jq .records "$T/json")" ]]
}

@test "a file that is cut at any record is refused, and the device unharmed" {
	serve b $SMALL,seed=2
	device "$URI_b" >"$T/before"
	"$VFMIG" save $SMALL "$T/file"
	cuts=$("$VFMIG" inspect --json --records "$T/file" |
		jq -r '.record_list[] | .offset, .offset + 3, .offset + 48, .offset + 48 + .stored - 1')
	for cut in 0 5 $cuts; do
		((cut < $(stat -c %s "$T/file"))) || continue
		head -c "$cut" "$T/file" >"$T/cut"
		fails 1 "$T/cut" "$VFMIG" verify "$T/cut"
		fails 1 "" "$VFMIG" inspect "$T/cut"
		wait_until idle "$URI_b"
		fails 1 "" "$VFMIG" load "$URI_b" "$T/cut"
		unharmed "$URI_b" "$(<"$T/before")"
	done
}

@test "a file with a bit flipped is refused, and the device unharmed" {
	serve b $SMALL,seed=2
	device "$URI_b" >"$T/before"
	"$VFMIG" save $SMALL "$T/file"
	places=$("$VFMIG" inspect --json --records "$T/file" |
		jq -r '.record_list[] | .offset, .offset + 4, .offset + 12, .offset + 20, .offset + 36,
			.offset + 48 + (.stored / 2 | floor)')
	for place in 0 8 $places; do
		cp "$T/file" "$T/bad"
		flip "$T/bad" "$place"
		wait_until idle "$URI_b"
		for verb in "verify" "load $URI_b"; do
			status=0
			# shellcheck disable=SC2086 # two words
			"$VFMIG" $verb "$T/bad" 2>"$T/err" || status=$?
			echo "bit in $place, $verb: $status $(<"$T/err")"
			[[ $status == 1 || $status == 3 ]]
			[[ $(wc -l <"$T/err") == 1 ]]
		done
		unharmed "$URI_b" "$(<"$T/before")"
	done
}

@test "inspect tells what stands before the damage" {
	"$VFMIG" save $SMALL "$T/file"
	last=$("$VFMIG" inspect --json --records "$T/file" | jq '.record_list[-1].offset')
	flip "$T/file" $((last + 50))
	status=0
	"$VFMIG" inspect --json --records "$T/file" >"$T/json" 2>"$T/err" || status=$?
	[[ $status == 1 ]]
	grep -q "record" "$T/err"
	jq -e '(.ok | not) and (.ended | not) and .identity.model == "vfmig,sim-dma" and
		.digest == null and (.error | length) > 0' "$T/json"
}

@test "bytes after the end are damage" {
	"$VFMIG" save $SMALL "$T/file"
	echo more >>"$T/file"
	fails 1 "" "$VFMIG" verify "$T/file"
}

@test "a file of another model is refused with 3, and the device unharmed" {
	"$VFMIG" save sim:dma,state=128K,bar=8K "$T/file"
	serve b $SMALL,seed=2
	device "$URI_b" >"$T/before"
	fails 3 "state=131072" "$VFMIG" load "$URI_b" "$T/file"
	unharmed "$URI_b" "$(<"$T/before")"
}

@test "later versions: optional records are skipped, what cannot be read is refused with 3" {
	"$MKSTREAM" optional $SMALL >"$T/optional"
	"$VFMIG" verify "$T/optional"
	"$MKSTREAM" newer >"$T/newer"
	fails 3 "version" "$VFMIG" verify "$T/newer"
	fails 3 "version" "$VFMIG" inspect "$T/newer"
	fails 3 "version" "$VFMIG" load $SMALL "$T/newer"
}

@test "a full disk leaves the old file and nothing else" {
	mkdir "$T/disk"
	mount -t tmpfs -o size=1m none "$T/disk" 2>/dev/null || skip "cannot mount a tmpfs"
	mounted "$T/disk"
	echo old >"$T/disk/file"
	serve a sim:dma,state=4M
	device "$URI_a" >"$T/before"
	fails 1 "No space left" "$VFMIG" save "$URI_a" "$T/disk/file"
	[[ $(ls "$T/disk") == file && $(<"$T/disk/file") == old ]]
	unharmed "$URI_a" "$(<"$T/before")"
}

@test "a file that may not grow leaves the old one and nothing else" {
	mkdir "$T/dir"
	echo old >"$T/dir/file"
	limited() (
		ulimit -f 512
		"$VFMIG" save sim:dma,state=4M "$T/dir/file"
	)
	fails 1 "File too large" limited
	[[ $(ls "$T/dir") == file && $(<"$T/dir/file") == old ]]
}

@test "a device file is written in place, never replaced" {
	[[ -c /dev/full ]] || skip "no /dev/full"
	fails 1 "No space left" "$VFMIG" save $SMALL /dev/full
	[[ -c /dev/full ]]
	"$VFMIG" save $SMALL /dev/null
	[[ -c /dev/null ]]
}

@test "a link is followed, and the mode of a file kept" {
	echo old >"$T/real"
	chmod 640 "$T/real"
	ln -s real "$T/link"
	"$VFMIG" save $SMALL "$T/link"
	[[ -L $T/link && $(stat -c %a "$T/real") == 640 ]]
	"$VFMIG" verify "$T/real"
	"$VFMIG" save $SMALL "$T/new"
	[[ $(stat -c %a "$T/new") == 600 ]]
}

@test "a signal while saving leaves the old file and a device that runs" {
	mkdir "$T/dir"
	echo old >"$T/dir/file"
	serve a sim:dma,state=8M,save-rate=4M
	device "$URI_a" >"$T/before"
	for signal in INT TERM; do
		wait_until idle "$URI_a"
		start saver "$VFMIG" save "$URI_a" "$T/dir/file" 2>"$T/err"
		wait_until begun "$T/dir/file"
		kill "-$signal" "$saver"
		join "$saver"
		[[ $status == 1 ]]
		grep -q "^vfmig: save: interrupted by SIG$signal; the device is in RUNNING$" "$T/err"
		[[ $(ls "$T/dir") == file && $(<"$T/dir/file") == old ]]
		unharmed "$URI_a" "$(<"$T/before")"
	done
}

begun() {
	compgen -G "$1.partial-*" >/dev/null
}

@test "a reader that goes away is a failure, and the device runs" {
	serve a sim:dma,state=8M
	device "$URI_a" >"$T/before"
	set +o pipefail
	"$VFMIG" save "$URI_a" - 2>"$T/err" | head -c 100 >/dev/null
	grep -q "Broken pipe" "$T/err"
	unharmed "$URI_a" "$(<"$T/before")"
}

@test "a FIFO is waited for, but not deaf to signals" {
	mkfifo "$T/fifo"
	serve a $SMALL
	device "$URI_a" >"$T/before"
	wait_until idle "$URI_a"
	start saver "$VFMIG" save "$URI_a" "$T/fifo" 2>"$T/err"
	wait_until signals_watched "$saver"
	kill -TERM "$saver"
	wait_until gone "$saver"
	join "$saver"
	[[ $status == 1 ]]
	grep -q "^vfmig: save: interrupted by SIGTERM; the device is in RUNNING$" "$T/err"
	wait_until idle "$URI_a"
	start saver "$VFMIG" save "$URI_a" "$T/fifo"
	"$VFMIG" verify - <"$T/fifo"
	join "$saver"
	[[ $status == 0 ]]
	unharmed "$URI_a" "$(<"$T/before")"
}

# signals_watched PID: SIGTERM is blocked
signals_watched() {
	local mask
	mask=$(sed -n 's/^SigBlk:[[:space:]]*//p' "/proc/$1/status")
	[[ -n $mask ]] && ((0x$mask & 1 << 14))
}

@test "what has no end is not spooled to one" {
	fails 1 "not a vfmig stream" timeout "$DEADLINE" "$VFMIG" load $SMALL - </dev/zero
	fails 1 "not a vfmig stream" timeout "$DEADLINE" "$VFMIG" load $SMALL /dev/urandom
}

# make_socket PATH: a socket file that nobody listens on
make_socket() {
	timeout 0.2 socat -u "UNIX-RECV:$1,unlink-close=0" /dev/null || true
	echo "$1"
}

@test "what is no file is told" {
	command -v socat >/dev/null &&
		fails 1 "No such device" timeout 5 "$VFMIG" save $SMALL "$(make_socket "$T/socket")"
	fails 1 "Is a directory" "$VFMIG" save $SMALL "$T"
	fails 1 "Is a directory" "$VFMIG" load $SMALL "$T"
	fails 1 "Is a directory" "$VFMIG" inspect "$T"
	fails 1 "No such file" "$VFMIG" save $SMALL "$T/none/file"
	fails 1 "No such file" "$VFMIG" load $SMALL "$T/none"
	fails 1 "" "$VFMIG" verify /dev/null
	echo "this is no stream, and longer than a header would be, by far, you see" >"$T/text"
	fails 1 "$T/text" "$VFMIG" verify "$T/text"
}

@test "a device without migration is refused with 3" {
	fails 3 "" "$VFMIG" save sim:dma,features=0 "$T/file"
	[[ ! -e $T/file ]]
}
