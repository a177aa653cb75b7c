// Package config holds the settings of a relay: one plain value, wherever it comes
// from. Commands make it from a file, variables and flags ([Load]), programs fill it in,
// a process that hands over to the next one sends it as JSON. It opens nothing: whoever
// calls has read the file.
//
// # Words
//
//   - setting: one value, named by its path in the JSON form: "listen", "mesh.with".
//   - table: one row for each setting, with all that people are told of it ([Table]).
//   - origin: where the value of a setting comes from, with its place in the file.
//   - live: a setting that a running relay takes over as it is. All others take a
//     new process, which [Diff] tells apart.
//
// A Config begins as [Defaults]; from there on zero values mean what the fields
// say, which is mostly "off". [Config.Complete] checks what can be known without
// looking at the machine and fills in what follows from other settings.
package config

// A Config is what a relay is made from.
type Config struct {
	// Dev is for trying things out: plain HTTP on a loopback address, with a key
	// that is forgotten at the end.
	Dev bool `json:"dev" yaml:"dev"`

	// Listen is the address of the relay, host:port; port 0 takes any free one.
	// Empty: DefaultListen, or DevListen for Dev. Or "unix:" and the path of a socket for
	// a proxy of this machine, with the mode and group of ListenMode, an octal number
	// (empty: 660), and ListenGroup, a name or number (empty: the process's).
	Listen      string `json:"listen" yaml:"listen"`
	ListenMode  string `json:"listen-mode" yaml:"listen-mode"`
	ListenGroup string `json:"listen-group" yaml:"listen-group"`

	// TrustedProxies are networks and addresses of proxies that are believed when they
	// say whom they bring; ProxyHeader says whether they have to do so by a PROXY
	// header. Empty: HeaderRequired with TLS, HeaderOptional without.
	TrustedProxies []string `json:"trusted-proxies" yaml:"trusted-proxies"`
	ProxyHeader    string   `json:"proxy-header" yaml:"proxy-header"`

	// Hostname is the DNS name or IP address by which peers reach the relay.
	Hostname string `json:"hostname" yaml:"hostname"`

	// HTTP is the address at which plain HTTP is answered beside TLS, usually port 80:
	// whether a captive portal is in the way, an authority's questions, and for all else
	// where https is. Empty: DefaultHTTP if an authority asks there, else none. HTTPOff:
	// none, also if somebody else has to answer the authority.
	HTTP string `json:"http" yaml:"http"`

	// PublicIP are more addresses by which peers reach the relay. TLSACME has a
	// certificate issued for them, too.
	PublicIP []string `json:"public-ip" yaml:"public-ip"`

	// STUN is the UDP address for STUN, or "off". Empty: port 3478 of the host of
	// Listen, or for Dev the port that the listener got.
	STUN string `json:"stun" yaml:"stun"`

	// DERP has the relay relay. Without it nobody can log in, and it answers STUN, probes
	// and Bootstrap only.
	DERP bool `json:"derp" yaml:"derp"`

	// SNI are the names of other servers that share the relay's port, with where they are:
	// host:port, or "unix:" and the path of a socket; in front of it perhaps "proxy-v2:",
	// for those that want a PROXY header. Connections of TLS that ask for such a name are
	// passed to them unopened. SNIUnknown is what becomes of those that ask for a name which
	// nobody has, SNINone of those that ask for none: SNIAnswer, SNIClose, or where such a
	// server is. Empty: SNIAnswer.
	SNI        map[string]string `json:"sni" yaml:"sni"`
	SNIUnknown string            `json:"sni-unknown" yaml:"sni-unknown"`
	SNINone    string            `json:"sni-none" yaml:"sni-none"`

	// MaxForeign bounds the connections that do not come for the relay; those above are
	// closed. 0: 4096, or as many as there are descriptors for.
	MaxForeign int `json:"max-foreign" yaml:"max-foreign"`

	// Home is what answers all paths that are not the relay's: empty for a short
	// explanation, "blank", a URL to redirect to, the whole path of a directory, or "proxy:"
	// and the URL of a server. Discreet has it answer all that no DERP client asks for, also
	// at the relay's own paths.
	Home     string `json:"home" yaml:"home"`
	Discreet bool   `json:"discreet" yaml:"discreet"`

	TLS  TLS  `json:"tls" yaml:"tls"`
	ACME ACME `json:"acme" yaml:"acme"`

	// StateDir keeps keys and self-signed certificates. Empty: where the service
	// manager or the system's custom says.
	StateDir string `json:"state-dir" yaml:"state-dir"`

	// RelayKey is the file with the relay's private key, made if missing. Empty:
	// relay.key in the state directory.
	RelayKey string `json:"relay-key" yaml:"relay-key"`

	Accept Accept `json:"accept" yaml:"accept"`

	// MaxConns bounds the connections of peers and siblings that have come in; those
	// above are closed at once. 0: as many as there are descriptors for.
	MaxConns int `json:"max-conns" yaml:"max-conns"`

	// MaxPending bounds the connections that are in their handshake; the oldest
	// gives way.
	MaxPending int `json:"max-pending" yaml:"max-pending"`

	// Poller says who reads the peers' connections: event loops of our own, or a
	// goroutine each, which wait in Go's poller.
	Poller string `json:"poller" yaml:"poller"`

	// OutboxMemory bounds the memory of what waits for all peers and siblings that take
	// it slower than it comes; 0: no bound.
	OutboxMemory Size `json:"outbox-memory" yaml:"outbox-memory"`

	// KeepAlive is the time between two KeepAlive frames to a peer, which keep
	// proxies from cutting silent connections; 0: none.
	KeepAlive Duration `json:"keepalive" yaml:"keepalive"`

	TCP TCP `json:"tcp" yaml:"tcp"`

	Mesh Mesh `json:"mesh" yaml:"mesh"`

	Access Access `json:"access" yaml:"access"`

	Bootstrap Bootstrap `json:"bootstrap" yaml:"bootstrap"`

	Limits Limits `json:"limits" yaml:"limits"`

	Quota Quota `json:"quota" yaml:"quota"`

	// Drain is the time over which peers are sent away at the end; 0: none.
	Drain Duration `json:"drain" yaml:"drain"`

	// SelfCheck says how the relay checks that it is of use: CheckAuto, CheckName,
	// CheckDirect, CheckOff, or the URL by which peers reach it.
	SelfCheck string `json:"self-check" yaml:"self-check"`

	Log Log `json:"log" yaml:"log"`

	// Admin and Pprof are loopback addresses for operators of the same machine: health and
	// status, and profiles. Empty: none.
	Admin string `json:"admin" yaml:"admin"`
	Pprof string `json:"pprof" yaml:"pprof"`

	// Metrics is the address with numbers for Prometheus; empty: none. Beyond loopback it
	// is TLS, for those who have the token of MetricsToken, a certificate of MetricsCA, or
	// both if both are given.
	Metrics      string `json:"metrics" yaml:"metrics"`
	MetricsToken string `json:"metrics-token" yaml:"metrics-token"` // file with the bearer token
	MetricsCA    string `json:"metrics-ca" yaml:"metrics-ca"`       // PEM file with authorities

	// AdminSocket is the unix socket by which the commands of this machine change the
	// running relay, or "off". Empty: admin.sock in the state directory; Dev has none.
	AdminSocket string `json:"admin-socket" yaml:"admin-socket"`

	// History is the file that keeps what the relay did in each minute of the last week, or
	// "off". Empty: history.db in the state directory; Dev has it in memory.
	History string `json:"history" yaml:"history"`

	// AdminHTTPS is the address at which the same is answered over the network, with
	// the relay's certificate, to those who have the token of AdminToken. Empty: none.
	AdminHTTPS string `json:"admin-https" yaml:"admin-https"`
	AdminToken string `json:"admin-token" yaml:"admin-token"` // file with the bearer token
}

