# Whole packages and images are installed by test/packages: here it is what one has typed.
answers() { printf 'self\neverybody\n\n\n\n'; }
anew() { end; rm -rf /etc/detour/* /var/lib/detour/* /etc/systemd/system/*; }
mkdir "$base/stand" && cd "$base/stand"
mkdir detour-v1.0.0-linux-amd64
cp "$base/bin/detour" detour-v1.0.0-linux-amd64/
tar -czf detour-v1.0.0-linux-amd64.tar.gz detour-v1.0.0-linux-amd64
rm -r detour-v1.0.0-linux-amd64
for file in detour_1.0.0-1_amd64.deb detour-1.0.0-1.x86_64.rpm detour-v1.0.0-image-linux-amd64.tar; do echo "$file" >"$file"; done
sha256sum detour* >SHA256SUMS
echo "$(printf %064d 0)  another file" >>SHA256SUMS
run look-whether-it-is-what-it-should-be-1

answers >four
let "init --service" "init --service relay.example.com"
run debian-and-ubuntu-1 four
anew
run fedora-rhel-opensuse-1 four
anew
rm /usr/local/bin/detour
run without-a-package-1 four
anew

let DETOUR_TLS_MODE=acme DETOUR_TLS_MODE=self # nobody issues one here
let detour:VERSION detour:1.0.0
let nodekey:... "nodekey:$(openssl rand -hex 32)"
run container-1

let tag=VERSION tag=1.0.0
ln -s "$REPOSITORY/dist" dist
run compose-1
run kubernetes-1
