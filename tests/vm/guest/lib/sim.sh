# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Our kernel test device vfmig_sim inside a QEMU: its registers, through the window of I/O ports in BAR5,
# and what it does with them. module/README.md and docs/sim-dma.md have what the numbers mean.

# Registers, by their places in BAR0.
readonly SCRATCH=0x28 JOB_OP=0x80 JOB_STATUS=0xa8 JOB_ERROR=0xb0 JOB_RESULT=0xb8 JOB_DOORBELL=0xc8
readonly RING_IOVA=0x100 RING_CONTROL=0x128 RING_STATUS=0x130 RING_COUNT=0x140
readonly STATE_RATE=0x180 STATE_STEP=0x190 DIGEST_LATCH=0x1a0 DIGEST=0x1b0
readonly JOB_FILL=1 JOB_READ=2 JOB_WRITE=3 JOB_CHECKSUM=4

# Where in the guest's memory tests put things: beyond what the BIOS uses, and apart.
readonly AREA=0x1000000 AREA_SIZE=0x8000 SECOND_AREA=0x1100000 RING_AREA=0x1200000 RING_BYTES=0x80000

declare -A window

# The BIOS has assigned the window; from then on the device may do DMA.
sim_begin() { # NAME ID
	wait_for_bios "$1" "$2" 5
	window[$1.$2]=$pci_port
	# configuration mechanism 1: the command register, all of memory, ports and bus mastering
	hmp "$1" "o /w 0xcf8 $((0x80000004 | pci_number << 11))" 'o /h 0xcfc 7'
}

# The destination has everything where the source had it.
sim_as_at() { # DESTINATION SOURCE ID
	window[$1.$3]=${window[$2.$3]}
}

# Commands that write consecutive registers, each low half first: writing that begins what a register begins.
sim_write_commands() { # NAME ID REGISTER VALUE...
	local port=${window[$1.$2]} value
	commands+=("o /w $port $3")
	shift 3
	for value; do
		commands+=("o /w $((port + 8)) $((value & 0xffffffff))" "o /w $((port + 8)) $((value >> 32 & 0xffffffff))")
	done
}

sim_write() { # NAME ID REGISTER VALUE...
	local commands=()
	sim_write_commands "$@"
	hmp "$1" "${commands[@]}"
}

# So many halves from a register on, in hexadecimal, lowest first.
sim_read() { # NAME ID REGISTER [HALVES]
	local port=${window[$1.$2]} half text commands=()
	commands=("o /w $port $3")
	for ((half = 0; half < ${4:-1}; half++)); do
		commands+=("i /w $((port + 8))")
	done
	hmp "$1" "${commands[@]}"
	for text in "${said[@]:1}"; do
		port_value "$text"
	done | paste -sd ' ' -
}

job() { # NAME ID OPERATION IOVA LENGTH OFFSET SEED
	local status port=${window[$1.$2]} commands=()
	sim_write_commands "$1" "$2" "$JOB_OP" "$3" "$4" "$5" "$6" "$7"
	commands+=("o /w $port $JOB_DOORBELL" "o /w $((port + 4)) 1" "o /w $port $JOB_STATUS" "i /w $((port + 4))")
	hmp "$1" "${commands[@]}"
	status=$(port_value "${said[-1]}")
	((status == 2)) || fail "job $3 of $2 has status $status, error $(sim_read "$1" "$2" "$JOB_ERROR")"
}

checksum() { # NAME ID IOVA LENGTH
	job "$1" "$2" "$JOB_CHECKSUM" "$3" "$4" 0 0
	sim_read "$1" "$2" "$JOB_RESULT" 2
}

digest() { # NAME ID
	sim_write "$1" "$2" "$DIGEST_LATCH" 1
	sim_read "$1" "$2" "$DIGEST" 4
}

ring_start() { # NAME ID BYTES_A_SECOND
	sim_write "$1" "$2" "$RING_IOVA" "$RING_AREA" "$RING_BYTES" 7 "$3"
	sim_write "$1" "$2" "$RING_CONTROL" 1
	expect "whether the ring of $2 runs" "$(($(sim_read "$1" "$2" "$RING_STATUS")))" 1
}

