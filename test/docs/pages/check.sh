certificate relay relay.example
background "$base/named.log" "exec detour relay --listen 203.0.113.7:443 --hostname relay.example --cert relay.crt --key relay.key --state-dir named --access-everyone"
ready named "$base/named.log" "is ready"
background "$base/pinned.log" "exec detour relay --listen 203.0.113.9:443 --tls self --hostname 203.0.113.9 --state-dir pinned --access-everyone"
ready pinned "$base/pinned.log" "is ready"
let sha256-raw:58c3... "$(grep -o 'sha256-raw:[0-9a-f]*' "$base/pinned.log" | head -n 1)"
let "203.0.113.7 " "203.0.113.9 "
region
asked "/derpmap/default=derpmap.yaml"
run checking-relays-1
end

background "$base/demo.log" "exec detour demo"
ready demo "$base/demo.log" "is ready"
let /tmp/detour-demo-2626953060 "$(grep -o '/[^ ]*/detour-demo-[0-9]*' "$base/demo.log" | head -n 1)"
like against-detour-demo-1
