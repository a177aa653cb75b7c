package hitters

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A crowd is the conns of a relay as a test wants them.
type crowd struct {
	h     *Hitters
	conns map[uint64]relay.PeerState
	last  uint64
}

func newCrowd() *crowd { return &crowd{h: New(), conns: map[uint64]relay.PeerState{}} }

func peerKey(n uint64) (k key.Public) {
	k[0], k[1], k[2], k[3] = byte(n), byte(n>>8), byte(n>>16), 1
	return k
}

func (c *crowd) join(p relay.PeerState) uint64 {
	c.last++
	p.ID = c.last
	if p.Peer == (key.Public{}) {
		p.Peer = peerKey(p.ID)
	}
	c.conns[p.ID] = p
	return p.ID
}

func (c *crowd) use(id uint64, received, sent uint64) {
	p := c.conns[id]
	p.Received += received
	p.ReceivedPackets++
	p.Sent += sent
	p.SentPackets += 2
	c.conns[id] = p
}

func (c *crowd) leave(id uint64) {
	p := c.conns[id]
	delete(c.conns, id)
	c.h.Ended(p)
}

func (c *crowd) look() { c.h.Look(maps.Values(c.conns)) }

// names returns a list as "name bytes, ...".
func names(l List) string {
	all := []string{}
	for _, h := range l.Top {
		all = append(all, fmt.Sprintf("%q %d", h.Name, h.Bytes()))
	}
	return strings.Join(all, ", ")
}

func TestByWhatIsCounted(t *testing.T) {
	c := newCrowd()
	home := c.join(relay.PeerState{Addr: netip.MustParseAddrPort("192.0.2.7:1"), AppName: "app", Group: "tenant"})
	office := c.join(relay.PeerState{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.200]:1"), AppName: "app"})
	six := c.join(relay.PeerState{Addr: netip.MustParseAddrPort("[2001:db8:1:2::3%eth0]:1")})
	again := c.join(relay.PeerState{Peer: peerKey(six), Addr: netip.MustParseAddrPort("[2001:db8:1:ffff::1]:1")})
	nowhere := c.join(relay.PeerState{})
	c.join(relay.PeerState{AppName: "idle"})
	sibling := c.join(relay.PeerState{Sibling: true, AppName: "sibling"})
	for id, bytes := range map[uint64]uint64{home: 100, office: 20, six: 3, again: 4, nowhere: 1, sibling: 1000} {
		c.use(id, bytes, 10*bytes)
	}
	c.look()
	s := c.h.Snapshot()
	if len(s.Windows) != 3 {
		t.Fatalf("%+v", s)
	}
	for i, name := range []string{"minute", "hour", "day"} {
		w := s.Windows[i]
		for what, c := range map[string]struct{ got, want string }{
			"name":     {w.Name, name},
			"keys":     {names(w.Keys), fmt.Sprintf("%q 1100, %q 220, %q 77, %q 11", peerKey(home), peerKey(office), peerKey(six), peerKey(nowhere))},
			"networks": {names(w.Networks), `"192.0.2.0/24" 1320, "2001:db8:1::/48" 77, "" 11`},
			"apps":     {names(w.Apps), `"app" 1320, "" 88`},
			"labels":   {names(w.Labels), `"tenant" 1100, "" 308`},
			"total":    {fmt.Sprint(w.Total), "{{5 128} {10 1280}}"},
			"first":    {fmt.Sprint(w.Keys.Top[0].Use, w.Keys.Top[0].Missed, w.Keys.Unlisted), "{{1 100} {2 1000}} 0 0"},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s: %s, want %s", name, what, c.got, c.want)
			}
		}
	}
}

