package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/wgbind"
)

// Of two handshakes that cross one counts, the same at both ends.
func TestHandshakesThatCross(t *testing.T) {
	one, other := key.NewPrivate().Public(), key.NewPrivate().Public()
	if one.Compare(other) > 0 {
		one, other = other, one
	}
	now := time.Now()
	for _, c := range []struct {
		what      string
		own, peer key.Public
		ours      trip
		want      bool
	}{
		{"ours counts", one, other, trip{sent: now}, false},
		{"theirs counts", other, one, trip{sent: now}, true},
		{"there is none of ours", one, other, trip{}, true},
		{"ours was not heard", one, other, trip{sent: now.Add(-crossTime)}, true},
	} {
		handshakes := newTrips(nil, c.own)
		handshakes.peers[c.peer] = &c.ours
		if got := handshakes.hears(c.peer, now); got != c.want {
			t.Errorf("%s: the device is shown theirs: %v", c.what, got)
		}
	}
}

// Who sends by keys that this run has not agreed on is told of once.
func TestPacketsOfARunBefore(t *testing.T) {
	met, other := key.NewPrivate().Public(), key.NewPrivate().Public()
	handshakes := newTrips(nil, key.NewPrivate().Public())
	handshakes.hears(met, time.Now())
	for range 3 {
		handshakes.receives(met)
		handshakes.receives(other)
	}
	if got := <-handshakes.foreign; got != other || len(handshakes.foreign) != 0 {
		t.Errorf("told of %v, and of %d more", got, len(handshakes.foreign))
	}
	for range 2 * cap(handshakes.foreign) { // nobody waits where nobody listens
		handshakes.receives(key.NewPrivate().Public())
	}
}

// One that the device has been shown but may not have taken yet is crossed by none.
func TestAHandshakeThatWasHeardIsLetComeToAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := new(wgbind.Endpoint)
		for heard, want := range map[time.Duration]bool{againTime: true, againTime - 1: false} {
			handshakes := newTrips(nil, key.NewPrivate().Public())
			handshakes.hears(peer.Key(), time.Now().Add(-heard))
			if got := handshakes.begins(peer, make([]byte, device.MessageInitiationSize)); got != want {
				t.Errorf("heard of one %v ago: ours is sent: %v", heard, got)
			}
			if p := handshakes.peers[peer.Key()]; p.sent.IsZero() || !p.again.Stop() {
				t.Error("ours is not sent again later")
			}
		}
	})
}
