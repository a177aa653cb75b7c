package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// chaosPeers is how many peers there are at a time, each for a short life.
const chaosPeers = 40

// chaosTime is how long it goes on for each poller: `make chaos` says more.
func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("DETOUR_CHAOS")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("DETOUR_CHAOS: %v", err)
	}
	return d
}

// chaos is a crowd of peers who come, send, stall and leave as they like, at two relays of
// a region. One process after the other takes the near one over; the link of the far one
// comes and goes.
type chaos struct {
	near *chaosNear
	far  *Daemon
	over context.Context

	settle time.Duration // how long a process of the near relay waits for logins at a takeover

	here [chaosPeers]atomic.Pointer[key.Public]

	lives, sent, came atomic.Int64
	leaving           atomic.Bool // rovers do
	steady, lost      int         // packets of rovers that were connected or handed over; those that have not come

	began  time.Time
	mu     sync.Mutex
	wrong  error // guarded by mu: the first thing that must not be
	stalls spans // guarded by mu: the machine was too busy for what is said about rovers
}

// A place is where peers log in.
type place struct{ URL, Pin string }

func placeOf(d *Daemon) place { now := d.State(); return place{now.URL, now.Pin} }

// chaosEnd is what has become of a relay when its last peer has left.
type chaosEnd struct {
	Wrong              []string // what must not be
	FromPeers, ToPeers uint64   // packets
	FromLinks, ToLinks uint64
	Waited             uint64 // packets that have waited too long, or found no room
}

// now is how long it has gone on.
func (c *chaos) now() time.Duration { return time.Since(c.began) }

func (c *chaos) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong == nil {
		c.wrong = fmt.Errorf(format, args...)
	}
}

// Whatever peers do, and whoever takes over, no stream is broken and no packet comes twice,
// late or changed; and when they have left, each packet is accounted for, and nothing of
// them is left.
func TestChaos(t *testing.T) {
	for _, poller := range []string{config.PollerLoops, config.PollerGo} {
		t.Run(poller, func(t *testing.T) {
			if poller == config.PollerLoops && runtime.GOOS != "linux" {
				t.Log("there are no loops on this system: this is Go's poller once more")
				poller = config.PollerGo
			}
			chaosOver(t, poller)
		})
	}
}

func chaosOver(t *testing.T, poller string) {
	c := chaosRegion(t, poller)
	over, stop := context.WithCancel(t.Context())
	c.over = over
	var peers sync.WaitGroup
	defer peers.Wait()
	defer stop()
	c.live(0, rand.New(rand.NewPCG(0, 0))) // now all is there that stays
	eventually(t, "the first is gone, and the near relay there", c.isAlone)
	goroutines, descriptors := runtime.NumGoroutine(), openFiles()
	peers.Go(func() {
		defer stop()
		c.last(chaosTime(t))
	})
	for n := range chaosPeers {
		peers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for c.over.Err() == nil {
				c.live(n, random)
			}
		})
	}
	peers.Go(c.watchStalls)
	peers.Go(c.rove)
	peers.Go(c.cutLinks)
	takeovers := 0
	for ; over.Err() == nil; takeovers++ {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		c.near.takeOver(t)
	}
	peers.Wait()
	t.Logf("%d lives, %d of %d packets have come; %d takeovers, %d packets between who was connected or handed over, %d of them lost; the machine stood still %d times",
		c.lives.Load(), c.came.Load(), c.sent.Load(), takeovers, c.steady, c.lost, len(c.stalls))
	eventually(t, "all are gone", func() bool {
		return c.isAlone() && runtime.NumGoroutine() <= goroutines && openFiles() <= descriptors
	})
	c.wantSums(t, append(c.near.end(t), c.farEnd()))
}

// last waits for so long, and until packets have come over the link, too.
func (c *chaos) last(d time.Duration) {
	time.Sleep(d)
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if c.came.Load() > 0 && c.far.operators.Status().Relay.Counters.ForwardedIn > 0 {
			return
		}
	}
}

// farEnd is what has become of the far relay when the near one has left. Until its
// connection is booked, a sum may not hold.
func (c *chaos) farEnd() (far chaosEnd) {
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if far = endOf(c.far); len(far.Wrong) == 0 {
			break
		}
	}
	return far
}

// isAlone reports whether the far relay has nobody but the near one, and they are linked.
func (c *chaos) isAlone() bool {
	s := c.far.operators.Status().Relay
	return isEmpty(s) && s.Conns == 1 && len(s.Links) == 1
}

// isEmpty reports whether a relay has nothing of peers any more, here or at siblings.
func isEmpty(s relay.Survey) bool {
	return s.Conns == s.Watchers && s.RemotePeers == 0 && s.Queued == 0 && s.OutboxBytes == 0
}

