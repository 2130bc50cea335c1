# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# mtty crashes the kernel when it is left in RESUMING, opened again, and told to go on: its state
# outlives the user, its session does not (docs/findings.md). There is no device afterwards, and not
# much of a machine: so this one is for nothing else.

cases='
60  crash  to be left in RESUMING and opened again kills who goes on, and the machine ends all the same
'

# simctl goes to a state, and then finds that the device is none that it knows.
crash() {
	local uri status=0
	uri=$(uri "$(new_device mtty-1)")
	simctl "$uri" state RESUMING || true
	timeout -k 5 60 simctl "$uri" state RUNNING || status=$?
	expect "how simctl ends, who is killed" $status 137
}
