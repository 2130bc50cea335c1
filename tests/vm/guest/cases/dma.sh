# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# DMA during pre-copy: what the device writes into the guest's memory after that memory was sent must
# be sent again, and nothing but the dirty log knows of it. Each claim has a control run beside it,
# with a device whose fault must make the same comparison fail: a comparison that never fails proves nothing.

cases='
60  v1_ring      QEMU 7.2, the container log: memory arrives as a busy device left it
60  v1_control   the same with a device that writes on after STOP is seen to be wrong
60  v2_ring      QEMU 10: memory arrives as a busy device left it
60  v2_control   the same with a log that loses pages is seen to be wrong
'

# A device that writes all the time, moved: both sides stand still when their memories are compared.
ring_moves() { # TYPE VERSION
	sim_pair "$1" "$2" "$2" -S
	hold_in_precopy src
	ring_start src dev0 2000000
	migrate_begin src
	wait_for 60 "pre-copy to have sent all once" has_rounds src 2
	release_from_precopy src
	wait_for 90 "the migration to be completed" is_migrate_status src completed
	# the source has sent all of it, and the destination may still be reading
	wait_for 30 "the destination to have loaded all" is_run_state dst paused
	save_memory src "$RING_AREA" "$RING_BYTES" "$case_dir/src.mem"
	save_memory dst "$RING_AREA" "$RING_BYTES" "$case_dir/dst.mem"
}

has_rounds() { # NAME COUNT
	local rounds=0
	qmp "$1" '{"execute":"query-migrate"}' || fail "query-migrate: $reply"
	[[ ! $reply =~ \"dirty-sync-count\":\ ([0-9]+) ]] || rounds=${BASH_REMATCH[1]}
	((rounds >= $2))
}

# Pages that differ are told, for whoever has to find out why.
same_memory() {
	cmp -s "$case_dir/src.mem" "$case_dir/dst.mem" && return
	echo "pages that differ, and bytes of each:"
	cmp -l "$case_dir/src.mem" "$case_dir/dst.mem" | awk '{ n[int(($1 - 1) / 4096)]++ } END { for (p in n) print p, n[p] }'
	return 1
}

# The ring goes on where it was, and finds what it needs in its memory.
ring_goes_on() {
	local count
	count=$(ring_count dst dev0)
	hmp dst cont
	wait_for 30 "the ring to go on" ring_beyond "$count"
	((count > 0)) || fail "the ring had written nothing"
}

ring_beyond() { # COUNT
	(($(ring_count dst dev0) > $1))
}

not_empty() {
	[[ -n $(tr -d '\0' <"$case_dir/src.mem" | head -c 1) ]] || fail "the device has written nothing"
}

v1_ring() {
	ring_moves vfmig_sim-v1 7.2
	not_empty
	same_memory || fail "the destination's memory is not the source's"
	ring_goes_on
}

v1_control() {
	set_module_param fault dma-after-stop
	ring_moves vfmig_sim-v1 7.2
	! same_memory || fail "a device that writes after STOP was not noticed"
}

v2_ring() {
	ring_moves vfmig_sim-v2 10
	not_empty
	same_memory || fail "the destination's memory is not the source's"
	ring_goes_on
}

v2_control() {
	has_cdev || skip_case "this kernel cannot report what a device has logged"
	set_module_param fault log-loses-pages
	ring_moves vfmig_sim-v2 10
	! same_memory || fail "a log that loses pages was not noticed"
}
