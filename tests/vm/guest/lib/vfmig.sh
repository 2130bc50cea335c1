# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# The command under test, as cases call it.

# Each way into the kernel that there is here.
paths() {
	echo group
	! has_cdev || echo cdev
}

uri() { # UUID [PATH]
	echo "vfio:$1${2:+,path=$2}"
}

# How to make our test device work: a device of the kernel does not say of what model it is.
readonly sim_model=vfmig,sim-dma

# Nothing that check finds is acceptable here, whatever its severity.
check_clean() { # TYPE
	local path uri status
	for path in $(paths); do
		uri=$(uri "$(new_device "$1")" "$path") status=0
		vfmig check --quick --timeout=60 --exercise="$sim_model" "$uri" >"$case_dir/report" || status=$?
		grep -v '^skipped' "$case_dir/report"
		note "$1 by $path: $(grep -E '^[0-9]+ passed' "$case_dir/report")"
		expect "the exit status of check by $path" $status 0
		expect "how many findings there are by $path" "$(grep -cE '^[a-z0-9.-]+: (failed|hung|crashed)' "$case_dir/report")" 0
	done
}
