# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck shell=bash disable=SC2154 # start sets variables by name

# An etcd of the test's own, and hosts in namespaces of its own. With `on store` in front the same
# etcd is one between these hosts.

ETCD=          # its address
etcd_on=()     # where it runs: nothing, or on NAME
etcd_host=127.0.0.1
etcd_scheme=http
etcd_tls=()
hosts=()

# A port that is free now; whoever takes it meanwhile makes etcd end, and another is tried.
some_port() {
	echo $((20000 + RANDOM % 12000))
}

etcd_up() {
	[[ $(etcd_ask /v3/kv/range '{"key":"AA=="}' 2>/dev/null) == *'"header"'* ]]
}

etcd_up_or_gone() {
	gone "$etcd" || etcd_up
}

run_etcd() {
	start etcd "${etcd_on[@]}" etcd --data-dir "$T/etcd" --name n \
		--listen-client-urls "$ETCD" --advertise-client-urls "$ETCD" \
		--listen-peer-urls "http://$etcd_host:$etcd_peer_port" \
		--initial-advertise-peer-urls "http://$etcd_host:$etcd_peer_port" \
		--initial-cluster "n=http://$etcd_host:$etcd_peer_port" \
		--log-level error "${etcd_tls[@]}" >>"$T/etcd.log" 2>&1
	if [[ $etcd_scheme == https ]]; then
		# whoever has a certificate can ask it; here it need only listen
		wait_until etcd_listens
	else
		wait_until etcd_up_or_gone
	fi
	! gone "$etcd"
}

etcd_listens() {
	gone "$etcd" || (exec 5<>"/dev/tcp/$etcd_host/$etcd_port") 2>/dev/null
}

# etcd_with_tls: the next that is started; certificates are then in $T/tls
etcd_with_tls() {
	etcd_scheme=https
	mkdir "$T/tls"
	"$MKCERTS" "$T/tls"
	etcd_tls=(--cert-file "$T/tls/destination/cert.pem" --key-file "$T/tls/destination/key.pem"
		--trusted-ca-file "$T/tls/destination/ca.pem" --client-cert-auth)
}

# start_etcd: its address is then $ETCD; a test that cannot have one is skipped
start_etcd() {
	local n
	command -v etcd >/dev/null || skip "no etcd"
	[[ $("$VFMIG" migrate --journal / --etcd x sim:dma sim:dma 2>&1) != *"built without etcd"* ]] ||
		skip "built without etcd"
	for n in 1 2 3 4 5; do
		etcd_port=$(some_port)
		etcd_peer_port=$(some_port)
		ETCD=$etcd_scheme://$etcd_host:$etcd_port
		rm -rf "$T/etcd"
		if run_etcd; then return 0; fi
		wait "$etcd" || true
	done
	tail -n 20 "$T/etcd.log"
	return 1
}

stop_etcd() {
	kill -TERM "$etcd"
	wait "$etcd" || true
}

kill_etcd() {
	kill -KILL "$etcd"
	wait "$etcd" 2>/dev/null || true
}

restart_etcd() {
	run_etcd
}

# etcd_ask PATH BODY: what it answers, without TLS
etcd_ask() {
	# shellcheck disable=SC2016 # it is the other shell that expands
	"${etcd_on[@]}" bash -c '
		exec 5<>"/dev/tcp/$1/$2" || exit
		printf "POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" "$3" "${#4}" "$4" >&5
		sed "1,/^\r*$/d" <&5' ask "$etcd_host" "$etcd_port" "$1" "$2"
}

# etcd_value KEY
etcd_value() {
	etcd_ask /v3/kv/range "{\"key\":\"$(printf %s "$1" | base64 -w 0)\"}" |
		jq -r '.kvs[0].value' | base64 -d
}

etcd_keys() {
	etcd_ask /v3/kv/range '{"key":"AA==","range_end":"AA==","keys_only":true}' |
		jq -r '.kvs[].key | @base64d'
}

etcd_remove() {
	etcd_ask /v3/kv/deleterange "{\"key\":\"$(printf %s "$1" | base64 -w 0)\"}" >/dev/null
}

# ---- hosts -----------------------------------------------------------------

# on HOST COMMAND...: in its namespace
on() {
	local pid="host_$1"
	shift
	nsenter --net="/proc/${!pid}/ns/net" -- "$@"
}

host() { # NAME
	start "host_$1" unshare --net sleep 600
	local pid="host_$1"
	hosts+=("$1")
	wait_until other_net "${!pid}"
	on "$1" ip link set lo up
}

other_net() {
	[[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]
}

# have_hosts: a and b, with the store's between them that passes on what they say
have_hosts() {
	local pid
	command -v ip nsenter unshare >/dev/null && unshare --net true 2>/dev/null || return
	host store
	for name in a b; do
		host $name
		pid=host_$name
		on store ip link add "to-$name" type veth peer name eth netns "${!pid}" || return
	done
	on store ip addr add 10.91.1.1/24 dev to-a
	on store ip addr add 10.91.2.1/24 dev to-b
	on a ip addr add 10.91.1.2/24 dev eth
	on b ip addr add 10.91.2.2/24 dev eth
	hosts_joined
}

# The links, and the routes that are gone when a link was down.
hosts_joined() {
	local n=0 name
	for name in a b; do
		n=$((n + 1))
		on store ip link set "to-$name" up
		on "$name" ip link set eth up
		on "$name" ip route replace default via "10.91.$n.1"
	done
	on store sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

# a and b do not hear each other any more, and both the store.
hosts_parted() {
	on store sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
}

# Its address is the same for both; each has a link to it.
start_etcd_between() {
	etcd_on=(on store)
	etcd_host=10.91.1.1
	start_etcd
}

# start_apart: as start_pair, the halves on hosts a and b
start_apart() {
	serve a "$DEVICE,seed=1"
	serve b "$DEVICE,seed=2"
	"$SIMCTL" "$URI_a" step 7 >"$T/a.before"
	"$SIMCTL" "$URI_b" >"$T/b.before"
	wait_until idle "$URI_a"
	wait_until idle "$URI_b"
	start_ready receiver "$T/port" on b "$VFMIG" receive "${RECEIVE[@]}" "$URI_b" 10.91.2.2:0 2>"$T/receive.err"
	start sender on a "$VFMIG" send "${SEND[@]}" "$URI_a" "10.91.2.2:$(<"$T/port")" 2>"$T/send.err"
}
