#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name

# probe and serve

load common

# hold_device: $holder is its user until a line is written to 8
hold_device() {
	mkfifo "$T/in"
	exec 8<>"$T/in"
	start holder "$SIMCTL" "$URI_a" hold <"$T/in" >"$T/held" 2>"$T/err"
	wait_until grep -q held "$T/held"
}

@test "probe describes a served device as it describes the device" {
	serve a sim:dma,state=1M,seed=3
	"$VFMIG" probe --json "$URI_a" >"$T/a.json"
	[[ $(jq -s length "$T/a.json") == 1 ]]
	jq -e --arg uri "$URI_a" '
		.uri == $uri and .kind == "pci" and .pci.vendor == "0xfffa" and .state == "RUNNING" and
		.migration.features == ["STOP_COPY", "P2P", "PRE_COPY"] and
		.migration.dirty_log == "yes" and .migration.data_size > 1048576 and
		.migratable and .blockers == [] and
		(.regions[] | select(.name == "BAR2") | .areas | length) == 1 and
		(.irqs[] | select(.name == "MSI-X") | .count) == 4' "$T/a.json"
	"$VFMIG" probe --json sim:dma,state=1M,seed=3 | jq 'del(.uri)' >"$T/here"
	jq 'del(.uri)' "$T/a.json" | diff "$T/here" -
}

@test "probe says the same in words" {
	serve a sim:dma,state=1M
	"$VFMIG" probe "$URI_a" >"$T/out"
	grep -q '^region BAR2 .* mmap' "$T/out"
	grep -q '^state  *RUNNING$' "$T/out"
	grep -q '^migratable yes$' "$T/out"
}

@test "probe names what keeps a device from migrating" {
	"$VFMIG" probe --json sim:dma,features=0 | jq -e '
		(.migratable | not) and (.blockers | length) == 1 and
		(.blockers[0] | contains("no migration"))'
	"$VFMIG" probe sim:dma,features=0 | grep -q '^migratable no$'
	"$VFMIG" probe --json sim:dma,features=1 | jq -e '
		.migratable and any(.notes[]; contains("PRE_COPY")) and any(.notes[]; contains("P2P"))'
}

@test "probe sees a state, and leaves the device in it" {
	serve a sim:dma,state=1M
	for state in STOP PRE_COPY STOP_COPY RUNNING RESUMING; do
		wait_until "$SIMCTL" "$URI_a" state "$state"
		wait_until "$VFMIG" probe --json "$URI_a" >"$T/json"
		[[ $(jq -r .state "$T/json") == "$state" ]]
	done
	"$SIMCTL" "$URI_a" reset
	wait_until "$SIMCTL" "$URI_a" state PRE_COPY
	wait_until "$VFMIG" probe --json "$URI_a" >"$T/json"
	jq -e '.migration.initial_bytes > 0 and (.migratable | not)' "$T/json"
}

@test "serve ends with 0 on SIGTERM and SIGINT, and removes its socket" {
	for signal in TERM INT HUP; do
		serve a sim:dma,state=1M
		[[ -S $T/a.sock ]]
		kill "-$signal" "$PID_a"
		join "$PID_a"
		[[ $status == 0 && ! -e $T/a.sock ]]
	done
}

@test "serve --once ends with its client and lets nobody else in" {
	serve a sim:dma,state=1M --once
	"$VFMIG" probe "$URI_a" >/dev/null
	join "$PID_a"
	[[ $status == 0 && ! -e $T/a.sock ]]
	serve a sim:dma,state=1M --once
	kill -TERM "$PID_a"
	join "$PID_a"
	[[ $status == 0 && ! -e $T/a.sock ]]
}

@test "a second client is refused at once, and the first one not disturbed" {
	serve a sim:dma,state=1M
	hold_device
	fails 1 "" timeout 5 "$VFMIG" probe "$URI_a"
	echo >&8
	join "$holder"
	[[ $status == 0 ]]
	wait_until "$VFMIG" probe "$URI_a" >/dev/null
}