func TestJSONIsStable(t *testing.T) {
	c := newCrowd()
	id := c.join(relay.PeerState{AppName: "a"})
	c.use(id, 1, 2)
	c.look()
	text, err := json.Marshal(c.h.Snapshot().Windows[0].Apps)
	want := `{"top":[{"name":"a","received":{"packets":1,"bytes":1},"sent":{"packets":2,"bytes":2},"missed":0}],"unlisted":0}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	if text, _ := json.Marshal(New().Snapshot()); strings.Contains(string(text), "null") {
		t.Errorf("before all: %s", text)
	}
}

// Names are data, of bounded length, whatever they are.
func TestHostileNames(t *testing.T) {
	c := newCrowd()
	for _, name := range []string{"<script>alert(1)</script>", "\x1b[2J", "a\"} 1\n", strings.Repeat("é", 1<<20), "\xff\xfe", "x" + strings.Repeat("é", 200)} {
		c.use(c.join(relay.PeerState{AppName: name, Group: name}), 1, 0)
	}
	c.look()
	w := c.h.Snapshot().Windows[0]
	if len(w.Apps.Top) != 6 || len(w.Labels.Top) != 6 {
		t.Fatalf("%s", names(w.Apps))
	}
	for _, h := range append(w.Apps.Top, w.Labels.Top...) {
		if len(h.Name) > longest || len(h.Name) > 10 && !utf8.ValidString(h.Name) {
			t.Errorf("%q", h.Name)
		}
	}
}

// What a conn has used counts once, whenever it ends.
func TestConnsThatEnd(t *testing.T) {
	c := newCrowd()
	a, b, short, idle := c.join(relay.PeerState{AppName: "a"}), c.join(relay.PeerState{AppName: "b"}), c.join(relay.PeerState{AppName: "short"}), c.join(relay.PeerState{AppName: "idle"})
	c.use(a, 10, 0)
	c.use(b, 20, 0)
	c.look()
	c.use(a, 1, 0)
	c.use(short, 5, 0) // between two looks
	c.leave(a)
	c.leave(short)
	c.leave(idle)
	c.look()
	// While a look is under way, with figures that it has from before and after.
	stale := c.conns[b]
	c.use(b, 2, 0)
	late := c.join(relay.PeerState{AppName: "late"})
	c.use(late, 7, 0)
	stale2 := c.conns[late]
	c.h.Look(func(yield func(relay.PeerState) bool) {
		c.leave(b)
		c.leave(late)
		_ = yield(stale) && yield(stale2)
	})
	c.look()
	if got, want := names(c.h.Snapshot().Windows[1].Apps), `"b" 22, "a" 11, "late" 7, "short" 5`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(c.h.conns) != 0 {
		t.Errorf("it still knows %v", c.h.conns)
	}
}

// Who vanishes without a word is forgotten.
func TestConnsThatNobodySees(t *testing.T) {
	c := newCrowd()
	for range 10 {
		c.use(c.join(relay.PeerState{}), 1, 1)
	}
	c.look()
	clear(c.conns)
	c.look()
	if len(c.h.conns) != 0 {
		t.Errorf("it still knows %v", c.h.conns)
	}
}

// Each window has what was used within it, and begins where it says.
func TestWindowsSlide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd()
		begun := time.Now()
		id := c.join(relay.PeerState{})
		random := rand.New(rand.NewPCG(5, 6))
		type moment struct {
			at    time.Duration
			bytes uint64
		}
		var all []moment
		for time.Since(begun) < 50*time.Hour {
			// A loaded machine looks late now and then, once for long.
			switch random.IntN(1000) {
			case 0:
				time.Sleep(time.Duration(random.Int64N(int64(10 * time.Minute))))
			case 1, 2, 3, 4, 5:
				time.Sleep(lookEvery + time.Duration(random.Int64N(int64(lookEvery))))
			default:
				time.Sleep(lookEvery)
			}
			bytes := random.Uint64N(1000)
			c.use(id, bytes, 0)
			at := time.Since(begun)
			all = append(all, moment{at, bytes})
			c.look()
			if random.IntN(50) != 0 && at > 5*time.Minute {
				continue
			}
			for i, w := range c.h.Snapshot().Windows {
				length := []time.Duration{time.Minute, time.Hour, 24 * time.Hour}[i]
				seconds := time.Duration(math.Round(w.Seconds*1e9)) * time.Nanosecond
				want := uint64(0)
				for _, m := range slices.Backward(all) {
					if at-m.at >= seconds-time.Microsecond {
						break
					}
					want += m.bytes
				}
				if w.Total.Bytes() != want || w.Keys.Top[0].Bytes() != want {
					t.Fatalf("after %v: the %s has %d bytes in %v, want %d", at, w.Name, w.Total.Bytes(), seconds, want)
				}
				// The part that lies in it with its end only may have been long.
				if late := length/12 + 11*time.Minute; seconds < min(at, length) || seconds > length+late {
					t.Fatalf("after %v: the %s is %v long", at, w.Name, seconds)
				}
			}
		}
		parts := 0
		for _, l := range c.h.levels {
			parts += len(l.parts)
		}
		if parts > 13+13+25 {
			t.Errorf("%d parts", parts)
		}
	})
}

// A million keys, each from a network of its own and with names of its own, neither make it
// grow nor push out who uses most.
func TestAMillionKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd()
		heavy := c.join(relay.PeerState{Peer: peerKey(1 << 23), AppName: "heavy", Group: "heavy", Addr: netip.MustParseAddrPort("192.0.2.1:1")})
		total := uint64(0)
		for n := range uint64(1_000_000) {
			name := fmt.Sprint(n)
			addr := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			id := c.join(relay.PeerState{Peer: peerKey(n), AppName: name, Group: name, Addr: netip.AddrPortFrom(addr, 1)})
			c.use(id, 1000, 0)
			total += 1000
			c.leave(id)
			if n%2000 == 0 {
				c.use(heavy, 40_000, 0) // 2 %
				total += 40_000
				c.look()
				time.Sleep(lookEvery)
			}
		}
		c.look()
		entries := 0
		for _, l := range c.h.levels {
			for _, p := range append(l.parts, l.now.finish(0, 0)) {
				entries += len(p.keys.entries) + len(p.networks.entries) + len(p.apps.entries) + len(p.labels.entries)
			}
		}
		if entries > 4*7000 || len(c.h.conns) > 2 {
			t.Errorf("%d entries, %d conns", entries, len(c.h.conns))
		}
		w := c.h.Snapshot().Windows[2]
		if w.Total.Bytes() != total {
			t.Errorf("%d bytes, want %d", w.Total.Bytes(), total)
		}
		for what, l := range map[string]List{"key": w.Keys, "app": w.Apps, "label": w.Labels} {
			first := l.Top[0]
			if first.Name != "heavy" && first.Name != peerKey(1<<23).String() || l.Unlisted > total/(room+1) || first.Missed > l.Unlisted {
				t.Errorf("%s: %+v, unlisted %d of %d", what, first, l.Unlisted, total)
			}
		}
	})
}

func TestRunLooksUntilItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd()
		ctx, cancel := contextOf(t)
		id := c.join(relay.PeerState{AppName: "a"})
		c.use(id, 1, 1)
		done := make(chan struct{})
		go func() { defer close(done); c.h.Run(ctx, maps.Values(c.conns)) }()
		time.Sleep(lookEvery + time.Second)
		if got := names(c.h.Snapshot().Windows[0].Apps); got != `"a" 2` {
			t.Error(got)
		}
		if first := c.h.Snapshot(); first != c.h.Snapshot() {
			t.Error("it is made anew though nobody has looked")
		}
		cancel()
		<-done
	})
}
