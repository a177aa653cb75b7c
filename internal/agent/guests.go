package agent

import (
	"context"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// guestTime is how long a guest stays, unless the coordinator tells of it: its next packet
// after that is asked about again.
const guestTime = time.Minute

type guest struct {
	peer  tailnet.Peer
	until time.Time
}

// ask is wgbind.Config.Ask: the first packet of a peer has come in that the device does
// not have.
func (a *Agent) ask(ctx context.Context, k key.Public) bool {
	if _, known := a.member.Peer(k); !known {
		p, err := a.member.Ask(ctx, k)
		if err != nil {
			return false
		}
		a.mu.Lock()
		a.guests[k] = guest{p, time.Now().Add(guestTime)}
		a.mu.Unlock()
	}
	select {
	case <-a.begun:
	case <-ctx.Done():
		return false
	}
	a.reconcile()
	return a.device.LookupPeer(device.NoisePublicKey(k)) != nil
}

// guestsLocked are those that are still guests.
func (a *Agent) guestsLocked(now time.Time) (all []tailnet.Peer) {
	for k, g := range a.guests {
		if _, known := a.member.Peer(k); known || now.After(g.until) {
			delete(a.guests, k)
			continue
		}
		all = append(all, g.peer)
	}
	return all
}
