# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck shell=bash disable=SC2154 # serve sets variables by name

# For all tests of the command. VFMIG and SIMCTL name the programs. Everything
# waits for a condition with a deadline; nothing that others started is ended.

: "${VFMIG:?is to be the program}" "${SIMCTL:?}" "${MKSTREAM:?}" "${MKCERTS:?}" "${MYDEV:?}" "${SOURCE_ROOT:?}"
DEADLINE=20 # seconds, for anything that should take none

setup() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/vfmig.XXXXXX")
	STARTED=()
	SERVERS=()
	MOUNTED=
}

teardown() {
	local pid bad=0 n
	# the last first: a bridge does not outlive the server that it is over
	for ((n = ${#SERVERS[@]} - 1; n >= 0; n--)); do
		pid=${SERVERS[n]}
		mine "$pid" || continue
		kill -TERM "$pid"
		wait_until gone "$pid" || bad=1
		if mine "$pid"; then kill -KILL "$pid"; fi
		# whatever was done to it, a server ends well
		wait "$pid" || bad=1
	done
	for pid in "${STARTED[@]}"; do
		mine "$pid" || continue
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null || true
	done
	if [[ -n $(jobs -pr) ]]; then
		echo "left running:"
		jobs -lr
		bad=1
	fi
	if ((bad)); then tail -n 50 "$T"/*.log; fi
	if [[ -n $MOUNTED ]]; then umount "$MOUNTED"; fi
	rm -rf "$T"
	return "$bad"
}

# mine PID: is a child of ours, and no other process that has the number by now
mine() {
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return
	# after the name: state, parent
	[[ ${stat##*) } == ?" $BASHPID "* ]]
}

# gone PID: has ended; it may still be waited for
gone() {
	[[ ! -e /proc/$1/stat || $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) == Z* ]]
}

# mounted FOLDER: to be unmounted at the end
mounted() {
	MOUNTED=$1
}

# start VAR COMMAND...: in the background; VAR gets the process id
start() {
	local -n pid_of=$1
	shift
	"$@" <&0 3>&- & # without <&0 it would have none
	pid_of=$!
	STARTED+=("$pid_of")
}

# start_ready VAR FILE COMMAND...: the same, until the command says ready on the
# descriptor that it is told by --ready-fd; what it says goes to FILE
start_ready() {
	local -n pid_out=$1
	local said=$2
	shift 2
	rm -f "$T/ready" # a name for one use
	mkfifo "$T/ready"
	"$@" --ready-fd 9 9>"$T/ready" 3>&- &
	pid_out=$!
	STARTED+=("$pid_out")
	timeout "$DEADLINE" head -n 1 <"$T/ready" >"$said"
	[[ -s $said ]]
}

# serve NAME URI [OPTION...]: the device is then URI_NAME, the process PID_NAME
serve() {
	local name=$1 uri=$2
	shift 2
	declare -g "PID_$name=" "URI_$name=vfio-user:$T/$name.sock"
	start_ready "PID_$name" "$T/$name.ready" \
		"$VFMIG" serve "$@" "$uri" "$T/$name.sock" 2>"$T/$name.log"
	local -n server_pid=PID_$name
	SERVERS+=("$server_pid")
}

# stop_servers: a and b, which end well
stop_servers() {
	local pid
	for pid in "$PID_a" "$PID_b"; do
		kill -TERM "$pid"
		wait "$pid"
	done
}

# idle URI: the last user is gone
idle() {
	"$VFMIG" probe "$1" >/dev/null 2>&1
}

# wait_until COMMAND...: succeeds
wait_until() {
	local end=$((SECONDS + DEADLINE))
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.02
	done
}

# join PID: its exit code in $status, like run
join() {
	status=0
	wait "$1" || status=$?
}

# device URI: STATE SEED CHANGES DIGEST; the last user may be on its way out
device() {
	wait_until device_once "$1"
	cat "$T/device"
}

device_once() {
	"$SIMCTL" "$1" >"$T/device" 2>"$T/device.err"
}

# fails CODE TEXT COMMAND...: exit code, one line on standard error with TEXT in it
fails() {
	local code=$1 text=$2
	shift 2
	local out
	status=0
	"$@" >"$T/out" 2>"$T/err" || status=$?
	out=$(<"$T/err")
	if [[ $status != "$code" || $out != vfmig:* || $out != *"$text"* || $out == *$'\n'* ]]; then
		echo "wanted $code and \"$text\", got $status and: $out"
		return 1
	fi
}
