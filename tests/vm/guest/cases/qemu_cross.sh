# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Across the protocols: a device that has both, QEMU 7.2 on one side and QEMU 10 on the
# other. They understand each other's streams, because what is in them is the device's own.

cases='
60  old_to_new  QEMU 7.2, by v1, moves the device to QEMU 10, by v2
60  new_to_old  QEMU 10, by v2, moves the device to QEMU 7.2, by v1
60  there_back  the device goes from v1 to v2 and back to v1
'

old_to_new() {
	sim_pair vfmig_sim-both 7.2 10
	migrate_whole src dst
	sim_expect dst dev0
	expect "what the source did" "$(trace_states src)" '1 3 2 2 0'
	expect "what the destination did" "$(trace_states dst)" 'RESUMING RUNNING_P2P RUNNING'
}

new_to_old() {
	sim_pair vfmig_sim-both 10 7.2
	migrate_whole src dst
	sim_expect dst dev0
	expect "what the destination did" "$(trace_states dst)" '4 1'
}

there_back() {
	local c
	c=$(new_device vfmig_sim-both)
	sim_pair vfmig_sim-both 7.2 10
	migrate_whole src dst
	rm -f "$case_dir/migrate"
	release_from_precopy dst
	# shellcheck disable=SC2046 # two words
	qemu_start back 7.2 "$c" $(incoming)
	sim_as_at back src dev0
	migrate_whole dst back
	sim_expect back dev0
}
