package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// hands are the peers of a crew, in its own process.
type hands struct {
	work sync.WaitGroup
	home atomic.Bool // they hang up themselves from now on

	mu    sync.Mutex
	peers []*rawPeer // changed by who runs the errand, and where a peer comes again; guarded by mu for these

	again, ended, broken atomic.Int64
}

// The errands of a crew.
const (
	toJoin     = "log in"                        // and stay
	toExchange = "exchange full-size records"    // each of those who are there, with another one
	toLeave    = "hang up but for some"          // which stay
	toFlood    = "flood somebody"                // each as fast as it can
	toStarve   = "read a little of what floods"  // each peer; those who flood come besides
	toBother   = "send what carries no packet"   // each as fast as it can
	toTell     = "tell what has become of peers" // and go on
)

const (
	joinsAtOnce = 256 // enough to keep the cores busy
	joinLate    = 4 * time.Minute
	joinRest    = 50 * time.Millisecond // before who was refused tries again

	exchangesAtOnce = 16
	exchanged       = 4                                     // packets of a record's size, each way
	fullPacket      = 16<<10 - derp.HeaderLen - derp.KeyLen // fills a record of TLS with its frame
	starvedRead     = 8 << 10                               // bytes that a starving peer reads each second
	starvedWindow   = 16 << 10                              // bytes that its kernel keeps for it
	starvingSenders = 16                                    // who flood those who read a little
	starvedPacket   = derp.MaxPacket                        // bytes: no other fills outboxes as fast
	unknownFrame    = derp.FrameType(0x7d)                  // that nobody knows
	nagRest         = time.Second                           // before who was cut off comes again
	botherSize      = 16 << 10                              // bytes that are written at a time
	smallBuffer     = 1 << 10                               // for reading, of peers that get little
)

func (h *hands) run(e errand) error {
	debug.SetGCPercent(400) // they share the machine with the relay, and are to cost little
	switch e.Do {
	case toJoin:
		return h.join(e, rawDial{addr: e.Addr, buffer: smallBuffer})
	case toExchange:
		return h.exchange()
	case toLeave:
		h.leave(e.Peers)
	case toFlood:
		return h.flood(e)
	case toStarve:
		return h.starve(e)
	case toBother:
		return h.bother(e)
	case toTell:
	default:
		return fmt.Errorf("unknown errand")
	}
	return nil
}

// join logs peers in as fast as they can. Who is refused comes again.
func (h *hands) join(e errand, by rawDial) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), joinLate, fmt.Errorf("not all are logged in within %v", joinLate))
	defer cancel()
	joined := make([]*rawPeer, e.Peers)
	places := make(chan struct{}, joinsAtOnce)
	var logins sync.WaitGroup
	var failed atomic.Pointer[error]
	for i := range joined {
		places <- struct{}{}
		logins.Go(func() {
			defer func() { <-places }()
			var err error
			if joined[i], err = h.joinOne(ctx, by); err != nil {
				failed.Store(&err)
				cancel()
			}
		})
	}
	logins.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range joined {
		if p != nil {
			h.peers = append(h.peers, p)
		}
	}
	if err := failed.Load(); err != nil {
		return fmt.Errorf("%d of %d peers logged in, then: %w", len(h.peers), e.Peers, *err)
	}
	return nil
}

func (h *hands) joinOne(ctx context.Context, by rawDial) (*rawPeer, error) {
	for {
		p, err := by.login(ctx, key.NewPrivate())
		if err == nil {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(joinRest):
			h.again.Add(1)
		}
	}
}

// exchange has each peer send to its neighbour and hear from it. Where that fails it is noted, unless it fails for many.
func (h *hands) exchange() error {
	var work sync.WaitGroup
	var failed atomic.Int64
	var last atomic.Pointer[error]
	places := make(chan struct{}, exchangesAtOnce)
	for i := 0; i+1 < len(h.peers) && int(failed.Load()) <= len(h.peers)/100; i += 2 {
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			if err := h.swap(h.peers[i], h.peers[i+1]); err != nil {
				failed.Add(1)
				h.broken.Add(1)
				last.Store(&err)
			}
		})
	}
	work.Wait()
	if n := int(failed.Load()); n > len(h.peers)/100 {
		return fmt.Errorf("%d pairs fail: %w", n, *last.Load())
	} else if n > 0 {
		fmt.Fprintf(os.Stderr, "  %d pairs of %d cannot exchange packets: %v\n", n, len(h.peers)/2, *last.Load())
	}
	return nil
}

// swap has two peers send to each other.
func (h *hands) swap(a, b *rawPeer) error {
	for n := range exchanged {
		if err := h.pass(a, b, byte(n)); err != nil {
			return err
		}
		if err := h.pass(b, a, byte(n)); err != nil {
			return err
		}
	}
	return nil
}

