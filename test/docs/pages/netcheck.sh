background "$base/demo.log" "exec detour demo"
ready demo "$base/demo.log" "is ready"
# Which of two that are equally near is nearer is chance.
chance() { plainer | sed -E 's/# (one|two)( \(?Demo (one|two)\)?)?/# either/; s/(Home .*):.*/\1/' | sort; }
like against-detour-demo-1 chance
end

# Four regions, of which one does not answer, seen by anna's machine, which has one address of each kind.
machines
ip -6 addr add 2001:db8::1/64 dev wire1 nodad
nsenter -t "$anna" -n ip -6 addr add 2001:db8::7/64 dev eth0 nodad
nsenter -t "$anna" -n ip -6 route add default via 2001:db8::1
for n in 0 1 2 3; do ip -6 addr add "2001:db8:1::1$n/128" dev lo nodad; done
{
	echo "regions:"
	n=0
	for region in "fra Frankfurt 20ms" "ams Amsterdam 200ms" "sin Singapore -" "nyc New-York 700ms"; do
		set -- $region
		echo "  90$n: {regionid: 90$n, regioncode: $1, regionname: \"${2/-/ }\", nodes: [{name: 90${n}a, regionid: 90$n, hostname: derp.$1.example.com, ipv4: 198.51.100.1$n, ipv6: \"2001:db8:1::1$n\"}]}"
		[ "$3" = - ] || background "$base/stun$n.log" "exec asked stun $3 198.51.100.1$n:3478 [2001:db8:1::1$n]:3478"
		n=$((n + 1))
	done
} >derp.yaml
for n in 0 1 3; do await "they answer" sh -c "[ \$(grep -c answers \"$base/stun$n.log\") = 2 ]"; done
# On a machine that is busy with others even these may change places.
places() { plainer | sed -E 's/^(Home #) [a-z]+ \([A-Za-z ]*\)/\1/;' | tr '{' '\n' | sed 's/,*$//; s/[]}]*$//' | sort; }
on anna like which-region-is-home-1 places
on anna like json-1 places
