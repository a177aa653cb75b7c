package relay_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// What has been counted into a histogram, and the sum of it.
func told(h relay.Histogram) (n uint64, sum float64) {
	for _, of := range h.Counts {
		n += of
	}
	return n, h.Sum
}

func want(t *testing.T, what string, h relay.Histogram, n uint64, sum float64) {
	t.Helper()
	if gotN, gotSum := told(h); gotN != n || gotSum != sum || len(h.Counts) != len(h.Bounds)+1 {
		t.Errorf("%s: %d values, %v in all, want %d and %v: %+v", what, gotN, gotSum, n, sum, h)
	}
}

// Logins are timed until the key is proven, admissions for as long as they take, whatever
// comes of them.
func TestLoginsAndAdmissionsAreTimed(t *testing.T) {
	admit := func(_ context.Context, a relay.Applicant) (relay.Admission, error) {
		if a.Peer == relaytest.Key("mallory").Public() {
			time.Sleep(time.Second)
			return relay.Admission{}, errors.New("no")
		}
		time.Sleep(2 * time.Second)
		return relay.Admission{}, nil
	}
	inBubble(t, relay.Config{Admit: admit}, func(t *testing.T, r *relaytest.Relay) {
		slow := r.Dial(relaytest.Who{Name: "alice"})
		time.Sleep(3 * time.Second)
		slow.Login()
		mallory := r.Dial(relaytest.Who{Name: "mallory"})
		mallory.ExpectGreeting()
		mallory.Send(mallory.ClientInfo(derp.ClientInfo{}))
		r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true}) // is not asked about
		r.Dial(relaytest.Who{Name: "nobody"}).Close()
		time.Sleep(10 * time.Second)
		c := r.Counters()
		want(t, "logins", c.LoginTime, 3, 3)
		want(t, "admissions", c.AdmissionTime, 2, 3)
	})
}

// A packet waits from its burst until it is handed to the stream.
func TestWaitingIsTimed(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, deaf := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "deaf", Deaf: true})
		alice.SendPacket(deaf.Public(), "0") // is on its way at once
		synctest.Wait()
		for range 3 {
			alice.SendPacket(deaf.Public(), "1")
		}
		time.Sleep(time.Second / 4)
		deaf.Listen()
		synctest.Wait()
		want(t, "waiting", r.Counters().OutboxTime, 4, 0.75)
		for p := range r.Peers {
			if p.Peer == deaf.Public() && (p.Waited != 3*time.Second/4 || p.SentPackets != 4) {
				t.Errorf("%d packets waited for %v", p.SentPackets, p.Waited)
			}
		}
	})
}

// What a sibling hears of at once is one batch of news, however much it is.
func TestNewsAreCountedByWhatIsToldAtOnce(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling := r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
		for _, name := range []string{"a", "b", "c"} {
			r.Join(name)
		}
		synctest.Wait()
		want(t, "before it watches", r.Counters().NewsFrames, 0, 0)
		sibling.Send(derp.AppendWatchConns(nil))
		synctest.Wait()
		want(t, "all peers", r.Counters().NewsFrames, 1, 4)
		r.Join("d")
		synctest.Wait()
		want(t, "one more", r.Counters().NewsFrames, 2, 5)
	})
}
