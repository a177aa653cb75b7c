#!/usr/bin/env bash
# Two laptops that can reach each other: packets leave the relay for the direct path and
# none is lost; when that ends, they go back to the relay.
#
#	sudo test/laptops/direct-path.sh [PROGRAM]
#
# It needs root on Linux, ip (iproute2) and ping (iputils-ping).
source "$(dirname "$0")/world.sh"
on "$internet" sysctl -qw net.ipv4.ip_forward=1 # it leads from one to the other
start_relay
start_coord
ip netns exec "$anna" "$detour" up "$invite" --state anna.json --name anna >anna.log 2>&1 &
ip netns exec "$ben" "$detour" up "$invite" --state ben.json --name ben --port 41641 >ben.log 2>&1 &
await "anna knows of ben" grep -q ' peer ben \| connected to .*, 1 peer' anna.log
await "ben knows of anna" grep -q 'peer anna \| connected to .*, 1 peer' ben.log
to=$("$detour" status --state ben.json | sed -n 's/^member .* (\([0-9.]*\), .*/\1/p')

# path WANTED: waits until anna's packets take it.
path() { await "packets go by $1" sh -c "'$detour' status --state anna.json --json | grep -q '\"path\":\"$1\"'"; }

# begin_pings, end_pings: packets to ben all the time.
begin_pings() {
	ip netns exec "$anna" ping -i 0.05 -c 10000 -W 10 "$to" >ping.log &
	pings=$!
}
end_pings() {
	sleep 0.5
	kill -INT "$pings"
	wait "$pings" || true
	grep 'packets transmitted' ping.log
}

echo "== from the first packet on: the relay, then the direct path, and no packet is lost"
begin_pings
path "direct 203.0.113.10:41641"
end_pings
grep -q ' 0% packet loss' ping.log
"$detour" status --state anna.json

echo "== the internet does not lead from one to the other any more: the relay"
begin_pings
on "$internet" sysctl -qw net.ipv4.ip_forward=0
path "relay 901 one"
end_pings
on "$anna" ping -c 3 -i 0.2 -W 10 "$to" | grep ' 0% packet loss'
echo "== so it goes on"
