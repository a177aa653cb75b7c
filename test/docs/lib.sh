# The machine on which a page's commands run, and the words of its script:
#
#	run BLOCK [FILE]        its commands one after the other, each of which has to end well; with a file, at a terminal where that is typed
#	each BLOCK [PATTERN]    each of its commands alone: a server, which has to get ready, and ends; with terminal=yes, at one
#	serve BLOCK [PATTERN]   its commands in the background, until one has said PATTERN ("is ready")
#	show BLOCK              a console's: each has to answer just what stands beneath it
#	like BLOCK [FILTER]     the same, but for numbers, keys, times and bars; before N, if there is one, is called before its N-th
#	serves BLOCK            a console's with one command, a server: what stands beneath it is what it has said, but for these
#	file BLOCK FILE         what stands in it, as a file
#	on MACHINE WORD...      a word on another machine: anna or ben, after machines
#	let TEXT VALUE          from here on TEXT of the page, which stands for something, is VALUE
#	end                     ends what serve has started
#	await WHAT COMMAND...   until it succeeds
#
# All of it is gone with the script, whose process is the first of a PID namespace.
set -euo pipefail
shopt -s nullglob
script=$(realpath "$1")
here=$(dirname "$(realpath "$0")")

fail() { echo "FAILED: $*" >&2; exit 1; }

# The machine. What of it pages change is memory; names of examples lead to addresses of
# examples, which are this machine's.
mount --make-rprivate /
umask 022
base=/mnt
mount -t tmpfs tmpfs "$base"
mkdir "$base/bin" "$base/home" "$base/etc"
mkdir -m 1777 "$base/tmp"
cp "$PROGRAM" "$base/bin/detour"
cp "$(dirname "$PROGRAM")/asked" "$(dirname "$PROGRAM")/wireguard-go" "$base/bin"
cp "$BLOCKS" "$base/blocks" -r
for dir in /etc/detour /etc/wireguard /var/lib/detour /var/lib/derper /etc/systemd/system /certs; do
	mkdir -p "$dir" && mount -t tmpfs -o mode=755 tmpfs "$dir"
done
for dir in /usr/local/bin /run; do mount -t tmpfs -o mode=755 tmpfs "$dir"; done
mkdir -p /run/detour /run/netns /run/systemd/system
cp "$base/bin/detour" /usr/local/bin/detour
for file in passwd group; do
	grep -v '^detour:' "/etc/$file" >"$base/etc/$file"
	mount --bind "$base/etc/$file" "/etc/$file"
done
echo "detour:x:990:990::/var/lib/detour:/usr/sbin/nologin" >>/etc/passwd
echo "detour:x:990:" >>/etc/group
chown detour:detour /var/lib/detour
{
	echo "127.0.0.1 localhost"
	echo "203.0.113.7 relay.example.com relay.example derp.example.com relay.corp.example"
	echo "203.0.113.200 headscale.example.com headscale.example coord.example.com login.tailscale.com ca.corp.example acme.example.com ns1.example.com"
	for n in 1 2 3; do echo "198.51.100.$n derp$n.example.com"; done
} >"$base/etc/hosts"
mount --bind "$base/etc/hosts" /etc/hosts
: >"$base/etc/resolv.conf"
mount --bind "$base/etc/resolv.conf" "$(realpath /etc/resolv.conf)"
if [ -e /dev/net/tun ]; then # udev lets everybody open it
	mknod -m 666 "$base/tun" c 10 200
	mount --bind "$base/tun" /dev/net/tun
fi
ip link set lo up
for net in 203.0.113.0/25 198.51.100.0/24 10.0.0.0/24; do ip route add local "$net" dev lo; done
cp "$here/machine/"* "$base/bin/"
chmod 755 "$base/bin/"*
GOCACHE=$(go env GOCACHE) GOMODCACHE=$(go env GOMODCACHE)
export GOCACHE GOMODCACHE
export PATH="$base/bin:/usr/local/bin:$PATH" HOME="$base/home" MACHINE="$base" TMPDIR="$base/tmp"
export SHELL=/bin/bash LANG=C.UTF-8 # nobody need have set them; script runs its commands with the first
cd "$base/home"

# Certificates for the names, and an authority of which this machine knows.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$base/ca.key" -out "$base/ca.pem" -days 30 -subj /CN=docs -addext keyUsage=critical,keyCertSign 2>/dev/null
export SSL_CERT_FILE="$base/ca.pem"

# certificate FILE NAME...: FILE.crt and FILE.key for these names and addresses.
certificate() {
	local file=$1 names="" name
	shift
	for name in "$@"; do
		case $name in
		*[!0-9.]*) names+=",DNS:$name" ;;
		*) names+=",IP:$name" ;;
		esac
	done
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$file.key" -out "$file.crt" -days 30 -subj "/CN=$1" -CA "$base/ca.pem" -CAkey "$base/ca.key" \
		-addext "subjectAltName=${names#,}" -addext basicConstraints=critical,CA:FALSE 2>/dev/null
}

