package mesh

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func TestPeersAreSentBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.New(t, relay.Config{})
		sender := &sender{relay: r.Server}
		home := r.Join("home")
		busy := r.JoinAs(relaytest.Who{Name: "busy", NotIdeal: true})
		var quiet []*relaytest.Peer
		for i := range 3 {
			quiet = append(quiet, r.JoinAs(relaytest.Who{Name: fmt.Sprint(i), NotIdeal: true}))
		}
		time.Sleep(20 * time.Second)
		busy.SendPacket(home.Public(), "hi")
		synctest.Wait()
		if n := sender.closeNotIdeal("another", 10*time.Second, 9); n != 0 {
			t.Errorf("closed %d for another node", n)
		}
		if n := sender.closeNotIdeal("ideal", 10*time.Second, 2); n != 2 {
			t.Errorf("closed %d, want the 2 that are allowed", n)
		}
		synctest.Wait()
		if n := sender.closeNotIdeal("ideal", 10*time.Second, 2); n != 1 {
			t.Errorf("closed %d, want the one that is left", n)
		}
		if !home.IsServed() || !busy.IsServed() {
			t.Error("a peer that is at home or busy is closed")
		}
		for _, p := range quiet {
			if err := p.Ended(); !errors.Is(err, relay.ErrRebalanced) {
				t.Errorf("ended with %v", err)
			}
		}
		back := r.JoinAs(relaytest.Who{Name: "0", NotIdeal: true})
		time.Sleep(50 * time.Minute)
		if n := sender.closeNotIdeal("ideal", 10*time.Second, 9); n != 1 || busy.IsServed() {
			t.Errorf("closed %d, want the one that was busy", n)
		}
		if !back.IsServed() {
			t.Error("a peer that came back is closed again")
		}
		time.Sleep(20 * time.Minute)
		if n := sender.closeNotIdeal("ideal", 10*time.Second, 9); n != 1 || back.IsServed() {
			t.Errorf("closed %d, want the one that came back", n)
		}
	})
}
