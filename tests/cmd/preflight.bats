#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve sets variables by name

# preflight, and the limits of those who move devices

load common

@test "preflight tells in words that it fits" {
	"$VFMIG" preflight sim:dma,state=8M,dirty=1M sim:dma,state=8M,seed=2 >"$T/out" 2>"$T/err"
	[[ ! -s $T/err ]]
	output=$(<"$T/out")
	[[ $output == *"source "*"sim:dma,state=8M"*"protocol v2, in RUNNING"* ]]
	[[ $output == *"reading "*"MiB/s"*"loading      not known"*"downtime "*" ms +-"* ]]
	[[ $output != *blocker* && $output != *limit* ]]
}

@test "preflight as JSON" {
	"$VFMIG" preflight --json sim:dma,state=8M sim:dma,state=8M,seed=2 >"$T/json"
	jq -e '.ok and .compatible and .fits and .dirty_log == "yes" and
		.source.state == "RUNNING" and .destination.precopy and .source.p2p and
		.measured_bytes > 1048576 and .measured_us > 0 and .change_rate == 0 and
		.predicted_downtime_us > 0 and .predicted_error_us > 0 and .save_rate > 0 and
		.load_rate == 0 and .findings == []' "$T/json"
}

@test "preflight says what does not fit, and exits with 3" {
	fails 3 "state=" "$VFMIG" preflight --json sim:dma,state=8M sim:dma,state=16M
	jq -e '(.ok or .compatible or .fits | not) and (.findings | length) == 1 and
		.findings[0].kind == "blocker" and (.error | contains("state="))' "$T/out"
	fails 3 "source: " "$VFMIG" preflight sim:dma,features=0 sim:dma
	[[ $(<"$T/out") == *"blocker      source: "*"cannot migrate"* ]]
	fails 3 "destination: " "$VFMIG" preflight sim:dma sim:dma,features=0
	[[ $(<"$T/out") == *"blocker      destination: "*"cannot migrate"* ]]
}

@test "preflight says what is too slow, and exits with 4" {
	fails 4 ", 20 are allowed: reading the source is slowest, " \
		"$VFMIG" preflight --max-downtime 20 sim:dma,state=8M,bar=4M,save-rate=20M \
		sim:dma,state=8M,bar=4M
	[[ $(<"$T/out") == *"limit        predicted "*", 20 are allowed: "* ]]
	"$VFMIG" preflight --max-downtime 0 sim:dma,state=8M,bar=4M,save-rate=20M \
		sim:dma,state=8M,bar=4M
	# a wire that is told is believed
	fails 4 "the wire is slowest, 1.0 MiB/s for " \
		"$VFMIG" preflight --wire-rate 1M sim:dma,state=8M,bar=4M sim:dma,state=8M,bar=4M
	# and without pre-copy all of it comes after the stop
	fails 4 "the wire is slowest, 8.0 MiB/s for " \
		"$VFMIG" preflight --wire-rate 8M sim:dma,state=8M,features=1 sim:dma,state=8M
	[[ $(<"$T/out") == *"has no PRE_COPY"* ]]
}

@test "preflight leaves both devices as they were" {
	serve a sim:dma,state=4M,seed=1
	serve b sim:dma,state=4M,seed=2
	"$SIMCTL" "$URI_a" step 7 >"$T/a.before"
	"$SIMCTL" "$URI_b" >"$T/b.before"
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	"$VFMIG" preflight "$URI_a" "$URI_b" >/dev/null
	[[ $(device "$URI_a") == "$(<"$T/a.before")" ]]
	[[ $(device "$URI_b") == "$(<"$T/b.before")" ]]
	# and they can be moved as ever
	wait_until "$VFMIG" migrate "$URI_a" "$URI_b"
	[[ $(device "$URI_b") == "$(<"$T/a.before")" ]]
}

@test "preflight in protocol v1" {
	serve a sim:dma,state=4M --face v1
	serve b sim:dma,state=4M --face v1
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	"$VFMIG" preflight --json "$URI_a" "$URI_b" >"$T/json"
	jq -e '.fits and .source.protocol == 1 and .source.state == "RUNNING" and
		.measured_bytes > 0' "$T/json"
	[[ $(device "$URI_a") == "RUNNING "* ]]
}

@test "preflight of a socket with itself is misuse" {
	fails 2 "the same device" "$VFMIG" preflight vfio-user:/x vfio-user:/x
	fails 2 "1 of them given" "$VFMIG" preflight sim:dma
	fails 2 "not a size" "$VFMIG" preflight sim:dma sim:dma --wire-rate fast
}

SLOW=sim:dma,state=4M,save-rate=8M,dirty=200M

@test "a limit that cannot be kept is explained" {
	fails 4 ", 20 are allowed: reading the source is slowest, " \
		"$VFMIG" migrate --max-downtime 20 --max-rounds 2 $SLOW $SLOW
	[[ $(<"$T/err") == "vfmig: migrate: pre-copy: refused after 2 rounds: predicted "*" ms +-"* ]]
}

@test "--max-time and --on-limit" {
	fails 4 " s, 1.0 are allowed: " "$VFMIG" migrate --max-downtime 20 --max-time 1 $SLOW $SLOW
	"$VFMIG" migrate --json --max-downtime 20 --max-time 1 --on-limit force $SLOW $SLOW >"$T/json"
	jq -e '.ok and .forced and .limiting == "save" and .downtime_us > 20000 and
		.predicted_downtime_us > 20000 and .save_rate > 0 and .wire_rate > 0 and
		.load_rate > 0 and .told_wrong == false' "$T/json"
	fails 2 "--on-limit=maybe is not one of abort|force" \
		"$VFMIG" migrate --on-limit maybe $SLOW $SLOW
}
