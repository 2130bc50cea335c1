# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# vfmig on our kernel test device, by each way into the kernel that there is. `simctl` is the small
# program of the command's tests, which changes the device's state and tells its digest.

cases='
30  probe      probe tells the protocols of each type, and that nothing keeps it from migrating
60  file       state goes to a file and into another device, which then saves the same file
60  v1_file    the same over the migration region, trapped, mapped and partitioned
60  migrate    it is moved to another device, with its state
60  cross      it is moved from v1 to v2, and from v2 to v1
30  software   an image of the software device loads into the kernel one, and the other way
60  served     it is served over vfio-user, and moved from there
30  refused    an image that is truncated, damaged or of another device is refused
120 check      check finds nothing wrong with a device that has both protocols
120 bugs       check finds each of these bugs of drivers in the kernel
'

# What differs between two devices that should be the same: their digests.
digest_of() { # URI
	local line
	line=$(simctl "$1") || fail "simctl $1"
	echo "${line##* }"
}

probe() {
	local type path text
	for type in v1 v2 both; do
		for path in $(paths); do
			text=$(vfmig probe "$(uri "$(new_device vfmig_sim-$type)" "$path")") || fail "probe $type by $path"
			echo "$text"
			expect_match "what probe says of $type by $path" "$text" "STOP_COPY"
		done
	done
}

through_file() { # TYPE
	local a b path
	for path in $(paths); do
		a=$(uri "$(new_device "$1")" "$path") b=$(uri "$(new_device "$1")" "$path")
		simctl "$a" step 7
		vfmig save "$a" "$case_dir/one"
		vfmig verify "$case_dir/one"
		vfmig load "$b" "$case_dir/one"
		vfmig save "$b" "$case_dir/two"
		cmp "$case_dir/one" "$case_dir/two" || fail "by $path, the loaded device saves something else"
	done
}

file() {
	through_file vfmig_sim-v2
}

v1_file() {
	local how
	for how in 0 1 2; do
		set_module_param section_map $how
		through_file vfmig_sim-v1
	done
}

move() { # FROM_TYPE TO_TYPE
	local a b path
	for path in $(paths); do
		a=$(uri "$(new_device "$1")" "$path") b=$(uri "$(new_device "$2")" "$path")
		simctl "$a" step 7
		vfmig save "$a" "$case_dir/before"
		vfmig migrate "$a" "$b"
		vfmig save "$b" "$case_dir/after"
		cmp "$case_dir/before" "$case_dir/after" || fail "by $path, $1 to $2, something else arrived"
	done
}

migrate() {
	move vfmig_sim-v2 vfmig_sim-v2
	move vfmig_sim-v1 vfmig_sim-v1
}

cross() {
	move_cross vfmig_sim-v1 vfmig_sim-v2
	move_cross vfmig_sim-v2 vfmig_sim-v1
}

# Files of v1 and v2 differ, for chunks are kept: digests do not.
move_cross() { # FROM_TYPE TO_TYPE
	local a b was
	a=$(uri "$(new_device "$1")") b=$(uri "$(new_device "$2")")
	simctl "$a" step 7
	was=$(digest_of "$a")
	vfmig migrate "$a" "$b"
	expect "the digest of what arrived" "$(digest_of "$b")" "$was"
}

# The software device with the sizes that modules are loaded with here.
software() {
	local a soft=sim:dma,state=256K,initial=64K,bar=64K
	set_module_param iobar N
	a=$(uri "$(new_device vfmig_sim-v2)")
	simctl "$a" step 7
	vfmig save "$a" "$case_dir/kernel"
	vfmig load $soft "$case_dir/kernel"
	vfmig save $soft "$case_dir/soft"
	vfmig load "$a" "$case_dir/soft"
}

served() {
	local a b
	a=$(uri "$(new_device vfmig_sim-v2)") b=$(uri "$(new_device vfmig_sim-v2)")
	simctl "$a" step 7
	vfmig save "$a" "$case_dir/before"
	vfmig serve "$a" "$case_dir/socket" &
	own $!
	wait_for 20 "the server's socket" test -S "$case_dir/socket"
	vfmig migrate "vfio-user:$case_dir/socket" "$b"
	vfmig save "$b" "$case_dir/after"
	cmp "$case_dir/before" "$case_dir/after" || fail "something else arrived"
}

refused() {
	local a
	a=$(uri "$(new_device vfmig_sim-v2)")
	vfmig save "$a" "$case_dir/good"
	head -c 100000 "$case_dir/good" >"$case_dir/short"
	expect_status 1 vfmig load "$a" "$case_dir/short"
	set_module_param state 512K
	expect_status 3 vfmig load "$(uri "$(new_device vfmig_sim-v2)")" "$case_dir/good"
	vfmig load "$a" "$case_dir/good"
}

check() {
	check_clean vfmig_sim-both
}

# Bugs that can be seen through the kernel and our client of it, which keeps some from whoever comes
# after: it does not believe flags of pre-copy that nobody agreed on, for one. Bug of the module, type, and the rule that is about it.
bugs_table='
truncated-accepted       v2  v2.damage.truncated-refused
oversize-accepted        v2  v2.damage.oversize-refused
reset-keeps-state        v2  v2.reset.to-running
precopy-position-lost    v2  v2.image.precopy-continues
initial-zero             v2  v2.precopy.initial-not-zero
size-negative            v2  v2.size.sane
dma-after-stop           v2  v2.stop.no-dma
irq-after-stop           v2  v2.irq.none-when-stopped
v1-no-pre-copy           v1  v1.state.pre-copy
v1-reserved-bits-taken   v1  v1.state.reserved-is-no-index
v1-sticky-zero           v1  v1.save.zero-and-back
'

bugs() {
	local bug type rule device missed=
	while read -r bug type rule; do
		[[ -n $bug ]] || continue
		device=$(new_device "vfmig_sim-$type")
		set_device_attr "$device" fault "$bug"
		vfmig check --timeout=60 --exercise="$sim_model" --rule="$rule" "$(uri "$device")" >"$case_dir/report" 2>&1 || true
		grep -qE "^$rule: (failed|hung|crashed)" "$case_dir/report" || { missed+=" $bug" && cat "$case_dir/report"; }
	done <<<"$bugs_table"
	[[ -z $missed ]] || fail "not found by its rule:$missed"
}
