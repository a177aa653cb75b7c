asked
region 1
cp "$base/derp.crt" /etc/detour/relay.crt
cp "$base/derp.key" /etc/detour/relay.key
key=$(cat mesh.key)
# The page makes the key that the two others have already.
rm mesh.key
let "detour key mesh --out mesh.key " "echo $key >mesh.key "
let "detour relay --cert" "exec detour relay --listen 198.51.100.1:443 --cert"
serve run-three-1
await "the region is linked" detour check --quiet --mesh-psk-file mesh.key derpmap.yaml
run move-peers-back-1
