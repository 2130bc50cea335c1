# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Claims and waiting. A claim that does not hold says what it wanted and what it found, and ends the
# case. Waiting is for a condition and has a limit; it is never for a time.

readonly case_dir=/run/vm/case case_log=/run/vm/case.log

fail() {
	echo "FAILED: $*"
	exit 1
}

skip_case() {
	echo "$*"
	exit 77
}

# For the reader of the results, also if all is well.
note() {
	echo "note: $*"
}

expect() { # WHAT FOUND WANTED
	[[ $2 == "$3" ]] || fail "$1 is \"$2\" and should be \"$3\""
}

expect_match() { # WHAT FOUND EXTENDED_REGEX
	[[ $2 =~ $3 ]] || fail "$1 is \"$2\" and should match \"$3\""
}

expect_status() { # STATUS COMMAND ARGUMENT...
	local wanted=$1 status=0
	shift
	"$@" || status=$?
	expect "the exit status of $1 ${2-}" "$status" "$wanted"
}

# Try until COMMAND succeeds, with 100 ms between, because what is waited for has no
# descriptor that a shell could wait on. Seconds are those of a host that does nothing else.
wait_for() { # SECONDS WHAT COMMAND ARGUMENT...
	local until=$((SECONDS + $1 * machine_patience)) what=$2
	shift 2
	until "$@"; do
		((SECONDS <= until)) || fail "waited in vain: $what"
		pause
	done
}

pause() {
	[[ -n ${idle-} ]] || {
		mkfifo "$case_dir/idle.$BASHPID"
		exec {idle}<>"$case_dir/idle.$BASHPID"
	}
	read -rt 0.1 <&"$idle" || true
}

# Processes of this case, to be ended with it.
own() { # PID
	echo "$1" >>"$case_dir/pids"
}

end_processes() {
	local pid
	[[ -f "$case_dir/pids" ]] || return 0
	while read -r pid; do
		kill -KILL "$pid" 2>/dev/null
	done <"$case_dir/pids"
	while read -r pid; do
		wait_for 10 "process $pid to be gone" gone "$pid"
	done <"$case_dir/pids"
}

gone() { # PID
	! kill -0 "$1" 2>/dev/null
}
