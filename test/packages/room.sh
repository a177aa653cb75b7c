# Begins the scripts here: a room of its own for what they start, which ends with them, and
# the words that they have in common. The root directory $root is a small Debian.
set -euo pipefail

if [ -z "${ROOM:-}" ]; then
	ROOM=yes exec unshare --mount --mount-proc --net --pid --fork --kill-child=KILL bash "$0" "$@"
fi
ip link set lo up
mount -t proc proc "$root/proc"

say() { printf '\n== %s\n' "$*"; }

fail() { echo "failed: $*" >&2; exit 1; }

inside() { chroot "$root" "$@"; }

# files: all of them, but those that every installation changes: the books of dpkg and rpm,
# the list of users, which stay, and what runs.
files() {
	(cd "$root" && find . -path ./proc -prune -o -path ./run -prune -o -path ./var/lib/dpkg -prune -o -path ./var/lib/rpm -prune \
		-o ! -name 'passwd*' ! -name 'group*' ! -name 'shadow*' ! -name 'gshadow*' ! -path './var/log/*' ! -path './tmp/*' ! -name '.pwd.lock' ! -path './etc/sub?id*' -print | sort)
}

# untouched: nothing but the files that an installation has is there, and nothing runs.
untouched() {
	[ -z "$(ls -A "$root/etc/detour")" ] || fail "the installation has written settings"
	[ ! -e "$root/var/lib/detour" ] || fail "the installation has made state"
	inside getent passwd detour >/dev/null || fail "there is no user"
	[ -z "$(pgrep -x detour || true)" ] || fail "something was started"
}
