#!/usr/bin/env bash
# image.sh ROOT: runs an image, unpacked at ROOT, as a container's runtime would: its user,
# $user, its $environment, its entrypoint and command, $start, and its $health check. There
# is nothing in it but what the image has.
root=$1
mkdir -p "$root/proc"
. "$(dirname "$0")/room.sh"

# Docker lets everybody bind low ports of a container.
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start

# contained: a command in the image, as its user, without any capability.
contained() {
	setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all \
		env -i $environment "$@" "$(command -v chroot)" --userspec="$user" "$root" $command
}

say "start"
command=$start contained DETOUR_HOSTNAME=127.0.0.1 DETOUR_TLS_MODE=self DETOUR_ACCESS_EVERYONE=true &
until command=$health contained; do kill -0 $! || fail "it has ended"; sleep 0.2; done
relay=$(pgrep -x detour)
[ "$(stat -c %u:%g "/proc/$relay")" = "$user" ] || fail "it runs as somebody else"

say "check"
pin=$(openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -outform der | sha256sum | cut -d ' ' -f 1)
command="/usr/bin/detour check --cert-name sha256-raw:$pin 127.0.0.1" contained

say "stop"
kill "$relay"
wait $! || fail "it has not ended well"
if command=$health contained; then fail "a relay that has ended is well"; fi
say "all is well"
