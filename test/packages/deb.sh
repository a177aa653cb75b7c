#!/usr/bin/env bash
# deb.sh ROOT BEFORE.deb NOW.deb: installs a package, sets a relay up as a person would, checks
# it, has a newer package take over while it runs, and takes all away again.
root=$1 before=$2 now=$3
. "$(dirname "$0")/room.sh"

mkdir -p "$root/run/systemd/system"
install -m 755 "$(dirname "$0")/systemctl" "$root/usr/bin/systemctl"
install -m 644 "$before" "$root/tmp/before.deb"
install -m 644 "$now" "$root/tmp/now.deb"
nc -klUu "$root/run/systemd/notify" >"$root/run/systemd/notify.log" &
until [ -S "$root/run/systemd/notify" ]; do sleep 0.1; done
chmod 666 "$root/run/systemd/notify"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
files >"$root/run/files"

# check: as "detour init" has said.
check() { inside sh -c "$(sed -n 's/^ *sudo \(detour check .*\)/\1/p' "$root/run/said" | head -n 1)"; }

# main: the process of the relay that counts.
main() {
	local pid
	pid=$(grep -a -o 'MAINPID=[0-9]*' "$root/run/systemd/notify.log" | tail -n 1 | cut -d = -f 2)
	echo "${pid:-$(cat "$root/run/systemd/detour.pid")}"
}

say "install"
inside dpkg --install /tmp/before.deb
untouched
inside detour version
[ -e "$root/usr/share/man/man1/detour-relay.1.gz" ] || fail "there is no manual"

say "set up"
inside detour init --service --yes 127.0.0.1 --tls self --access-everyone | tee "$root/run/said"
[ ! -e "$root/etc/systemd/system/detour.service" ] || fail "init hides the unit of the package"
grep -E '^(Uid|Gid|CapEff|CapBnd|NoNewPrivs):' "/proc/$(main)/status"
grep -q "^Uid:	$(inside id -u detour)	" "/proc/$(main)/status" || fail "the relay runs as somebody else"
grep -q '^CapBnd:	0000000000000400$' "/proc/$(main)/status" || fail "the relay may do more than bind its port"
check

say "upgrade"
old=$(main)
sha256sum "$root"/etc/detour/* "$root"/var/lib/detour/*.{key,pem} >"$root/run/sums"
inside dpkg --install /tmp/now.deb
until [ "$(main)" != "$old" ] && ! kill -0 "$old" 2>/dev/null; do sleep 0.1; done
[ "$(readlink "/proc/$(main)/exe")" = "$root/usr/bin/detour" ] || fail "the old program still runs"
sha256sum --check --quiet "$root/run/sums" || fail "the upgrade has changed settings or keys"
check
inside detour version

say "install again"
inside dpkg --install /tmp/now.deb
check

say "remove"
inside dpkg --remove detour
[ -z "$(pgrep -x detour || true)" ] || fail "the relay still runs"
sha256sum --check --quiet "$root/run/sums" || fail "settings or keys are gone"

say "purge"
inside dpkg --purge detour
files | diff "$root/run/files" - || fail "something is left"
say "all is as it was"
