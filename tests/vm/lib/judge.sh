# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# What a machine's run is worth: its tests, read from the lines that it wrote, and three more
# that are the host's: that it ended by itself, that it told of as many tests as it meant to,
# and that its kernel had nothing to complain about. A machine that says nothing passes nothing.

# What a kernel says when something is wrong with it, or with a module.
readonly complaints='WARNING:|BUG:|BUG at|Oops|Call Trace|general protection fault|Kernel panic|INFO: task .* blocked|possible recursive locking|possible circular locking|soft lockup|rcu: INFO|refcount_t:|UBSAN|KASAN|leaked|Unable to handle'

# Prints a line for each test, and at the end "PASSED FAILED SKIPPED".
judge() { # NAME DIR STATUS COMPLAINT
	local name=$1 dir=$2 status=$3 complaint=$4
	passed=0 failed=0 skipped=0
	[[ -f $dir/results.log ]] || : >"$dir/results.log"
	judge_tests "$name" "$dir/results.log"
	judge_end "$name" "$status"
	judge_plan "$name" "$dir/results.log"
	judge_kernel "$name" "$dir/console.log" "$complaint"
}

judge_tests() { # NAME RESULTS
	local line
	while IFS= read -r line; do
		line=${line%$'\r'}
		case $line in
		'ok '*'# SKIP'*) count skipped "$1" "$line" ;;
		'ok '*) count passed "$1" "$line" ;;
		'not ok '*) count failed "$1" "$line" ;;
		'# '*) echo "    $line" ;;
		esac
	done <"$2"
}

count() { # COUNTER MACHINE LINE
	printf -v "$1" '%d' $((${!1} + 1))
	printf '%s: %s\n' "$2" "$3"
}

judge_end() { # NAME STATUS
	case $2 in
	0) count passed "$1" "ok - the machine ended by itself" ;;
	124 | 137) count failed "$1" "not ok - the machine hung and was ended from outside" ;;
	*) count failed "$1" "not ok - the emulator ended with status $2" ;;
	esac
}

judge_plan() { # NAME RESULTS
	local planned told
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$2" | tail -n 1)
	told=$(grep -cE '^(not )?ok ' "$2" || true)
	if [[ -n $planned ]] && ((planned == told && told > 0)); then
		count passed "$1" "ok - all $told tests told how they ended"
	else
		count failed "$1" "not ok - ${planned:-an unknown number of} tests were meant, $told told how they ended"
	fi
}

# A machine that is there to crash its kernel must have done it, or its tests have proven nothing.
judge_kernel() { # NAME CONSOLE COMPLAINT
	local found
	[[ -f $2 ]] || : >"$2"
	found=$(grep -aE "$complaints" "$2" || true)
	if [[ ! -s $2 ]]; then
		count failed "$1" "not ok - the kernel said nothing"
	elif [[ $3 != - ]]; then
		judge_complaint "$1" "$2" "$3" "$found"
	elif [[ -n $found ]]; then
		count failed "$1" "not ok - the kernel has nothing to complain about"
		head -n 20 <<<"$found" | sed 's/^/    # /'
	else
		count passed "$1" "ok - the kernel has nothing to complain about"
	fi
}

judge_complaint() { # NAME CONSOLE COMPLAINT FOUND
	if [[ -n $4 ]] && grep -qaE "$3" "$2"; then
		count passed "$1" "ok - the kernel complains of $3, as it is meant to"
	else
		count failed "$1" "not ok - the kernel does not complain of $3"
	fi
}
