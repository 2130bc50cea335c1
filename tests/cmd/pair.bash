# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck shell=bash disable=SC2154 # serve and start set variables by name
# shellcheck disable=SC2119,SC2120 # the argument of start_pair may be missing

# A move between two served devices that is disturbed, and whose device it is afterwards:
# one owner, or none while the word that gives it away was under way, and never two.
# The seed of the state tells whose device it is: 1 is the source's.

# Slow enough that every phase can be hit: arcs, pre-copy, loading.
DEVICE=sim:dma,state=1M,bar=8K,save-rate=16M,load-rate=32M,arc-us=12000
RECEIVE=() # options of both halves
SEND=()
MOMENTS=(0 20 50 75 85 90 95 98) # hundredths of the time of a whole move

start_pair() {
	serve a $DEVICE,seed=1
	serve b $DEVICE,seed=2
	"$SIMCTL" "$URI_a" step 7 >"$T/a.before"
	"$SIMCTL" "$URI_b" >"$T/b.before"
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	start_ready receiver "$T/port" "$VFMIG" receive "${RECEIVE[@]}" "$URI_b" "unix:$T/wire.sock" 2>"$T/receive.err"
	start sender "$VFMIG" send "${SEND[@]}" "$URI_a" "${1:-unix:$T/wire.sock}" 2>"$T/send.err"
	wait_until test ! -e "$T/wire.sock"
}

stop_pair() {
	join "$sender"
	sent=$status
	join "$receiver"
	received=$status
}

now_ms() {
	date +%s%3N
}

# at_moment N: N hundredths of the time of a whole move from now; it is the moment
# that is tested, not a wait for anything
at_moment() {
	local ms=$((took * $1 / 100))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# measure: how long a move takes that nobody disturbs
measure() {
	local begin
	start_pair
	begin=$(now_ms)
	stop_pair
	((sent == 0 && received == 0))
	took=$(($(now_ms) - begin))
	stop_servers
}

# one_owner: looks at both devices, and says which one it is
one_owner() {
	local a b before
	a=$(device "$URI_a")
	b=$(device "$URI_b")
	before=$(<"$T/a.before")
	if [[ $a == "$before" && $b == "$(<"$T/b.before")" ]]; then
		owner=source
	elif [[ $a == "$before" && $b == "STOP ${before#* }" ]]; then
		# killed when it had loaded all and might have been given the device at
		# any moment: it keeps what it has and stays stopped
		owner=source
	elif [[ $a == "STOP 1 "* && $b == "$(<"$T/a.before")" ]]; then
		owner=destination
	elif [[ $a == STOP?(_COPY)" 1 "* && ($b == "STOP 1 "* || $b == "RUNNING 2 "*) ]]; then
		# the source was killed when it had told its server to keep the device as it is,
		# and had perhaps not taken its last step
		owner=none
	else
		echo "source: $a"
		echo "destination: $b"
		false
	fi
}

# recover_both ASKS ANSWERS URI...: folders, and the devices that are to be free before
recover_both() {
	local asks=$1 answers_in=$2
	shift 2
	for uri in "$@"; do
		wait_until idle "$uri"
	done
	start_ready answers "$T/ready.said" "$VFMIG" recover --listen "unix:$T/r.sock" "$answers_in" >"$T/r.out" 2>&1
	"$VFMIG" recover --peer "unix:$T/r.sock" "$asks" >"$T/q.out" 2>&1 || {
		cat "$T/q.out"
		return 1
	}
	join "$answers"
	if ((status)); then cat "$T/r.out"; fi
	((status == 0))
}

# cut_pair N: a move whose connection is cut at that moment
cut_pair() {
	start proxy socat "UNIX-LISTEN:$T/proxy.sock" "UNIX-CONNECT:$T/wire.sock,retry=100,interval=0.05"
	wait_until test -S "$T/proxy.sock"
	start_pair "unix:$T/proxy.sock"
	at_moment "$1"
	kill -KILL "$proxy" 2>/dev/null || true
	join "$proxy"
	rm -f "$T/proxy.sock"
	stop_pair
}

# cut_at_moments: cut the connection at each of them, and look whose the device is
cut_at_moments() {
	local n
	measure
	for n in "${MOMENTS[@]}"; do
		cut_pair "$n"
		one_owner
		stop_servers
	done
}

# at_moments VICTIM SIGNAL: VICTIM is the name of a variable with a process id
at_moments() {
	local victim=$1 signal=$2 owners="" n
	measure
	for n in "${MOMENTS[@]}"; do
		start_pair
		at_moment "$n"
		kill "-$signal" "${!victim}" 2>/dev/null || true
		stop_pair
		one_owner
		owners+=" $owner"
		if [[ $signal == TERM ]]; then
			# in order, it is always clear who owns it, and both sides know
			[[ $owner != none ]]
			[[ $owner == source && $sent == 1 && $received == 1 ]] ||
				[[ $owner == destination && $received == 0 ]]
		fi
		stop_servers
	done
	echo "# $victim, $signal, in $took ms:$owners" >&3
	# the first moment at least is before the end
	[[ $owners == " source"* ]]
}
