package archtest

const module = "github.com/detour-relay/detour/"

// row says what a package, or a group of packages, may import.
type row struct {
	name    string   // below module; a trailing slash names all packages of a directory
	own     []string // packages of this module, named likewise
	outside []string // modules besides the standard library; nil: any that go.mod has
	never   []string // packages that it must not import itself
	beneath []string // packages that must not be beneath it, whoever imports them
}

// The web and its ciphers: a codec or an engine that has them beneath it has
// reached for the world.
var web = []string{"net/http", "crypto/tls"}

var none = []string{}

// table has one row for each room, from the floor up; the first that fits counts.
// A room without a row fails the test: whoever makes it says here what it stands
// on. Nothing but the commands may import all.
var table = []row{
	// The floor: no room of ours beneath it but the codec's.
	{name: "internal/trim", own: none, outside: none, beneath: web},
	{name: "internal/rate", own: none, outside: none, beneath: web},
	{name: "internal/audience", own: none, outside: none, beneath: web},
	{name: "internal/waiter", own: none, outside: none, beneath: web},
	{name: "internal/wheel", own: none, outside: none, beneath: web},
	{name: "internal/limit", own: none, outside: none, beneath: web},
	{name: "internal/tally", own: none, outside: none, beneath: web},
	{name: "internal/histogram", own: none, outside: none, beneath: web},
	{name: "internal/retry", own: none, outside: none, beneath: web},
	{name: "internal/text", own: none, outside: none, beneath: web},
	{name: "internal/home", own: none, outside: none, beneath: web},
	{name: "internal/smallfile", own: none, outside: none, beneath: web},
	{name: "internal/mapfeed", own: []string{"derpmap", "internal/smallfile", "internal/text"}, outside: none},
	{name: "internal/hostname", own: []string{"internal/text"}, outside: []string{"golang.org/x/net"}, beneath: web},
	{name: "internal/netio", own: none, outside: []string{"golang.org/x/sys"}, beneath: []string{"net/http"}}, // so that clients can use it, too
	{name: "key", own: []string{"internal/smallfile", "internal/text"}, outside: []string{"golang.org/x/crypto"}, beneath: web},
	{name: "derp", own: []string{"key"}, outside: none, beneath: web},
	{name: "internal/disco", own: []string{"key"}, outside: none, beneath: web},
	{name: "internal/paths", own: []string{"internal/disco", "internal/rate"}, outside: none, beneath: web},
	{name: "internal/chores", own: none, outside: none, beneath: web},
	{name: "internal/keyring", own: []string{"key"}, outside: none, beneath: web},
	{name: "internal/keytable", own: []string{"key"}, outside: none, beneath: web},
	{name: "internal/framequeue", own: []string{"derp"}, outside: none, beneath: web},
	{name: "internal/frames", own: []string{"derp"}, outside: none, beneath: web},
	{name: "internal/ledger", own: []string{"derp", "internal/framequeue", "internal/histogram"}, outside: none, beneath: web},
	{name: "internal/greeting", own: []string{"key", "derp"}, outside: none, beneath: web},
	{name: "internal/meshkey", own: []string{"key", "internal/smallfile"}, outside: none, beneath: web},
	{name: "internal/yamldoc", own: []string{"internal/text"}, outside: []string{"go.yaml.in/yaml/v3"}, beneath: web},
	{name: "internal/config", own: []string{"internal/text", "internal/yamldoc"}, outside: []string{"go.yaml.in/yaml/v3"}, beneath: web},
	{name: "internal/armour", own: none, outside: none, beneath: web},
	{name: "internal/issuers", own: none, outside: none, beneath: web},
	{name: "internal/pin", own: []string{"derp"}, outside: none, beneath: []string{"net/http", "crypto/tls"}},

	// Maps are data: who connects to what they name is not their business.
	{
		name: "derpmap", own: []string{"internal/hostname", "internal/pin", "internal/retry", "internal/text", "internal/yamldoc"},
		outside: []string{"github.com/tailscale/hujson", "go.yaml.in/yaml/v3"},
	},

	// The engine learns of the world only through what it is handed.
	{
		name: "relay", own: []string{"key", "derp", "internal/audience", "internal/chores", "internal/framequeue", "internal/frames", "internal/greeting", "internal/histogram", "internal/keyring", "internal/keytable", "internal/ledger", "internal/limit", "internal/rate", "internal/retry", "internal/tally", "internal/waiter", "internal/wheel"}, outside: []string{"golang.org/x/crypto"},
		never: []string{"net/http", "crypto/tls", "os", "flag"}, beneath: web,
	},

	// The peers' side. Nothing of the relay is beneath it.
	{name: "internal/stun", own: []string{"internal/reach/errno", "internal/retry"}, outside: []string{"github.com/pion/stun/v3", "golang.org/x/net", "golang.org/x/sys"}},
	{
		name: "internal/reach", own: []string{"key", "derp", "derpmap", "internal/hostname", "internal/pin", "internal/text"},
		outside: []string{"github.com/coder/websocket", "golang.org/x/net", "golang.org/x/sys"}, beneath: []string{module + "relay"},
	},
	{name: "internal/reach/errno", own: none, outside: []string{"golang.org/x/sys"}},
	{name: "internal/measure", own: []string{"derpmap", "internal/home", "internal/stun", "internal/reach"}, outside: none},
	{name: "internal/readbuf", own: none, outside: none, beneath: web},
	{name: "internal/socket", own: []string{"internal/readbuf"}, outside: none, beneath: web},
	{name: "internal/mailbox", own: []string{"internal/retry"}, outside: none, beneath: web},
	{name: "internal/reported", own: []string{"internal/mailbox"}, outside: none, beneath: web},
	{name: "internal/packetqueue", own: []string{"key", "internal/readbuf"}, outside: none, beneath: web},
	{name: "internal/whereabouts", own: []string{"key"}, outside: none, beneath: web},
	{
		name: "client",
		own: []string{"key", "derp", "derpmap", "internal/home", "internal/mailbox", "internal/measure", "internal/packetqueue",
			"internal/rate", "internal/reach", "internal/readbuf", "internal/reported", "internal/socket", "internal/whereabouts"},
		outside: []string{"github.com/coder/websocket"}, beneath: []string{module + "relay"},
	},
	{name: "internal/pairing", own: []string{"key", "derpmap", "internal/armour", "internal/hostname", "internal/pin", "internal/rate"}, outside: none},
	{
		name: "internal/direct", own: []string{"key", "internal/disco", "internal/paths", "internal/rate", "internal/retry", "internal/stun"},
		outside: []string{"golang.zx2c4.com/wireguard"}, beneath: []string{module + "relay"},
	},
	{name: "internal/sockmark", own: []string{"client"}, outside: []string{"golang.org/x/sys"}, beneath: []string{module + "relay"}},
	{name: "wgbind", own: []string{"key", "derp", "derpmap", "client", "internal/direct", "internal/paths", "internal/sockmark"}, outside: []string{"golang.org/x/sys", "golang.zx2c4.com/wireguard"}, beneath: []string{module + "relay"}},
	{name: "internal/netwatch", own: none, outside: []string{"golang.org/x/sys"}, beneath: []string{"net/http"}},
	{
		name: "internal/wgproxy", own: []string{"key", "derp", "client", "internal/retry", "internal/smallfile"},
		outside: []string{"golang.org/x/net", "golang.org/x/sys", "golang.zx2c4.com/wireguard/wgctrl"}, beneath: []string{module + "relay"},
	},
	{
		name: "internal/agent", own: []string{"key", "client", "derpmap", "internal/agent/pair", "internal/netwatch", "tailnet", "wgbind"},
		outside: []string{"golang.zx2c4.com/wireguard"}, beneath: []string{module + "relay"},
	},
	{
		name: "internal/agent/pair", own: []string{"key", "client", "derpmap", "internal/coordstate", "internal/pairing", "internal/retry", "internal/smallfile", "tailnet"},
		outside: none, beneath: []string{module + "relay"},
	},
	{name: "internal/agent/usernet", own: none, outside: []string{"golang.zx2c4.com/wireguard", "gvisor.dev/gvisor"}, beneath: []string{"net/http"}},
	{name: "internal/agent/hostnet", own: none, outside: []string{"github.com/vishvananda/netlink", "golang.org/x/sys", "golang.zx2c4.com/wireguard"}, beneath: []string{"net/http"}},
	{name: "internal/explain", own: []string{"client", "internal/issuers", "internal/pin", "internal/reach"}, outside: []string{"golang.org/x/sys"}},
	{name: "internal/roster", own: []string{"key", "derp", "client"}, outside: none},
	{name: "internal/load", own: []string{"key", "derp", "client"}, outside: []string{"github.com/HdrHistogram/hdrhistogram-go"}},
	{name: "internal/proxyhint", own: none, outside: none, beneath: []string{module + "relay"}},
	{
		name: "internal/probe",
		own: []string{"key", "derp", "derpmap", "client", "internal/explain", "internal/hostname", "internal/issuers", "internal/measure", "internal/pin",
			"internal/proxyhint", "internal/reach", "internal/reach/errno", "internal/retry", "internal/roster", "internal/stun"},
		outside: []string{"golang.org/x/sys"}, beneath: []string{module + "relay"},
	},

	// The relay's side: what stands around the engine.
	{name: "internal/port80", own: []string{"internal/edge", "internal/hostname"}, outside: none},
	{name: "internal/behind", own: none, outside: []string{"github.com/pires/go-proxyproto"}},
	{name: "internal/decoy", own: none, outside: none},
	{name: "internal/sni", own: []string{"internal/behind", "internal/hostname"}, outside: none, beneath: []string{module + "relay"}},
	{
		name:    "internal/edge",
		own:     []string{"key", "derp", "relay", "internal/behind", "internal/decoy", "internal/histogram", "internal/hostname", "internal/netio", "internal/rate", "internal/reach", "internal/reach/errno", "internal/retry", "internal/sni"},
		outside: []string{"github.com/coder/websocket", "golang.org/x/sys"},
	},
	{
		name: "internal/mesh", own: []string{"key", "relay", "internal/hostname", "internal/netio", "internal/pin", "internal/reach", "internal/retry"},
		outside: []string{"golang.org/x/sys"},
	},
	{name: "internal/bootstrap", own: []string{"internal/hostname", "internal/retry"}, outside: none, beneath: []string{module + "relay"}},
	{name: "internal/certs", own: []string{"key", "derp", "internal/hostname", "internal/issuers", "internal/pin", "internal/smallfile", "internal/text"}, outside: none},
	{
		name: "internal/admit",
		own:  []string{"key", "relay", "internal/certs", "internal/config", "internal/coordsource", "internal/retry", "internal/smallfile", "internal/text", "internal/vouch"}, outside: none,
	},
	{name: "internal/vouch", own: []string{"key", "internal/smallfile", "internal/text"}, outside: []string{"golang.org/x/net"}, beneath: []string{module + "relay"}},
	{
		name:    "internal/coordsource",
		own:     []string{"key", "internal/coordapi", "internal/pin", "internal/reach", "internal/retry", "internal/text", "internal/vouch"},
		outside: []string{"golang.org/x/net"}, beneath: []string{module + "relay"},
	},
	{name: "internal/quota", own: []string{"internal/retry", "internal/smallfile"}, outside: none},
	{name: "internal/hitters", own: []string{"key", "relay"}, outside: none, beneath: web},
	{name: "internal/history", own: []string{"relay", "internal/smallfile"}, outside: none, beneath: web},
	{name: "internal/health", own: []string{"key", "client", "internal/retry"}, outside: none},
	{name: "internal/clients", own: []string{"key", "relay"}, outside: none},
	{
		name: "internal/control", own: []string{"key", "relay", "internal/admit", "internal/clients", "internal/history", "internal/rate", "internal/reach/errno", "internal/smallfile", "internal/text"}, outside: none,
	},
	{name: "internal/admin", own: []string{"relay", "internal/admit", "internal/certs", "internal/clients", "internal/config", "internal/control", "internal/edge", "internal/front", "internal/health", "internal/history", "internal/hitters", "internal/mesh", "internal/numbers", "internal/quota", "internal/stun"}, outside: none},
	{name: "internal/numbers", own: none, outside: none},
	{name: "internal/numbers/numberstest", own: []string{"internal/numbers"}, outside: none},
	{name: "internal/metrics", own: []string{"derp", "relay", "internal/admin", "internal/numbers"}, outside: []string{"github.com/prometheus/client_golang"}},
	{name: "internal/page", own: none, outside: none, beneath: []string{module + "relay"}},
	{name: "internal/signin", own: []string{"internal/page"}, outside: none, beneath: []string{module + "relay"}},
	{
		name: "internal/relaypage",
		own:  []string{"key", "relay", "internal/admin", "internal/admit", "internal/certs", "internal/clients", "internal/config", "internal/control", "internal/health", "internal/history", "internal/hitters", "internal/mesh", "internal/page", "internal/quota", "internal/signin"}, outside: none,
	},
	{name: "internal/takeover", own: none, outside: []string{"github.com/cloudflare/tableflip"}, beneath: []string{"net/http"}},
	{name: "internal/twin", own: []string{"key", "relay", "internal/netio", "internal/takeover"}, outside: none},

	{name: "internal/notify", own: none, outside: []string{"github.com/coreos/go-systemd/v22"}},
	{
		name:    "internal/front",
		own:     []string{"internal/certs", "internal/config", "internal/control", "internal/hostname", "internal/numbers", "internal/reach/errno", "internal/smallfile", "internal/takeover"},
		outside: []string{"golang.org/x/net"},
	},
	{
		// The one room with an ACME client. Of ours only the commands import it, so that
		// programs that embed a relay do not have it.
		name:    "internal/acme",
		own:     []string{"internal/certs", "internal/config", "internal/front", "internal/hostname", "internal/retry", "internal/smallfile"},
		outside: []string{"github.com/caddyserver/certmagic", "github.com/mholt/acmez/v3", "github.com/miekg/dns"},
	},
	{name: "dist", own: none, outside: none, beneath: web},
	{name: "internal/amend", own: []string{"internal/config", "internal/text", "internal/yamldoc"}, outside: []string{"go.yaml.in/yaml/v3"}, beneath: web},
	{name: "internal/unit", own: []string{"internal/smallfile"}, outside: none, beneath: web},
	{
		name:    "internal/setup",
		own:     []string{"key", "derpmap", "internal/certs", "internal/config", "internal/daemon", "internal/front", "internal/hostname", "internal/mesh", "internal/smallfile", "internal/vouch"},
		outside: none,
	},
	{name: "internal/acme/acmetest", own: none, outside: []string{"github.com/letsencrypt/pebble/v2", "golang.org/x/net"}},
	{
		name: "internal/daemon",
		own: []string{"key", "client", "relay", "internal/admin", "internal/admit", "internal/behind", "internal/bootstrap", "internal/certs", "internal/config", "internal/control", "internal/decoy", "internal/edge", "internal/front",
			"internal/health", "internal/history", "internal/hitters", "internal/hostname", "internal/mesh", "internal/meshkey", "internal/netio", "internal/notify", "internal/port80", "internal/quota", "internal/relaypage", "internal/reach/errno", "internal/signin", "internal/smallfile", "internal/sni", "internal/stun",
			"internal/takeover", "internal/text", "internal/trim", "internal/twin"},
		outside: none,
	},
	{
		name: "internal/demo",
		own: []string{"derpmap", "internal/certs", "internal/config", "internal/coordserver", "internal/daemon", "internal/mapfeed", "internal/mesh", "internal/meshkey", "internal/reach/errno",
			"internal/smallfile"},
		outside: none,
	},

	{name: "server", own: []string{"relay", "internal/config", "internal/daemon"}, outside: none, beneath: []string{module + "internal/acme"}},

	// The coordination server, and what its members know of it. NATS has one room.
	{name: "internal/coordapi", own: []string{"key", "internal/armour"}, outside: none, beneath: web},
	{name: "internal/coordload", own: []string{"key", "internal/coordapi"}, outside: none},
	{
		name: "internal/coordnats", own: []string{"internal/coordstore", "internal/retry", "internal/smallfile"},
		outside: []string{"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go", "golang.org/x/sys"},
	},
	{name: "internal/coordstore", own: []string{"internal/retry"}, outside: none, beneath: web},
	{name: "internal/coordstate", own: []string{"key", "derpmap", "internal/coordapi", "internal/coordstore"}, outside: none},
	{name: "internal/coord", own: []string{"key", "derpmap", "internal/coordapi", "internal/coordstate", "internal/coordstore", "internal/rate"}, outside: none},
	{
		name: "internal/coordserver",
		own: []string{"derpmap", "internal/certs", "internal/config", "internal/control", "internal/coord", "internal/coordapi", "internal/coordnats", "internal/coordstore",
			"internal/front", "internal/hostname", "internal/mapfeed", "internal/notify", "internal/numbers", "internal/page", "internal/pin", "internal/retry", "internal/smallfile", "internal/takeover", "internal/text",
			"internal/trim"},
		outside: none,
	},
	{name: "internal/coordstore/storetest", own: []string{"internal/coordstore", "internal/retry"}, outside: none, beneath: web},

	{
		name: "tailnet",
		own: []string{"key", "derpmap", "client", "internal/coordapi", "internal/pin", "internal/rate", "internal/reach", "internal/retry",
			"internal/smallfile"},
		outside: none, beneath: []string{module + "relay", module + "internal/coordstore"},
	},

	// For tests, and the commands.
	{name: "internal/logtest", own: none, outside: none},
	{name: "internal/pages", own: none, outside: none, beneath: web},
	{name: "internal/relaytest", own: []string{"key", "derp", "relay", "internal/netio"}, outside: none},
	{name: "internal/archtest", own: none, outside: none},
	{
		name:    "cmd/detour/internal/cli",
		own:     []string{"key", "client", "internal/behind", "internal/certs", "internal/explain", "internal/meshkey", "internal/pin", "internal/smallfile", "internal/text"},
		outside: []string{"github.com/charmbracelet/x/ansi", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term"},
	},
	{name: "cmd/detour/internal/derper", own: []string{"cmd/detour/internal/cli", "cmd/detour/internal/relaycmd", "internal/config", "internal/smallfile", "internal/text"}, outside: []string{"github.com/spf13/cobra"}},
	{name: "cmd/", own: []string{"dist", "key", "derp", "relay", "client", "derpmap", "tailnet", "internal/", "cmd/"}},
}
