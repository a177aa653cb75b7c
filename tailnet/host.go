package tailnet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// hosted is the Host that a member has made. It is nil while there is none.
type hosted struct{ host *client.Host }

// Host makes a Host that is the member: it has its key, takes maps from the coordinator,
// reports its home there, and knows the homes of the peers, also those in the state file
// while no coordinator answers. What cfg says of these has to be empty, Key, Map, WatchMap,
// ReportHome and Tailnet (maps come in the tailnet's order); the rest is as for
// client.NewHost. About a peer of which a packet comes in before the coordinator has told
// of it the member asks, so that answers go to its home; OnUnknown is told, too. A member
// has one Host at a time; close it before the member.
func (m *Member) Host(cfg client.HostConfig) (*client.Host, error) {
	if !cfg.Key.IsZero() || cfg.Map != nil || cfg.WatchMap != nil || cfg.ReportHome != nil || cfg.Tailnet != "" {
		return nil, errors.New("host of a member: leave out Key, Map, WatchMap, ReportHome and Tailnet: the member has them")
	}
	m.feed.Lock()
	defer m.feed.Unlock()
	switch {
	case m.ctx.Err() != nil:
		return nil, ErrClosed
	case m.host != nil:
		return nil, errors.New("host of a member: it has one already: close that first")
	}
	its := new(hosted)
	cfg.Key, cfg.Map, cfg.ReportHome, cfg.ReportedHome = m.key, m.Map(), m.reportHome, m.State().Home
	onUnknown := cfg.OnUnknown
	cfg.OnUnknown = func(k key.Public) {
		m.askSoon(k)
		if onUnknown != nil {
			onUnknown(k)
		}
	}
	cfg.WatchMap = func(ctx context.Context, on func(*derpmap.Map, error)) {
		m.watchMap(ctx, on)
		m.letGo(its)
	}
	host, err := client.NewHost(cfg)
	if err != nil {
		return nil, fmt.Errorf("host of a member: %w", err)
	}
	its.host, m.host = host, its
	for _, p := range m.Peers() {
		its.setHome(p)
	}
	return host, nil
}

// letGo forgets a Host that is closed.
func (m *Member) letGo(its *hosted) {
	m.feed.Lock()
	defer m.feed.Unlock()
	if m.host == its {
		m.host = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports.home = 0 // nobody is there any more
	m.reports.taken, m.state.ReportPending = m.reports.wanted, time.Time{}
}

// watchMap is HostConfig.WatchMap.
func (m *Member) watchMap(ctx context.Context, on func(*derpmap.Map, error)) {
	for {
		news := m.mapChanged.Wait()
		m.mu.Lock()
		current, err := m.view.derpMap, m.state.MapErr
		m.mu.Unlock()
		if current != nil || err != nil {
			on(current, err)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// tell keeps the homes of the peers current.
func (h *hosted) tell(events []Event) {
	for _, e := range events {
		switch e.Type {
		case PeerAdded, PeerChanged:
			h.setHome(e.Peer)
		case PeerGone:
			e.Peer.Home = 0
			h.setHome(e.Peer)
		}
	}
}

func (h *hosted) setHome(p Peer) {
	if h != nil {
		h.host.SetPeerHome(p.Key, p.Home)
	}
}
