#!/usr/bin/env bash
# Makes cmd/detour/default.pgo, the profile that `go build` optimises the program by: a relay under large and small
# packets in turn, for about a minute.
#
# The frames of readRecordOrCCS are taken out of the profile on purpose. With them the compiler inlines crypto/tls's
# readFromUntil into that large function, where it inlines no further; without them it inlines bytes.Buffer.ReadFrom
# into readFromUntil, sees that its reader does not escape, and the one allocation per refill of a TLS conn is gone.
# See docs/decisions/0003-profile-guided-build.md.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
relay=
cleanup() {
	if [ -n "$relay" ]; then kill "$relay" 2>/dev/null || true; wait "$relay" 2>/dev/null || true; fi
	rm -rf "$dir"
}
trap cleanup EXIT

echo "build without a profile"
go build -pgo=off -o "$dir/detour" ./cmd/detour
"$dir/detour" relay --tls self --hostname 127.0.0.1 --state-dir "$dir" --listen 127.0.0.1:14433 --stun off --self-check off --pprof 127.0.0.1:16060 \
	>"$dir/log" 2>&1 &
relay=$!
sleep 2

profile() { # NAME SECONDS BENCH-FLAGS...
	local name=$1 seconds=$2
	shift 2
	echo "profile $name"
	"$dir/detour" bench --insecure --duration "$((seconds + 3))s" "$@" https://127.0.0.1:14433/derp >/dev/null &
	local load=$!
	sleep 2
	curl -sf -o "$dir/$name.prof" "http://127.0.0.1:16060/debug/pprof/profile?seconds=$seconds"
	wait "$load" || { echo "the load failed: $name"; exit 1; }
}
profile full 8 --size 1400
profile paced 8 --size 1400 --rate 1G --burst 16
profile single 8 --size 1400 --rate 300M --burst 1
profile small 20 --size 100 --pairs 4

go tool pprof -proto -hide='readRecordOrCCS|\(\*Conn\)\.readRecord$' "$dir"/*.prof >cmd/detour/default.pgo 2>/dev/null
ls -l cmd/detour/default.pgo
