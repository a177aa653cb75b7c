package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	every     = 10 * time.Millisecond // between packets, each way
	smallSize = 64
	fullSize  = 1280 - 28 // fills the tunnel's MTU
)

// A flow is packets both ways through the tunnel, numbered, every other one as large as
// they may be.
type flow struct {
	ways    [2]*direction
	still   atomic.Bool // nothing is sent for a while
	stop    chan struct{}
	sending sync.WaitGroup
	reading sync.WaitGroup
}

// A direction is one of its ways.
type direction struct {
	socket *net.UDPConn // of who sends; the other direction's is who receives
	to     *net.UDPAddr

	mu   sync.Mutex
	sent []time.Time
	got  map[uint32]bool
	err  error
}

func startFlow(a, b *laptop, addrA, addrB string) (*flow, error) {
	f := &flow{stop: make(chan struct{})}
	addrs := [2]*net.UDPAddr{{IP: net.ParseIP(addrA), Port: 7000}, {IP: net.ParseIP(addrB), Port: 7000}}
	for i, l := range []*laptop{a, b} {
		d := &direction{to: addrs[1-i], got: make(map[uint32]bool)}
		if err := l.do(func() (err error) { d.socket, err = net.ListenUDP("udp", addrs[i]); return err }); err != nil {
			f.end()
			return nil, fmt.Errorf("socket of %s in the tunnel: %w", l.name, err)
		}
		f.ways[i] = d
	}
	for i, d := range f.ways {
		f.sending.Go(func() { d.send(f) })
		f.reading.Go(func() { f.ways[1-i].receive(d.socket) })
	}
	return f, nil
}

// finish ends the sending, and waits for what is on its way.
func (f *flow) finish() {
	close(f.stop)
	f.sending.Wait()
	time.Sleep(time.Second)
	f.end()
}

func (f *flow) end() {
	for _, d := range f.ways {
		if d != nil {
			d.socket.Close()
		}
	}
	f.reading.Wait()
}

func (d *direction) send(f *flow) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	packet := make([]byte, fullSize)
	for {
		if !f.still.Load() {
			d.sendOne(packet)
		}
		select {
		case <-tick.C:
		case <-f.stop:
			return
		}
	}
}

func (d *direction) sendOne(packet []byte) {
	d.mu.Lock()
	n := len(d.sent)
	d.sent = append(d.sent, time.Now())
	d.mu.Unlock()
	binary.BigEndian.PutUint32(packet, uint32(n))
	size := smallSize
	if n%2 == 1 {
		size = fullSize
	}
	if _, err := d.socket.WriteToUDP(packet[:size], d.to); err != nil {
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
	}
}

// receive notes what comes of this direction, at the other end's socket.
func (d *direction) receive(socket *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, _, err := socket.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n < 4 {
			continue
		}
		d.mu.Lock()
		d.got[binary.BigEndian.Uint32(buf)] = true
		d.mu.Unlock()
	}
}

// lost is how many packets of both directions that were sent between two moments have not
// come, and when the first and the last of them were sent.
func (f *flow) lost(from, to time.Time) (n int, first, last time.Time) {
	for _, d := range f.ways {
		d.mu.Lock()
		for i, at := range d.sent {
			if at.Before(from) || !at.Before(to) || d.got[uint32(i)] {
				continue
			}
			n++
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
		d.mu.Unlock()
	}
	return n, first, last
}

// err is what kept a packet from being sent.
func (f *flow) err() error {
	for _, d := range f.ways {
		d.mu.Lock()
		err := d.err
		d.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}
