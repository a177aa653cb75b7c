package usernet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const flags = header.TCPFlagAck | header.TCPFlagPsh | header.TCPFlagFin

// tcpPacket is one of IPv4 or IPv6 with 12 bytes of options, and no checksum of TCP.
func tcpPacket(v6 bool, seq uint32, port uint16, flags header.TCPFlags, payload []byte) []byte {
	const tcpSize = header.TCPMinimumSize + 12
	var b []byte
	from, to, ip := annas[0], bens[0], header.IPv4MinimumSize
	if v6 {
		from, to, ip = annas[1], bens[1], header.IPv6MinimumSize
	}
	b = append(make([]byte, ip+tcpSize), payload...)
	if v6 {
		header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: uint16(len(b) - ip), TransportProtocol: header.TCPProtocolNumber, HopLimit: 64,
			SrcAddr: tcpip.AddrFromSlice(from.AsSlice()), DstAddr: tcpip.AddrFromSlice(to.AsSlice())})
	} else {
		header.IPv4(b).Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), Protocol: uint8(header.TCPProtocolNumber), TTL: 64,
			SrcAddr: tcpip.AddrFromSlice(from.AsSlice()), DstAddr: tcpip.AddrFromSlice(to.AsSlice())})
		header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	}
	header.TCP(b[ip:]).Encode(&header.TCPFields{SrcPort: port, DstPort: 7, SeqNum: seq, AckNum: 9, DataOffset: tcpSize, Flags: flags, WindowSize: 99})
	return b
}

// cutAll cuts a packet of the stack.
func cutAll(s *segments, packet []byte, most int, v6 bool) (all [][]byte) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	defer p.DecRef()
	p.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, MSS: uint16(most), L3HdrLen: header.IPv4MinimumSize}
	if v6 {
		p.GSOOptions.Type, p.GSOOptions.L3HdrLen = stack.GSOTCPv6, header.IPv6MinimumSize
	}
	for s.take(p); s.left(); {
		b := make([]byte, 1500)
		all = append(all, b[:s.next(b)])
	}
	return all
}

// What is cut is valid, and put together the same.
func TestSegments(t *testing.T) {
	const most, seq = 1200, 1<<32 - 2000 // it begins anew within
	var s segments
	payload := make([]byte, 30000)
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	for _, v6 := range []bool{false, true} {
		for _, size := range []int{0, 1, most - 1, most, most + 1, 2 * most, 2999, 30000} {
			t.Run(fmt.Sprintf("%v %d", v6, size), func(t *testing.T) {
				all := cutAll(&s, tcpPacket(v6, seq, 1, flags, payload[:size]), most, v6)
				if len(all) != max(1, (size+most-1)/most) {
					t.Errorf("%d segments", len(all))
				}
				var got []byte
				for i, b := range all {
					protocol, packet := whole(b)
					if packet == nil || len(packet) != len(b) {
						t.Fatalf("segment %d is no packet: % x", i, b)
					}
					network, from, to := header.Network(header.IPv6(b)), header.IPv6MinimumSize, header.IPv6MinimumSize
					if protocol == header.IPv4ProtocolNumber {
						network, from, to = header.IPv4(b), header.IPv4MinimumSize, header.IPv4MinimumSize
						if !header.IPv4(b).IsChecksumValid() {
							t.Errorf("segment %d: checksum of its IP", i)
						}
					}
					tcp := header.TCP(b[from:])
					to += int(tcp.DataOffset())
					if !tcp.IsChecksumValid(network.SourceAddress(), network.DestinationAddress(), checksum.Checksum(b[to:], 0), uint16(len(b)-to)) {
						t.Errorf("segment %d: checksum", i)
					}
					if at := uint32(len(got)); tcp.SequenceNumber() != at+seq || tcp.AckNumber() != 9 {
						t.Errorf("segment %d: sequence number %d, want %d", i, tcp.SequenceNumber(), at+seq)
					}
					if last := i == len(all)-1; (tcp.Flags() == flags) != last || tcp.Flags()&header.TCPFlagAck == 0 {
						t.Errorf("segment %d: flags %v", i, tcp.Flags())
					}
					got = append(got, b[to:]...)
				}
				if !bytes.Equal(got, payload[:size]) {
					t.Error("the payload is another")
				}
			})
		}
	}
}

// taken counts what the stack would get.
type taken struct {
	stack.NetworkDispatcher
	packets, bytes int
}

func (d *taken) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	d.packets++
	d.bytes += p.Data().Size() - header.IPv4MinimumSize - header.TCPMinimumSize - 12
}

// What belongs together is put together, and nothing is kept back, however many
// connections there are.
func TestPutTogether(t *testing.T) {
	const size, connections, each = 100, 99, 5
	e := newEndpoint(1280, nil)
	var d taken
	e.Attach(&d)
	l := newLink(e, nil, 1280, nil)
	var bufs [][]byte
	for port := range connections {
		for i := range each {
			bufs = append(bufs, tcpPacket(false, uint32(i*size), uint16(port), header.TCPFlagAck, make([]byte, size)))
		}
	}
	l.Write(bufs, 0)
	if d.packets != connections || d.bytes != connections*each*size {
		t.Errorf("%d bytes in %d packets", d.bytes, d.packets)
	}
}

// Who writes waits for the device, and not for one that is closed.
func TestWritesWait(t *testing.T) {
	ended := make(chan struct{})
	e := newEndpoint(1280, ended)
	write := func() tcpip.Error {
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte{0x45})})
		defer p.DecRef()
		var list stack.PacketBufferList
		list.PushBack(p)
		_, err := e.WritePackets(list)
		return err
	}
	written := make(chan tcpip.Error)
	go func() {
		defer close(written)
		for range 3 * queued {
			written <- write()
		}
	}()
	l := newLink(e, nil, 1280, ended)
	bufs, sizes := [][]byte{make([]byte, 99)}, make([]int, 1)
	for range queued {
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	for range queued {
		select {
		case <-written:
			t.Fatal("there was room for more")
		default:
		}
		if n, err := l.Read(bufs, sizes, 0); n != 1 || sizes[0] != 1 || err != nil {
			t.Fatal(n, sizes, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	close(ended)
	if err := <-written; err == nil {
		t.Error("what is written after the end is taken")
	}
	for range written {
	}
}

func TestCuttingAllocatesNothing(t *testing.T) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(tcpPacket(false, 1, 1, flags, make([]byte, 30000)))})
	defer p.DecRef()
	p.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, MSS: 1200, L3HdrLen: header.IPv4MinimumSize}
	var s segments
	b := make([]byte, 1500)
	if n := testing.AllocsPerRun(100, func() {
		for s.take(p); s.left(); {
			s.next(b)
		}
	}); n > 1 { // AsSlices makes a slice
		t.Errorf("%v allocations for 25 packets", n)
	}
}
