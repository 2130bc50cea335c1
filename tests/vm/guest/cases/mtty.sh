# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# vfmig on the kernel's sample device mtty.

cases='
30 probe      probe tells what it can do, by each way into the kernel
'

probe() {
	local a path
	a=$(new_device mtty-1)
	for path in $(paths); do
		vfmig probe "$(uri "$a" "$path")" || fail "probe by $path"
	done
}
