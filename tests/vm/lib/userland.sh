# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Programs that run inside a machine, and the emulator that runs the machine itself: all of
# them are Debian's packages, unpacked into one folder that the host's own libraries
# have no part in. Only vfmig is ours; it is linked statically, so that it can be built on
# any host and run there.
#
# QEMU is there twice: 7.2, which speaks protocol v1, and 10, which speaks v2. The second one runs on
# the libraries of the first.

readonly qemu_v1=7.2 qemu_v2=10
userland_dir= # set by userland()

userland() {
	local files newer
	files=$(fetch closure "qemu-system-x86=1:$qemu_v1*" busybox-static bash) || exit
	newer=$(fetch alone {qemu-system-x86,qemu-system-common,qemu-system-data}/"$suite-backports") || exit
	userland_dir=$cache/userland-$(digest_of "$files" "$newer")
	make_once "$userland_dir" unpack_userland "$files" "$newer"
	busybox=$userland_dir/root/bin/busybox
	check_libraries
}

unpack_userland() { # FILES FILES_OF_THE_NEWER_QEMU DIR
	local file
	while read -r file; do
		unpack "$file" "$3/root" || return
	done <<<"$1"
	while read -r file; do
		unpack "$file" "$3/qemu-$qemu_v2" || return
	done <<<"$2"
}

qemu_program() { # VERSION
	case $1 in
	"$qemu_v1") echo "$userland_dir/root/usr/bin/qemu-system-x86_64" ;;
	*) echo "$userland_dir/qemu-$1/usr/bin/qemu-system-x86_64" ;;
	esac
}

# Run a program of that folder on this host, with its own loader and libraries.
foreign() { # PROGRAM ARGUMENT...
	"$userland_dir/root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$(library_path)" "$@"
}

library_path() {
	echo "$userland_dir/root/lib/x86_64-linux-gnu:$userland_dir/root/usr/lib/x86_64-linux-gnu"
}

libraries_of() { # PROGRAM
	foreign --list "$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'
}

check_libraries() {
	local lost
	lost=$(foreign --list "$(qemu_program $qemu_v2)" | grep 'not found' || true)
	[[ -z $lost ]] || die "QEMU $qemu_v2 of $suite-backports lacks libraries: $lost"
}

# ---- the part of the initial file system that changes with packages alone ----

readonly bios_files='bios-256k.bin kvmvapic.bin linuxboot_dma.bin'

base_image() {
	base_cpio=$userland_dir/base.cpio
	[[ ! -f $base_cpio ]] || return 0
	rm -rf "$userland_dir/base"
	fill_base "$userland_dir/base" && pack "$userland_dir/base" "$base_cpio.new" &&
		mv "$base_cpio.new" "$base_cpio"
	rm -rf "$userland_dir/base"
}

fill_base() { # DIR
	local dir=$1 root=$userland_dir/root version lib=lib/x86_64-linux-gnu
	mkdir -p "$dir"/{bin,dev,proc,sys,tmp,run,etc,lib64,usr/bin,usr/share/qemu,usr/share/seabios}
	ln -s usr/lib "$dir/lib"
	mkdir -p "$dir/usr/lib/x86_64-linux-gnu/qemu"
	cp "$root/bin/busybox" "$root/bin/bash" "$dir/bin/"
	for version in $qemu_v1 $qemu_v2; do
		cp "$(qemu_program "$version")" "$dir/usr/bin/qemu-$version"
	done
	# shellcheck disable=SC2046 # a list of files
	cp -L $(for_each_program libraries_of | sort -u) "$dir/usr/lib/x86_64-linux-gnu/"
	cp "$root/$lib/ld-linux-x86-64.so.2" "$dir/lib64/"
	cp "$root/usr/$lib"/qemu/accel-tcg-x86_64.so "$dir/usr/$lib/qemu/"
	copy_bios "$root" "$dir"
	strip_base "$dir"
}

for_each_program() { # COMMAND
	local program
	for program in "$userland_dir/root/bin/bash" "$(qemu_program $qemu_v1)" "$(qemu_program $qemu_v2)"; do
		"$1" "$program"
	done
}

copy_bios() { # ROOT DIR
	local name file
	for name in $bios_files; do
		file=$(find "$1/usr/share" -name "$name" -type f | head -n 1)
		cp "$file" "$2/usr/share/qemu/"
		cp "$file" "$2/usr/share/seabios/"
	done
}

# What is unpacked in the machine's memory need not carry what only debuggers read.
strip_base() { # DIR
	find "$1/usr" -type f \( -name '*.so*' -o -name 'qemu-*' \) -exec strip --strip-unneeded {} + 2>/dev/null || true
}

# An archive that the kernel unpacks as its first file system.
pack() { # DIR FILE
	(cd "$1" && find . | sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$2"
}

# ---- vfmig -----------------------------------------------------------------

build_vfmig() {
	local dir=$work/vfmig
	[[ -f $dir/build.ninja ]] || quietly "$work/vfmig-setup.log" meson setup "$dir" "$top" \
		-Dtests=false -Dbench=false -Detcd=disabled -Dprefer_static=true \
		-Ddefault_library=static -Dc_link_args=-static -Dwerror=true || die "vfmig cannot be configured"
	quietly "$work/vfmig-build.log" ninja -C "$dir" -j2 vfmig || die "vfmig cannot be built"
	quietly "$work/simctl-build.log" build_simctl "$dir" || die "simctl cannot be built"
	quietly "$work/programs-build.log" build_programs "$dir" || die "the programs of the tier cannot be built"
}

# Programs of the tier itself, a file each.
build_programs() { # DIR
	local source
	mkdir -p "$1/programs"
	for source in "$here"/programs/*.c; do
		gcc -Wall -Wextra -Werror -static -o "$1/programs/$(basename "$source" .c)" "$source" || return
	done
}

# A program of the command's tests, which needs no more than the library.
build_simctl() { # DIR
	# shellcheck disable=SC2046 # a list of options
	gcc -D_GNU_SOURCE -I"$top/include" -static -o "$1/simctl" "$top/tests/cmd/simctl.c" \
		"$1/src/libvfmig.a" $(pkg-config --static --libs jansson libzstd openssl libxxhash) -lpthread
}
