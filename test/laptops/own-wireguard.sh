#!/usr/bin/env bash
# Two machines keep the WireGuard that they have: `detour wg` carries its packets.
#
#	sudo test/laptops/own-wireguard.sh [PROGRAM [WIREGUARD-GO]]
#
# The machines stand in world.sh. Anna's WireGuard is the kernel's where it has one, and
# else the program wireguard-go, as ben's is in any case; wg sets both up. All that anna's
# machine sends has the default route through the tunnel, and a host beyond ben answers.
#
# It needs root on Linux, ip (iproute2), ping (iputils-ping), nc (netcat-openbsd), ss, wg
# (wireguard-tools) and wireguard-go.
source "$(dirname "$0")/world.sh"
wireguard_go=${2:-$(command -v wireguard-go)}
export STATE_DIRECTORY="$work/state" # of what is noted about endpoints
wga=wga-$id wgb=wgb-$id wgc=wgc-$id

# Sockets of wireguard-go are in the file system, which network namespaces share.
farewell() { rm -f "/var/run/wireguard/$wga.sock" "/var/run/wireguard/$wgb.sock" "/var/run/wireguard/$wgc.sock"; }

# wireguard SPACE NAME KEYFILE ADDRESS [KERNEL]: makes a WireGuard.
wireguard() {
	if [ "${5:-}" = kernel ] && ip -n "$1" link add "$2" type wireguard 2>/dev/null; then
		echo "== $2: the kernel's WireGuard"
	else
		echo "== $2: wireguard-go"
		ip netns exec "$1" "$wireguard_go" -f "$2" >"$2.log" 2>&1 &
		await "$2 is there" on "$1" wg show "$2"
	fi
	(umask 077 && wg genkey >"$3.key")
	on "$1" wg set "$2" private-key "$3.key"
	on "$1" ip addr add "$4/24" dev "$2"
	on "$1" ip link set "$2" mtu 1280 up
}

# public NAME: the public key of a key file.
public() { wg pubkey <"$1.key"; }

# endpoint SPACE NAME PEER: what WireGuard has.
endpoint() { on "$1" wg show "$2" endpoints | awk -v peer="$3" '$1 == peer { print $2 }'; }

# fails STATUS TEXT COMMAND...: it ends so, and says that.
fails() {
	local want=$1 text=$2 status=0
	shift 2
	"$@" >fails.log 2>&1 || status=$?
	[ "$status" -eq "$want" ] && grep -q "$text" fails.log && return
	echo "$* ended with status $status, want $want and \"$text\":" >&2
	exit 1
}

start_relay
start_coord
wireguard "$anna" "$wga" anna 10.9.0.1 kernel
wireguard "$ben" "$wgb" ben 10.9.0.2
a=$(public anna) b=$(public ben)
on "$anna" wg set "$wga" peer "$b" endpoint 198.51.100.7:51820 allowed-ips 10.9.0.2/32
on "$ben" wg set "$wgb" peer "$a" allowed-ips 10.9.0.1/32

echo "== with a coordinator: detour wg WG INVITE"
ip netns exec "$anna" "$detour" wg "$wga" "$invite" --name anna >anna.log 2>&1 &
detour_a=$!
ip netns exec "$ben" "$detour" wg "$wgb" "$invite" --name ben >ben.log 2>&1 &
detour_b=$!
await "anna knows where ben is" grep -q "peer $b (ben) at home in 901" anna.log
await "ben knows where anna is" grep -q "peer $a (anna) at home in 901" ben.log
await "a ping is answered" on "$anna" ping -c 1 -W 1 10.9.0.2
on "$anna" ping -c 3 -i 0.2 -W 10 10.9.0.2
[[ $(endpoint "$anna" "$wga" "$b") == 127.0.0.1:* ]]
[[ $(endpoint "$ben" "$wgb" "$a") == 127.0.0.1:* ]]
[ -z "$(grep -rl privkey state)" ] # the private key is WireGuard's alone
fails 1 'another "detour wg" stands before' on "$anna" "$detour" wg "$wga"

echo "== TCP through it"
head -c 20000000 /dev/urandom >sent
on "$ben" nc -N -l 10.9.0.2 22 >received &
listener=$!
await "ben listens" sh -c "ip netns exec $ben ss -Hltn 'sport = :22' | grep -q ."
on "$anna" nc -N -w 30 10.9.0.2 22 <sent
wait "$listener"
cmp sent received

echo "== a default route through the tunnel, as wg-quick makes it"
on "$ben" ip addr add 192.0.2.1/32 dev lo # a host beyond ben
on "$anna" wg set "$wga" fwmark 51820 peer "$b" allowed-ips 0.0.0.0/0
on "$anna" ip route add default dev "$wga" table 51820
on "$anna" ip rule add not fwmark 51820 table 51820
on "$anna" ip rule add table main suppress_prefixlength 0
await "the mark is followed" grep -q ' mark 0xca6c$' anna.log
on "$anna" ping -c 2 -i 0.2 -W 10 192.0.2.1
# outside: connections to relay and coordinator have the address of the wire, and none that
# of the tunnel.
outside() {
	local all
	all=$(on "$anna" ss -Htn state established dst 203.0.113.129)
	[[ $all == *" 203.0.113.6:"*":443"* ]]
	[[ $all == *" 203.0.113.6:"*":8443"* ]]
	[[ $all != *" 10.9.0.1:"* ]]
}
bytes() { on "$anna" cat /sys/class/net/eth0/statistics/tx_bytes; }
before=$(bytes)
on "$anna" ping -c 20 -i 0.1 -W 10 -q 192.0.2.1
on "$anna" ping -c 2 -i 0.2 -W 10 -q 10.9.0.2
after=$(($(bytes) - before))
echo "$after bytes on the wire for 22 pings of 84 bytes"
[ "$after" -lt 40000 ] # each is some 250 bytes on its way to the relay, and goes there once
outside # as before
on "$anna" ip route get 203.0.113.129 mark 51820 | grep -q eth0
on "$anna" ip route get 203.0.113.129 | grep -q "$wga" # all else goes into the tunnel
on "$anna" ping -c 1 -W 10 -q 203.0.113.10 # ben's wire, by way of the tunnel

