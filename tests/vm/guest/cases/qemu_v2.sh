# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# QEMU 10, a client of protocol v2, on both sides of our test device.

cases='
60  moves       state, memory and DMA arrive, over the states of v2 with P2P and pre-copy
60  both        the same with a device that has v1 as well
60  iommufd     the same by its character device
60  stop_copy   a device without pre-copy and P2P is moved
60  paused      a source that was paused is moved, and stays paused
60  cancel      a migration is cancelled in pre-copy, and the source runs on
60  two         two devices in one machine are moved, with P2P
30  refuses_v1  a device that has v1 alone is refused, and QEMU says so
'

readonly running='RUNNING_P2P RUNNING'
readonly source_states="$running PRE_COPY PRE_COPY_P2P STOP_COPY STOP_COPY STOP"
readonly destination_states="RESUMING $running"

move_one() { # TYPE
	sim_pair "$1" 10 10
	migrate_whole src dst
	sim_expect dst dev0
	expect "what the source did" "$(trace_states src)" "$source_states"
	expect "what the destination did" "$(trace_states dst)" "$destination_states"
}

moves() {
	move_one vfmig_sim-v2
}

both() {
	move_one vfmig_sim-both
}

iommufd() {
	local a b
	has_cdev || skip_case "this kernel has no iommufd"
	a=$(new_device vfmig_sim-v2) b=$(new_device vfmig_sim-v2)
	qemu_start src 10 "$a,iommufd=io" -object iommufd,id=io
	# shellcheck disable=SC2046 # two words
	qemu_start dst 10 "$b,iommufd=io" -object iommufd,id=io $(incoming)
	release_from_precopy src
	sim_begin src dev0
	sim_fill src dev0 1
	sim_as_at dst src dev0
	migrate_whole src dst
	sim_expect dst dev0
}

stop_copy() {
	set_module_param features 1
	sim_pair vfmig_sim-v2 10 10
	migrate_whole src dst
	sim_expect dst dev0
	expect_match "what the source did" "$(trace_states src)" '^RUNNING STOP STOP_COPY STOP$'
}

paused() {
	sim_pair vfmig_sim-v2 10 10
	hmp src stop
	migrate_begin src
	wait_for 60 "the migration to be completed" is_migrate_status src completed
	wait_for 30 "the destination to be there, paused" is_run_state dst paused
	hmp dst cont
	wait_for 30 "the destination to run" is_run_state dst running
	sim_expect dst dev0
}

cancel() {
	sim_pair vfmig_sim-v2 10 10
	hold_in_precopy src
	migrate_begin src
	wait_for 60 "pre-copy to begin" is_migrate_status src active
	hmp src migrate_cancel
	wait_for 60 "the migration to be cancelled" is_migrate_status src cancelled
	is_run_state src running || fail "the source does not run: $reply"
	sim_expect src dev0
	expect "what the source did" "$(trace_states src)" "$running PRE_COPY RUNNING"
}

two() {
	local devices more option
	option=$(tracking 10)
	devices="$(new_device vfmig_sim-v2)$option $(new_device vfmig_sim-v2)$option"
	more="$(new_device vfmig_sim-v2)$option $(new_device vfmig_sim-v2)$option"
	qemu_start src 10 "$devices"
	# shellcheck disable=SC2046 # two words
	qemu_start dst 10 "$more" $(incoming)
	two_in_one
}

refuses_v1() {
	local a
	a=$(new_device vfmig_sim-v1)
	qemu_spawn src 10 -device "$(device_option 10 "$a" dev0)"
	wait_for 30 "QEMU 10 to end" gone "${qemu_pid[src]}"
	expect_match "what it says" "$(cat "$case_dir/src.err")" "VFIO migration is not supported in kernel"
}
