package wgproxy

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// patience bounds waits for what must happen.
const patience = 2 * time.Minute

// A fakeDevice is a WireGuard that does what it is told.
type fakeDevice struct {
	mu      sync.Mutex
	state   State
	problem error // of Read
	reads   int
}

func newFakeDevice(port uint16, peers ...key.Public) *fakeDevice {
	d := &fakeDevice{state: State{Key: key.NewPrivate(), Port: port, Peers: make(map[key.Public]netip.AddrPort)}}
	for i, k := range peers {
		d.state.Peers[k] = at(1 + i)
	}
	return d
}

func (d *fakeDevice) Read() (State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	s := d.state
	s.Peers = maps.Clone(s.Peers)
	return s, d.problem
}

func (d *fakeDevice) SetEndpoints(all map[key.Public]netip.AddrPort) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, at := range all {
		if _, there := d.state.Peers[k]; there {
			d.state.Peers[k] = at
		}
	}
	return nil
}

func (d *fakeDevice) Close() error { return nil }

// change changes what it is set to.
func (d *fakeDevice) change(do func(*State)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do(&d.state)
}

func (d *fakeDevice) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem = err
}

func (d *fakeDevice) endpoint(k key.Public) netip.AddrPort {
	s, _ := d.Read()
	return s.Peers[k]
}

// fakeRelays bring back what is sent to a peer, as if that had answered with the same.
type fakeRelays struct {
	who    key.Private
	queue  chan client.Packet
	closed chan struct{}
}

func newFakeRelays(k key.Private) *fakeRelays {
	return &fakeRelays{who: k, queue: make(chan client.Packet, 1000), closed: make(chan struct{})}
}

func (r *fakeRelays) AwaitRoom(key.Public) {}

func (r *fakeRelays) SendBatch(packets []client.Packet) error {
	for _, p := range packets {
		r.queue <- client.Packet{Peer: p.Peer, Data: slices.Clone(p.Data)}
	}
	return nil
}

func (r *fakeRelays) ReadPackets(bufs [][]byte, sizes []int, from []key.Public) (int, error) {
	select {
	case p := <-r.queue:
		if len(p.Data) > len(bufs[0]) {
			r.queue <- p
			return 0, client.ErrBufferSize
		}
		sizes[0], from[0] = copy(bufs[0], p.Data), p.Peer
		return 1, nil
	case <-r.closed:
		return 0, client.ErrClosed
	}
}

func (r *fakeRelays) Close() error {
	close(r.closed)
	return nil
}

// A world is a Proxy that runs before a fake device.
type world struct {
	*fakeDevice
	t      *testing.T
	note   string
	relays chan *fakeRelays // each that was connected

	mu     sync.Mutex
	events []Event
	marks  []uint32
	refuse error // of SetMark
}

func newWorld(t *testing.T, d *fakeDevice) *world {
	return &world{t: t, fakeDevice: d, note: filepath.Join(t.TempDir(), "wg", "note"), relays: make(chan *fakeRelays, 10)}
}

func (w *world) open() (*Proxy, error) {
	return Open(Config{Device: w.fakeDevice, Note: w.note, SetMark: w.setMark, OnEvent: w.event})
}

func (w *world) setMark(mark uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks = append(w.marks, mark)
	return w.refuse
}

func (w *world) event(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// told are the events of a type.
func (w *world) told(what EventType) (found []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Type == what {
			found = append(found, e)
		}
	}
	return found
}

func (w *world) connect(k key.Private) (Relays, error) {
	r := newFakeRelays(k)
	w.relays <- r
	return r, nil
}

func clientPacket(k key.Public, text string) client.Packet {
	return client.Packet{Peer: k, Data: []byte(text)}
}

var errBroken = errors.New("broken")

// A port is a socket in the place of WireGuard's.
type port struct {
	*net.UDPConn
	number uint16
}

func listen(t *testing.T) port {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return port{conn, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
}

// echo sends a packet to a stand-in, and wants it back from there.
func (p port) echo(t *testing.T, to netip.AddrPort, text string) {
	t.Helper()
	if _, err := p.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	p.SetReadDeadline(time.Now().Add(patience))
	n, from, err := p.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != text || from != to {
		t.Fatalf("%d bytes from %v, want %d from %v (%v)", n, from, len(text), to, err)
	}
}
