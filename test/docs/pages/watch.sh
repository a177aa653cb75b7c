run metrics-2
[ "$(stat -c %a /etc/detour/metrics.token)" = 600 ]
background "$base/relay.log" "exec detour relay --dev --admin 127.0.0.1:9340 --admin-socket /var/lib/detour/admin.sock"
ready relay "$base/relay.log" "is ready"
run connections-1
run heavy-hitters-1
