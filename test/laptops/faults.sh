#!/usr/bin/env bash
# What goes wrong around an up, and what is said then. It needs root on Linux, ip
# (iproute2), sysctl (procps), and setpriv, mount and unshare (util-linux); all of it
# happens in a network namespace that is gone in the end.
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
	! mountpoint -q "$work/full" || umount "$work/full"
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


echo "== a member whose address is elsewhere, as that of the other one here"
says() { "$detour" status --state "$1.json" | grep -q "$2"; }
await "it is said of ben" says anna '^problem .*: packets to it do not go into the tunnel (interface lo): ip route get '

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

echo "== killed: nothing is left that the next one does not take away"
kill -KILL "$ben"
wait "$ben" 2>/dev/null || true
await "the interface is gone" sh -c "! ip netns exec $space ip link show detour1"
[ -z "$(on ip route show)" ] && [ "$(on ip rule show | wc -l)" -eq 3 ]
[ -S ben.json.sock ]
fails 3 'no "detour up" runs with ben.json' "$detour" status --state ben.json
ip netns exec "$space" "$detour" up --state ben.json >ben.log 2>&1 &
ben=$!
await "ben is up again" "$detour" status --state ben.json
"$detour" down --state ben.json
wait "$ben"
[ ! -e ben.json.sock ]

echo "== a user who has the one right that the service has"
mkdir members
mv ben.json members/
chown -R 65534:65534 members
mknod -m 666 tun c 10 200 # as udev makes it, also where this system has another
alone() { # alone COMMAND...: as the user nobody, with that right
	ip netns exec "$space" unshare -m sh -c 'mount --bind tun /dev/net/tun && exec "$@"' sh setpriv --reuid 65534 --regid 65534 --clear-groups \
		--no-new-privs --inh-caps -all,+net_admin --ambient-caps -all,+net_admin --bounding-set -all,+net_admin "$@"
}
alone "$detour" up --state members/ben.json >ben.log 2>&1 &
ben=$!
await "ben is up" "$detour" status --state members/ben.json
"$detour" status --state members/ben.json | grep -q '^runs     as user nobody, with members/ben.json$'
await "there is a route to anna" sh -c "ip netns exec $space ip route show dev detour0 | grep -q '^$a '"
"$detour" down --state members/ben.json
wait "$ben"
! grep -q problem ben.log
ip netns exec "$space" "$detour" up --state members/ben.json --userspace >ben.log 2>&1 & # by root: it stays the user's
ben=$!
await "ben is up" "$detour" status --state members/ben.json
"$detour" down --state members/ben.json
wait "$ben"
[ -z "$(find members -not -uid 65534)" ]

echo "== without IPv6"
on sysctl -qw net.ipv6.conf.default.disable_ipv6=1
ip netns exec "$space" "$detour" up --state anna.json >anna.log 2>&1 &
anna=$!
await "anna is up" "$detour" status --state anna.json
grep -q '^         without IPv6, which this machine has turned off' anna.log
await "there is a route to ben" sh -c "ip netns exec $space ip route show dev detour0 | grep -q '^$b '"
! says anna '^problem'
"$detour" down --state anna.json
wait "$anna"
on sysctl -qw net.ipv6.conf.default.disable_ipv6=0

echo "== a clock that was later once"
touch -d '+2 hours' anna.json
ip netns exec "$space" "$detour" up --state anna.json >anna.log 2>&1 &
anna=$!
await "it is said" says anna '^problem .*the clock of this machine is behind: it says .*, and the last run was at .*: set it right'
grep -q 'the clock of this machine is behind' anna.log
"$detour" down --state anna.json
wait "$anna"

echo "== a disk that is full"
mkdir full
mount -t tmpfs -o size=64k none full
cp anna.json full/
before=$(cksum <full/anna.json)
fill() { head -c 1000000 /dev/zero >full/fill 2>/dev/null || true; }
fill
fails 1 'no space left on device: make room there' on "$detour" up --state full/cleo.json "$invite"
[ ! -e full/cleo.json ]
ip netns exec "$space" "$detour" up --state full/anna.json >anna.log 2>&1 &
anna=$!
await "anna is up all the same" says full/anna '^home     relay 900 one$'
await "it is said" says full/anna '^problem  after a restart this machine knows less: .*no space left on device'
[ "$before" = "$(cksum <full/anna.json)" ]
rm full/fill
await "it is written" sh -c "! '$detour' status --state full/anna.json | grep -q ^problem"
[ "$before" != "$(cksum <full/anna.json)" ]
"$detour" down --state full/anna.json
wait "$anna"

echo "== a relay that does not let this machine in"
ip netns exec "$space" "$detour" relay --listen 127.0.0.1:8443 --stun off --tls self --hostname 127.0.0.1 --state-dir relay --access-managed >relay.log 2>&1 &
await "the relay has a pin" grep -q 'sha256-raw:' relay.log
pin=$(grep -o 'sha256-raw:[0-9a-f]*' relay.log | head -n 1)
cat >map.yaml <<-END
	regions:
	  901: {regionid: 901, regioncode: one, regionname: One, nodes: [
	    {name: 901a, regionid: 901, hostname: 127.0.0.1, ipv4: 127.0.0.1, ipv6: none, derpport: 8443, stunport: -1, certname: "$pin"}]}
END
ip netns exec "$space" "$detour" coord --listen 127.0.0.1:8444 --tls self --hostname 127.0.0.1 --map map.yaml --state-dir coord >coord.log 2>&1 &
await "the coordinator is ready" "$detour" net status --admin-socket coord/admin.sock
"$detour" net create shut --admin-socket coord/admin.sock >/dev/null
ip netns exec "$space" "$detour" up "$("$detour" net invite shut --admin-socket coord/admin.sock 2>/dev/null)" --state cleo.json --userspace >cleo.log 2>&1 &
cleo=$!
await "it is said" grep -q 'no relay, so that nothing flows: the relay of region 901 does not let this machine in: .*detour access allow nodekey:' cleo.log
says cleo '^problem  the relay of region 901 does not let this machine in'
"$detour" access allow "$(sed -n 's/^key  *//p' cleo.log)" --admin-socket relay/admin.sock >/dev/null
await "it is at home" grep -q ' home 901 ' cleo.log
"$detour" down --state cleo.json
wait "$cleo"
echo "== all is said"
