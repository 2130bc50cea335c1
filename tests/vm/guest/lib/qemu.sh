# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
#
# Real QEMUs as clients of a device, inside the machine. Each has a short name ("src"), a control
# channel (QMP over a pair of pipes), and a trace of what it did to its device's migration. No guest
# system runs in them: the BIOS assigns addresses, and the monitor plays the processor, through I/O ports.
#
# QEMU 7.2 speaks protocol v1, 10 speaks v2. The machine type is the oldest one for both, or they
# would not take each other's streams.

declare -A qemu_pid qmp_in qmp_out

# What makes QEMU of this version migrate a device.
migration_option() { # VERSION
	case $1 in
	7.2) echo x-enable-migration=on ;;
	*) echo enable-migration=on ;;
	esac
}

# Options of -device for the UUID, with what follows it: "UUID,x-device-dirty-page-tracking=off".
device_option() { # VERSION UUID[,OPTION...] ID
	local uuid=${2%%,*} more=${2#"${2%%,*}"}
	echo "vfio-pci,id=$3,sysfsdev=$mdev_devices/$uuid,$(migration_option "$1")$more"
}

# Start one. Devices are separated by blanks. Further arguments go to QEMU.
qemu_start() { # NAME VERSION 'DEVICE...' ARGUMENT...
	local name=$1 version=$2 number=0 device devices=()
	for device in $3; do
		devices+=(-device "$(device_option "$version" "$device" dev$number)")
		number=$((number + 1))
	done
	shift 3
	qemu_spawn "$name" "$version" "${devices[@]}" "$@"
	wait_for 20 "QEMU $version ($name) to speak: $(tail -n 3 "$case_dir/$name.err")" qemu_spoke "$name"
	qmp "$name" '{"execute":"qmp_capabilities"}'
}

qemu_spawn() { # NAME VERSION ARGUMENT...
	local name=$1 version=$2 in out
	shift 2
	mkfifo "$case_dir/$name.in" "$case_dir/$name.out"
	exec {in}<>"$case_dir/$name.in" {out}<>"$case_dir/$name.out"
	qmp_in[$name]=$in qmp_out[$name]=$out
	"qemu-$version" -L /usr/share/qemu -nodefaults -display none -no-user-config \
		-machine pc-i440fx-7.2,accel=tcg -cpu qemu64 -m 32 \
		-chardev "pipe,id=qmp,path=$case_dir/$name" -mon chardev=qmp,mode=control \
		-trace vfio_migration_set_state -D "$case_dir/$name.trace" \
		"$@" </dev/null >"$case_dir/$name.err" 2>&1 {in}>&- {out}>&- &
	qemu_pid[$name]=$!
	own "${qemu_pid[$name]}"
}

# Its greeting is there, or it died and will not greet.
qemu_spoke() { # NAME
	gone "${qemu_pid[$1]}" && fail "QEMU ($1) ended: $(cat "$case_dir/$1.err")"
	local line
	read -rt 0.2 line <&"${qmp_out[$1]}" && [[ $line == '{"QMP"'* ]]
}

# One command of QMP; what it returns is in `reply`.
qmp() { # NAME JSON
	local until=$((SECONDS + 30)) line
	printf '%s\n' "$2" >&"${qmp_in[$1]}"
	while ((SECONDS < until)); do
		read -rt 1 line <&"${qmp_out[$1]}" || {
			gone "${qemu_pid[$1]}" && fail "QEMU ($1) ended at $2: $(cat "$case_dir/$1.err")"
			continue
		}
		line=${line%$'\r'}
		case $line in
		'{"return"'*) reply=${line#'{"return": '} && reply=${reply%'}'} && return ;;
		'{"error"'*) reply=$line && return 1 ;;
		esac
	done
	fail "QEMU ($1) does not answer $2"
}

# One command of the monitor for people; prints what it says.
hmp() { # NAME COMMAND
	qmp "$1" "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"$2\"}}" ||
		fail "QEMU ($1), $2: $reply"
	reply=${reply#\"} reply=${reply%\"}
	reply=${reply//'\r'/} reply=${reply//'\"'/'"'}
	printf '%b' "$reply"
}

# ---- ports and memory, as the processor sees them ---------------------------

# Number of a device on the bus, and the port where one of its BARs is.
pci_block() { # NAME ID
	hmp "$1" 'info pci' | awk -v id="id \"$2\"" '/^ *Bus/ { block = "" } { block = block $0 "\n" } index($0, id) { print block }'
}

pci_number() { # NAME ID
	pci_block "$1" "$2" | sed -n 's/^ *Bus *[0-9]*, device *\([0-9]*\),.*/\1/p'
}

io_port() { # NAME ID BAR
	pci_block "$1" "$2" | sed -n "s/^ *BAR$3: I\/O at \(0x[0-9a-f]*\) .*/\1/p" | grep -v 0xffffffffffffffff
}

# The BIOS has given the device its ports.
wait_for_bios() { # NAME ID BAR
	wait_for 60 "the BIOS of $1 to assign BAR$3 of $2" has_port "$@"
}

has_port() { # NAME ID BAR
	local port
	port=$(io_port "$@")
	[[ $port == 0x* && $port != 0x0 ]]
}

out() { # NAME SIZE PORT VALUE
	hmp "$1" "o /$2 $3 $4" >/dev/null
}

# Prints the value, in hexadecimal as QEMU has it: 0x0000002a.
in_port() { # NAME SIZE PORT
	hmp "$1" "i /$2 $3" | sed -n 's/.*= //p' | tr -d ' \n'
}

# ---- migration -------------------------------------------------------------

migrate_status() { # NAME
	qmp "$1" '{"execute":"query-migrate"}' || fail "query-migrate: $reply"
	[[ $reply =~ \"status\":\ \"([a-z-]*)\" ]] && echo "${BASH_REMATCH[1]}"
}

migrate_begin() { # NAME
	qmp "$1" "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$case_dir/migrate\"}}" || fail "migrate: $reply"
}

incoming() {
	echo "-incoming unix:$case_dir/migrate"
}

is_migrate_status() { # NAME STATUS
	local now
	now=$(migrate_status "$1")
	[[ $now != failed || $2 == failed ]] || fail "the migration failed: $(cat "$case_dir"/*.err)"
	[[ $now == "$2" ]]
}

run_state() { # NAME
	qmp "$1" '{"execute":"query-status"}' || fail "query-status: $reply"
	[[ $reply =~ \"status\":\ \"([a-z-]*)\" ]] && echo "${BASH_REMATCH[1]}"
}

is_run_state() { # NAME STATE
	[[ $(run_state "$1") == "$2" ]]
}

migrate_whole() { # SOURCE DESTINATION
	migrate_begin "$1"
	wait_for 90 "the migration to be completed" is_migrate_status "$1" completed
	wait_for 30 "the destination to run" is_run_state "$2" running
}

# States that QEMU has put its device into, in order, as words (v2) or numbers (v1), blanks between.
trace_states() { # NAME
	sed -n 's/.*vfio_migration_set_state .*) \(new \)\?state \([A-Z0-9_]*\).*/\2/p' "$case_dir/$1.trace" | tr '\n' ' ' | sed 's/ $//'
}
