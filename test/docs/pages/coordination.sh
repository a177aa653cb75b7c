file_map() { echo "regions: {900: {regionid: 900, regioncode: one, regionname: One, nodes: [{name: 900a, regionid: 900, hostname: relay.example.com}]}}" >derp.yaml; }
file_map
serve in-which-order-1
run in-which-order-2
detour net create office
detour net invite office
detour net relay add fra1 >/dev/null
detour net relay add fra2 >/dev/null

# What is exported comes back at another coordinator.
let 2026-11-28 "$(date +%F)"
before() {
	[ "$1" = 1 ] || return 0
	pkill -KILL -x detour
	await "it is gone" sh -c '! pgrep -x detour'
	rm -r /var/lib/detour/*
	background "$base/anew.log" "exec detour coord --tls self --hostname 203.0.113.7 --map derp.yaml"
	ready anew "$base/anew.log" "is ready"
}
like back-up-and-restore-1
end

ln -s detour /usr/local/bin/derper
each stock-derper-and-others-that-ask-1
