package daemon

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

const (
	// chaosRovers is how many peers stay all the time, and follow the near relay from one
	// process to the next.
	chaosRovers = 4

	// mostStall is for how long the machine may keep this process waiting. A relay gives its
	// siblings half a second to hear that a peer has moved, before it says that it has left.
	mostStall = 150 * time.Millisecond

	// roversQuiet is after which time without a packet no more is on its way.
	roversQuiet = 10 * time.Second
)

// A rover is one of them.
type rover struct {
	*chaos
	all       []*rover
	public    key.Public
	region    *client.Region
	connected chan struct{}
	once      sync.Once                  // closes connected
	broke     atomic.Int64               // connections that ended before there was another
	numbers   [chaosRovers]uint64        // owned by send: of packets to each, those that were refused aside
	has       [chaosRovers][]uint64      // owned by read: bits, what has come from each
	took      [chaosRovers]atomic.Uint64 // how many those are
	gone      [chaosRovers]int           // owned by read: how often it was told that one has left
}

// watchStalls notes whether the machine keeps it waiting for long.
func (c *chaos) watchStalls() {
	for last := time.Now(); c.over.Err() == nil; {
		time.Sleep(10 * time.Millisecond)
		now := time.Now()
		if now.Sub(last) > mostStall {
			c.stalled.Store(true)
		}
		last = now
	}
}

// rove has them send to each other until it is over. Who has always been handed over is
// never gone for the others, and loses nothing, unless it waited too long, or the machine
// stood still.
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
	awaitQuiet(rovers)
	c.leaving.Store(true)
	for _, r := range rovers {
		r.region.Close()
	}
	reading.Wait()
	for i := range rovers {
		for j := range rovers {
			c.compare(rovers, i, j)
		}
	}
}

// awaitQuiet returns when all that was sent has come, whoever broke aside, or nothing
// comes any more.
func awaitQuiet(rovers []*rover) {
	before := uint64(0)
	for since := time.Now(); time.Since(since) < roversQuiet; time.Sleep(time.Millisecond) {
		var sent, took uint64
		for i, from := range rovers {
			for j, to := range rovers {
				if areSteady(from, to) {
					sent += from.numbers[j]
					took += to.took[i].Load()
				}
			}
		}
		if took == sent {
			return
		}
		if took != before {
			before, since = took, time.Now()
		}
	}
}

// areSteady reports whether two have been connected all the time.
func areSteady(a, b *rover) bool { return a != b && a.broke.Load() == 0 && b.broke.Load() == 0 }

// compare looks what one has sent to another, and what of it has come.
func (c *chaos) compare(rovers []*rover, i, j int) {
	if c.stalled.Load() {
		return
	}
	from, to := rovers[i], rovers[j]
	if from.broke.Load() == 0 && to.gone[i] > 0 {
		c.fail("%d times a rover was told that another has left, which was there all the time", to.gone[i])
	}
	if !areSteady(from, to) {
		return
	}
	c.steady++
	for n := range from.numbers[j] {
		if !to.hasCome(i, n) {
			c.lost++
		}
	}
}

func (r *rover) connect() (err error) {
	secret := key.NewPrivate()
	r.public = secret.Public()
	r.region, err = client.NewRegion(client.RegionConfig{
		Nodes: []client.RelayConfig{{Config: client.Config{URL: r.near.URL, CertName: r.near.Pin, Key: secret}}},
		OnState: func(s client.RegionState) {
			if s.Connected {
				r.once.Do(func() { close(r.connected) })
			} else if !errors.Is(s.Err, client.ErrClosed) {
				r.broke.Add(1)
			}
		},
	})
	return err
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
		if r.region.Send(r.all[to].public, chaosPacket(r.numbers[to], 16+rand.IntN(1000))) == nil {
			r.numbers[to]++
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
				r.gone[from]++
			}
		case m.Kind == client.MessagePacket:
			r.take(from, r.number(m))
		}
	}
}

func (r *rover) take(from int, number uint64) {
	if r.hasCome(from, number) {
		r.fail("packet %d of a rover has come twice", number)
	}
	for uint64(len(r.has[from])) <= number/64 {
		r.has[from] = append(r.has[from], 0)
	}
	r.has[from][number/64] |= 1 << (number % 64)
	r.took[from].Add(1)
}

func (r *rover) hasCome(from int, number uint64) bool {
	at := number / 64
	return at < uint64(len(r.has[from])) && r.has[from][at]&(1<<(number%64)) != 0
}
