#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) vfmig authors
# shellcheck disable=SC2154 # serve, start and stop_pair set variables by name
# shellcheck disable=SC2034 # SEND and RECEIVE are for start_pair

# send and receive over TLS, who is refused and why, and what receive makes of strangers

load common
load pair

SMALL=sim:dma,state=1M

certs() {
	mkdir "$T/tls"
	"$MKCERTS" "$T/tls"
}

# receive ADDRESS [OPTION...]: in the background, $receiver; $port once it listens
receive() {
	local address=$1
	shift
	start_ready receiver "$T/port" "$VFMIG" receive "$@" $SMALL "$address" \
		>"$T/receive.out" 2>"$T/receive.err"
	port=$(<"$T/port")
}

has_ipv6() {
	[[ -e /proc/net/if_inet6 ]] && grep -q ' lo$' /proc/net/if_inet6
}

@test "TLS over IPv4, IPv6 and a unix socket" {
	certs
	addresses=(127.0.0.1:0 localhost:0)
	if has_ipv6; then addresses+=("[::1]:0"); fi
	for address in "${addresses[@]}"; do
		receive "$address" --tls "$T/tls/destination" --json
		"$VFMIG" send --tls "$T/tls/source" --json $SMALL "${address%0}$port" >"$T/send.out"
		join "$receiver"
		[[ $status == 0 && ! -s $T/receive.err ]]
		jq -e '.ok and .committed' "$T/send.out"
		jq -e '.ok and .committed and .state == "RUNNING"' "$T/receive.out"
	done
	# a path is no name that a certificate could be for
	receive "unix:$T/wire.sock" --tls "$T/tls/destination" --tls-peer source.example
	fails 2 "--tls-peer gives one" "$VFMIG" send --tls "$T/tls/source" $SMALL "unix:$T/wire.sock"
	"$VFMIG" send --tls "$T/tls/source" --tls-peer localhost $SMALL "unix:$T/wire.sock"
	join "$receiver"
	[[ $status == 0 && ! -s $T/receive.err ]]
}

@test "who is refused, and why, on both sides" {
	certs
	# SOURCE DESTINATION CODE TEXT TEXT-OF-THE-DESTINATION
	while IFS='|' read -r source destination code says logs; do
		receive 0 ${destination:+--tls "$T/tls/$destination"}
		fails "$code" "$says" "$VFMIG" send ${source:+--tls "$T/tls/$source"} $SMALL "127.0.0.1:$port"
		wait_until grep -qF "$logs" "$T/receive.err"
		[[ $(wc -l <"$T/receive.err") == 1 ]]
		# it waits for the next one
		kill -TERM "$receiver"
		join "$receiver"
		[[ $status == 1 ]]
	done <<-END
		source||3|we want TLS, and the destination has none|the source wants TLS, and we have none
		|destination|3|the destination wants TLS, and we have none|we want TLS, and the source has none
		source|elsewhere|1|the certificate of 127.0.0.1 is for DNS:elsewhere.example|the source refuses our certificate
		source|expired|1|certificate has expired|the source refuses our certificate: certificate expired
		source|stranger|1|the certificate of the destination is refused|the source refuses our certificate
		expired|destination|1|the destination refuses our certificate: certificate expired|certificate has expired
		stranger|destination|1|the certificate of the destination is refused|the source refuses our certificate
	END
}

@test "only the source that was named is taken" {
	certs
	receive 0 --tls "$T/tls/destination" --tls-peer source.example
	fails 1 "the destination refuses our certificate" \
		"$VFMIG" send --tls "$T/tls/elsewhere" $SMALL "127.0.0.1:$port"
	"$VFMIG" send --tls "$T/tls/source" $SMALL "127.0.0.1:$port"
	join "$receiver"
	[[ $status == 0 ]]
	grep -q 'still listening: connection of 127.0.0.1 port [0-9]*: .*the certificate of source.example is for DNS:elsewhere.example' \
		"$T/receive.err"
}

@test "receive goes on listening after strangers, and not for ever" {
	receive "unix:$T/wire.sock"
	for n in 1 2 3; do
		echo "GET / HTTP/1.1" | socat - "UNIX-CONNECT:$T/wire.sock" || true
	done
	"$VFMIG" send $SMALL "unix:$T/wire.sock"
	join "$receiver"
	[[ $status == 0 && $(grep -c "still listening: connection of process [0-9]*: .*does not speak" "$T/receive.err") == 3 ]]
	receive "unix:$T/wire.sock" --quiet
	for n in {1..16}; do
		echo "GET / HTTP/1.1" | socat - "UNIX-CONNECT:$T/wire.sock" || true
	done
	join "$receiver"
	[[ $status == 1 && $(wc -l <"$T/receive.err") == 1 ]]
	grep -q "setup: the source does not speak the protocol of vfmig" "$T/receive.err"
}

@test "files that are wrong are told" {
	certs
	fails 1 "No such file" "$VFMIG" receive --tls "$T/none" $SMALL 0
	chmod 644 "$T/tls/destination/key.pem"
	fails 1 "is open to others than its owner (mode 0644)" \
		"$VFMIG" receive --tls "$T/tls/destination" $SMALL 0
	cp "$T/tls/source/key.pem" "$T/tls/elsewhere/key.pem"
	fails 1 "is not the key of" "$VFMIG" send --tls "$T/tls/elsewhere" $SMALL 127.0.0.1:1
	fails 2 "--tls-peer without --tls" "$VFMIG" send --tls-peer a $SMALL 127.0.0.1:1
	fails 2 "--tls is empty" "$VFMIG" send --tls= $SMALL 127.0.0.1:1
}

@test "with TLS addresses beyond this machine need no leave" {
	certs
	fails 2 "--insecure allows it" "$VFMIG" receive $SMALL 0.0.0.0:0
	receive 0.0.0.0:0 --tls "$T/tls/destination"
	"$VFMIG" send --tls "$T/tls/source" $SMALL "127.0.0.1:$port"
	join "$receiver"
	[[ $status == 0 ]]
}

@test "a connection over TLS is cut at any moment" {
	command -v socat >/dev/null || skip "no socat"
	certs
	RECEIVE=(--tls "$T/tls/destination")
	SEND=(--tls "$T/tls/source" --tls-peer localhost)
	cut_at_moments
}

@test "source and destination are killed while TLS protects them" {
	certs
	RECEIVE=(--tls "$T/tls/destination")
	SEND=(--tls "$T/tls/source" --tls-peer localhost)
	MOMENTS=(0 50 90)
	at_moments sender KILL
	at_moments receiver KILL
}

@test "a rate is kept, and tells the length of the stop" {
	# 4M at 8M a second: half a second, which no limit on the downtime of 100 ms allows
	fails 4 "100 are allowed: the wire is slowest, 8.0 MiB/s (assumed)" "$VFMIG" migrate --rate=8M --max-downtime=100 sim:dma,state=4M,features=1 sim:dma,state=4M
	"$VFMIG" migrate --json --rate=16M $SMALL $SMALL >"$T/json"
	jq -e '.bytes_per_second > 0 and .bytes_per_second < 25000000' "$T/json"
	fails 2 "is not between" "$VFMIG" migrate --rate=1 $SMALL $SMALL
}
