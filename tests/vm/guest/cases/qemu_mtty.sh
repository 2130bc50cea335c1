# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# The kernel's sample device mtty under real QEMUs. It speaks v2 alone, and does no DMA: its
# state is that of a serial port, of which the scratch register is one we can tell.
# Only a kernel with iommufd can report DMA that a device has logged; elsewhere QEMU tracks by other means.

cases='
60  v2_moves      QEMU 10 moves it to QEMU 10, over the states of v2 in their order
30  v1_refuses    QEMU 7.2 does not migrate a device that has v2 alone, and says so
'

# mtty offers DMA logging everywhere, also where the kernel cannot report it.
logging_option() {
	has_cdev || echo ,x-device-dirty-page-tracking=off
}

v2_moves() {
	local a b
	a=$(new_device mtty-1) b=$(new_device mtty-1)
	qemu_start src 10 "$a$(logging_option)"
	# shellcheck disable=SC2046 # two words
	qemu_start dst 10 "$b$(logging_option)" $(incoming)
	wait_for_bios src dev0 0
	hmp src "o /b $((pci_port + 7)) 0x5a"
	migrate_whole src dst
	hmp dst "i /b $((pci_port + 7))"
	expect "the scratch register" "$(port_value "${said[0]}")" 0x5a
	expect "what the source did" "$(trace_states src)" "RUNNING_P2P RUNNING PRE_COPY PRE_COPY_P2P STOP_COPY STOP_COPY STOP"
	expect "what the destination did" "$(trace_states dst)" "RESUMING RUNNING_P2P RUNNING"
}

v1_refuses() {
	local a
	a=$(new_device mtty-1)
	qemu_start src 7.2 "$a"
	! qmp src "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$case_dir/migrate\"}}" ||
		fail "QEMU 7.2 began to migrate it"
	expect_match "what it says" "$reply" "VFIO device doesn't support migration"
}
