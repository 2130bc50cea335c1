#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve and start set variables by name

# Both protocols, and bridges between them, from the command line.

load common

DEVICE=sim:dma,state=3M,bar=64K

# probed NAME FILTER: what probe says of a server, by jq
probed() {
	local -n uri_of=URI_$1
	wait_until idle "$uri_of"
	"$VFMIG" probe --json "$uri_of" >"$T/probe"
	jq -e "$2" "$T/probe" >/dev/null || {
		cat "$T/probe"
		return 1
	}
}

@test "a face shows one protocol or both, and the client finds out" {
	serve a $DEVICE
	probed a '.migration.protocol == "v2" and (.migration.features | index("P2P"))'
	serve b $DEVICE --face v1
	probed b '.migration.protocol == "v1" and .migration.region == 9 and
		.migration.features == ["STOP_COPY", "PRE_COPY"] and .migratable and
		([.notes[] | select(startswith("protocol v1"))] | length) == 2 and
		([.notes[] | select(startswith("no P2P"))] | length) == 1 and
		all(.regions[]; .index < 9) and .migration.dirty_log == "yes"'
	serve c $DEVICE --face both
	probed c '.migration.protocol == "v2"'
}

@test "the data section is as it was asked for" {
	for data in trapped:0 mmap:131072 sparse:65536; do
		serve "${data%:*}" $DEVICE --face v1 --data "${data%:*}" --data-size 128K
		probed "${data%:*}" ".migration.region_size == 135168 and
			.migration.mapped_size == ${data#*:}"
	done
}

@test "what cannot be is refused" {
	fails 2 "of the migration region" "$VFMIG" serve --data mmap $DEVICE "$T/a.sock"
	fails 2 "not one of" "$VFMIG" serve --face v3 $DEVICE "$T/a.sock"
	fails 2 "not between" "$VFMIG" serve --face v1 --data-size 1K $DEVICE "$T/a.sock"
	fails 1 "whole pages" "$VFMIG" serve --face v1 --data-size 5000 $DEVICE "$T/a.sock"
	fails 3 "cannot migrate" "$VFMIG" serve --face v1 $DEVICE,features=0 "$T/a.sock"
	[[ ! -e $T/a.sock ]]
}

# saved_and_loaded OPTION...: from one server to another by a file, options for both
saved_and_loaded() {
	serve a $DEVICE,seed=1 "$@"
	serve b $DEVICE,seed=2 "$@"
	"$SIMCTL" "$URI_a" step 7 >"$T/before"
	wait_until idle "$URI_a"
	"$VFMIG" save "$URI_a" "$T/image"
	"$VFMIG" verify "$T/image"
	"$VFMIG" load "$URI_b" "$T/image"
	[[ $(device "$URI_b") == "$(<"$T/before")" ]]
	[[ $(device "$URI_a") == "$(<"$T/before")" ]]
	stop_servers
}

@test "save and load through the migration region" {
	for data in trapped mmap sparse; do
		for size in 4K 64K 16M; do
			[[ $data$size != sparse4K ]] || continue
			saved_and_loaded --face v1 --data "$data" --data-size "$size"
		done
	done
	saved_and_loaded --face v1 --no-extension
	saved_and_loaded --face v1 --data mmap --no-extension
}

@test "chunks of v1 are in the file, and those of v2 are none" {
	serve a $DEVICE --face v1 --data-size 256K
	"$VFMIG" save "$URI_a" "$T/v1"
	"$VFMIG" inspect --records "$T/v1" | grep -q chunk-end
	serve b $DEVICE
	"$VFMIG" save "$URI_b" "$T/v2"
	[[ $("$VFMIG" inspect --records "$T/v2") != *chunk-end* ]]
}

@test "a chunk that is larger than the destination's section is refused" {
	serve a $DEVICE,seed=1 --face v1 --data-size 1M
	serve b $DEVICE,seed=2 --face v1 --data-size 64K
	"$SIMCTL" "$URI_a" >"$T/a.before"
	"$SIMCTL" "$URI_b" >"$T/b.before"
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	fails 1 "larger than" "$VFMIG" migrate "$URI_a" "$URI_b"
	[[ $(device "$URI_a") == "$(<"$T/a.before")" ]]
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
	# while one that comes without chunks fits anywhere
	serve c $DEVICE,seed=3
	"$VFMIG" migrate "$URI_c" "$URI_b"
}

# The nine ways from {v1, v2, bridged} to {v1, v2, bridged}, where a bridge may lead either way:
# each moves a device at work and proves every byte of state and memory.
@test "from every protocol to every other, bridged or not" {
	local protocol bridge data
	mkdir -p "$T/tmp"
	for protocol in v1 v2 v1:v2 v2:v1; do
		for bridge in no source destination both; do
			data=trapped
			[[ $bridge != both && $bridge != source ]] || data=mmap
			TMPDIR=$T/tmp "$VFMIG" demo --json --protocol "$protocol" --bridge="$bridge" \
				--data "$data" --data-size 256K --max-downtime 2000 \
				--state 4M --memory 8M --dirty 2M --dma-rate 4M >"$T/json" || {
				echo "$protocol, bridge $bridge, $data:"
				cat "$T/json"
				return 1
			}
			jq -e '.ok and .verified and (.checks | length) == 7' "$T/json" >/dev/null
			[[ -z $(compgen -G "$T/tmp/vfmig-demo-*") ]]
		done
	done
}

@test "a bridge keeps the chunks where the extension is spoken" {
	serve a $DEVICE,seed=1 --face v1 --data-size 192K
	serve b $DEVICE,seed=2 --face v1 --data-size 192K
	serve c "$URI_a" --face v2
	serve d "$URI_b" --face v2
	"$SIMCTL" "$URI_c" step 7 >"$T/before"
	wait_until idle "$URI_c"
	"$VFMIG" save "$URI_c" "$T/image"
	# most of them are whole sections
	"$VFMIG" inspect --records "$T/image" | grep chunk-end | grep -qw 196608
	"$VFMIG" load "$URI_d" "$T/image"
	[[ $(device "$URI_d") == "$(<"$T/before")" ]]
}

@test "what dies at a v1 server leaves its device as it would at one of v2" {
	serve a $DEVICE,save-rate=4M --face v1
	"$SIMCTL" "$URI_a" >"$T/before"
	wait_until idle "$URI_a"
	start saver "$VFMIG" save "$URI_a" "$T/image"
	wait_until compgen -G "$T/image*" >/dev/null
	wait_until grep -q "a client" "$T/a.log"
	kill -KILL "$saver"
	wait "$saver" 2>/dev/null || true
	[[ $(device "$URI_a") == "$(<"$T/before")" ]]
}

@test "1 GiB of state, trapped, mapped and in part" {
	local data from=a to=b
	serve a sim:dma,state=1G,seed=1
	serve b sim:dma,state=1G,seed=2
	"$SIMCTL" "$URI_a" step 1000 >"$T/before"
	wait_until idle "$URI_a"
	for data in trapped mmap sparse; do
		# the devices stay, behind bridges that come and go
		serve_over s "$from" "$data"
		serve_over d "$to" "$data"
		"$VFMIG" save "$URI_s" - | "$VFMIG" load "$URI_d" -
		[[ $(device "$URI_d") == "$(<"$T/before")" ]]
		"$SIMCTL" "$URI_d" step 77 >"$T/before"
		wait_until idle "$URI_d"
		"$VFMIG" migrate --max-downtime 0 "$URI_d" "$URI_s"
		[[ $(device "$URI_s") == "$(<"$T/before")" ]]
		kill -TERM "$PID_s" "$PID_d"
		wait "$PID_s" "$PID_d"
	done
}

# serve_over NAME DEVICE DATA: a bridge to a served device
serve_over() {
	local -n device_uri=URI_$2
	serve "$1" "$device_uri" --face v1 --data "$3"
}

# grown: a part of the image has been written
grown() {
	(($(cat "$T"/image* 2>/dev/null | wc -c) > 600000))
}

@test "a bridge that dies in the middle takes nobody's device with it" {
	local face data
	for face in v1 v2; do
		serve "a$face" sim:dma,state=4M,save-rate=4M
		data=()
		[[ $face != v1 ]] || data=(--data-size 256K)
		local -n uri=URI_a$face pid=PID_b
		"$SIMCTL" "$uri" >"$T/before"
		wait_until idle "$uri"
		start_ready pid "$T/b.ready" "$VFMIG" serve --face "$face" "${data[@]}" \
			"$uri" "$T/b.sock" \
			2>"$T/b.log"
		start saver "$VFMIG" save "vfio-user:$T/b.sock" "$T/image"
		wait_until grown
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null || true
		join "$saver"
		[[ $status == 1 && ! -e $T/image ]]
		wait_until grep -q "brought back to RUNNING" "$T/a$face.log"
		[[ $(device "$uri") == "$(<"$T/before")" ]]
		rm -f "$T/b.sock"
	done
}
