# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# The modules of a machine, in the order in which they are loaded: VFIO, and a device to
# migrate. VFIO is Debian's own ("stock"), or ("cdev") the same sources built with iommufd and character
# devices, which no kernel of Debian for amd64 has. These options change nothing that
# the rest of the kernel knows of, only what VFIO's modules and drivers know of each other; so all of
# them are built together, and only those fit each other.

# The options, for C and for make.
readonly cdev_flags='-DCONFIG_IOMMUFD_MODULE=1 -DCONFIG_IOMMUFD_DRIVER_MODULE=1 -DCONFIG_VFIO_DEVICE_CDEV=1 -DCONFIG_INTERVAL_TREE_SPAN_ITER=1'
readonly cdev_make='CONFIG_IOMMUFD=m CONFIG_VFIO_DEVICE_CDEV=y CONFIG_VFIO_PCI_CORE='

# Prints files of modules, first to load first.
vfio_modules() { # RELEASE STACK MODULES
	local release=$1 stack=$2 module
	case $stack in
	stock) stock_stack "$release" ;;
	cdev) cdev_stack "$release" || return ;;
	esac
	for module in ${3//,/ }; do
		case $module in
		vfmig_sim) our_module "$release" "$stack" ;;
		mtty) sample_module "$release" "$stack" ;;
		*) die "there is no module $module" ;;
		esac || return
	done
}

stock_stack() { # RELEASE
	local module file
	for module in $stock_modules; do
		file=$(kernel_dir "$1")/modules/$module.ko
		[[ ! -f $file ]] || echo "$file"
	done
}

# ---- ours ------------------------------------------------------------------

our_module() { # RELEASE STACK
	local dir=$work/modules/$1-$2 extra=()
	[[ $2 != cdev ]] || {
		cdev_stack "$1" >/dev/null || return
		extra=("KCFLAGS=$cdev_flags -I$(cdev_dir "$1")/include" "KBUILD_EXTRA_SYMBOLS=$(cdev_symbols "$1")")
	}
	mkdir -p "$dir"
	cp -rpu "$top/module/." "$dir/"
	quietly "$dir.log" build_modules "$1" "$dir" "${extra[@]}" || die "vfmig_sim cannot be built for $1"
	echo "$dir/vfmig_sim.ko"
}

# ---- what is built of the kernel's own source -----------------------------

readonly source_paths='drivers/iommu/iommufd drivers/vfio samples/vfio-mdev/mtty.c lib/interval_tree.c drivers/iommu/iommu-priv.h'

# The source of a release, and of it only what is wanted here.
source_dir() { # RELEASE
	local version file dir
	version=$(our_apt apt-cache show "linux-headers-$1" | sed -n 's/^Version: //p' | head -n 1)
	file=$(fetch alone "linux-source-$(cut -d. -f1,2 <<<"$1")=$version") || exit
	dir=$cache/source-$version
	make_once "$dir" unpack_source "$file" || return
	echo "$dir"
}

unpack_source() { # FILE DIR
	local paths=()
	# shellcheck disable=SC2086 # a list of paths
	mapfile -t paths < <(printf '*/%s\n' $source_paths)
	dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ --wildcards --strip-components=1 -C "$2" -f - "${paths[@]}"
}

sample_module() { # RELEASE STACK
	local dir source extra=()
	dir=$(kernel_dir "$1")/mtty-$2
	# one source does for all releases of a series: the sample knows nothing of VFIO's inside
	source=$(source_dir "$(release_of "$(cut -d. -f1,2 <<<"$1")")") || return
	[[ $2 != cdev ]] || extra=("KCFLAGS=$cdev_flags" "KBUILD_EXTRA_SYMBOLS=$(cdev_symbols "$1")")
	make_once "$dir" build_sample "$1" "$source" "$dir" "${extra[@]}" || die "mtty cannot be built for $1"
	echo "$dir/mtty.ko"
}

build_sample() { # RELEASE SOURCE FINAL_DIR MAKE_ARGUMENT... DIR
	local release=$1 source=$2 dir=${!#}
	cp "$source/samples/vfio-mdev/mtty.c" "$dir/"
	echo 'obj-m := mtty.o' >"$dir/Makefile"
	quietly "$3.log" build_modules "$release" "$dir" "${@:4:$#-4}"
}

# ---- VFIO with iommufd and character devices -------------------------------

cdev_dir() { # RELEASE
	echo "$(kernel_dir "$1")/cdev"
}

cdev_symbols() { # RELEASE
	echo "$(cdev_dir "$1")/Module.symvers"
}

cdev_stack() { # RELEASE
	local dir source
	dir=$(cdev_dir "$1")
	source=$(source_dir "$1") || return
	make_once "$dir" build_cdev "$1" "$source" || die "VFIO with iommufd cannot be built for $1"
	printf '%s\n' "$(kernel_dir "$1")/modules/irqbypass.ko" \
		"$dir/iommu/iommufd/iommufd.ko" "$dir/vfio/vfio.ko" \
		"$dir/vfio/vfio_iommu_type1.ko" "$dir/vfio/mdev/mdev.ko"
}

# Kernels keep the bitmap and the iterator in their own image: here they are parts of iommufd.
build_cdev() { # RELEASE SOURCE DIR
	local release=$1 source=$2 dir=$3 iommufd=$3/iommu/iommufd
	mkdir -p "$dir/iommu" "$dir/vfio"
	cp -r "$source"/drivers/iommu/{iommufd,iommu-priv.h} "$dir/iommu/"
	cp -r "$source/drivers/vfio/." "$dir/vfio/"
	sed '/^EXPORT_SYMBOL/d' "$source/lib/interval_tree.c" >"$iommufd/span_iter.c"
	echo 'iommufd-y += iova_bitmap.o span_iter.o' >>"$iommufd/Makefile"
	echo 'obj-m := iommu/iommufd/ vfio/' >"$dir/Makefile"
	# shellcheck disable=SC2086 # several options
	KCFLAGS=$cdev_flags quietly "$dir.log" build_modules "$release" "$dir" $cdev_make
}
