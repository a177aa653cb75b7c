package wgbind

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/direct"
	"github.com/detour-relay/detour/internal/sockmark"
	"github.com/detour-relay/detour/key"
)

const (
	// batch is how many packets go from hand to hand.
	batch = conn.IdealBatchSize

	// usualSize has room for what networks of ordinary MTU carry, in bytes.
	usualSize = 2048

	// piece is about how many bytes are handed to the Host at a time; its queues hold
	// four times as many.
	piece = 64 << 10

	// maxAge is how long a packet of a tunnel is worth sending.
	maxAge = 200 * time.Millisecond
)

// Config says what a Bind does beyond carrying packets. Its zero value will do.
type Config struct {
	// Ask is asked about a key that sends to us and that the device has no peer for,
	// as far as ParseEndpoint and Forget tell. It is to have the device configured, if
	// that is right, and to report whether the device has the peer now. It has 1 s, in
	// which the packets of the key are held, [MostHeld] of all strangers together; up
	// to 16 calls run at a time, and of a key that was refused nobody is asked again
	// for 5 s. nil: the packets of everybody go to the device.
	Ask func(ctx context.Context, peer key.Public) bool

	// Aside is shown each packet that comes from a relay, before the device, and takes
	// those that are no WireGuard's: by what they begin with, soon, and without keeping
	// the packet. nil: none are.
	Aside func(from key.Public, packet []byte) bool

	// NewHost makes the Host; nil: client.NewHost. The Host of a member of a tailnet,
	// who knows the others and their homes, is made by tailnet.Member.Host.
	NewHost func(client.HostConfig) (*client.Host, error)

	// PacketSize is how large a packet may be for which a buffer is at hand, in bytes;
	// a larger one has one made for it. It is for tunnels of large MTU. 0: 2048.
	PacketSize int

	// Direct has packets go by UDP where there is a path; nil: all go through relays.
	Direct *Direct
}

// A Bind carries the packets of a WireGuard device through relays. The device calls
// its methods, as conn.Bind says; whoever made it calls Shutdown.
type Bind struct {
	host      *client.Host
	inbox     *inbox
	strangers *strangers
	marker    sockmark.Marker
	direct    *direct.Conn // nil: none
	aside     func(from key.Public, packet []byte) bool

	outgoing sync.Pool // of *[]client.Packet
	arrivals sync.Pool // of *delivery
	received atomic.Uint64
	byUDP    atomic.Uint64
	ended    chan struct{} // closed when nothing comes in any more
}

var _ conn.Bind = (*Bind)(nil)

// New makes a Host, which lives until Shutdown, and a Bind above it. Where cfg says
// nothing, packets wait for 200 ms at the most (MaxAge), and the sockets are such as
// SetMark can mark.
func New(cfg client.HostConfig, more Config) (*Bind, error) {
	b := &Bind{inbox: newInbox(cmp.Or(more.PacketSize, usualSize)), aside: more.Aside, ended: make(chan struct{})}
	b.outgoing.New = func() any { return new([]client.Packet) }
	b.strangers = newStrangers(more.Ask, func(parcels []parcel) { b.inbox.put(parcels) })
	b.marker.Install(&cfg)
	if cfg.MaxAge == 0 {
		cfg.MaxAge = maxAge
	}
	newHost := more.NewHost
	if newHost == nil {
		newHost = client.NewHost
	}
	host, err := newHost(cfg)
	if err != nil {
		return nil, err
	}
	b.host = host
	if more.Direct != nil {
		if err := b.openDirect(cfg, *more.Direct); err != nil {
			host.Close()
			b.strangers.close()
			return nil, fmt.Errorf("wgbind: no direct paths: %w", err)
		}
	}
	go b.receiveAll()
	return b, nil
}

// Host is what is beneath: for SetPeerHome, State and Stats. Its receiving is the
// Bind's.
func (b *Bind) Host() *client.Host { return b.host }

// Shutdown closes the Host and ends the Bind. When it returns no goroutine is left but
// those of the device.
func (b *Bind) Shutdown() {
	if b.direct != nil {
		b.direct.Close()
	}
	b.host.Close()
	<-b.ended
	b.strangers.close()
}

// receiveAll takes what comes in from the Host, until that is closed.
func (b *Bind) receiveAll() {
	defer close(b.ended)
	defer b.inbox.end()
	in := new(delivery)
	for {
		b.inbox.refill(in.bufs[:])
		n, err := b.host.ReadPackets(in.bufs[:], in.sizes[:], in.from[:])
		if errors.Is(err, client.ErrBufferSize) {
			in.bufs[0] = make([]byte, derp.MaxPacket)
			n, err = b.host.ReadPackets(in.bufs[:1], in.sizes[:1], in.from[:1])
		}
		if err != nil {
			return
		}
		b.received.Add(uint64(n))
		n = b.withoutOthers(in, n)
		b.inbox.awaitRoom(maxAge)
		b.deliver(in, n)
	}
}

// withoutOthers takes out what is no WireGuard's, and returns how many packets are left.
func (b *Bind) withoutOthers(in *delivery, n int) (left int) {
	if b.direct == nil && b.aside == nil {
		return n
	}
	for i := range n {
		from, packet := in.from[i], in.bufs[i][:in.sizes[i]]
		if b.direct != nil && b.direct.Relayed(from, packet) || b.aside != nil && b.aside(from, packet) {
			continue
		}
		in.bufs[left], in.bufs[i] = in.bufs[i], in.bufs[left]
		in.sizes[left], in.from[left] = in.sizes[i], from
		left++
	}
	return left
}