// Access says who may come in. Of all sources the first that says yes lets a peer
// in; a ban, and the name of a denied application, beat them all.
type Access struct {
	// Keys are files with a nodekey:... a line, its label and its end; they are read
	// again when they change.
	Keys []string `json:"keys" yaml:"keys"`

	// Managed lets in whom "detour access" has allowed or imported. It is also asked
	// when another source is there.
	Managed bool `json:"managed" yaml:"managed"`

	// Verify are URLs that take derper's admission request; the others say how they
	// are asked.
	Verify        []string `json:"verify" yaml:"verify"`
	VerifyTimeout Duration `json:"verify-timeout" yaml:"verify-timeout"`
	VerifyCA      string   `json:"verify-ca" yaml:"verify-ca"`           // PEM file; empty: the system's authorities
	VerifyHeaders string   `json:"verify-headers" yaml:"verify-headers"` // file with a header a line, such as Authorization

	// Coordinator are the coordinators of one coordination server, whose members may
	// come in: https://host[:port], perhaps with =sha256-raw: and the pin of its
	// certificate. Any of them answers. CoordinatorToken is a file with the token that
	// the server has made for this relay.
	Coordinator      []string `json:"coordinator" yaml:"coordinator"`
	CoordinatorToken string   `json:"coordinator-token" yaml:"coordinator-token"`

	// Tailscaled are the sockets of Tailscale daemons on this machine, whose tailnets
	// may come in; "auto" is where the system has it.
	Tailscaled []string `json:"tailscaled" yaml:"tailscaled"`

	// Everyone lets everybody in.
	Everyone bool `json:"everyone" yaml:"everyone"`

	// DenyApps are names of applications whose peers stay out.
	DenyApps []string `json:"deny-apps" yaml:"deny-apps"`

	// FailOpen lets everybody in while a URL of Verify cannot be reached, as derper does.
	// Who came in so is asked about until somebody answers.
	FailOpen bool `json:"fail-open" yaml:"fail-open"`

	// Grace is how long a key that a source has confirmed stays admitted while no
	// source can be asked.
	Grace Duration `json:"grace" yaml:"grace"`
}

