file from-an-authority-1 commands
echo "nodekey:$(openssl rand -hex 32)" >members
openssl rand -base64 32 >/etc/detour/eab.key
cp "$base/ca.pem" corp.pem
printf 'key "docs" {\n\talgorithm hmac-sha256;\n\tsecret "%s";\n};\n' "$(openssl rand -base64 32)" >dns.key
printf '#!/bin/sh\n' >/etc/detour/dns-hook
chmod 755 /etc/detour/dns-hook
chmod 600 dns.key /etc/detour/eab.key

# No authority can be reached from here: they get as far as to say so.
each from-an-authority-1
each records-in-the-dns-1
each records-in-the-dns-2
each an-authority-of-your-own-1
each the-relays-own-1


# certbot has renewed.
export RENEWED_LINEAGE=$base/lineage
mkdir "$RENEWED_LINEAGE"
certificate "$RENEWED_LINEAGE/new" relay.example.com
mv "$RENEWED_LINEAGE/new.key" "$RENEWED_LINEAGE/privkey.pem"
mv "$RENEWED_LINEAGE/new.crt" "$RENEWED_LINEAGE/fullchain.pem"
run from-files-1
install -d -o detour "$base/state"
background "$base/files.log" "exec setpriv --reuid detour --regid detour --clear-groups detour relay --config none --state-dir $base/state --listen :8443 --stun off --hostname relay.example.com --cert /etc/detour/relay.crt --key /etc/detour/relay.key --access-managed"
ready files "$base/files.log" "is ready"
