#!/usr/bin/env bash
# rpm.sh ROOT BEFORE.rpm NOW.rpm: installs a package, a newer one over it, and takes it away.
root=$1 before=$2 now=$3
. "$(dirname "$0")/room.sh"

# The root directory is a Debian, whose packages rpm does not know.
rpm() { command rpm --root "$root" --dbpath /var/lib/rpm --nodeps --force-debian "$@"; }

# Directories of several packages, which "filesystem" has elsewhere.
mkdir -p "$root"/usr/lib/sysusers.d "$root"/usr/share/fish/vendor_completions.d "$root"/usr/share/zsh/site-functions "$root"/usr/share/licenses
files >"$root/tmp/files"
say "install"
command rpm --checksig --nosignature "$before" "$now"
rpm --install "$before"
untouched
inside detour version
[ -e "$root/usr/share/man/man1/detour-relay.1.gz" ] || fail "there is no manual"

say "upgrade"
rpm --upgrade "$now"
rpm --verify detour
inside detour version

say "remove"
rpm --erase detour
files | diff "$root/tmp/files" - || fail "something is left"
say "all is as it was"
