// Package mesh keeps a relay linked to its siblings, the other relays of its
// region: it knows which ones to keep a link to, dials them, and hands each
// connection to relay.Server.Link.
//
// # Words
//
//   - entry: a sibling as the operator names it, see [ParseEntries].
//   - target: what is dialled: an entry, or what a DNS name led to.
//   - keeper: keeps the link to one target. There is one for each.
//   - try: one attempt to link, and the link if it comes to that.
//   - discovery: looks one DNS name up again and again, and has a keeper for
//     whatever it leads to.
//
// # Limits
//
// A try has 10 s until the sibling has told us of its peers. Pauses between
// tries grow to 5 s, and shrink again only once a link has lived for a while: a
// sibling whose link breaks each second costs a try every few seconds. A keeper
// has two links at most, and two only while its sibling restarts. A DNS name
// leads to 256 targets at most.
package mesh

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/relay"
)

// Config is what a [Mesh] is made from. Zero fields mean the default.
type Config struct {
	// Relay is linked to its siblings. Required. It needs a mesh key.
	Relay *relay.Server

	// Entries are siblings that are named one by one.
	Entries []Entry

	// DNS are names, each with an optional port ("name:443"), all of whose A and
	// AAAA records are siblings. Their certificates are for that name.
	// "http://name:80" is a name of siblings without TLS.
	DNS []string

	// SRV are names whose SRV records lead to siblings. Their certificates are for
	// the names in the records.
	SRV []string

	// RootCAs verify the certificates of siblings that are not pinned; nil means
	// those of the system.
	RootCAs *x509.CertPool

	// Rebalance makes the relay send peers back to their ideal node, once the
	// sibling that is this node has been linked for a while: from names of nodes in
	// the DERP map to entries (their Name, or one of DNS or SRV). Empty means off.
	Rebalance map[string]string

	// Refresh is the time between look-ups of DNS and SRV (default 30 s).
	Refresh time.Duration

	// LookupNetIP and LookupSRV ask the DNS; nil means net.DefaultResolver.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV   func(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)

	// Logger gets a line when a link comes up, and one when it is lost; tries are
	// logged at debug level. nil discards.
	Logger *slog.Logger
}

const defaultRefresh = 30 * time.Second

// A Mesh keeps the links of one relay.
type Mesh struct {
	// Set once. The functions are those of the relay and of the network, unless a
	// test plays them.
	config        Config
	link          func(context.Context, relay.Stream, relay.Sibling) error
	siblingSeen   func() <-chan struct{} // closed when a sibling comes to us
	closeNotIdeal func(ideal string, quiet time.Duration, atMost int) int
	dial          func(context.Context, target, netip.AddrPort) (relay.Stream, error)

	roots atomic.Pointer[x509.CertPool] // Config.RootCAs
	lost  retry.Broadcast               // a link was lost
	all   sync.WaitGroup                // of members that run; Add only under mu while running is set

	mu      sync.Mutex
	running context.Context // guarded by mu: that of Run, while it runs
	members []*member       // guarded by mu
	keepers []*keeper       // guarded by mu
}

// New checks the configuration. Nothing is dialled before Run.
func New(config Config) (*Mesh, error) {
	if config.Relay == nil {
		return nil, errors.New("mesh: Config.Relay is missing")
	}
	m := newMesh(config)
	m.link, m.closeNotIdeal, m.siblingSeen = config.Relay.Link, (&sender{relay: config.Relay}).closeNotIdeal, config.Relay.SiblingSeen
	m.dial = func(ctx context.Context, to target, at netip.AddrPort) (relay.Stream, error) {
		return dialer{m.roots.Load()}.dial(ctx, to, at)
	}
	if config.Refresh < 0 {
		return nil, fmt.Errorf("mesh: Config.Refresh %v: want the time between look-ups", config.Refresh)
	}
	apply, err := m.Prepare(config)
	if err != nil {
		return nil, err
	}
	apply()
	return m, nil
}

// Check says what is wrong with the siblings of a configuration, which needs no relay.
func Check(config Config) error {
	_, err := newMesh(config).Prepare(config)
	return err
}

// newMesh fills in the defaults.
func newMesh(config Config) *Mesh {
	config.Refresh = cmp.Or(config.Refresh, defaultRefresh)
	if config.LookupNetIP == nil {
		config.LookupNetIP = net.DefaultResolver.LookupNetIP
	}
	if config.LookupSRV == nil {
		config.LookupSRV = net.DefaultResolver.LookupSRV
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Mesh{config: config}
}

// Siblings returns the state of every sibling, by name and address.
func (m *Mesh) Siblings() []State {
	m.mu.Lock()
	keepers := slices.Clone(m.keepers)
	m.mu.Unlock()
	states := make([]State, 0, len(keepers))
	for _, k := range keepers {
		states = append(states, k.state())
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr)) })
	return states
}

// newKeeper makes the keeper of a target that found led to; nil for an entry.
func (m *Mesh) newKeeper(to target, found *discovery) *keeper {
	k := &keeper{mesh: m, to: to, found: found, pace: retry.Backoff{First: firstPause, Most: longestPause}}
	k.now = State{Name: to.Name, Status: Waiting}
	if found != nil {
		k.now.From = found.name
	}
	if to.addr.IsValid() {
		k.now.Addr = netip.AddrPortFrom(to.addr, to.Port)
	}
	return k
}

func (m *Mesh) addKeeper(k *keeper) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepers = append(m.keepers, k)
}

func (m *Mesh) dropKeeper(k *keeper) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepers = slices.DeleteFunc(m.keepers, func(other *keeper) bool { return other == k })
}
