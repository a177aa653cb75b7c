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
source "$(dirname "$0")/world.sh"

# The internet: a relay, a map with it, a coordinator with a tailnet.
start_relay
start_coord

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
