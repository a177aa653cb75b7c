#!/usr/bin/env bash
# Two laptops and a relay, no coordinator: from nothing to ping and TCP, in three commands
# each, with a token that the one prints and the other takes.
#
#	sudo test/laptops/paired-laptops.sh [PROGRAM]
#
# The laptops are as in two-laptops.sh. It needs root on Linux, ip (iproute2), ping
# (iputils-ping) and nc (netcat-openbsd).
source "$(dirname "$0")/world.sh"

# The internet: a relay, whose pin is all that is told of it.
start_relay
pin=$(grep -o 'sha256-raw:[0-9a-f]*' relay.log | head -n 1)

echo "== anna: detour up --relay 203.0.113.129=PIN --invite"
ip netns exec "$anna" "$detour" up --relay "203.0.113.129=$pin" --invite --state anna.json --name anna >anna.log 2>&1 &
await "anna has a token" grep -q 'detour up detourpair1' anna.log
token=$(grep -o 'detourpair1[a-z2-7]*' anna.log)
echo "== ben: detour up TOKEN"
up_ben() {
	ip netns exec "$ben" "$detour" up "$@" --state ben.json --name ben >ben.log 2>&1 &
	ben_process=$!
}
up_ben "$token"
await "anna knows of ben" grep -q ' peer ben ' anna.log
await "ben knows of anna" grep -q ' peer anna ' ben.log
use_tunnel
"$detour" status --state anna.json

echo "== ben: killed, and detour up once more; the internet leads from one to the other now"
kill -KILL "$ben_process"
wait "$ben_process" 2>/dev/null || true
on "$internet" sysctl -qw net.ipv4.ip_forward=1
up_ben
await "ben is up" "$detour" status --state ben.json
use_tunnel

echo "== packets go directly"
await "packets go directly" sh -c "'$detour' status --state anna.json --json | grep -q '\"path\":\"direct 203.0.113.10:'"
end_tunnels