# await WHAT COMMAND...
await() {
	local what=$1 end=$((SECONDS + 90))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "it never comes about that $what"
		sleep 0.1
	done
}

from=() to=() used=()
let() { from+=("$1") to+=("$2") used+=(""); }

# text FILE: what stands in it, with what it stands for.
text() {
	text=$(cat "$base/blocks/$1" && echo .)
	text=$(sed -E 's/^[0-9*\/]+ \* \* \* \* +//' <<<"${text%.}" && echo .) # a line of cron
	text=${text%.}
	text=${text%$'\n'}
	local i
	for i in "${!from[@]}"; do
		case $text in
		*"${from[i]}"*) used[i]=yes text=${text//"${from[i]}"/"${to[i]}"} ;;
		esac
	done
}

begin() { [ -e "$base/blocks/$1" ] || fail "the page has no block $1"; echo "== $1"; }

machine="" # where commands run: in a namespace of another machine, or here
shell() { ${machine:+nsenter -t "$machine" -n -m -u --} timeout 120 bash -c "cd $PWD; $1"; }

run() {
	begin "$1"
	text "$1"
	local commands="set -eo pipefail
$text"
	[ -z "${2:-}" ] || commands="script -qec $(printf %q "$commands") /dev/null"
	shell "$commands" <"${2:-/dev/null}" >"$base/said" 2>&1 || fail "$1 ended with $?: $(cat "$base/said")"
	cat "$base/said"
}

# lines: the commands of text, with those that a backslash joins in one.
lines() {
	local line joined=""
	lines=()
	while IFS= read -r line; do
		joined+=$line
		case $line in
		*\\) joined=${joined%\\} ;;
		*) case $joined in "" | \#*) ;; *) lines+=("$joined") ;; esac; joined="" ;;
		esac
	done <<<"$text"
}

servers=()
background() { # LOG COMMANDS
	: >"$1"
	${machine:+nsenter -t "$machine" -n -m -u --} setsid bash -c "cd $PWD; $2" </dev/null >"$1" 2>&1 &
	servers+=($!)
}

ready() { # NAME LOG PATTERN
	local end=$((SECONDS + 90))
	until grep -Eq -- "$3" "$2"; do
		[ "$SECONDS" -lt "$end" ] || fail "$1 never says $3: $(cat "$2")"
		kill -0 "${servers[-1]}" 2>/dev/null || grep -Eq -- "$3" "$2" || fail "$1 has ended: $(cat "$2")"
		sleep 0.1
	done
	cat "$2"
}

serve() {
	begin "$1"
	text "$1"
	log=$base/$1.log
	background "$log" "$text"
	ready "$1" "$log" "${2:-is ready}"
}

end() {
	local server
	for server in "${servers[@]}"; do kill -TERM -- "-$server" 2>/dev/null || true; done
	sleep 0.2
	pkill -TERM -x detour 2>/dev/null || true # of the page's, whose processes are those of this namespace
	for server in "${servers[@]}"; do kill -KILL -- "-$server" 2>/dev/null || true; done
	pkill -KILL -x detour 2>/dev/null || true
	wait "${servers[@]}" 2>/dev/null || true
	servers=()
}

