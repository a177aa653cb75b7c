package relay

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/detour-relay/detour/derp"
)

// The pulse is the relay's one timer: it sends each conn its KeepAlive and
// closes conns that take no bytes. Conns wait in the slots of a wheel that
// turns by one slot a tick.
type pulse struct {
	server *Server // set once
	frame  []byte  // set once: a KeepAlive
	begun  sync.Once
	over   sync.Once
	quit   chan struct{}
	ended  sync.WaitGroup

	mu      sync.Mutex
	slots   [wheelSlots]*conn // guarded by mu: lists of conns
	slot    int               // guarded by mu: the current one
	blocked []*outbox         // guarded by mu: may be full
}

const (
	tick       = 500 * time.Millisecond
	wheelSlots = 256

	// A conn gets a KeepAlive every 60 to 65 s (spec 5.5), drawn afresh each
	// time; a peer gives up on a relay that is silent for 120 s.
	keepAliveTicks  = int(60 * time.Second / tick)
	keepAliveJitter = int(5 * time.Second / tick)
)

// pulseEntry is a conn's place in the wheel. Guarded by pulse.mu.
type pulseEntry struct {
	next, prev *conn
	slot       int
	in         bool
}

func (p *pulse) init(s *Server) {
	p.server = s
	p.frame = derp.AppendKeepAlive(nil)
	p.quit = make(chan struct{})
}

// start begins the pulse with the first conn.
func (p *pulse) start() {
	p.begun.Do(func() {
		p.ended.Add(1)
		go p.run()
	})
}

func (p *pulse) stop() {
	p.over.Do(func() { close(p.quit) })
	p.ended.Wait()
}

func (p *pulse) run() {
	defer p.ended.Done()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.beat()
			p.sweep()
		case <-p.quit:
			return
		}
	}
}

// beat sends the KeepAlives that are due.
func (p *pulse) beat() {
	p.mu.Lock()
	p.slot = (p.slot + 1) % wheelSlots
	p.mu.Unlock()
	for c := p.due(); c != nil; c = p.due() {
		if c.out.pushControl(p.frame, c.controlLimit()) {
			p.server.count.keepAlives.Add(1)
			c.out.flush()
		}
	}
}

// due moves one conn of the current slot to the slot of its next KeepAlive.
func (p *pulse) due() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.slots[p.slot]
	if c != nil {
		p.unlinkLocked(c)
		p.linkLocked(c)
	}
	return c
}

func (p *pulse) add(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.linkLocked(c)
}

func (p *pulse) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlinkLocked(c)
}

func (p *pulse) linkLocked(c *conn) {
	// The current tick has begun already, so it does not count.
	slot := (p.slot + 1 + keepAliveTicks + rand.IntN(keepAliveJitter)) % wheelSlots
	head := p.slots[slot]
	c.beat = pulseEntry{next: head, slot: slot, in: true}
	if head != nil {
		head.beat.prev = c
	}
	p.slots[slot] = c
}

func (p *pulse) unlinkLocked(c *conn) {
	e := &c.beat
	if !e.in {
		return
	}
	if e.prev != nil {
		e.prev.beat.next = e.next
	} else {
		p.slots[e.slot] = e.next
	}
	if e.next != nil {
		e.next.beat.prev = e.prev
	}
	*e = pulseEntry{}
}

// watch has the pulse look after an outbox that may be full, until it is not.
func (p *pulse) watch(o *outbox) {
	if o.swept.Swap(true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocked = append(p.blocked, o)
}

// sweep closes the conns that have taken no bytes for too long.
func (p *pulse) sweep() {
	p.mu.Lock()
	blocked := p.blocked
	p.blocked = nil
	p.mu.Unlock()
	now := p.server.now()
	for _, o := range blocked {
		o.swept.Store(false)
		since := o.blockedAt.Load()
		if since == 0 {
			continue
		}
		if limit := o.owner.patience; limit >= 0 && now-since > int64(limit) {
			o.owner.close(ErrWriteTimeout)
			continue
		}
		p.watch(o)
	}
}