// TailscaledAuto stands for the socket of this machine's Tailscale daemon.
const TailscaledAuto = "auto"

// Given reports whether anything says who may come in.
func (a Access) Given() bool {
	return a.Managed || a.Everyone || len(a.Keys)+len(a.Verify)+len(a.Coordinator)+len(a.Tailscaled) > 0
}

// Bootstrap has names whose addresses the relay tells those whose DNS is broken.
type Bootstrap struct {
	Names       []string `json:"names" yaml:"names"`             // told to whoever asks
	Unpublished []string `json:"unpublished" yaml:"unpublished"` // only to who asks for one; name or name/name of its TXT record
}

// Limits say what keys may use, all connections of one together, and the relay as a
// whole. Siblings are exempt.
type Limits struct {
	In     Rate             `json:"in" yaml:"in"`         // from each key
	Out    Rate             `json:"out" yaml:"out"`       // to each key
	Burst  Size             `json:"burst" yaml:"burst"`   // at once after a rest; 0: one second's worth
	Total  Rate             `json:"total" yaml:"total"`   // from all keys, shared fairly
	Labels map[string]Limit `json:"labels" yaml:"labels"` // instead of In, Out and Burst for keys with this label
}

// Quota says what a month may cost. 0: no mark.
type Quota struct {
	Soft    Size   `json:"soft" yaml:"soft"`       // beyond it, operators are told
	Hard    Size   `json:"hard" yaml:"hard"`       // beyond it, Then
	Count   string `json:"count" yaml:"count"`     // in, out or both
	Day     int    `json:"day" yaml:"day"`         // of the month (UTC) on which counting begins anew, 1 to 28
	Then    string `json:"then" yaml:"then"`       // QuotaDrain, or the Rate to slow down to
	Webhook string `json:"webhook" yaml:"webhook"` // URL that is told of marks, or a file that has it
}

// HistoryOff keeps no history.
const HistoryOff = "off"

// QuotaDrain sends all peers to other regions.
const QuotaDrain = "drain"

// What a quota counts.
const (
	CountIn   = "in"
	CountOut  = "out"
	CountBoth = "both"
)

// TLS says how connections are secured.
type TLS struct {
	// Mode is TLSOff, TLSFiles, TLSSelf or TLSACME. Empty: TLSFiles if there are files, and
	// TLSOff for Dev.
	Mode string `json:"mode" yaml:"mode"`

	Cert string `json:"cert" yaml:"cert"` // PEM file: the leaf, then the intermediates
	Key  string `json:"key" yaml:"key"`   // PEM file: the private key of the leaf
}

// What Poller may be.
const (
	PollerLoops = "loops"
	PollerGo    = "go"
)

// What ProxyHeader may be.
const (
	HeaderRequired = "required"
	HeaderOptional = "optional" // Forwarded or X-Forwarded-For does as well
)

// What SNIUnknown and SNINone may be besides an address.
const (
	SNIAnswer = "answer"
	SNIClose  = "close"
)

// Shared reports whether others share the relay's port, or it turns away who asks for
// what it is not.
func (c Config) Shared() bool {
	turns := func(choice string) bool { return choice != "" && choice != SNIAnswer }
	return len(c.SNI) > 0 || turns(c.SNIUnknown) || turns(c.SNINone)
}

// The modes of TLS.
const (
	TLSOff   = "off"   // plain HTTP
	TLSFiles = "files" // a pair from two files
	TLSSelf  = "self"  // self-signed, trusted by its pin
	TLSACME  = "acme"  // an authority issues and renews it
)