// pass sends a packet that fills a record and waits until it has come.
func (h *hands) pass(from, to *rawPeer, fill byte) error {
	packet := bytes.Repeat([]byte{fill}, fullPacket)
	from.conn.SetWriteDeadline(time.Now().Add(rawTimeout))
	if _, err := from.conn.Write(derp.AppendSendPacket(nil, to.public, packet)); err != nil {
		return err
	}
	to.conn.SetReadDeadline(time.Now().Add(rawTimeout))
	for {
		t, payload, err := to.frame()
		if err != nil {
			return fmt.Errorf("a packet that was sent does not come: %w", err)
		}
		if t != derp.FrameRecvPacket {
			continue
		}
		if src, got, err := derp.ParseRecvPacket(payload); err != nil || src != from.public || !bytes.Equal(got, packet) {
			h.broken.Add(1)
		}
		return nil
	}
}

// leave has all peers hang up but for some.
func (h *hands) leave(stay int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stay = min(stay, len(h.peers))
	for _, p := range h.peers[stay:] {
		p.end()
	}
	h.peers = h.peers[:stay:stay]
}

// flood has peers log in and send to one.
func (h *hands) flood(e errand) error {
	if err := h.join(e, rawDial{addr: e.Addr, buffer: smallBuffer}); err != nil {
		return err
	}
	for _, p := range h.peers {
		h.send(p, floodTo([]key.Public{e.To}, rawPacket))
	}
	return nil
}

// starve has peers log in who read a little, and others who flood all of them.
func (h *hands) starve(e errand) error {
	if err := h.join(e, rawDial{addr: e.Addr, buffer: smallBuffer, window: starvedWindow}); err != nil {
		return err
	}
	var hungry []key.Public
	for _, p := range h.peers {
		hungry = append(hungry, p.public)
		h.work.Go(func() { h.nibble(p) })
	}
	fed := len(h.peers)
	if err := h.join(errand{Peers: starvingSenders}, rawDial{addr: e.Addr, buffer: smallBuffer}); err != nil {
		return err
	}
	for i, p := range h.peers[fed:] {
		h.send(p, floodTo(slices.Concat(hungry[i*fed/starvingSenders:], hungry[:i*fed/starvingSenders]), starvedPacket))
	}
	return nil
}

// nibble reads a little each second, of what is under TLS.
func (h *hands) nibble(p *rawPeer) {
	buf := make([]byte, starvedRead)
	for time.Sleep(rand.N(time.Second)); ; time.Sleep(time.Second) {
		if _, err := p.conn.NetConn().Read(buf); err != nil {
			h.noteEnd()
			return
		}
	}
}

// bother has peers log in who send what carries no packet, in as many ways as there are. Who is cut off comes again.
func (h *hands) bother(e errand) error {
	for i, way := range bothers {
		share := (e.Peers + len(bothers) - 1 - i) / len(bothers)
		before, by := len(h.peers), rawDial{addr: e.Addr, buffer: smallBuffer, webSocket: way.webSocket}
		if err := h.join(errand{Peers: share}, by); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		content := bytes.Repeat(way.one, botherSize/len(way.one))
		for n := range share {
			h.work.Go(func() { h.nag(before+n, by, content) })
		}
	}
	return nil
}

// nag has the peer in a place write the same over and over.
func (h *hands) nag(place int, by rawDial, content []byte) {
	h.mu.Lock()
	p := h.peers[place]
	h.mu.Unlock()
	for ; p != nil; p = h.comeAgain(place, by) {
		h.work.Go(func() { io.Copy(io.Discard, p.conn) }) // else it would be a slow reader, too
		h.write(p, func() []byte { return content })
	}
}

// comeAgain puts a new peer in the place of one that was cut off, after a while; nil when all go home.
func (h *hands) comeAgain(place int, by rawDial) *rawPeer {
	for !h.home.Load() {
		time.Sleep(nagRest)
		p, err := by.login(context.Background(), key.NewPrivate())
		if err != nil {
			continue
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.home.Load() {
			p.end()
			return nil
		}
		h.peers[place] = p
		return p
	}
	return nil
}

// bothers are the ways to keep a relay busy with nothing.
var bothers = []struct {
	name      string
	webSocket bool
	one       []byte
}{
	{"empty frames", false, derp.AppendHeader(nil, unknownFrame, 0)},
	{"unknown frames", false, append(derp.AppendHeader(nil, unknownFrame, 32), make([]byte, 32)...)},
	{"pings", false, derp.AppendPing(nil, [derp.PingLen]byte{})},
	{"empty messages", true, message(binaryMessage, nil)},
	{"pings of WebSocket", true, message(pingMessage, nil)},
}

// send has a peer write what comes next, as fast as the relay takes it.
func (h *hands) send(p *rawPeer, next func() []byte) {
	h.work.Go(func() { h.write(p, next) })
}

func (h *hands) write(p *rawPeer, next func() []byte) {
	for {
		if _, err := p.conn.Write(next()); err != nil {
			h.noteEnd()
			return
		}
	}
}

func (h *hands) noteEnd() {
	if !h.home.Load() {
		h.ended.Add(1)
	}
}

// goHome hangs up.
func (h *hands) goHome() {
	h.home.Store(true)
	h.leave(0)
	h.work.Wait()
}
