package daemon

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

const (
	// chaosRovers is how many peers stay all the time, and follow the near relay from one
	// process to the next.
	chaosRovers = 4

	// mostStall is for how long the machine may keep this process waiting. A relay gives its
	// siblings half a second to hear that a peer has moved, before it says that it has left:
	// some ten wake-ups, here and in other processes.
	mostStall = 50 * time.Millisecond

	// roversQuiet is after which time without a packet no more is on its way.
	roversQuiet = 10 * time.Second

	// lossGrace is how long before and after a standstill, or a time without a connection,
	// packets may be lost that were sent.
	lossGrace = time.Second

	// goneGrace is how long before and after it word may come that a peer has left: it waits
	// among the packets of a busy relay.
	goneGrace = 5 * time.Second
)

// spans are times of the chaos since its beginning, one behind the other.
type spans [][2]time.Duration

// near reports whether one of them is at a time, or within grace of it.
func (s spans) near(at, grace time.Duration) bool {
	i, _ := slices.BinarySearchFunc(s, at, func(span [2]time.Duration, at time.Duration) int { return cmp.Compare(span[1], at-grace) })
	return i < len(s) && s[i][0] <= at+grace
}

// A rover is one of them.
type rover struct {
	*chaos
	all       []*rover
	public    key.Public
	region    *client.Region
	connected chan struct{}
	once      sync.Once                    // closes connected
	sentAt    [chaosRovers][]time.Duration // owned by send: of packets to each, by number, those that were refused aside
	gone      [chaosRovers][]time.Duration // owned by read: when it was told that one has left

	mu   sync.Mutex
	away spans                 // guarded by mu: it had no connection
	has  [chaosRovers][]uint64 // guarded by mu: bits, what has come from each
}

// watchStalls notes when the machine keeps it waiting for long.
func (c *chaos) watchStalls() {
	for last := c.now(); c.over.Err() == nil; {
		time.Sleep(10 * time.Millisecond)
		now := c.now()
		if now-last > mostStall {
			c.mu.Lock()
			c.stalls = append(c.stalls, [2]time.Duration{last, now})
			c.mu.Unlock()
		}
		last = now
	}
}

// rove has them send to each other until it is over. Who is handed over is not gone for
// the others, and loses nothing, unless it waited too long, or the machine stood still.
func (c *chaos) rove() {
	rovers := make([]*rover, chaosRovers)
	for i := range rovers {
		rovers[i] = &rover{chaos: c, all: rovers, connected: make(chan struct{})}
		if err := rovers[i].connect(); err != nil {
			c.fail("rover: %v", err)
			return
		}
	}
	var reading, sending sync.WaitGroup
	for i, r := range rovers {
		reading.Go(r.read)
		sending.Go(func() { r.send(i) })
	}
	sending.Wait()
	c.awaitQuiet(rovers)
	c.leaving.Store(true)
	for _, r := range rovers {
		r.region.Close()
	}
	reading.Wait()
	c.steady, c.lost = c.compare(rovers)
	for _, from := range rovers {
		for i, other := range rovers {
			for _, at := range from.gone[i] {
				if !other.away.near(at, goneGrace) && !c.stalls.near(at, goneGrace) {
					c.fail("after %v a rover was told that another has left, which was away at %v only", at, other.away)
				}
			}
		}
	}
}

// awaitQuiet returns when all that must come has, or nothing comes any more.
func (c *chaos) awaitQuiet(rovers []*rover) {
	before := 0
	for since := time.Now(); time.Since(since) < roversQuiet; time.Sleep(50 * time.Millisecond) {
		_, missing := c.compare(rovers)
		if missing == 0 {
			return
		}
		if missing != before {
			before, since = missing, time.Now()
		}
	}
}

// compare looks at what they have sent to each other while they were connected, and how
// much of it has not come.
func (c *chaos) compare(rovers []*rover) (due, missing int) {
	c.mu.Lock()
	stalls := slices.Clone(c.stalls)
	c.mu.Unlock()
	for i, from := range rovers {
		for j, to := range rovers {
			from.mu.Lock()
			away := slices.Clone(from.away)
			from.mu.Unlock()
			to.mu.Lock()
			for n, at := range from.sentAt[j] {
				if stalls.near(at, lossGrace) || away.near(at, lossGrace) || to.away.near(at, lossGrace) {
					continue
				}
				due++
				if !to.hasCome(i, uint64(n)) {
					missing++
				}
			}
			to.mu.Unlock()
		}
	}
	return due, missing
}

func (r *rover) connect() (err error) {
	secret := key.NewPrivate()
	r.public = secret.Public()
	r.region, err = client.NewRegion(client.RegionConfig{
		Nodes: []client.RelayConfig{{Config: client.Config{URL: r.near.URL, CertName: r.near.Pin, Key: secret}}},
		OnState: func(s client.RegionState) {
			if s.Connected {
				r.once.Do(func() { close(r.connected) })
			}
			r.book(s.Connected)
		},
	})
	return err
}

// book notes that it has a connection from now on, or has none.
func (r *rover) book(connected bool) {
	const open = time.Duration(math.MaxInt64)
	r.mu.Lock()
	defer r.mu.Unlock()
	now, last := r.now(), len(r.away)-1
	isAway := last >= 0 && r.away[last][1] == open
	switch {
	case connected && isAway:
		r.away[last][1] = now
	case !connected && !isAway && !r.leaving.Load():
		r.away = append(r.away, [2]time.Duration{now, open})
	}
}

// send sends to the others, as soon as all are there.
func (r *rover) send(me int) {
	for _, other := range r.all {
		select {
		case <-other.connected:
		case <-r.over.Done():
			return
		}
	}
	for r.over.Err() == nil {
		to := (me + 1 + rand.IntN(chaosRovers-1)) % chaosRovers
		r.sent.Add(1)
		at := r.now()
		if r.region.Send(r.all[to].public, chaosPacket(uint64(len(r.sentAt[to])), 16+rand.IntN(1000))) == nil {
			r.sentAt[to] = append(r.sentAt[to], at)
		}
		time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
	}
}

// read checks all that comes. While a process hands over to the next one, packets of both
// come in any order.
func (r *rover) read() {
	buf := make([]byte, 64<<10)
	for {
		m, err := r.region.Recv(buf)
		if err != nil {
			return
		}
		from := slices.IndexFunc(r.all, func(other *rover) bool { return other.public == m.Peer })
		switch {
		case from < 0:
		case m.Kind == client.MessagePeerGone:
			if !r.leaving.Load() {
				r.gone[from] = append(r.gone[from], r.now())
			}
		case m.Kind == client.MessagePacket:
			r.take(from, r.number(m))
		}
	}
}

func (r *rover) take(from int, number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hasCome(from, number) {
		r.fail("packet %d of a rover has come twice", number)
	}
	for uint64(len(r.has[from])) <= number/64 {
		r.has[from] = append(r.has[from], 0)
	}
	r.has[from][number/64] |= 1 << (number % 64)
}

// hasCome reports whether a packet of one has come. r.mu is held.
func (r *rover) hasCome(from int, number uint64) bool {
	at := number / 64
	return at < uint64(len(r.has[from])) && r.has[from][at]&(1<<(number%64)) != 0
}
