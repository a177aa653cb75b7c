package agent

import (
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/detour-relay/detour/key"
)

// trips is the Bind, and looks after handshakes: it keeps the rules of trip, and an answer
// tells how long the way there and back is, without a packet of its own.
type trips struct {
	conn.Bind
	own     key.Public
	anew    func(key.Public) // has the device make another initiation
	foreign chan key.Public  // peers that send by keys of a run before this one

	mu     sync.Mutex
	peers  map[key.Public]*trip // guarded by mu, as what is in them
	closed bool                 // guarded by mu
}

func newTrips(b conn.Bind, own key.Public, anew func(key.Public)) *trips {
	return &trips{Bind: b, own: own, anew: anew, foreign: make(chan key.Public, 16), peers: make(map[key.Public]*trip)}
}

// keyOf is the peer's of an endpoint, which is the Bind's.
func keyOf(ep conn.Endpoint) key.Public { return ep.(interface{ Key() key.Public }).Key() }

func isInitiation(b []byte) bool {
	return len(b) == device.MessageInitiationSize && b[0] == device.MessageInitiationType
}

func isResponse(b []byte) bool {
	return len(b) == device.MessageResponseSize && b[0] == device.MessageResponseType
}

// Send notes what the device sends, and keeps an initiation back if it has to wait.
func (t *trips) Send(bufs [][]byte, ep conn.Endpoint) error {
	// The device sends a message of a handshake alone.
	switch b := bufs[len(bufs)-1]; {
	case isInitiation(b):
		if !t.begins(keyOf(ep), b, ep) {
			return nil
		}
	case isResponse(b):
		t.replies(keyOf(ep), b)
	case b[0] == device.MessageTransportType:
		t.sends(keyOf(ep), b)
	}
	return t.Bind.Send(bufs, ep)
}

// Open notes what comes, and hides from the device what it is not to see.
func (t *trips) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive, port, err := t.Bind.Open(port)
	for i, next := range receive {
		receive[i] = func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			n, err := next(packets, sizes, eps)
			var last conn.Endpoint
			for j := range n {
				switch b := packets[j][:sizes[j]]; {
				case isResponse(b):
					if !t.isAnswered(keyOf(eps[j]), b) {
						sizes[j] = 0 // the device skips it
					}
				case isInitiation(b):
					if !t.hears(keyOf(eps[j]), b, eps[j]) {
						sizes[j] = 0
					}
				case isData(b) && eps[j] != last:
					last = eps[j]
					t.receives(keyOf(last))
				}
			}
			return n, err
		}
	}
	return receive, port, err
}

func (t *trips) begins(k key.Public, packet []byte, ep conn.Endpoint) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	p := t.tripLocked(k)
	p.stop()
	which := senderOf(packet)
	p.timer = time.AfterFunc(againTime, func() { t.due(k, which) })
	return p.begins(packet, ep, time.Now())
}

// due does what is due of an initiation, unless it is no longer the last one.
func (t *trips) due(k key.Public, which uint32) {
	t.mu.Lock()
	p := t.peers[k]
	if t.closed || p == nil || p.timer == nil || senderOf(p.ours.packet) != which {
		t.mu.Unlock()
		return
	}
	packet, anew, after := p.due(time.Now())
	to := p.ours.to
	if after > 0 {
		p.timer.Reset(after)
	}
	t.mu.Unlock()
	if anew {
		t.anew(k)
	}
	if packet != nil {
		t.Bind.Send([][]byte{packet}, to) // it may be lost
	}
}

// hears reports whether the device is to be shown an initiation.
func (t *trips) hears(k key.Public, packet []byte, ep conn.Endpoint) bool {
	t.mu.Lock()
	show, reply := t.tripLocked(k).hears(packet, time.Now())
	t.mu.Unlock()
	if reply != nil {
		t.Bind.Send([][]byte{reply}, ep) // it may be lost, too
	}
	return show
}

func (t *trips) replies(k key.Public, packet []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[k]; p != nil {
		p.replies(packet, time.Now())
	}
}

// isAnswered reports whether the device is to be shown an answer.
func (t *trips) isAnswered(k key.Public, packet []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[k]
	if t.closed || p == nil {
		return true
	}
	show, after := p.isAnswered(packet, time.Now())
	if after > 0 {
		p.timer.Reset(after)
	}
	return show
}

func (t *trips) sends(k key.Public, packet []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[k]; p != nil {
		p.sends(keysOf(packet))
	}
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
		p = &trip{lesser: t.own.Compare(k) < 0}
		t.peers[k] = p
	}
	return p
}

func (p *trip) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// beginAnew has a device make another initiation, though it is not yet time for it, where
// it has come to no keys by the last one.
func beginAnew(d *device.Device, k key.Public) {
	if p := d.LookupPeer(device.NoisePublicKey(k)); p != nil {
		p.ExpireCurrentKeypairs() // forgets when the last one was, too
		p.SendHandshakeInitiation(true)
	}
}

// forget is for a peer that is gone: keys are many.
func (t *trips) forget(k key.Public) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[k]; p != nil {
		p.stop()
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
