package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
)

// mostAsked is how many peers wait to be asked about. Relays can make up any number, so
// the rest is left out; a peer that is real sends again.
const mostAsked = 64

// Ask asks a coordinator about one peer: whether it is online, and where it is, if it has
// come since the last news. It returns ErrNoPeer if the tailnet has none with that key.
func (m *Member) Ask(ctx context.Context, k key.Public) (Peer, error) {
	var failed error
	for _, c := range m.fromCurrent() {
		var p coordapi.Peer
		err := m.asMember(ctx, c, func(token string) error {
			return c.call(ctx, http.MethodGet, coordapi.PathPeer+k.String(), token, nil, &p)
		})
		switch {
		case err == nil && p.Key != k:
			err = c.named(errors.New("it answers about another peer"))
		case err == nil:
			return m.answered(p)
		case codeOf(err) == coordapi.CodeNotFound:
			return Peer{}, fmt.Errorf("%w: %w", ErrNoPeer, err)
		case final(err) || ctx.Err() != nil:
			return Peer{}, err
		}
		failed = reach.Join(failed, err)
	}
	return Peer{}, failed
}

// answered tells the Host where somebody is whom the stream has not told of yet. The view
// is the stream's alone: it has an order.
func (m *Member) answered(said coordapi.Peer) (Peer, error) {
	p := cleanPeer(said)
	p.Online = said.Online != nil && *said.Online
	m.feed.Lock()
	defer m.feed.Unlock()
	if known, _ := m.Peer(p.Key); known.Home == 0 {
		m.host.setHome(p)
	}
	return p, nil
}

// askSoon has somebody asked about of whom the Host has heard and the stream has not told
// yet. It does not wait.
func (m *Member) askSoon(k key.Public) {
	select {
	case m.unknown <- k:
	default:
	}
}

// keepAsking asks about one after the other.
func (m *Member) keepAsking() {
	for {
		select {
		case k := <-m.unknown:
			if m.State().Phase != Connected {
				continue
			}
			if _, err := m.Ask(m.ctx, k); err != nil {
				m.log.Debug("asked about a peer that is not known", "peer", k.Short(), "reason", err)
			}
		case <-m.ctx.Done():
			return
		}
	}
}
