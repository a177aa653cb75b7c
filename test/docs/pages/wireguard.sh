# The relay and the coordinator, and the machines.
background "$base/relay.log" "exec detour relay --config none --listen 203.0.113.7:443 --tls self --hostname 203.0.113.7 --access-everyone --state-dir relay"
ready relay "$base/relay.log" "is ready"
pin=$(grep -o 'sha256-raw:[0-9a-f]*' "$base/relay.log" | head -n 1)
cat >map.yaml <<-END
	regions: {901: {regionid: 901, regioncode: one, regionname: One, nodes: [
	  {name: 901a, regionid: 901, hostname: 203.0.113.7, ipv4: 203.0.113.7, certname: "$pin"}]}}
END
background "$base/coord.log" "exec detour coord --listen 203.0.113.7:8443 --tls self --hostname 203.0.113.7 --map map.yaml"
ready coord "$base/coord.log" "is ready"
machines

run from-nothing-1
detour net invite home --uses 20 >invite 2>/dev/null
let detour1... "$(cat invite)"
on anna serve from-nothing-2 "connected to"
let 100.64.0.2 "$(sed -n 's/^member .*(\([0-9.]*\),.*/\1/p; s/^address *\([0-9.]*\),.*/\1/p' "$log" | head -n 1)"
on ben serve from-nothing-2 "peer anna|1 peer"
on ben run from-nothing-3
end_members() { for m in $anna $ben; do nsenter -t "$m" -m -n -u detour down >/dev/null 2>&1 || true; done; pkill -f "[d]etour up" || true; await "the tunnels are gone" sh -c '! pgrep -f "[d]etour up"'; }
end_members

let 203.0.113.129=sha256-raw:... "203.0.113.7=$pin"
on anna serve two-machines-no-coordinator-1 detourpair1
let detourpair1... "$(grep -o 'detourpair1.*' "$log")"
on ben serve two-machines-no-coordinator-3 "peer anna"
end_members

for m in "$anna" "$ben"; do nsenter -t "$m" -m sh -c 'rm -r /var/lib/detour/*'; done
on anna run as-a-service-1
on anna shell "sudo detour status && sudo detour up --uninstall"

# A WireGuard of anna's that is there already.
umask 077
wg genkey >anna.key
wg genkey >ben.key
umask 022
nsenter -t "$anna" -m tee /etc/wireguard/wg0.conf >/dev/null <<-END
	[Interface]
	PrivateKey = $(cat anna.key)
	Address = 10.9.0.1/24
	[Peer]
	PublicKey = $(wg pubkey <ben.key)
	AllowedIPs = 10.9.0.2/32
END
export WG_QUICK_USERSPACE_IMPLEMENTATION=$base/bin/wireguard-go
on anna serve keep-your-wireguard-1 "home 901"
nsenter -t "$anna" -n pkill -f "[d]etour wg" || true
await "it has ended" sh -c '! pgrep -f "[d]etour wg"'
let 'toKiWPM8...+00==901' "$(wg pubkey <anna.key)=901"
let 'TM+oQ2qA...jUM==901' "$(wg pubkey <ben.key)=901"
on anna serve keep-your-wireguard-3 "home 901"
