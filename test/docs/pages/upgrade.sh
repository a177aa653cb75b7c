sudo detour init --service --yes 203.0.113.7 --tls self --access-everyone >/dev/null
cp "$base/bin/detour" detour
before=$(pgrep -f "detour relay")
run in-short-1
await "another process answers" sh -c "! kill -0 $before"
run in-short-2
