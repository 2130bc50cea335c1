# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# One machine: its initial file system, its run under the emulator, and the end of that. The
# console of the kernel and the lines of the tests have a serial port, and so a file, each,
# so that neither tears the other apart. What the files mean is for judge.sh.
#
# Times in tables are those of a host that does nothing else, and are multiplied by our patience.
#
# Processors are emulated, never virtualised: the same on every host, and no /dev/kvm needed.

# What the machine is told and given beside the base: scripts, modules, vfmig.
fill_machine() { # DIR NAME GROUPS MODULE_FILE...
	local dir=$1 name=$2 groups=$3 module
	shift 3
	mkdir -p "$dir/bin" "$dir/vm/modules"
	cp -r "$here/guest/." "$dir/vm/"
	ln -s vm/init "$dir/init"
	cp "$work/vfmig/vfmig" "$work/vfmig/simctl" "$work"/vfmig/programs/* "$dir/bin/"
	strip "$dir/bin/vfmig" "$dir/bin/simctl"
	for module; do
		cp "$module" "$dir/vm/modules/"
		basename "$module" >>"$dir/vm/modules/order"
	done
	printf 'machine_name=%s\nmachine_groups="%s"\nmachine_patience=%d\n' "$name" "${groups//,/ }" \
		"$patience" >"$dir/vm/machine"
}

make_initrd() { # DIR NAME GROUPS MODULE_FILE...
	local dir=$1
	shift
	rm -rf "$dir/root"
	fill_machine "$dir/root" "$@" && pack "$dir/root" "$dir/machine.cpio" &&
		cat "$base_cpio" "$dir/machine.cpio" >"$dir/initrd" &&
		rm -rf "$dir/root" "$dir/machine.cpio"
}

# Boot and wait. A machine that is not through in time is ended; that is its status, 124.
run_machine() { # DIR KERNEL_IMAGE MEGABYTES SECONDS
	local dir=$1 kernel=$2 megabytes=$3 seconds=$4 status=0
	rm -f "$dir"/{console,results,emulator}.log
	emulate "$seconds" -m "$megabytes" -kernel "$kernel" -initrd "$dir/initrd" \
		-append "console=ttyS0 loglevel=6 panic=-1 rdinit=/init" \
		-serial "file:$dir/console.log" -serial "file:$dir/results.log" \
		>"$dir/emulator.log" 2>&1 || status=$?
	rm -f "$dir/initrd"
	return $status
}

# The emulator is a child of `timeout`, which ends it by its id, and us ending ends that.
emulate() { # SECONDS ARGUMENT...
	local seconds=$1 status=0 pid share=$userland_dir/root/usr/share
	shift
	QEMU_MODULE_DIR=$userland_dir/root/usr/lib/x86_64-linux-gnu/qemu \
		timeout --kill-after=5 "$((seconds * patience))" \
		"$userland_dir/root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$(library_path)" \
		"$(qemu_program "$qemu_v1")" -L "$share/qemu" -L "$share/seabios" \
		-accel tcg,thread=multi -machine pc -cpu max -smp 2 -nodefaults -nic none -display none \
		-no-reboot "$@" &
	pid=$!
	trap 'kill "$pid" 2>/dev/null' EXIT
	wait "$pid" || status=$?
	trap - EXIT
	return $status
}