// ACME says whom TLSACME asks for certificates, and how.
type ACME struct {
	// Directory is the URL of the authority's directory; empty: Let's Encrypt. CA is a PEM
	// file with who may sign the certificate of that URL; empty: the system's authorities.
	Directory string `json:"directory" yaml:"directory"`
	CA        string `json:"ca" yaml:"ca"`

	// Contact is the mail address that the authority is told; empty: none.
	Contact string `json:"contact" yaml:"contact"`

	// EABKeyID and the file EABKey are those of an account that the operator has with the
	// authority already, where it wants one.
	EABKeyID string `json:"eab-key-id" yaml:"eab-key-id"`
	EABKey   string `json:"eab-key" yaml:"eab-key"`

	// Profile is which of its kinds of certificate the authority issues. Empty: what it does
	// by itself, and shortlived for addresses.
	Profile string `json:"profile" yaml:"profile"`

	// Challenge is how the authority finds out that the names lead here: ChallengeALPN,
	// ChallengeHTTP or ChallengeDNS. Empty: ChallengeALPN.
	Challenge string `json:"challenge" yaml:"challenge"`

	// DNSHook is a program that makes and removes the records of ChallengeDNS; else DNSServer
	// is the address of a DNS server that takes updates, signed by the key in the file DNSKey.
	// DNSWait is until all servers of the zone have a record.
	DNSHook   string   `json:"dns-hook" yaml:"dns-hook"`
	DNSServer string   `json:"dns-server" yaml:"dns-server"`
	DNSKey    string   `json:"dns-key" yaml:"dns-key"`
	DNSWait   Duration `json:"dns-wait" yaml:"dns-wait"`

	// Storage is the directory for certificates, their keys and the account, which relays
	// of one name can share. Empty: acme in the state directory.
	Storage string `json:"storage" yaml:"storage"`
}

// The challenges of an ACME authority.
const (
	ChallengeALPN = "tls-alpn" // it connects to port 443
	ChallengeHTTP = "http"     // to port 80
	ChallengeDNS  = "dns"      // it asks the DNS for a record
)

// Accept limits new connections. One address, or one /64 of IPv6, may use a quarter.
type Accept struct {
	Limit float64 `json:"limit" yaml:"limit"` // a second; 0: no limit
	Burst int     `json:"burst" yaml:"burst"` // so many at once; 0: one second's worth
}

// TCP has the timeouts of connections. 0: off.
type TCP struct {
	KeepAlive    Duration `json:"keepalive" yaml:"keepalive"`         // after so long without a word, ask the peer's system
	UserTimeout  Duration `json:"user-timeout" yaml:"user-timeout"`   // how long sent bytes may stay unacknowledged (Linux)
	WriteTimeout Duration `json:"write-timeout" yaml:"write-timeout"` // how long a conn may take no bytes while some wait
}

// Mesh says which siblings a relay has, and how it knows them.
type Mesh struct {
	// KeyFile has the mesh keys of the region, one a line: the first is used, all
	// are accepted. Empty: the environment may have one.
	KeyFile string `json:"key-file" yaml:"key-file"`

	// With are siblings by name, each host[:port][/dialhost][=pin] or
	// http://host:port; DNS are names whose addresses all are siblings; SRV are
	// names whose SRV records lead to siblings.
	With []string `json:"with" yaml:"with"`
	DNS  []string `json:"dns" yaml:"dns"`
	SRV  []string `json:"srv" yaml:"srv"`

	CA string `json:"ca" yaml:"ca"` // PEM file to verify siblings with; empty: the system's authorities

	// Rebalance sends idle peers back to the node of the DERP map that they want,
	// while the sibling that is this node is well: from node to entry of With.
	Rebalance map[string]string `json:"rebalance" yaml:"rebalance"`
}

// Used reports whether there are siblings to link to.
func (m Mesh) Used() bool { return len(m.With)+len(m.DNS)+len(m.SRV) > 0 }

// Log says what is logged.
type Log struct {
	Format string `json:"format" yaml:"format"` // auto, text or json
	Level  string `json:"level" yaml:"level"`   // debug, info, warn or error
}

// What SelfCheck may be besides a URL.
const (
	CheckAuto   = "auto"   // by name, unless this machine cannot reach it
	CheckName   = "name"   // by name
	CheckDirect = "direct" // at the listener's own address
	CheckOff    = "off"
)

// What switches things off.
const (
	STUNOff        = "off"
	HTTPOff        = "off"
	AdminSocketOff = "off"
)
