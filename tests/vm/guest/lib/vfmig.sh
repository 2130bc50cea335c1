# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# The command under test, as cases call it.

# Each way into the kernel that there is here.
paths() {
	echo group
	! has_cdev || echo cdev
}

uri() { # UUID [PATH]
	echo "vfio:$1${2:+,path=$2}"
}
