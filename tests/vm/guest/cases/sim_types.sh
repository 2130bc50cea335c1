# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# All rules on our test device, with each protocol alone: what takes longer than a daily run should.

cases='
200 check_v2  check finds nothing wrong with v2 alone
200 check_v1  check finds nothing wrong with v1 alone
'

check_v2() {
	check_clean vfmig_sim-v2
}

check_v1() {
	check_clean vfmig_sim-v1
}
