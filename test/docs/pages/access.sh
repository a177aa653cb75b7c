certificate relay relay.example
file a-list-of-keys-1 keys
asked

show who-may-come-in-1

serve a-list-of-keys-2
like the-relays-own-list-1
show keep-a-key-out-1

# What tailscaled knew before, and knows now.
three=3333333333333333333333333333333333333333333333333333333333333333
four=4444444444444444444444444444444444444444444444444444444444444444
five=5555555555555555555555555555555555555555555555555555555555555555
network() { # NODEKEY-OF-ALICE NAME-OF-PRINTER
	cat <<-END
		{"Self": {"PublicKey": "nodekey:$five", "HostName": "relay"},
		 "Peer": {"a": {"PublicKey": "nodekey:$1", "HostName": "alices-laptop"}, "b": {"PublicKey": "nodekey:$four", "HostName": "$2"}}}
	END
}
network "$three" printer >tailscale.json
detour access import --set tailnet --label staff tailscale.json
network "${three%3}5" printer2 >"$base/tailscale.json"
show push-keys-from-a-machine-that-you-trust-1
end

certificate admin relay.example
openssl rand -hex 32 >/etc/detour/admin.token
chmod 600 /etc/detour/admin.token
background "$base/remote.log" "exec detour relay --hostname relay.example --cert admin.crt --key admin.key --access-managed --admin-https 203.0.113.7:9443 --admin-token /etc/detour/admin.token"
ready remote "$base/remote.log" "is ready"
echo '[{"id": 1, "node_key": "nodekey:'$four'", "name": "printer", "given_name": "printer"}]' >"$base/headscale.json"
run push-keys-from-a-machine-that-you-trust-2
end

each headscale-and-other-urls-1
echo "$five" >/etc/detour/coordinator-token
chmod 600 /etc/detour/coordinator-token
each a-coordination-server-1
each the-tailnet-of-this-machine-1

background "$base/away.log" "exec detour relay --tls self --hostname 203.0.113.7 --access-verify http://127.0.0.1:9/verify --admin 127.0.0.1:9340"
ready away "$base/away.log" "is ready"
detour ping --count 1 --cert-name "$(grep -o 'sha256-raw:[0-9a-f]*' "$base/away.log" | head -n 1)" https://203.0.113.7/derp || true
await "nobody can be asked" sh -c "curl -s http://127.0.0.1:9340/readyz | grep -q 'cannot answer'"
like when-nobody-can-be-asked-1
