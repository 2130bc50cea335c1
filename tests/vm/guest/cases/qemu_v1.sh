# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# QEMU 7.2, the last release but few with a client of protocol v1, on both sides of our test
# device. What it writes to device_state is known from its source (`Q7.2` in the names of
# tests elsewhere): the sequences below are what our v1 has to serve.

cases='
60  moves        state, memory and DMA arrive, and the states are those of v1 in their order
60  mapped       the same with a data section that is mapped
60  partitioned  the same with a data section of which half is mapped
60  both         the same with a device that has v2 as well
60  paused       a source that was paused is moved, and stays paused
60  cancel       a migration is cancelled in pre-copy, and the next one succeeds
60  file         a paused machine is saved to a file, goes on, and another one is loaded from it
60  two          two devices in one machine are moved
30  refuses_v2   a device that has v2 alone is not migrated, and QEMU says so
'

readonly source_states='1 3 2 2 0' destination_states='4 1'

move_one() { # TYPE
	sim_pair "$1" 7.2 7.2
	migrate_whole src dst
	sim_expect dst dev0
	expect "what the source did" "$(trace_states src)" "$source_states"
	expect "what the destination did" "$(trace_states dst)" "$destination_states"
}

moves() {
	move_one vfmig_sim-v1
}

mapped() {
	set_module_param section_map 1
	move_one vfmig_sim-v1
}

partitioned() {
	set_module_param section_map 2
	move_one vfmig_sim-v1
}

both() {
	move_one vfmig_sim-both
}

paused() {
	sim_pair vfmig_sim-v1 7.2 7.2
	hmp src stop
	migrate_begin src
	wait_for 60 "the migration to be completed" is_migrate_status src completed
	wait_for 30 "the destination to be there, paused" is_run_state dst paused
	expect "what the source did" "$(trace_states src)" '1 0 2 2 0'
	hmp dst cont
	wait_for 30 "the destination to run" is_run_state dst running
	sim_expect dst dev0
}

cancel() {
	sim_pair vfmig_sim-v1 7.2 7.2
	hold_in_precopy src
	migrate_begin src
	wait_for 60 "pre-copy to begin" is_migrate_status src active
	hmp src migrate_cancel
	wait_for 60 "the migration to be cancelled" is_migrate_status src cancelled
	is_run_state src running || fail "the source does not run: $reply"
	sim_expect src dev0
	expect_match "what the source did" "$(trace_states src)" '^1 3 1( 1)*$'
	# the first destination has ended with the migration
	wait_for 30 "the first destination to end" gone "${qemu_pid[dst]}"
	again
}

# Another destination, and a migration that is let through.
again() {
	local c
	c=$(new_device vfmig_sim-v1)
	rm -f "$case_dir/migrate"
	# shellcheck disable=SC2046 # two words
	qemu_start dst2 7.2 "$c" $(incoming)
	sim_as_at dst2 src dev0
	sim_fill src dev0 2
	release_from_precopy src
	migrate_whole src dst2
	sim_expect dst2 dev0
}

file() {
	local b
	b=$(new_device vfmig_sim-v1)
	qemu_start src 7.2 "$(new_device vfmig_sim-v1)"
	sim_begin src dev0
	sim_fill src dev0 1
	hmp src stop
	qmp src "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:cat>$case_dir/saved\"}}" || fail "$reply"
	wait_for 60 "the machine to be saved" is_migrate_status src completed
	hmp src cont
	sim_expect src dev0
	qemu_start dst 7.2 "$b" -incoming "exec:cat $case_dir/saved"
	sim_as_at dst src dev0
	wait_for 30 "the machine to be loaded, paused as it was" is_run_state dst paused
	hmp dst cont
	sim_expect dst dev0
}

two() {
	local devices more
	devices="$(new_device vfmig_sim-v1) $(new_device vfmig_sim-v1)"
	more="$(new_device vfmig_sim-v1) $(new_device vfmig_sim-v1)"
	qemu_start src 7.2 "$devices"
	# shellcheck disable=SC2046 # two words
	qemu_start dst 7.2 "$more" $(incoming)
	two_in_one
}

refuses_v2() {
	local a
	a=$(new_device vfmig_sim-v2)
	qemu_start src 7.2 "$a"
	! qmp src "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$case_dir/migrate\"}}" ||
		fail "QEMU 7.2 began to migrate it"
	expect_match "what it says" "$reply" "VFIO device doesn't support migration"
}
