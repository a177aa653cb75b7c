#!/usr/bin/env bash
# How fast is the tunnel of two laptops? It prints one line of JSON: the median round trip
# of a ping through the tunnel and of a packet over the relay without it, and what one TCP
# connection of the system carries through it. No direct path is looked for.
#
#	sudo test/laptops/speed.sh [PROGRAM]
#
# It needs root on Linux, ip (iproute2), ping (iputils-ping) and nc (netcat-openbsd).
source "$(dirname "$0")/world.sh"
start_relay
start_coord
for who in anna ben; do
	ip netns exec "${!who}" "$detour" up "$invite" --relay-only --state $who.json --name $who >$who.log 2>&1 &
done
await "anna knows of ben" grep -q ' peer ben \| connected to .*, 1 peer' anna.log
await "ben knows of anna" grep -q 'peer anna \| connected to .*, 1 peer' ben.log
ben_address=$(address ben)
await "ben answers" ip netns exec "$anna" ping -c 1 -W 1 "$ben_address"

# median: of the times in the lines of either ping.
median() { sed -n 's/.* time=\([0-9.]*\) ms.*/\1/p' | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
tunnel=$(on "$anna" ping -c 1000 -i 0.005 "$ben_address" | median)
relay=$(on "$anna" "$detour" ping --insecure --count 1000 --interval 5ms https://203.0.113.129/derp | median)

megabytes=300
on "$ben" nc -N -l 22 </dev/null >/dev/null &
listener=$!
await "ben listens" sh -c "ip netns exec $ben ss -Hltn 'sport = :22' | grep -q ."
begun=$(date +%s%N)
head -c ${megabytes}M /dev/zero | on "$anna" nc -N "$ben_address" 22 >/dev/null
wait "$listener"
took=$(($(date +%s%N) - begun))
echo "{\"tunnel_ms\": $tunnel, \"relay_ms\": $relay, \"tcp_mbit_per_second\": $((megabytes * 8 * 1048576 * 1000 / took))}"
