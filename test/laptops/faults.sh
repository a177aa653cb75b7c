#!/usr/bin/env bash
# What goes wrong with an interface, and what is said then. It needs root on Linux, ip
# (iproute2) and setpriv and unshare (util-linux); all of it happens in a network
# namespace that is gone in the end.
#
#	sudo test/laptops/faults.sh [PROGRAM]
set -euo pipefail
detour=${1:-$(command -v detour)}
work=$(mktemp -d)
space=faults-$$

cleanup() {
	status=$?
	[ "$status" -eq 0 ] || tail -n 20 "$work"/*.log >&2 || true
	kill $(jobs -p) 2>/dev/null || true
	wait 2>/dev/null || true
	ip netns del "$space" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

on() { ip netns exec "$space" "$@"; }

await() { # await WHAT COMMAND...
	local what=$1 end=$((SECONDS + 60))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || { echo "it never comes about that $what" >&2; exit 1; }
		sleep 0.05
	done
}

# fails STATUS TEXT COMMAND...: it ends so, and says that.
fails() {
	local want=$1 text=$2 status=0
	shift 2
	"$@" >fails.log 2>&1 || status=$?
	[ "$status" -eq "$want" ] && grep -q "$text" fails.log && return
	echo "$* ended with status $status, want $want and \"$text\":" >&2
	exit 1
}

cd "$work"
ip netns add "$space"
on ip link set lo up
ip netns exec "$space" env TMPDIR="$work" "$detour" demo --port 0 --regions 1 --nodes 1 --state-dir demo >demo.log 2>&1 &
await "the demo has a coordinator" test -S demo/coord/admin.sock -o -S demo/admin.sock
socket=$(find demo -name admin.sock | grep coord)
await "there is a tailnet" "$detour" net create mine --admin-socket "$socket"
invite=$("$detour" net invite mine --admin-socket "$socket" --uses 9 2>/dev/null)

echo "== two on one machine: each has an interface"
ip netns exec "$space" "$detour" up "$invite" --state anna.json --name anna >anna.log 2>&1 &
anna=$!
await "anna is up" "$detour" status --state anna.json
ip netns exec "$space" "$detour" up "$invite" --state ben.json --name ben >ben.log 2>&1 &
ben=$!
await "ben is up" "$detour" status --state ben.json
grep -q '^tunnel   detour0' anna.log && grep -q '^tunnel   detour1' ben.log
fails 1 'it is in use by another process' on "$detour" up --state anna.json
fails 1 'detour1: an interface of that name is there already: ' on "$detour" up --state cleo.json --interface detour1 "$invite"
fails 1 'lo: an interface of that name is there already: ' on "$detour" up --state cleo.json --interface lo "$invite"

echo "== what somebody else has changed is set right when something is told"
address() { "$detour" status --state "$1.json" | sed -n 's/^member .* (\([0-9.]*\), .*/\1/p'; }
a=$(address anna) b=$(address ben)
await "there is a route to ben" sh -c "ip netns exec $space ip route show dev detour0 | grep -q '^$b '"
on ip route del "$b" dev detour0
on ip route add 192.0.2.0/24 dev detour0
on ip addr del "$a/32" dev detour0
ip netns exec "$space" "$detour" up "$invite" --state dora.json --name dora --userspace >dora.log 2>&1 &
await "the route is back" sh -c "ip netns exec $space ip route show dev detour0 | grep -q '^$b '"
await "the address is back" sh -c "ip netns exec $space ip addr show dev detour0 | grep -q ' $a/32 '"
await "the other route is gone" sh -c "! ip netns exec $space ip route show dev detour0 | grep -q 192.0.2"

echo "== an interface that is taken away"
on ip link del detour0
status=0
wait "$anna" || status=$?
[ "$status" -eq 1 ] && grep -q 'the interface of the tunnel is gone: somebody has removed it: start this again' anna.log

echo "== an address that this machine has already"
on ip addr add "$a/32" dev lo
fails 1 "$a: the address is one of this machine already (interface lo): " on "$detour" up --state anna.json
on ip addr del "$a/32" dev lo

echo "== no right, and no device"
chmod 777 "$work"
fails 1 'this user may make no network interface: .*: be root, give this program the right (CAP_NET_ADMIN), or take --userspace' \
	on setpriv --reuid 65534 --regid 65534 --clear-groups "$detour" up --state nobody.json "$invite"
fails 1 'this system has no TUN device: .*: load it (modprobe tun), give the container /dev/net/tun, or take --userspace' \
	on unshare -m sh -c "mount -t tmpfs none /dev/net && exec $detour up --state nobody.json $invite"
[ ! -e nobody.json ] # the invite has lost no use

"$detour" down --state ben.json
wait "$ben"
echo "== all is said"
