package relay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func TestKeepAliveEveryFortySecondsOrSo(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		const peers, hours = 40, 1
		since := map[*relaytest.Peer]time.Time{}
		for n := range peers {
			time.Sleep(137 * time.Millisecond) // not in step with any tick
			p := r.Join(fmt.Sprint("peer ", n))
			since[p] = time.Now()
		}
		time.Sleep(hours * time.Hour)
		gaps := map[time.Duration]bool{}
		sent := 0
		for p, last := range since {
			frames, eof := p.Frames()
			if eof || len(frames) < hours*75 {
				t.Fatalf("%d frames in %d h, eof %v", len(frames), hours, eof)
			}
			for _, f := range frames {
				gap := f.At.Sub(last)
				if f.Type != derp.FrameKeepAlive || gap < 40*time.Second || gap > 45*time.Second {
					t.Errorf("%v %v after the last one", f.Type, gap)
				}
				gaps[gap.Round(500*time.Millisecond)] = true
				last = f.At
				sent++
			}
		}
		if len(gaps) < 5 {
			t.Errorf("only %d different gaps: no jitter", len(gaps))
		}
		if n := r.Survey().KeepAlives; n != uint64(sent) {
			t.Errorf("%d KeepAlives counted, %d arrived", n, sent)
		}
	})
}

// Another time between them counts for those who are here, too, and who end meanwhile
// stay ended.
func TestKeepAliveIsRetimed(t *testing.T) {
	inBubble(t, relay.Config{KeepAlive: -1}, func(t *testing.T, r *relaytest.Relay) {
		var peers []*relaytest.Peer
		for n := range 40 {
			peers = append(peers, r.Join(fmt.Sprint("peer ", n)))
		}
		heard := func(d time.Duration) (least, most int, moments map[time.Time]bool) {
			least, moments = 1000, map[time.Time]bool{}
			time.Sleep(d)
			for _, p := range peers {
				frames, _ := p.Frames()
				least, most = min(least, len(frames)), max(most, len(frames))
				for _, f := range frames {
					moments[f.At] = true
				}
			}
			return least, most, moments
		}
		for _, step := range []struct {
			every       time.Duration
			least, most int // in 100 s
		}{{-1, 0, 0}, {5 * time.Second, 10, 21}, {100 * time.Second, 0, 1}, {20 * time.Second, 4, 5}, {-1, 0, 0}, {40 * time.Second, 2, 3}} {
			if err := r.Retime(step.every, 0); err != nil {
				t.Fatal(err)
			}
			least, most, moments := heard(100 * time.Second)
			if least < step.least || most > step.most {
				t.Errorf("every %v: %d to %d in 100 s", step.every, least, most)
			}
			if most > 0 && len(moments) < 10 {
				t.Errorf("every %v: at %d moments only", step.every, len(moments))
			}
		}
		for _, wrong := range []time.Duration{time.Second, 101 * time.Second} {
			if err := r.Retime(wrong, 0); err == nil {
				t.Errorf("every %v is taken", wrong)
			}
		}
	})
}

// Other traffic does not put it off.
func TestKeepAliveComesRegardless(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice := r.Join("alice")
		keepAlives := 0
		for range 200 {
			alice.SendPacket(alice.Public(), "memo")
			time.Sleep(time.Second)
			frames, _ := alice.Frames()
			for _, f := range frames {
				if f.Type == derp.FrameKeepAlive {
					keepAlives++
				}
			}
		}
		if keepAlives != 4 {
			t.Errorf("%d KeepAlives in 200 s, want 4", keepAlives)
		}
	})
}

func TestInactiveDuplicatesAreKeptAlive(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		x1, x2 := r.Join("dup"), r.Join("dup")
		time.Sleep(46 * time.Second)
		for _, x := range []*relaytest.Peer{x1, x2} {
			same(t, "after the first", "a duplicate", withoutHealth(x.Got()), []string{"KeepAlive"})
		}
	})
}