// A delivery is a batch of packets on its way to the inbox, in the inbox's buffers.
type delivery struct {
	bufs  [batch][]byte
	sizes [batch]int
	from  [batch]key.Public

	parcels [batch]parcel // of those that the inbox gets
	which   [batch]int    // and their indexes
}

// deliver puts the first n packets into the inbox, but not those of strangers.
func (b *Bind) deliver(in *delivery, n int) {
	parcels, which := in.parcels[:0], in.which[:0]
	b.strangers.mu.Lock()
	for i := range n {
		packet := in.bufs[i][:in.sizes[i]]
		if e := b.strangers.meetLocked(in.from[i], packet); e != nil {
			parcels, which = append(parcels, parcel{packet, e}), append(which, i)
		}
	}
	b.strangers.mu.Unlock()
	if len(parcels) > 0 && b.inbox.put(parcels) {
		for _, i := range which {
			in.bufs[i] = nil // the inbox has it
		}
	}
	clear(parcels)
}

// Open has the device listen. There is no port; what was asked for is what is told.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	opening, err := b.inbox.open()
	if err != nil {
		return nil, 0, err
	}
	taken := make([]parcel, batch)
	return []conn.ReceiveFunc{func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		for {
			n, err := b.inbox.take(opening, taken[:min(len(packets), batch)])
			if err != nil {
				return 0, err
			}
			delivered := hand(taken[:n], packets, sizes, eps)
			b.inbox.giveBack(taken[:n], delivered)
			if delivered > 0 {
				return delivered, nil
			}
		}
	}}, port, nil
}

// hand copies packets to the device, those that it has room for.
func hand(parcels []parcel, packets [][]byte, sizes []int, eps []conn.Endpoint) (n int) {
	for _, p := range parcels {
		if len(p.packet) > len(packets[n]) {
			continue
		}
		sizes[n], eps[n] = copy(packets[n], p.packet), p.from
		n++
	}
	return n
}

// Close has the device stop listening. The Host stays, and what comes in is dropped.
func (b *Bind) Close() error {
	b.inbox.close()
	return nil
}

// SetMark marks the sockets of the Host, those there are and those to come, where the
// system has marks (Linux, FreeBSD), so that rules of routing keep them out of the
// tunnel. Names of relays are looked up by such sockets, too, where Go's resolver does
// it.
func (b *Bind) SetMark(mark uint32) error {
	err := b.marker.Set(mark)
	if b.direct != nil {
		err = errors.Join(err, b.direct.SetMark(mark))
	}
	return err
}

// Send hands packets to the socket of UDP, or the Host, or both, as the path of the peer
// is. It waits while the Host's queue for the peer is more than half full, for MaxAge at
// the most. The error is that of [client.Host.SendBatch].
func (b *Bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	to, ok := ep.(*Endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	if p := to.path.Load(); p != nil && !p.Send(bufs) {
		return nil
	}
	return b.relay(bufs, to.key)
}

// relay hands packets to the Host, in pieces for which its queue has room, so that none
// has to be dropped.
func (b *Bind) relay(bufs [][]byte, to key.Public) (failed error) {
	packets := b.outgoing.Get().(*[]client.Packet)
	for i, size := 0, 0; i < len(bufs); i++ {
		*packets = append(*packets, client.Packet{Peer: to, Data: bufs[i]})
		if size += len(bufs[i]); size < piece && i < len(bufs)-1 {
			continue
		}
		b.host.AwaitRoom(to)
		if err := b.host.SendBatch(*packets); failed == nil {
			failed = err
		}
		clear(*packets)
		*packets, size = (*packets)[:0], 0
	}
	b.outgoing.Put(packets)
	return failed
}

// ParseEndpoint takes nodekey:... and 64 hex digits. The key is no stranger from now on.
func (b *Bind) ParseEndpoint(text string) (conn.Endpoint, error) {
	k, err := key.ParsePublic(text)
	if err != nil {
		var bare error
		if k, bare = key.ParsePublicHex(text); bare != nil {
			return nil, fmt.Errorf("wgbind: the endpoint %q is not the key of a peer, nodekey:...: %w", text, err)
		}
	}
	if k.IsZero() {
		return nil, fmt.Errorf("wgbind: the endpoint %q is nobody's key: want nodekey:... of a peer", text)
	}
	e := b.strangers.know(k)
	if b.direct != nil {
		e.path.Store(b.direct.Path(k))
	}
	return e, nil
}

// Forget makes a peer that was removed from the device a stranger.
func (b *Bind) Forget(peer key.Public) {
	b.strangers.forget(peer)
	if b.direct != nil {
		b.direct.RemovePeer(peer)
	}
}

// BatchSize is 128.
func (b *Bind) BatchSize() int { return batch }

// Stats counts packets that came: each is delivered or one of the others in the end, but
// for those by which direct paths are found, and those that Config.Aside has taken.
type Stats struct {
	Received  uint64 // from relays
	Direct    uint64 // by UDP
	Delivered uint64 // that the device has taken
	Full      uint64 // dropped: the device does not take them fast enough
	Down      uint64 // dropped: the device did not listen
	Large     uint64 // dropped: the device has no room for one so large
	Strangers uint64 // dropped: of keys that the device has no peer for
}

// Stats returns the counts up to now.
func (b *Bind) Stats() Stats {
	b.strangers.mu.Lock()
	dropped := b.strangers.dropped
	b.strangers.mu.Unlock()
	in := b.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	return Stats{Received: b.received.Load(), Direct: b.byUDP.Load(), Delivered: in.delivered, Full: in.full, Down: in.down, Large: in.large, Strangers: dropped}
}