// chaosRegion runs the two relays.
func chaosRegion(t *testing.T, poller string) *chaos {
	far, near := secured(t), secured(t)
	far.Poller, far.Access.Everyone = poller, true
	far.Mesh.KeyFile = filepath.Join(filepath.Dir(far.StateDir), "mesh.key")
	if err := meshkey.Create(far.Mesh.KeyFile, meshkey.New()); err != nil {
		t.Fatal(err)
	}
	c := &chaos{far: open(t, far, Options{}), began: time.Now()}
	run(t, c.far)
	near.Poller, near.Access, near.Mesh.KeyFile = far.Poller, far.Access, far.Mesh.KeyFile
	near.Drain = config.Duration(min(3*time.Second, chaosTime(t)/4))
	c.settle = time.Duration(min(near.Drain, config.Duration(drainSettle)))
	near.Mesh.With = []string{asSibling(placeOf(c.far))}
	c.near = startNear(t, near)
	c.linkFar(true)
	return c
}

// asSibling is an entry of mesh.with.
func asSibling(p place) string {
	return strings.TrimSuffix(strings.TrimPrefix(p.URL, "https://"), "/derp") + "=" + p.Pin
}

// linkFar has the far relay link to the near one, or not.
func (c *chaos) linkFar(link bool) {
	next := c.far.Config()
	next.Mesh.With = nil
	if link {
		next.Mesh.With = []string{asSibling(c.near.place)}
	}
	if _, err := c.far.Reload(next); err != nil {
		c.fail("reload: %v", err)
	}
}

// cutLinks has the link of the far relay come and go.
func (c *chaos) cutLinks() {
	defer c.linkFar(true)
	for link := true; c.over.Err() == nil; link = !link {
		c.linkFar(link)
		select {
		case <-c.over.Done():
		case <-time.After(time.Duration(rand.IntN(1000)) * time.Millisecond):
		}
	}
}

// wantSums has nothing be wrong at any relay, and no packet counted that was not sent.
func (c *chaos) wantSums(t *testing.T, ends []chaosEnd) {
	t.Helper()
	var all chaosEnd
	for i, e := range ends {
		for _, wrong := range e.Wrong {
			t.Errorf("relay %d of %d: %s", i+1, len(ends), wrong)
		}
		all.FromPeers += e.FromPeers
		all.ToPeers += e.ToPeers
		all.FromLinks += e.FromLinks
		all.ToLinks += e.ToLinks
		all.Waited += e.Waited
	}
	sent, came := uint64(c.sent.Load()), uint64(c.came.Load())
	if sent < all.FromPeers || all.ToPeers < came || all.ToLinks < all.FromLinks || came == 0 || all.FromLinks == 0 {
		t.Errorf("peers have sent %d packets and got %d; relays say %+v", sent, came, all)
	}
	// Most of what waits is for those who stall: rovers lose no larger share, by chance aside.
	share := float64(all.Waited) / float64(max(all.FromPeers, 1))
	if c.lost > 0 && (uint64(c.lost) > all.Waited || float64(c.lost) > 10+share*float64(c.steady)) {
		t.Errorf("%d of %d packets were lost between peers that were connected or handed over; at all peers %d have waited too long", c.lost, c.steady, all.Waited)
	}
	if c.steady == 0 && len(c.stalls) == 0 {
		t.Error("nobody was connected for long enough")
	}
	if c.wrong != nil {
		t.Error(c.wrong)
	}
}

// endOf is what a relay has counted whose peers have left.
func endOf(d *Daemon) (e chaosEnd) {
	status := d.operators.Status()
	for _, sum := range admin.Sums {
		if !sum.Holds(&status) {
			e.Wrong = append(e.Wrong, fmt.Sprintf("this does not hold: %s: %+v", sum.Text, status.Relay))
		}
	}
	e.Wrong = append(e.Wrong, d.relay.Check()...)
	n := status.Relay.Counters
	if status.Relay.Queued != 0 || n.OutboxBytes != 0 {
		e.Wrong = append(e.Wrong, fmt.Sprintf("%d packets wait, in %d bytes", status.Relay.Queued, n.OutboxBytes))
	}
	if bad := n.Ended["bad_frame"] + n.Ended["overrun"] + n.UnknownFrames; bad > 0 {
		e.Wrong = append(e.Wrong, fmt.Sprintf("%d frames have come that nobody has sent", bad))
	}
	e.FromLinks, e.ToLinks = n.ForwardedIn, n.ForwardedOut
	e.FromPeers = n.Received.Disco.Packets + n.Received.Other.Packets - n.ForwardedIn
	e.ToPeers = n.Sent.Disco.Packets + n.Sent.Other.Packets - n.ForwardedOut
	for reason, of := range n.Dropped {
		if strings.HasPrefix(reason, "queue_") {
			e.Waited += of.Disco.Packets + of.Other.Packets
		}
	}
	return e
}

// openFiles returns how many descriptors this process has; 0 where nobody tells.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}
