package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// live is the life of one peer.
func (c *chaos) live(where int, random *rand.Rand) {
	secret, at := key.NewPrivate(), c.near.place
	if random.IntN(3) == 0 {
		at = placeOf(c.far)
	}
	p := &chaosPeer{chaos: c, random: random}
	cfg := client.Config{URL: at.URL, CertName: at.Pin, Key: secret, DialContext: p.rude.dial}
	if random.IntN(4) == 0 {
		cfg.WebSocket = client.WebSocketAlways
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var err error
	began := time.Now()
	if p.conn, _, err = client.Login(ctx, cfg); err != nil {
		if time.Since(began) < c.settle { // else the process that it came to may not wait for it any more
			c.fail("login: %v", err)
		}
		return
	}
	c.lives.Add(1)
	public := secret.Public()
	c.here[where].Store(&public)
	stall := time.Duration(random.IntN(3)) * time.Duration(random.IntN(200)) * time.Millisecond
	var reading sync.WaitGroup
	reading.Go(func() { p.read(stall) })
	p.send()
	p.leave()
	p.conn.Close() // what it has not read makes this a reset
	reading.Wait()
}

// A chaosPeer is a peer who lives for a moment.
type chaosPeer struct {
	*chaos
	conn   *client.Conn
	rude   rude
	random *rand.Rand
}

// send sends bursts of numbered packets to whoever is there.
func (p *chaosPeer) send() {
	numbers := map[key.Public]uint64{}
	for range 1 + p.random.IntN(30) {
		to := p.here[p.random.IntN(chaosPeers)].Load()
		if p.over.Err() != nil || to == nil {
			break
		}
		for range 1 + p.random.IntN(40) {
			p.sent.Add(1)
			if p.conn.Send(*to, chaosPacket(numbers[*to], 16+p.random.IntN(1400))) != nil {
				return // its neighbour in the network may have been too slow for it
			}
			numbers[*to]++
		}
		time.Sleep(time.Duration(p.random.IntN(5)) * time.Millisecond)
	}
}

// leave is what a peer does besides closing its connection.
func (p *chaosPeer) leave() {
	moment := time.Duration(p.random.IntN(100)) * time.Millisecond
	switch p.random.IntN(6) {
	case 0, 1: // in the middle of a frame, and of a record of TLS
		p.rude.stop(p.random.IntN(2) == 0)
		p.sendLarge()
		time.Sleep(moment)
	case 2: // it still reads
		p.rude.socket.CloseWrite()
		time.Sleep(moment)
	case 3:
		p.rude.socket.SetLinger(0)
		p.rude.socket.Close()
	}
}

// sendLarge sends a packet of several records, of which only the begin goes out.
func (p *chaosPeer) sendLarge() {
	if to := p.here[p.random.IntN(chaosPeers)].Load(); to != nil {
		p.conn.Send(*to, make([]byte, 60_000))
	}
}

// A rude is the socket of a peer who does not leave as one should.
type rude struct {
	socket *net.TCPConn

	mu      sync.Mutex
	stopped bool // guarded by mu: nothing goes out any more, but
	more    int  // guarded by mu: so many halves of a record
}

func (r *rude) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.socket = conn.(*net.TCPConn)
	return rudeConn{r.socket, r}, nil
}

// stop has nothing go out from now on but one record, or half of it.
func (r *rude) stop(half bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped, r.more = true, 2
	if half {
		r.more = 1
	}
}

// goesOut returns what of a write goes out, which has whole records of TLS.
func (r *rude) goesOut(p []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		return p
	}
	record := 5 + int(binary.BigEndian.Uint16(p[3:]))
	defer func() { r.more = 0 }()
	return p[:record*r.more/2]
}

type rudeConn struct {
	net.Conn
	rude *rude
}

// Write says that all has gone out.
func (c rudeConn) Write(p []byte) (int, error) {
	if out := c.rude.goesOut(p); len(out) > 0 {
		if n, err := c.Conn.Write(out); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// chaosPacket is one of which each byte follows from its number.
func chaosPacket(number uint64, size int) []byte {
	packet := bytes.Repeat([]byte{byte(number * 7)}, size)
	binary.BigEndian.PutUint64(packet, number)
	return packet
}

// read checks all that comes, after a stall.
func (p *chaosPeer) read(stall time.Duration) {
	next := map[key.Public]uint64{}
	buf := make([]byte, 64<<10)
	time.Sleep(stall)
	for {
		m, err := p.conn.Recv(buf)
		if err != nil {
			return
		}
		if m.Kind != client.MessagePacket {
			continue
		}
		number := p.number(m)
		if number < next[m.Peer] {
			p.fail("packet %d of a sender came after %d", number, next[m.Peer]-1)
		}
		next[m.Peer] = number + 1
	}
}

// number is that of a packet that has come.
func (c *chaos) number(m client.Message) uint64 {
	c.came.Add(1)
	number := binary.BigEndian.Uint64(m.Packet)
	if !bytes.Equal(m.Packet, chaosPacket(number, len(m.Packet))) {
		c.fail("packet %d of a sender, of %d bytes, has changed", number, len(m.Packet))
	}
	return number
}
