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
use_tunnel
"$detour" status --state anna.json
end_tunnels
