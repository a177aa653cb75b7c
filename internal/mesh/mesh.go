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
	discoveries   []*discovery

	lost retry.Broadcast // a link was lost

	mu      sync.Mutex
	keepers []*keeper // guarded by mu
}

// New checks the configuration. Nothing is dialled before Run.
func New(config Config) (*Mesh, error) {
	if config.Relay == nil {
		return nil, errors.New("mesh: Config.Relay is missing")
	}
	m := newMesh(config)
	m.link, m.closeNotIdeal, m.siblingSeen = config.Relay.Link, (&sender{relay: config.Relay}).closeNotIdeal, config.Relay.SiblingSeen
	m.dial = dialer{config.RootCAs}.dial
	if err := m.prepare(); err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	return m, nil
}

// Check says what is wrong with the siblings of a configuration, which needs no relay.
func Check(config Config) error {
	if err := newMesh(config).prepare(); err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	return nil
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

// prepare makes the keepers of the entries, and the discoveries.
func (m *Mesh) prepare() error {
	if m.config.Refresh < 0 {
		return fmt.Errorf("Config.Refresh %v: want the time between look-ups", m.config.Refresh)
	}
	if err := checkDuplicates(m.config.Entries); err != nil {
		return err
	}
	for i, name := range m.config.DNS {
		d, err := m.newDNS(name)
		if err != nil {
			return fmt.Errorf("DNS name %d, %q: %w", i+1, name, err)
		}
		m.discoveries = append(m.discoveries, d)
	}
	for i, name := range m.config.SRV {
		d, err := m.newSRV(name)
		if err != nil {
			return fmt.Errorf("SRV name %d, %q: %w", i+1, name, err)
		}
		m.discoveries = append(m.discoveries, d)
	}
	if err := m.checkRebalance(); err != nil {
		return err
	}
	for _, e := range m.config.Entries {
		m.newKeeper(target{Entry: e}, nil)
	}
	return nil
}

// Run keeps the links until ctx is done, and waits for their end. It is called
// once, and blocks also when there is nobody to link to.
func (m *Mesh) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { <-ctx.Done() })
	m.mu.Lock()
	for _, k := range m.keepers {
		all.Go(func() { k.run(ctx) })
	}
	m.mu.Unlock()
	for _, d := range m.discoveries {
		all.Go(func() { d.run(ctx) })
	}
	if len(m.config.Rebalance) > 0 {
		r := rebalancer{nodes: m.config.Rebalance, linkedSince: m.linkedSince, closeNotIdeal: m.closeNotIdeal, logger: m.config.Logger}
		all.Go(func() { r.run(ctx) })
	}
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
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepers = append(m.keepers, k)
	return k
}

func (m *Mesh) dropKeeper(k *keeper) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepers = slices.DeleteFunc(m.keepers, func(other *keeper) bool { return other == k })
}
