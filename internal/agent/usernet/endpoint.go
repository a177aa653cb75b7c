package usernet

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"
)

const (
	// queued is how many packets wait for the device; the stack waits with those beyond.
	queued = 64

	// bucketSize is how many connections are put together at a time that have the same
	// hash.
	bucketSize = 8
)

// endpoint is the device as the stack sees it: its only interface. What it writes are
// packets of up to 32 KiB that are cut later (segmenter), and what comes in is put
// together as far as it belongs together, since it is the number of packets that costs
// the stack its time.
//
// A write waits for room instead of dropping the packet. So the connections wait, as
// they would for a cable, and do not have to find out what was lost.
type endpoint struct {
	*channel.Endpoint // its queue is not used

	out   chan *stack.PacketBuffer
	ended <-chan struct{}
	gro   gro.GRO // owned by deliver and flush
}

var (
	_ stack.LinkEndpoint      = (*endpoint)(nil)
	_ stack.GSOEndpoint       = (*endpoint)(nil)
	_ stack.NetworkDispatcher = (*endpoint)(nil)
)

func newEndpoint(mtu int, ended <-chan struct{}) *endpoint {
	e := &endpoint{Endpoint: channel.New(0, uint32(mtu), ""), out: make(chan *stack.PacketBuffer, queued), ended: ended}
	e.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	e.SupportedGSOKind = stack.HostGSOSupported
	e.gro.Init(true)
	e.gro.Dispatcher = e
	return e
}

// WritePackets is called by the stack. It waits for the device.
func (e *endpoint) WritePackets(packets stack.PacketBufferList) (n int, _ tcpip.Error) {
	for _, p := range packets.AsSlice() {
		p.IncRef()
		select {
		case e.out <- p:
			n++
		case <-e.ended:
			p.DecRef()
			return n, &tcpip.ErrClosedForSend{}
		}
	}
	return n, nil
}

// deliver hands a packet to the stack, now or with flush.
func (e *endpoint) deliver(protocol tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	p.NetworkProtocolNumber = protocol
	p.RXChecksumValidated = true // WireGuard has seen that it is as the peer sent it
	e.gro.Enqueue(p)
}

// flush hands over what was kept of so many packets. The stack's Flush gets only at the
// first connection of each of its buckets, of which it has bucketSize places.
func (e *endpoint) flush(packets int) {
	for range min(packets, bucketSize) {
		e.gro.Flush()
	}
}

// DeliverNetworkPacket is where packets go that were put together.
func (e *endpoint) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	e.InjectInbound(protocol, p)
}

// DeliverLinkPacket is never called: there are no headers of a link.
func (e *endpoint) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

// whole returns the packet of IP that b begins with, without what stands behind it; nil:
// there is none.
func whole(b []byte) (tcpip.NetworkProtocolNumber, []byte) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		if h := header.IPv4(b); h.IsValid(len(b)) {
			return header.IPv4ProtocolNumber, b[:h.TotalLength()]
		}
	case header.IPv6Version:
		if h := header.IPv6(b); h.IsValid(len(b)) {
			return header.IPv6ProtocolNumber, b[:header.IPv6MinimumSize+int(h.PayloadLength())]
		}
	}
	return 0, nil
}
