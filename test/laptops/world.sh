# The world of the scripts here: two machines, anna and ben, and an "internet" with a
# relay. Each machine has a wire to the internet and none to the other: what comes through
# has taken the way through the relay. All of it is network namespaces of this machine and
# files below one directory, where the scripts are, and is gone in the end.
#
# A script sources it, with the program as its argument, and may define farewell, which is
# called before all is gone.
set -euo pipefail
detour=${1:-$(command -v detour)}
work=$(mktemp -d)
id=$$
anna=anna-$id ben=ben-$id internet=inet-$id
spaces=("$anna" "$ben" "$internet")

cleanup() {
	status=$?
	[ "$status" -eq 0 ] || tail -n 20 "$work"/*.log >&2 || true
	! declare -F farewell >/dev/null || farewell || true
	kill $(jobs -p) 2>/dev/null || true
	wait 2>/dev/null || true
	for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null || true; done
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

# wire SPACE NUMBER: connects it to the internet.
wire() {
	ip link add "w$2-$id" netns "$internet" type veth peer name eth0 netns "$1"
	on "$internet" ip addr add "203.0.113.$(($2 * 4 + 1))/30" dev "w$2-$id"
	on "$internet" ip link set "w$2-$id" up
	on "$1" ip addr add "203.0.113.$(($2 * 4 + 2))/30" dev eth0
	on "$1" ip link set eth0 up
	on "$1" ip route add default via "203.0.113.$(($2 * 4 + 1))"
}

for space in "${spaces[@]}"; do ip netns add "$space"; on "$space" ip link set lo up; done
wire "$anna" 1
wire "$ben" 2
on "$internet" ip addr add 203.0.113.129/32 dev lo
cd "$work"

# start_relay: a relay, whose process is relay_process, and map.yaml, where it is region 901.
start_relay() {
	ip netns exec "$internet" "$detour" relay --listen 203.0.113.129:443 --tls self --hostname 203.0.113.129 --stun 203.0.113.129:3478 --state-dir relay --access-everyone >relay.log 2>&1 &
	relay_process=$!
	await "the relay has a certificate" sh -c "grep -o 'sha256-raw:[0-9a-f]*' relay.log"
	local pin
	pin=$(grep -o 'sha256-raw:[0-9a-f]*' relay.log | head -n 1)
	cat >map.yaml <<-END
		regions:
		  901: {regionid: 901, regioncode: one, regionname: One, nodes: [
		    {name: 901a, regionid: 901, hostname: 203.0.113.129, ipv4: 203.0.113.129, certname: "$pin"}]}
	END
}

# start_coord: a coordinator with the tailnet home. The variable invite has one for two.
start_coord() {
	ip netns exec "$internet" "$detour" coord --listen 203.0.113.129:8443 --tls self --hostname 203.0.113.129 --map map.yaml --state-dir coord >coord.log 2>&1 &
	await "the coordinator is ready" "$detour" net status --admin-socket coord/admin.sock
	"$detour" net create home --admin-socket coord/admin.sock >/dev/null
	invite=$("$detour" net invite home --admin-socket coord/admin.sock --uses 2 2>/dev/null)
}

# address NAME: that of a machine that is up, with a state file of that name.
address() { "$detour" status --state "$1.json" | sed -n 's/^member .* (\([0-9.]*\), .*/\1/p'; }

# use_tunnel: ping, and TCP to a service of ben.
use_tunnel() {
	echo "== anna: ping ben"
	on "$anna" ping -c 3 -i 0.2 -W 10 "$(address ben)"
	echo "== ben: nc -l 22; anna: nc ben 22"
	on "$ben" sh -c 'echo "hello from ben" | nc -N -l 22' >heard.log &
	local listener=$! said
	await "ben listens" sh -c "ip netns exec $ben ss -Hltn 'sport = :22' | grep -q ."
	said=$(echo "hello from anna" | on "$anna" nc -N -w 30 "$(address ben)" 22)
	wait "$listener"
	[ "$said" = "hello from ben" ] && [ "$(cat heard.log)" = "hello from anna" ]
	echo "$said"
}

# end_tunnels: the end leaves nothing, neither by order nor by force. The variable
# ben_process is the process of ben.
end_tunnels() {
	echo "== anna: detour down; ben: killed"
	"$detour" down --state anna.json
	kill -KILL "$ben_process"
	wait "$ben_process" 2>/dev/null || true
	for space in "$anna" "$ben"; do
		await "$space has no interface of the tunnel" sh -c "! ip netns exec $space ip link show detour0"
		[ -z "$(on "$space" ip route show | grep -v 203.0.113 | grep -v '^default')" ]
	done
	echo "== both are as they were"
}
