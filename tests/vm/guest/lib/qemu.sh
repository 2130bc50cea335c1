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

# Start one and wait until it answers. Devices are separated by blanks. Further arguments go to QEMU.
qemu_start() { # NAME VERSION 'DEVICE...' ARGUMENT...
	qemu_launch "$@"
	qemu_greet "$1"
}

# Start one, and let it begin while something else is done.
qemu_launch() { # NAME VERSION 'DEVICE...' ARGUMENT...
	local name=$1 version=$2 number=0 device devices=()
	for device in $3; do
		devices+=(-device "$(device_option "$version" "$device" dev$number)")
		number=$((number + 1))
	done
	shift 3
	qemu_spawn "$name" "$version" "${devices[@]}" "$@"
}

qemu_spawn() { # NAME VERSION ARGUMENT...
	local name=$1 version=$2 in out
	shift 2
	mkfifo "$case_dir/$name.in" "$case_dir/$name.out"
	exec {in}<>"$case_dir/$name.in" {out}<>"$case_dir/$name.out"
	qmp_in[$name]=$in qmp_out[$name]=$out
	"qemu-$version" -L /usr/share/qemu -nodefaults -display none -no-user-config \
		-machine pc-i440fx-7.2,accel=tcg -cpu qemu64 -m 32 \
		-chardev "file,id=bios,path=$case_dir/$name.bios" -device isa-debugcon,iobase=0x402,chardev=bios \
		-chardev "pipe,id=qmp,path=$case_dir/$name" -mon chardev=qmp,mode=control \
		-trace vfio_migration_set_state -D "$case_dir/$name.trace" \
		"$@" </dev/null >"$case_dir/$name.err" 2>&1 {in}>&- {out}>&- &
	qemu_pid[$name]=$!
	own "${qemu_pid[$name]}"
}

qemu_greet() { # NAME
	qmp "$1" '{"execute":"qmp_capabilities"}' || fail "QEMU ($1): $reply"
}

# The next answer is in `reply`, without its wrapping; fails if it is an error. The greeting and
# events are passed over. A line may come in parts.
qmp_answer() { # NAME
	local until=$((SECONDS + 30 * machine_patience)) line='' part
	while ((SECONDS < until)); do
		read -rt 1 part <&"${qmp_out[$1]}" || {
			line+=$part
			! gone "${qemu_pid[$1]}" || fail "QEMU ($1) ended: $(cat "$case_dir/$1.err")"
			continue
		}
		line+=$part
		case $line in
		'{"return"'*) reply=${line#'{"return": '} && reply=${reply%$'\r'} && reply=${reply%'}'} && return ;;
		'{"error"'*) reply=$line && return 1 ;;
		esac
		line=
	done
	fail "QEMU ($1) does not answer: $line"
}

# One command of QMP; what it returns is in `reply`.
qmp() { # NAME JSON
	printf '%s\n' "$2" >&"${qmp_in[$1]}"
	qmp_answer "$1"
}

# Commands of the monitor for people; what each says is in `said`, an array. All are
# sent before the first answer is read, because each way there and back costs.
hmp() { # NAME COMMAND...
	local name=$1 command
	shift
	printf '{"execute":"human-monitor-command","arguments":{"command-line":"%s"}}\n' "$@" >&"${qmp_in[$name]}"
	said=()
	for command; do
		qmp_answer "$name" || fail "QEMU ($name), $command: $reply"
		reply=${reply#\"} reply=${reply%\"}
		reply=${reply//'\r\n'/$'\n'} said+=("${reply//'\"'/'"'}")
	done
}

# ---- ports and memory, as the processor sees them ---------------------------

# Where a device is: its number on the bus in `pci_number`, the port of a BAR in `pci_port`, or nothing.
pci_find() { # NAME ID BAR
	local line number='' port=''
	pci_number='' pci_port=''
	hmp "$1" 'info pci'
	while IFS= read -r line; do
		if [[ $line =~ Bus.*device\ +([0-9]+), ]]; then
			number=${BASH_REMATCH[1]} port=
		elif [[ $line =~ BAR$3:\ I/O\ at\ (0x[0-9a-f]+)\  ]]; then
			port=${BASH_REMATCH[1]}
		elif [[ $line == *"id \"$2\""* ]]; then
			pci_number=$number pci_port=$port
			return
		fi
	done <<<"${said[0]}"
}

# The BIOS has given devices their ports and found nothing to boot. Before that it works on the
# configuration space itself, and would not like company.
wait_for_bios() { # NAME ID BAR
	wait_for 30 "the BIOS of $1 to be through" is_through "$1"
	pci_find "$@"
	[[ $pci_port == 0x* && $pci_port != 0xffff* ]] || fail "BAR$3 of $2 has no port: ${said[0]}"
}

is_through() { # NAME
	[[ "$(<"$case_dir/$1.bios")" == *"No bootable device"* ]]
}

# What `i` said, in hexadecimal as QEMU has it: 0x0000002a.
port_value() { # TEXT
	[[ $1 =~ =\ (0x[0-9a-f]+) ]] || fail "a port gave \"$1\""
	echo "${BASH_REMATCH[1]}"
}

# ---- migration -------------------------------------------------------------

migrate_begin() { # NAME
	qmp "$1" "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$case_dir/migrate\"}}" || fail "migrate: $reply"
}

incoming() {
	echo "-incoming unix:$case_dir/migrate"
}

is_migrate_status() { # NAME STATUS
	local now=none
	qmp "$1" '{"execute":"query-migrate"}' || fail "query-migrate: $reply"
	[[ ! $reply =~ \"status\":\ \"([a-z-]*)\" ]] || now=${BASH_REMATCH[1]}
	[[ $now != failed || $2 == failed ]] || fail "the migration failed: $(cat "$case_dir"/*.err)"
	[[ $now == "$2" ]]
}

is_run_state() { # NAME STATE
	qmp "$1" '{"execute":"query-status"}' || fail "query-status: $reply"
	[[ $reply == *"\"status\": \"$2\""* ]]
}

migrate_whole() { # SOURCE DESTINATION
	migrate_begin "$1"
	wait_for 90 "the migration to be completed" is_migrate_status "$1" completed
	wait_for 60 "the destination to run" is_run_state "$2" running
}

# States that QEMU has put its device into, in order, as words (v2) or numbers (v1), blanks between.
trace_states() { # NAME
	sed -n 's/.*vfio_migration_set_state .*) \(new \)\?state \([A-Z0-9_]*\).*/\2/p' "$case_dir/$1.trace" | tr '\n' ' ' | sed 's/ $//'
}