ring_count() { # NAME ID
	echo $(($(sim_read "$1" "$2" "$RING_COUNT")))
}

# Something in each kind of state that a device has. What it must be elsewhere is in `was`.
declare -A was

sim_fill() { # NAME ID SEED
	sim_write "$1" "$2" "$SCRATCH" $((0xabcd0000 + $3))
	sim_write "$1" "$2" "$STATE_STEP" 5
	job "$1" "$2" "$JOB_FILL" "$AREA" "$AREA_SIZE" 0 "$3"
	job "$1" "$2" "$JOB_READ" "$AREA" "$AREA_SIZE" 0x2000 0
	was[$2.scratch]=$(sim_read "$1" "$2" "$SCRATCH")
	was[$2.memory]=$(checksum "$1" "$2" "$AREA" "$AREA_SIZE")
	was[$2.digest]=$(digest "$1" "$2")
}

sim_expect() { # NAME ID
	expect "the scratch register of $2" "$(sim_read "$1" "$2" "$SCRATCH")" "${was[$2.scratch]}"
	expect "the checksum of what $2 wrote to memory" "$(checksum "$1" "$2" "$AREA" "$AREA_SIZE")" "${was[$2.memory]}"
	expect "the digest of the state of $2" "$(digest "$1" "$2")" "${was[$2.digest]}"
	# its own memory, by way of memory that nobody has written yet
	job "$1" "$2" "$JOB_WRITE" "$SECOND_AREA" "$AREA_SIZE" 0x2000 0
	expect "the checksum of the memory bar of $2" "$(checksum "$1" "$2" "$SECOND_AREA" "$AREA_SIZE")" "${was[$2.memory]}"
}

# Two QEMUs, the second one waiting for the first; the first has a device with something in it.
sim_pair() { # TYPE SOURCE_VERSION DESTINATION_VERSION [DESTINATION_ARGUMENT...]
	local a b type=$1 from=$2 to=$3
	shift 3
	a=$(new_device "$type") b=$(new_device "$type")
	qemu_launch src "$from" "$a$(tracking "$from")"
	# shellcheck disable=SC2046 # two words
	qemu_launch dst "$to" "$b$(tracking "$to")" $(incoming) "$@"
	qemu_greet src
	qemu_greet dst
	release_from_precopy src
	sim_begin src dev0
	sim_fill src dev0 1
	sim_as_at dst src dev0
}

# QEMU 10 asks the device for what it wrote, or, without iommufd in the kernel, the container.
tracking() { # VERSION
	case $1 in
	7.2) ;;
	*) has_cdev || echo ,x-device-dirty-page-tracking=off ;;
	esac
}

# Keep a migration in pre-copy: the rest never fits what it may take.
hold_in_precopy() { # NAME
	hmp "$1" 'migrate_set_parameter max-bandwidth 200k' 'migrate_set_parameter downtime-limit 1'
}

# Let it end: QEMU 10 stops a device when what is left fits the limit at the bandwidth that it has seen,
# which in here is little.
release_from_precopy() { # NAME
	hmp "$1" 'migrate_set_parameter max-bandwidth 1000M' 'migrate_set_parameter downtime-limit 2000'
}

# Memory as the processor sees it, to a file.
save_memory() { # NAME ADDRESS SIZE FILE
	qmp "$1" "{\"execute\":\"pmemsave\",\"arguments\":{\"val\":$(($2)),\"size\":$(($3)),\"filename\":\"$4\"}}" ||
		fail "pmemsave: $reply"
}

# Both devices of src arrive in dst, each with what it had. The second fills the same memory last.
two_in_one() {
	release_from_precopy src
	sim_begin src dev0
	sim_begin src dev1
	sim_write src dev0 "$SCRATCH" 0x11110000
	sim_write src dev0 "$STATE_STEP" 3
	was[dev0.digest]=$(digest src dev0)
	sim_fill src dev1 2
	sim_as_at dst src dev0
	sim_as_at dst src dev1
	migrate_whole src dst
	expect "the scratch register of the first" "$(($(sim_read dst dev0 "$SCRATCH")))" $((0x11110000))
	expect "the digest of the first" "$(digest dst dev0)" "${was[dev0.digest]}"
	sim_expect dst dev1
}