stop() { # SERVER: ends it alone
	kill -TERM -- "-$1" 2>/dev/null || true
	for _ in $(seq 50); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
	kill -KILL -- "-$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

each() {
	begin "$1"
	text "$1"
	lines
	local line
	for line in "${lines[@]}"; do
		[ -z "${terminal:-}" ] || line="script -qec $(printf %q "$line") /dev/null"
		background "$base/$1.log" "exec $line"
		ready "$line" "$base/$1.log" "${2:-is ready}"
		stop "${servers[-1]}"
		unset 'servers[-1]'
	done
}

# plainer: without what differs from run to run.
plainer() {
	sed -E 's/(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]+ GMT/#/; s/[0-9a-fA-F]{8,}/#/g; s/[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+Z)?/#/g; s/[0-9]+([.:][0-9]+)*/#/g; s/[█▏▎▍▌▋▊▉]+//g; s/#( ?)(ns|us|µs|ms|m?s|d|h|m|B|KB|MB)\b/#/g; s/[[:space:]]+/ /g; s/ $//; s/-+/-/g'
}

console() { # BLOCK FILTER
	begin "$1"
	local command output file n=0
	for command in "$base/blocks/$1."*.command; do
		file=$(basename "${command%.command}")
		! declare -F before >/dev/null || before "$n"
		n=$((n + 1))
		text "$file.output"
		output=$text
		text "$file.command"
		shell "$text" </dev/null >"$base/said" 2>&1 || true # the status is that of what is shown
		printf '$ %s' "$text"
		cat "$base/said"
		diff <(printf '%s' "$output" | "$2") <("$2" <"$base/said") || fail "$1: $text answers something else than the page says"
	done
}
show() { console "$1" cat; }
like() { console "$1" "${2:-plainer}"; }

serves() {
	begin "$1"
	text "$1.0.output"
	local output=$text end=$((SECONDS + 60))
	text "$1.0.command"
	log=$base/$1.log
	background "$log" "exec $text"
	until diff <(printf '%s' "$output" | plainer) <(plainer <"$log" | grep -v '^{"time"') >"$base/diff"; do
		[ "$SECONDS" -lt "$end" ] || fail "$1: $text says something else than the page: $(cat "$base/diff")"
		sleep 0.2
	done
	cat "$log"
}

file() { cp "$base/blocks/$1" "$2"; }

# asked: headscale.example.com and others, whom relays ask: each lets everybody in. More
# paths, with the files that they answer, may be given.
asked() {
	certificate "$base/asked" headscale.example.com headscale.example coord.example.com login.tailscale.com
	[ -e "$base/yes" ] || echo '{"Allow":true}' >"$base/yes"
	unshare --net sleep infinity &
	local there=$!
	await "there is another machine" sh -c "[ \"\$(readlink /proc/$there/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
	ip link add others type veth peer name eth0 netns "$there"
	ip addr add 203.0.113.201/30 dev others
	ip link set others up
	nsenter -t "$there" -n sh -c "ip addr add 203.0.113.202/30 dev eth0; ip addr add 203.0.113.200/32 dev eth0; ip link set eth0 up; ip link set lo up; ip route add default via 203.0.113.201"
	ip route add 203.0.113.200/32 via 203.0.113.202
	nsenter -t "$there" -n "$base/bin/asked" "$base/asked.crt" "$base/asked.key" 203.0.113.200:443 "/verify=$base/yes" "$@" >"$base/asked.log" 2>&1 &
	await "somebody is asked" curl -sf --cacert "$base/ca.pem" https://headscale.example/verify
}

# region: derp1, derp2 and derp3.example.com, the map derpmap.yaml and the key mesh.key.
# With a number, without that one.
region() {
	local n
	[ -e mesh.key ] || detour key mesh --out mesh.key >/dev/null
	certificate "$base/derp" derp1.example.com derp2.example.com derp3.example.com
	echo "regions: {900: {regionid: 900, regioncode: fra, regionname: Frankfurt, nodes: [" >derpmap.yaml
	for n in 1 2 3; do
		echo "  {name: 900$n, regionid: 900, hostname: derp$n.example.com, ipv4: 198.51.100.$n, ipv6: none}," >>derpmap.yaml
		[ "$n" != "${1:-}" ] || continue
		background "$base/derp$n.log" "exec detour relay --config none --hostname derp$n.example.com --listen 198.51.100.$n:443 --cert $base/derp.crt --key $base/derp.key --state-dir $base/derp$n \
			--mesh-psk-file mesh.key --mesh-with derp1.example.com,derp2.example.com,derp3.example.com --access-everyone"
	done
	echo "]}}" >>derpmap.yaml
	for n in 1 2 3; do [ "$n" = "${1:-}" ] || await "derp$n is ready" grep -q "is ready" "$base/derp$n.log"; done
	[ -n "${1:-}" ] || await "the region is linked" detour check --quiet --mesh-psk-file mesh.key derpmap.yaml
}

# machines: anna and ben, each with a wire to this one, and none to the other. They have
# what it has, but for where state goes.
machines() {
	local name n=0 wire
	sysctl -qw net.ipv4.ip_forward=0 2>/dev/null || true
	for name in anna ben; do
		n=$((n + 1)) wire=wire$n
		unshare --net --mount --uts bash -c "hostname $name; for d in /var/lib/detour /run /etc/wireguard /etc/systemd/system; do mount -t tmpfs -o mode=755 tmpfs \$d; done; mkdir -p /run/detour /run/systemd/system; exec sleep infinity" &
		eval "$name=$!"
		await "$name is there" sh -c "[ \"\$(nsenter -t $! -u hostname)\" = $name ] && nsenter -t $! -m test -d /run/detour"
		ip link add "$wire" type veth peer name eth0 netns "$!"
		ip addr add "192.0.2.$((n * 4 + 1))/30" dev "$wire"
		ip link set "$wire" up
		nsenter -t "$!" -n sh -c "ip link set lo up; ip addr add 192.0.2.$((n * 4 + 2))/30 dev eth0; ip link set eth0 up; ip route add default via 192.0.2.$((n * 4 + 1))"
	done
}

on() {
	local before=$machine
	machine=${!1}
	shift
	"$@"
	machine=$before
}

source "$script"
end
for i in "${!from[@]}"; do [ -n "${used[i]}" ] || fail "nothing of the page is \"${from[i]}\""; done
echo "== all done"
