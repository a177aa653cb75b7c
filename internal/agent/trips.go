package agent

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/wgbind"
)

// A handshake that is not answered is sent again after a quarter of a second, and then
// after twice as long, up to mostAgain times: the device itself waits for 5 s, which is
// long for who has just started, when either side may have had no relay yet. Who has got
// it takes no notice of a second one.
const (
	againTime = 250 * time.Millisecond
	mostAgain = 4
)

// Of two handshakes that cross, each device takes the other's for a newer one and drops
// the answer to its own, so that there is no session before one of them tries again after
// 5 s. So of two that begin within crossTime that of the lesser key counts, and the other
// is not shown to the device; and who has heard of one lets it come to an end for againTime
// before his own is sent. If it comes to none, what is sent again counts as ever.
const crossTime = time.Second

// trips is the Bind, and looks after handshakes: it sends again what is not answered, and
// an answer tells how long the way there and back is, without a packet of its own.
type trips struct {
	*wgbind.Bind
	own     key.Public
	foreign chan key.Public // peers that send by keys of a run before this one

	mu     sync.Mutex
	peers  map[key.Public]*trip // guarded by mu
	closed bool                 // guarded by mu
}

// trip is the handshake with a peer that began last.
type trip struct {
	packet []byte
	to     conn.Endpoint
	index  uint32
	sent   time.Time // zero: it is answered
	heard  time.Time // when the device was shown one of the peer
	again  *time.Timer
	times  int // that it was sent again
	took   time.Duration
}

func newTrips(b *wgbind.Bind, own key.Public) *trips {
	return &trips{Bind: b, own: own, foreign: make(chan key.Public, 16), peers: make(map[key.Public]*trip)}
}

// Send notes when a handshake begins, and keeps it back for a moment if one of the peer
// has.
func (t *trips) Send(bufs [][]byte, ep conn.Endpoint) error {
	// The device sends an initiation alone.
	if b := bufs[0]; len(b) == device.MessageInitiationSize && b[0] == device.MessageInitiationType && !t.begins(ep, b) {
		return nil
	}
	return t.Bind.Send(bufs, ep)
}

// Open notes when one is answered, and keeps back one that crosses ours.
func (t *trips) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive, port, err := t.Bind.Open(port)
	for i, next := range receive {
		receive[i] = func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			n, err := next(packets, sizes, eps)
			var last conn.Endpoint
			for j := range n {
				switch b := packets[j][:sizes[j]]; {
				case len(b) == device.MessageResponseSize && b[0] == device.MessageResponseType:
					t.answered(eps[j], binary.LittleEndian.Uint32(b[8:]))
				case len(b) == device.MessageInitiationSize && b[0] == device.MessageInitiationType:
					if !t.hears(eps[j].(*wgbind.Endpoint).Key(), time.Now()) {
						sizes[j] = 0 // the device skips it
					}
				case isData(b) && eps[j] != last:
					last = eps[j]
					t.receives(last.(*wgbind.Endpoint).Key())
				}
			}
			return n, err
		}
	}
	return receive, port, err
}

// hears reports whether the device is to be shown a handshake of a peer.
func (t *trips) hears(k key.Public, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.tripLocked(k)
	if !p.sent.IsZero() && now.Sub(p.sent) < crossTime && t.own.Compare(k) < 0 {
		return false
	}
	p.heard = now
	return true
}

// receives notes a packet of the tunnel. If this run has had no handshake with the peer, it is
// told once: the peer sends by keys from before, and would do so in vain for 15 s.
func (t *trips) receives(k key.Public) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peers[k] != nil {
		return
	}
	select {
	case t.foreign <- k:
		t.tripLocked(k)
	default: // with the next packet
	}
}

func (t *trips) tripLocked(k key.Public) *trip {
	p := t.peers[k]
	if p == nil {
		p = new(trip)
		t.peers[k] = p
	}
	return p
}

// begins reports whether a handshake of ours is to be sent now.
func (t *trips) begins(ep conn.Endpoint, packet []byte) bool {
	k, now := ep.(*wgbind.Endpoint).Key(), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	p := t.tripLocked(k)
	p.stop()
	p.packet, p.to, p.times = bytes.Clone(packet), ep, 0
	p.index, p.sent = binary.LittleEndian.Uint32(packet[4:]), now
	p.again = time.AfterFunc(againTime, func() { t.sendAgain(p) })
	return now.Sub(p.heard) >= againTime
}

func (t *trips) sendAgain(p *trip) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || p.sent.IsZero() || p.times == mostAgain {
		return
	}
	p.times++
	t.Bind.Send([][]byte{p.packet}, p.to) // it may be lost
	p.again.Reset(againTime << p.times)
}

func (p *trip) stop() {
	if p.again != nil {
		p.again.Stop()
	}
}

func (t *trips) answered(ep conn.Endpoint, index uint32) {
	k := ep.(*wgbind.Endpoint).Key()
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[k]; p != nil && p.index == index && !p.sent.IsZero() {
		if p.times == 0 { // otherwise nobody knows which one it answers
			p.took = time.Since(p.sent)
		}
		p.sent = time.Time{}
		p.stop()
	}
}

// forget is for a peer that is gone: keys are many.
func (t *trips) forget(k key.Public) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[k]; p != nil {
		p.stop()
		p.sent = time.Time{}
		delete(t.peers, k)
	}
}

// end has nothing sent again any more.
func (t *trips) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, p := range t.peers {
		p.stop()
	}
}

// of is how long the last handshake took that was answered at once; 0: not known.
func (t *trips) of(k key.Public) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[k]; p != nil {
		return p.took
	}
	return 0
}
