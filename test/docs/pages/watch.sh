run metrics-2
[ "$(stat -c %a /etc/detour/metrics.token)" = 600 ]
background "$base/relay.log" "exec detour relay --config none --tls self --hostname 203.0.113.7 --access-everyone --admin 127.0.0.1:9340"
ready relay "$base/relay.log" "is ready"
run connections-1
run heavy-hitters-1
run history-1
