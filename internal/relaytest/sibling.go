package relaytest

import (
	"context"
	"net"
	"net/netip"
	"testing/synctest"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/relay"
)

// A Sibling is the far end of a link of the relay under test, played by the
// test. What it receives is that of a Peer, except Pings, which it answers.
type Sibling struct {
	*Peer
	Info derp.ClientInfo // what the relay said of itself

	cancel context.CancelFunc
}

// Link has the relay link to a sibling of that name, which has said nothing yet.
func (r *Relay) Link(name string) *Sibling { return r.LinkAs(relay.Sibling{Name: name}) }

// LinkAs is Link to a sibling whose name and callbacks are the test's own.
func (r *Relay) LinkAs(to relay.Sibling) *Sibling {
	r.t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(r.ctx)
	s := &Sibling{
		Peer: &Peer{
			Conn: near, Key: Key(to.Name), public: r.Public(to.Name),
			who: Who{Name: to.Name}, relay: r, served: make(chan struct{}),
		},
		cancel: cancel,
	}
	r.mu.Lock()
	r.peers = append(r.peers, s.Peer)
	r.mu.Unlock()
	go func() {
		defer close(s.served)
		s.servedErr = r.Server.Link(ctx, netio.Blocking(far, nil), to)
		cancel()
	}()
	return s
}

// LinkedTo is Link with a sibling that has logged the relay in and told it of the
// relay's own conn, as siblings do.
func (r *Relay) LinkedTo(name string) *Sibling {
	r.t.Helper()
	s := r.Link(name)
	s.Greet()
	s.Admit()
	s.Announce("server")
	return s
}

// Greet says who the sibling is and waits for the relay's login and its wish to
// be told of peers.
func (s *Sibling) Greet() {
	s.relay.t.Helper()
	s.Send(derp.AppendServerKey(nil, s.public))
	f := s.Read()
	peer, sealed, err := derp.ParseClientInfo(f.Payload)
	box := s.Key.Box(s.relay.PublicKey())
	if err == nil {
		s.Info, err = derp.OpenClientInfo(sealed, &box)
	}
	if f.Type != derp.FrameClientInfo || err != nil || peer != s.relay.PublicKey() {
		s.relay.t.Fatalf("%s: login of the relay is %v by %v (%v)", s.who.Name, f.Type, peer, err)
	}
	if f := s.Read(); f.Type != derp.FrameWatchConns {
		s.relay.t.Fatalf("%s: the relay begins with %v", s.who.Name, f.Type)
	}
}

// Admit lets the relay in and begins to collect frames.
func (s *Sibling) Admit() {
	s.relay.t.Helper()
	box := s.Key.Box(s.relay.PublicKey())
	s.Send(derp.AppendServerInfo(nil, &box, derp.ServerInfo{Version: derp.ProtocolVersion}))
	s.Listen()
}

// Announce tells the relay that the sibling has conns of these names, and waits
// until it knows: packets of others do not wait for what a link says.
func (s *Sibling) Announce(names ...string) {
	s.relay.t.Helper()
	for _, name := range names {
		s.Send(derp.AppendPeerPresent(nil, derp.Presence{Key: s.relay.Public(name), Flags: derp.PresenceRegular}))
	}
	synctest.Wait()
}

// Withdraw tells the relay that the sibling has no conns of these names any more,
// and waits until it knows.
func (s *Sibling) Withdraw(names ...string) {
	s.relay.t.Helper()
	for _, name := range names {
		s.Send(derp.AppendPeerGone(nil, s.relay.Public(name), derp.ReasonDisconnected))
	}
	synctest.Wait()
}

// Cancel ends the context of the relay's Link call.
func (s *Sibling) Cancel() { s.cancel() }

// Mesh links two relays, each to the other, over pipes. cut breaks both links.
func Mesh(a, b *Relay) (cut func()) { return meshAs(a, b, false) }

// MeshTwins is Mesh for the two processes of a takeover, which have one key.
func MeshTwins(a, b *Relay) (cut func()) { return meshAs(a, b, true) }

func meshAs(a, b *Relay, twins bool) (cut func()) {
	ab, ba := connect(a, b, twins), connect(b, a, twins)
	return func() { ab(); ba() }
}

// connect makes the link of from to to.
func connect(from, to *Relay, twins bool) (cut func()) {
	near, far := net.Pipe()
	addr := netip.MustParseAddrPort("192.0.2.1:443")
	go to.Serve(to.ctx, netio.Blocking(far, nil), relay.Origin{Addr: addr, Takeover: twins})
	go from.Server.Link(from.ctx, netio.Blocking(near, nil), relay.Sibling{Name: to.PublicKey().Short(), Addr: addr, Takeover: twins})
	return func() { near.Close() }
}
