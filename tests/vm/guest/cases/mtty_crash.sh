# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# mtty crashes the kernel when it is left in RESUMING, opened again, and told to go on: its state
# outlives the user, its session does not (docs/findings.md). There is no device afterwards, and not
# much of a machine: so this one is for nothing else.

cases='
30 refuses  vfmig does not go on with a device that it finds in RESUMING, and says why
60 crash    who does is killed, and the machine ends all the same
'

group_of() { # UUID
	readlink -f "$mdev_devices/$1/iommu_group"
}

refuses() {
	local a group text status=0
	a=$(new_device mtty-1)
	group=$(group_of "$a")
	left-in-resuming "/dev/vfio/${group##*/}" "$a" leave
	text=$(simctl "$(uri "$a")" state RUNNING 2>&1) || status=$?
	expect "how it ends" $status 1
	expect_match "what it says" "$text" "must be reset first"
}

crash() {
	local a group status=0
	a=$(new_device mtty-1)
	group=$(group_of "$a")
	timeout -k 5 60 left-in-resuming "/dev/vfio/${group##*/}" "$a" || status=$?
	expect "how the program ends, which is killed" $status 137
}
