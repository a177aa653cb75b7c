package client

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// Of a peer whose home nobody has told, the owner of the Host hears before its
// packet, and not with each of them.
func TestUnknownPeersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		var told []key.Public
		a, b := w.host(), w.host(func(cfg *HostConfig) {
			cfg.OnUnknown = func(k key.Public) { told = append(told, k) }
		})
		w.awaitHomes(a, b)
		from, buf := a.cfg.Key.Public(), make([]byte, derp.MaxPacket)
		receive := func(want int) {
			t.Helper()
			a.Send(b.cfg.Key.Public(), []byte("x"))
			for {
				if msg, err := b.Recv(buf); err != nil {
					t.Fatal(err)
				} else if msg.Kind == MessagePacket {
					break
				}
			}
			if len(told) != want || told[len(told)-1] != from {
				t.Errorf("told %d times, want %d", len(told), want)
			}
		}
		receive(1)
		receive(1)
		time.Sleep(unknownAgain)
		receive(2)
		b.SetPeerHome(from, 900)
		time.Sleep(2 * unknownAgain)
		receive(2)
		receive(2)
		b.SetPeerHome(from, 0)
		receive(3)
		receive(3)
		a.Close()
		b.Close()
	})
}

// A relay that makes up senders does not have us ask about all of them.
func TestUnknownPeersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(map[key.Public]int)
		h := newWorld(t, 10).host(func(cfg *HostConfig) {
			cfg.OnUnknown = func(k key.Public) { told[k]++ }
		})
		if _, err := h.AwaitHome(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := h.region(900)
		const seconds = 10
		for range seconds {
			for i := range 1000 {
				h.heardFrom(numbered(i), r)
			}
			time.Sleep(time.Second)
		}
		want := int(unknownLimit.Burst + (seconds-1)*unknownLimit.PerSecond)
		sum := 0
		for _, n := range told {
			sum += n
		}
		if sum != want {
			t.Errorf("told %d times, want %d", sum, want)
		}
		h.Close()
	})
}
