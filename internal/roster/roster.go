// Package roster keeps the list of a relay's peers, as the relay tells it to
// whoever has the mesh key of the region: the first flood and then who comes and
// goes. It can close peers' connections, too.
package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// Peer is a peer that is connected to the relay.
type Peer struct {
	Key     key.Public
	Addr    netip.AddrPort // invalid if the relay does not say
	Flags   derp.PresenceFlags
	AppName string
}

// Event is a peer that has come, or that has gone. Of one that has gone only the
// key is known.
type Event struct {
	Present bool
	Peer    Peer
}

// Config says which relay to ask. Dial and MeshKeys are required.
type Config struct {
	Dial     client.Config // its keys are not used
	MeshKeys []key.Mesh    // tried in turn: while they are replaced, a relay may know only one of them

	Timeout time.Duration // for login and list with one key (default 20 s)

	// Keep says which peers to remember; nil: all.
	Keep func(Peer) bool
}

const defaultTimeout = 20 * time.Second

// ErrNotTold: the relay closed the connection when it was asked for its peers.
var ErrNotTold = errors.New("the relay does not tell us of its peers: it has no mesh key, or another one")

// Roster is the list. One goroutine at a time uses it; Close and ClosePeer may be
// called by any.
type Roster struct {
	url   string
	used  int // index of the mesh key
	conn  *client.Conn
	self  key.Public // we are a peer, too, but not one to list
	keep  func(Peer) bool
	peers map[key.Public]Peer
}

// Open logs in and returns when the list is complete. Errors other than ErrNotTold
// are those of package client.
func Open(ctx context.Context, cfg Config) (*Roster, error) {
	if len(cfg.MeshKeys) == 0 {
		return nil, errors.New("roster: no mesh key")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Keep == nil {
		cfg.Keep = func(Peer) bool { return true }
	}
	var err error
	for i := range cfg.MeshKeys {
		var r *Roster
		if r, err = open(ctx, cfg, i); err == nil {
			return r, nil
		}
		if !errors.Is(err, ErrNotTold) && !errors.Is(err, client.ErrAdmissionRefused) {
			break
		}
	}
	return nil, err
}

func open(ctx context.Context, cfg Config, i int) (*Roster, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	dial := cfg.Dial
	dial.Key, dial.MeshKey = key.NewPrivate(), cfg.MeshKeys[i]
	conn, _, err := client.Login(ctx, dial)
	if err != nil {
		return nil, err
	}
	r := &Roster{
		url: dial.URL, used: i, conn: conn, self: dial.Key.Public(), keep: cfg.Keep, peers: make(map[key.Public]Peer),
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = r.fill(ctx)
	if !stop() && ctx.Err() != nil {
		err = fmt.Errorf("relay %s: the list of peers has not come: %w", conn.RemoteAddr(), context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// fill asks for the peers and reads until all have come. We are among them
// ourselves, somewhere; the answer to a Ping that follows is behind the last one.
// (An answer to an earlier Ping need not be: derper begins to list when it
// pleases.)
func (r *Roster) fill(ctx context.Context) error {
	if err := r.conn.WatchConns(); err != nil {
		return err
	}
	isSelf := func(m client.Message) bool { return m.Kind == client.MessagePeerPresent && m.Peer == r.self }
	if err := r.readUntil(isSelf); err != nil {
		return fmt.Errorf("%w: %w", ErrNotTold, err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := r.conn.Ping(ctx)
		if err != nil {
			r.conn.Close() // ends the reading below
		}
		answered <- err
	}()
	err := r.readUntil(func(m client.Message) bool { return m.Kind == client.MessagePong })
	if err != nil {
		r.conn.Close() // ends the Ping
	}
	return errors.Join(err, <-answered)
}

// readUntil reads up to the message that is waited for.
func (r *Roster) readUntil(match func(client.Message) bool) error {
	for {
		m, err := r.recv()
		if err != nil || match(m) {
			return err
		}
	}
}

// recv returns the next message, and notes who has come and gone.
func (r *Roster) recv() (client.Message, error) {
	m, err := r.conn.Recv(nil)
	switch {
	case errors.Is(err, client.ErrBufferSize):
		return m, fmt.Errorf("%s: a packet came, where only news of peers may", r.url)
	case err != nil || m.Peer == r.self:
	case m.Kind == client.MessagePeerPresent:
		if p := peerOf(m); r.keep(p) {
			r.peers[p.Key] = p
		}
	case m.Kind == client.MessagePeerGone:
		delete(r.peers, m.Peer)
	}
	return m, err
}

func peerOf(m client.Message) Peer {
	return Peer{Key: m.Peer, Addr: m.Addr, Flags: m.Flags, AppName: m.AppName}
}

// Next waits for a peer that comes or goes, and returns it once the list has it. We
// are not among them.
func (r *Roster) Next() (Event, error) {
	for {
		m, err := r.recv()
		switch {
		case err != nil:
			return Event{}, err
		case m.Peer == r.self:
		case m.Kind == client.MessagePeerPresent, m.Kind == client.MessagePeerGone:
			return Event{Present: m.Kind == client.MessagePeerPresent, Peer: peerOf(m)}, nil
		}
	}
}

// URL is that of the relay.
func (r *Roster) URL() string { return r.url }

// MeshKey is the index of the key that the relay has accepted.
func (r *Roster) MeshKey() int { return r.used }

// Has reports whether a peer is connected.
func (r *Roster) Has(k key.Public) bool {
	_, here := r.peers[k]
	return here
}

// Len is the number of peers.
func (r *Roster) Len() int { return len(r.peers) }

// Peers returns the peers by key.
func (r *Roster) Peers() []Peer {
	return slices.SortedFunc(maps.Values(r.peers), func(a, b Peer) int { return a.Key.Compare(b.Key) })
}

// ClosePeer asks the relay to close the connections of a peer. Its going away is an
// Event.
func (r *Roster) ClosePeer(k key.Public) error { return r.conn.ClosePeer(k) }

// Close ends the connection, and whatever waits for it.
func (r *Roster) Close() { r.conn.Close() }
