run metrics-2
[ "$(stat -c %a /etc/detour/metrics.token)" = 600 ]
background "$base/relay.log" "exec detour relay --config none --tls self --hostname 203.0.113.7 --access-everyone --admin 127.0.0.1:9340"
ready relay "$base/relay.log" "is ready"
run connections-1
detour ping --count 1 --cert-name "$(grep -o "sha256-raw:[0-9a-f]*" "$base/relay.log" | head -n 1)" https://203.0.113.7/derp
terminal=yes
each connections-2 "in|IN|peers"
terminal=""
run heavy-hitters-1
run history-1
run history-2

run status-and-log-1