echo "== connections made anew keep out of the tunnel, too"
kill "$relay_process"
wait "$relay_process" || true
start_relay
await "there is a way again" on "$anna" ping -c 1 -W 1 192.0.2.1
outside

echo "== somebody sets an endpoint"
on "$anna" wg set "$wga" peer "$b" endpoint 198.51.100.8:51820
await "it is set back" sh -c "ip netns exec $anna wg show $wga endpoints | grep -q 127.0.0.1"
grep -q "peer $b was given the endpoint 198.51.100.8:51820" anna.log
on "$anna" ping -c 2 -i 0.2 -W 10 -q 10.9.0.2

echo "== a peer that comes later"
wireguard "$ben" "$wgc" cleo 10.9.0.3
c=$(public cleo)
on "$ben" wg set "$wgc" peer "$a" allowed-ips 10.9.0.1/32
invite=$("$detour" net invite home --admin-socket coord/admin.sock 2>/dev/null)
ip netns exec "$ben" "$detour" wg "$wgc" "$invite" --name cleo --json >cleo.log 2>&1 &
detour_c=$!
await "anna hears of cleo" grep -q "member cleo is no peer of $wga: wg set $wga peer $c allowed-ips" anna.log
on "$anna" wg set "$wga" peer "$c" allowed-ips 10.9.0.3/32
await "anna has cleo as a peer" grep -q "peer $c (cleo) at home in 901" anna.log
await "cleo knows of anna" grep -q '"event":"peer-added".*"name":"anna","home":901' cleo.log
on "$ben" ip rule add from 10.9.0.3 table 903
on "$ben" ip route add 10.9.0.0/24 dev "$wgc" table 903
await "a ping is answered" on "$anna" ping -c 1 -W 1 10.9.0.3
on "$anna" wg set "$wga" peer "$c" remove
await "she is gone" grep -q "gone $c" anna.log
on "$anna" ping -c 1 -W 10 -q 10.9.0.2
kill "$detour_c"
wait "$detour_c"
grep -q '"event":"end"' cleo.log

echo "== killed, and started again"
stood=$(endpoint "$anna" "$wga" "$b")
kill -KILL "$detour_a"
wait "$detour_a" 2>/dev/null || true
[ "$(endpoint "$anna" "$wga" "$b")" = "$stood" ] # nobody was there to set it back
ip netns exec "$anna" "$detour" wg "$wga" >again.log 2>&1 &
detour_a=$!
await "it is put right" grep -q '1 endpoint, which a run before had left, as before that' again.log
await "it is known what was" grep -q "peer $b (ben) at home in 901, was at 198.51.100.8:51820" again.log
await "a ping is answered" on "$anna" ping -c 1 -W 1 10.9.0.2

echo "== ended: what there was is there again"
kill "$detour_a" "$detour_b"
wait "$detour_a" "$detour_b"
[ "$(endpoint "$anna" "$wga" "$b")" = 198.51.100.8:51820 ]
[ "$(on "$anna" wg show "$wga" fwmark)" = 0xca6c ]
[[ $(endpoint "$ben" "$wgb" "$a") == 127.0.0.1:* ]] # there was none, and WireGuard takes none back

echo "== without a coordinator: detour wg WG --map MAP --home KEY=REGION"
homes=(--map map.yaml --home "$a=one" --home "$b=901")
ip netns exec "$anna" "$detour" wg "$wga" "${homes[@]}" >anna.log 2>&1 &
detour_a=$!
ip netns exec "$ben" "$detour" wg "$wgb" "${homes[@]}" >ben.log 2>&1 &
detour_b=$!
await "anna knows where ben is" grep -q "peer $b at home in 901" anna.log
await "a ping is answered" on "$anna" ping -c 1 -W 1 10.9.0.2
on "$anna" ping -c 3 -i 0.2 -W 10 192.0.2.1

echo "== another private key"
(umask 077 && wg genkey >ben.key)
on "$ben" wg set "$wgb" private-key ben.key
await "it is followed" grep -q "key $(public ben)" ben.log
on "$anna" wg set "$wga" peer "$b" remove peer "$(public ben)" allowed-ips 0.0.0.0/0
await "a ping is answered" on "$anna" ping -c 1 -W 1 10.9.0.2

echo "== what is wrong is said"
fails 1 'there is no such interface: bring it up first' on "$anna" "$detour" wg wgx-$id
fails 1 'the interface is no WireGuard: neither the kernel nor a program' on "$anna" "$detour" wg eth0
fails 1 "its interface is in another network namespace" on "$anna" "$detour" wg "$wgb"
fails 1 "this user may not read and change WireGuard's settings: .*: be root" on "$anna" setpriv --reuid 65534 --regid 65534 --clear-groups env STATE_DIRECTORY=/tmp "$detour" wg "$wga"
on "$ben" wg set "$wgc" private-key /dev/null
fails 1 'the interface has no private key: give it one (wg genkey' on "$ben" "$detour" wg "$wgc"

echo "== the interface is taken away"
on "$anna" ip link del "$wga"
status=0
wait "$detour_a" || status=$?
[ "$status" -eq 1 ]
grep -q 'the interface is gone: bring it up, and start this again' anna.log
kill "$detour_b"
wait "$detour_b"
echo "== each has its WireGuard"
