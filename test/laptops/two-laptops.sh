#!/usr/bin/env bash
# Two laptops, one private network: from nothing to ping and TCP, in three commands each.
#
#	sudo test/laptops/two-laptops.sh [PROGRAM]
#
# The laptops are network namespaces of this machine. Each has a wire to a third one, the
# "internet", where the relay and the coordinator are, and none to the other: what comes
# through has taken the way through the relay. Everything is gone in the end.
#
# It needs root on Linux, ip (iproute2), ping (iputils-ping) and nc (netcat-openbsd).
set -euo pipefail
detour=${1:-$(command -v detour)}
work=$(mktemp -d)
id=$$
anna=anna-$id ben=ben-$id internet=inet-$id

cleanup() {
	status=$?
	[ "$status" -eq 0 ] || tail -n 20 "$work"/*.log >&2 || true
	kill $(jobs -p) 2>/dev/null || true
	wait 2>/dev/null || true
	for space in "$anna" "$ben" "$internet"; do ip netns del "$space" 2>/dev/null || true; done
	rm -rf "$work"
}
trap cleanup EXIT

# on SPACE COMMAND...: runs it there.
on() { ip netns exec "$@"; }

# await WHAT COMMAND...: waits until it succeeds, for a minute.
await() {
	local what=$1 end=$((SECONDS + 60))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || { echo "it never comes about that $what" >&2; exit 1; }
		sleep 0.05
	done
}

# The world: an internet with two wires.
for space in "$anna" "$ben" "$internet"; do ip netns add "$space"; on "$space" ip link set lo up; done
wire() { # wire SPACE NUMBER
	ip link add "w$2-$id" netns "$internet" type veth peer name eth0 netns "$1"
	on "$internet" ip addr add "203.0.113.$(($2 * 4 + 1))/30" dev "w$2-$id"
	on "$internet" ip link set "w$2-$id" up
	on "$1" ip addr add "203.0.113.$(($2 * 4 + 2))/30" dev eth0
	on "$1" ip link set eth0 up
	on "$1" ip route add default via "203.0.113.$(($2 * 4 + 1))"
}
wire "$anna" 1
wire "$ben" 2
on "$internet" ip addr add 203.0.113.129/32 dev lo

# The internet: a relay, a map with it, a coordinator with a tailnet.
cd "$work"
ip netns exec "$internet" "$detour" relay --listen 203.0.113.129:443 --tls self --hostname 203.0.113.129 --stun 203.0.113.129:3478 --state-dir relay --access-everyone >relay.log 2>&1 &
await "the relay has a certificate" sh -c "grep -o 'sha256-raw:[0-9a-f]*' relay.log"
pin=$(grep -o 'sha256-raw:[0-9a-f]*' relay.log | head -n 1)
cat >map.yaml <<-END
	regions:
	  901: {regionid: 901, regioncode: one, regionname: One, nodes: [
	    {name: 901a, regionid: 901, hostname: 203.0.113.129, ipv4: 203.0.113.129, certname: "$pin"}]}
END
ip netns exec "$internet" "$detour" coord --listen 203.0.113.129:8443 --tls self --hostname 203.0.113.129 --map map.yaml --state-dir coord >coord.log 2>&1 &
await "the coordinator is ready" "$detour" net status --admin-socket coord/admin.sock
"$detour" net create home --admin-socket coord/admin.sock >/dev/null
invite=$("$detour" net invite home --admin-socket coord/admin.sock --uses 2 2>/dev/null)

# The laptops. One has a service, and the other comes to it.
echo "== anna: detour up INVITE"
ip netns exec "$anna" "$detour" up "$invite" --state anna.json --name anna >anna.log 2>&1 &
echo "== ben: detour up INVITE"
ip netns exec "$ben" "$detour" up "$invite" --state ben.json --name ben >ben.log 2>&1 &
ben_process=$!
await "anna knows of ben" grep -q ' peer ben \| connected to .*, 1 peer' anna.log
await "ben knows of anna" grep -q 'peer anna \| connected to .*, 1 peer' ben.log
address() { "$detour" status --state "$1.json" | sed -n 's/^member .* (\([0-9.]*\), .*/\1/p'; }
echo "== anna: ping ben"
on "$anna" ping -c 3 -i 0.2 -W 10 "$(address ben)"
echo "== ben: nc -l 22; anna: nc ben 22"
on "$ben" sh -c 'echo "hello from ben" | nc -N -l 22' >heard.log &
listener=$!
await "ben listens" sh -c "ip netns exec $ben ss -Hltn 'sport = :22' | grep -q ."
said=$(echo "hello from anna" | on "$anna" nc -N -w 30 "$(address ben)" 22)
wait "$listener"
[ "$said" = "hello from ben" ] && [ "$(cat heard.log)" = "hello from anna" ]
echo "$said"
"$detour" status --state anna.json

# The end leaves nothing: neither by order nor by force.
echo "== anna: detour down; ben: killed"
"$detour" down --state anna.json
kill -KILL "$ben_process"
wait "$ben_process" 2>/dev/null || true
for space in "$anna" "$ben"; do
	await "$space has no interface of the tunnel" sh -c "! ip netns exec $space ip link show detour0"
	[ -z "$(on "$space" ip route show | grep -v 203.0.113 | grep -v '^default')" ]
done
echo "== both are as they were"
