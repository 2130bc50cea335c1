# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Mediated devices: made, found and removed through sysfs. A device is named by its UUID; those
# that a case makes are gone when it is over.

readonly mdev_class=/sys/class/mdev_bus mdev_devices=/sys/bus/mdev/devices

# The folder of a type, whatever parent provides it: "mtty-2", "vfmig_sim-v1".
type_dir() { # TYPE
	local dir
	for dir in "$mdev_class"/*/mdev_supported_types/"$1"; do
		[[ -d $dir ]] && echo "$dir" && return
	done
	skip_case "there are no devices of type $1 here"
}

# Make a device and print its UUID.
new_device() { # TYPE
	local uuid dir
	dir=$(type_dir "$1") || { echo "$dir" >&2; return 77; }
	uuid=$(cat /proc/sys/kernel/random/uuid)
	echo "$uuid" >"$dir/create" || return
	echo "$uuid"
}

remove_device() { # UUID
	echo 1 >"$mdev_devices/$1/remove"
}

remove_devices() {
	local dir
	for dir in "$mdev_devices"/*; do
		[[ ! -d $dir ]] || remove_device "${dir##*/}"
	done
}

device_attr() { # UUID NAME
	cat "$mdev_devices/$1/vfmig_sim/$2"
}

set_device_attr() { # UUID NAME VALUE
	echo "$3" >"$mdev_devices/$1/vfmig_sim/$2"
}

set_module_param() { # NAME VALUE
	echo "$2" >"/sys/module/vfmig_sim/parameters/$1"
}

# Character devices of VFIO exist where the kernel has iommufd.
has_cdev() {
	[[ -e /dev/iommu ]]
}

# Parameters as they were when the module was loaded; cases change what devices are made of.
readonly module_params=/run/vm/params

keep_params() {
	local file
	for file in /sys/module/vfmig_sim/parameters/*; do
		[[ ! -w $file ]] || printf '%s=%s\n' "${file##*/}" "$(cat "$file")"
	done >$module_params
}

restore_params() {
	local name value
	[[ -s $module_params ]] || return 0
	while IFS='=' read -r name value; do
		[[ "$(cat "/sys/module/vfmig_sim/parameters/$name")" == "$value" ]] || set_module_param "$name" "$value"
	done <$module_params
}
