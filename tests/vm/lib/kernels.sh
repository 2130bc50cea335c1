# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Debian's kernels, unpacked, and modules built for them out of tree. A kernel is
# named by its release, `uname -r`, for example 6.1.0-50-amd64. Which modules are
# loaded into which machine is not decided here.

# What we take from the package of a kernel: VFIO as Debian builds it, and a disk for captures.
readonly stock_modules='irqbypass vfio vfio_virqfd vfio_iommu_type1 mdev'

# A release of a series, the newest, or with `<` behind the series the oldest that is there whole; of the
# kernels for all purposes: not for clouds, nor for real time.
release_of() { # SERIES
	local series=${1%<} release
	releases_of "$series" | if [[ $1 == *'<' ]]; then sort -V; else sort -rV; fi |
		while read -r release; do
			[[ -z $(kbuild_of "$release") ]] || { echo "$release" && break; }
		done
}

releases_of() { # SERIES
	our_apt apt-cache pkgnames "linux-image-$1." |
		grep -xE "linux-image-${1//./\\.}\\.[0-9]+(-[0-9]+)?([-+.](deb|bpo)[0-9.]*)*-amd64" |
		sed 's/^linux-image-//'
}

# The package with the tools that build modules: one for each release, or one for a series, by its headers'
# dependencies. Mirrors keep old images longer than these.
kbuild_of() { # RELEASE
	local name
	name=$(our_apt apt-cache show "linux-headers-$1" 2>/dev/null |
		sed -nE '/^Depends:/{s/.*(linux-kbuild-[^ ,]*).*/\1/p;q}')
	[[ -z $name ]] || our_apt apt-cache show "$name" 2>/dev/null | sed -n 's/^Package: //p' | head -n 1
}

kernel_dir() { # RELEASE
	echo "$cache/kernels/$1"
}

kernel_files() { # RELEASE
	fetch alone "linux-image-$1" "linux-headers-$1" "linux-headers-${1%-amd64}-common" "$(kbuild_of "$1")"
}

unpack_kernel() { # FILES DIR
	local file dir=$2
	while read -r file; do
		case ${file##*/} in
		linux-image-*) unpack_image "$file" "$dir" ;;
		*) unpack "$file" "$dir/headers" ;;
		esac || return
	done <<<"$1"
}

unpack_image() { # FILE DIR
	local module paths=()
	for module in $stock_modules; do
		paths+=("./lib/modules/*/$module.ko*" "./lib/modules/*/${module//_/-}.ko*")
	done
	# a kernel need not have all of them
	unpack "$1" "$2/image" './boot/vmlinuz-*' "${paths[@]}" 2>/dev/null || true
	mkdir -p "$2/modules"
	find "$2/image/lib" -name '*.ko.xz' -exec xz -d {} +
	find "$2/image/lib" -name '*.ko' | while read -r module; do
		cp "$module" "$2/modules/$(basename "$module" | tr - _)"
	done
	mv "$2"/image/boot/vmlinuz-* "$2/vmlinuz"
	rm -rf "$2/image"
}

# Headers mean to lie in /usr/src; a kernel that was moved is made anew.
kernel() { # RELEASE
	local dir files
	dir=$(kernel_dir "$1")
	[[ "$(cat "$dir/made-for" 2>/dev/null)" != "$dir" ]] || { touch "$dir" && return; }
	rm -rf "$dir"
	files=$(kernel_files "$1") || exit
	make_once "$dir" unpack_kernel "$files"
	sed -i "s|/usr/src/|$dir/headers/usr/src/|" "$dir/headers/usr/src/linux-headers-$1/Makefile"
	[[ -s $dir/vmlinuz && -s $dir/modules/vfio.ko ]] || die "linux-image-$1 has not what is expected in it"
	echo "$dir" >"$dir/made-for"
}

# Build the modules of a folder, whose Makefile is one of the kernel's kind. Type
# information is not wanted: it needs a tool that nothing else does.
build_modules() { # RELEASE FOLDER MAKE_ARGUMENT...
	local release=$1 folder=$2
	shift 2
	make -C "$(kernel_dir "$release")/headers/usr/src/linux-headers-$release" -j2 M="$folder" \
		CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules
	find "$folder" -name '*.ko' -exec strip -g {} +
}
