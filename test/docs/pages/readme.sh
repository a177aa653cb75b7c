here=$PWD
cd "$REPOSITORY"
serve try-it-1
end
cd "$here"

# What make release and make build have made.
mkdir -p dist/out
echo package >dist/out/detour_1.0.0-1_amd64.deb
mkdir bin
cp "$base/bin/detour" bin/detour
printf 'self\neverybody\n\n\n\n' >answers
run run-it-for-real-1 answers
systemctl is-active detour
end

echo "nodekey:$(openssl rand -hex 32)" >/etc/detour/keys
cp /etc/detour/keys keys
rm -r /var/lib/detour/* /etc/detour/relay.yaml
certificate /etc/detour/relay relay.example
each run-it-for-real-2

# Not after a while, but when they are linked.
urls="http://127.0.0.1:3340/derp http://127.0.0.1:3341/derp"
let "bin/detour ping" "until bin/detour ping --count 1 $urls >/dev/null 2>&1; do sleep 0.1; done; bin/detour ping"
run run-a-region-1