@test "serve --no-extension shows the same device by standard messages" {
	serve a sim:dma,state=1M --no-extension
	"$VFMIG" probe --json "$URI_a" | jq -e '.migratable'
	"$VFMIG" save "$URI_a" "$T/file"
	"$VFMIG" verify "$T/file"
}

@test "serve --quiet says nothing" {
	serve a sim:dma,state=1M --quiet
	"$VFMIG" probe "$URI_a" >/dev/null
	kill -TERM "$PID_a"
	join "$PID_a"
	[[ ! -s $T/a.log ]]
}

@test "serve replaces a dead socket and nothing else" {
	serve a sim:dma,state=1M
	kill -KILL "$PID_a"
	wait "$PID_a" || true
	[[ -S $T/a.sock ]]
	serve a sim:dma,state=1M
	"$VFMIG" probe "$URI_a" >/dev/null
	wait_until device_once "$URI_a"
	for more in "" --once; do
		fails 1 "in use" timeout 5 "$VFMIG" serve $more sim:dma "$T/a.sock"
	done
	: >"$T/file"
	fails 1 "" timeout 5 "$VFMIG" serve sim:dma "$T/file"
	[[ -f $T/file ]]
	"$VFMIG" probe "$URI_a" >/dev/null
}

@test "wrong URIs are misuse and name what is wrong" {
	fails 2 "sim:foo" "$VFMIG" probe sim:foo
	fails 2 "xyzzy" "$VFMIG" probe sim:dma,xyzzy=1
	fails 2 "state" "$VFMIG" probe sim:dma,state=many
	fails 2 "foo:bar" "$VFMIG" probe foo:bar
	fails 2 "" "$VFMIG" probe vfio-user:
	fails 2 "" "$VFMIG" probe "vfio-user:/$(printf 'x%.0s' {1..200})"
}

@test "what is not there is told" {
	fails 1 "No such file" "$VFMIG" probe "vfio-user:$T/none.sock"
	fails 1 "" "$VFMIG" probe "vfio-user:$T"
	fails 1 "" "$VFMIG" probe "$T/none.so"
	fails 1 "" timeout 5 "$VFMIG" serve sim:dma "$T/none/a.sock"
	: >"$T/text.so"
	fails 1 "text.so" "$VFMIG" probe "$T/text.so"
}

@test "a socket without permission is told" {
	((EUID)) || skip "root may do everything"
	serve a sim:dma,state=1M
	chmod 0 "$T/a.sock"
	fails 1 "Permission denied" "$VFMIG" probe "$URI_a"
}

@test "a device that dies is told" {
	serve a sim:dma,state=1M
	hold_device
	kill -KILL "$PID_a"
	echo >&8
	join "$holder"
	[[ $status == 1 && -s $T/err ]]
	fails 1 "Connection refused" "$VFMIG" probe "$URI_a"
}

@test "a peer that speaks no vfio-user is told" {
	command -v socat >/dev/null || skip "no socat"
	start peer socat "UNIX-LISTEN:$T/x.sock" SYSTEM:"head -c 1 >/dev/null; echo HTTP/1.1 400 Bad Request"
	wait_until test -S "$T/x.sock"
	fails 1 "" timeout 30 "$VFMIG" probe "vfio-user:$T/x.sock"
}

@test "probe says why a device of the kernel cannot be opened" {
	fails 1 "no such PCI device" "$VFMIG" probe vfio:ffff:fe:1f.7
	fails 1 "no such mediated device" "$VFMIG" probe vfio:01234567-89ab-cdef-0123-456789abcdef
	fails 1 "no such file" "$VFMIG" probe vfio:/dev/vfio/none
	fails 2 "neither the file of a group nor of a device" "$VFMIG" probe vfio:/dev/null
	fails 2 "must begin with a PCI address" "$VFMIG" probe vfio:eth0
	fails 2 "path=both: must be group or cdev" "$VFMIG" probe vfio:3b:00.2,path=both
}
