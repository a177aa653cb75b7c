package usernet

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// segments cuts a packet of the stack into packets that fit into the tunnel. One of TCP
// may be as large as the stack likes, and lacks its checksum.
type segments struct {
	packet []byte // all of it
	cut    bool   // it is TCP; else it goes as it is

	ip    int    // size of its header
	tcp   int    // size of both headers
	most  int    // bytes in each segment
	at    int    // where the next one begins
	first uint32 // sequence number at the beginning
}

// take begins with another packet.
func (s *segments) take(p *stack.PacketBuffer) {
	s.packet = s.packet[:0]
	for _, part := range p.AsSlices() {
		s.packet = append(s.packet, part...)
	}
	s.cut = p.GSOOptions.Type != stack.GSONone && p.GSOOptions.NeedsCsum
	if !s.cut {
		s.at = 0
		return
	}
	s.ip = int(p.GSOOptions.L3HdrLen)
	tcp := header.TCP(s.packet[s.ip:])
	s.tcp = s.ip + int(tcp.DataOffset())
	s.most = max(1, int(p.GSOOptions.MSS))
	s.at, s.first = s.tcp, tcp.SequenceNumber()
}

// left reports whether there is another one.
func (s *segments) left() bool { return len(s.packet) > 0 }

// next puts the next one into b and returns its size.
func (s *segments) next(b []byte) (n int) {
	if !s.cut {
		n = copy(b, s.packet)
		s.packet = s.packet[:0]
		return n
	}
	end := min(s.at+s.most, len(s.packet))
	n = copy(b, s.packet[:s.tcp])
	n += copy(b[n:], s.packet[s.at:end])
	s.finish(b[:n], end == len(s.packet))
	if s.at = end; s.at == len(s.packet) {
		s.packet = s.packet[:0]
	}
	return n
}

// finish corrects the headers of a segment, which are those of all.
func (s *segments) finish(b []byte, last bool) {
	tcp := header.TCP(b[s.ip:])
	tcp.SetSequenceNumber(s.first + uint32(s.at-s.tcp))
	if !last {
		tcp.SetFlags(uint8(tcp.Flags() &^ (header.TCPFlagFin | header.TCPFlagPsh)))
	}
	pseudo := s.finishIP(b)
	tcp.SetChecksum(0)
	tcp.SetChecksum(^checksum.Checksum(b[s.ip:], pseudo))
}

// finishIP sets the size, and returns the sum of what TCP's checksum has in it of the
// header.
func (s *segments) finishIP(b []byte) uint16 {
	if header.IPVersion(b) == header.IPv6Version {
		h := header.IPv6(b)
		h.SetPayloadLength(uint16(len(b) - s.ip))
		return pseudo(h.SourceAddress(), h.DestinationAddress(), len(b)-s.ip)
	}
	h := header.IPv4(b)
	h.SetTotalLength(uint16(len(b)))
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
	return pseudo(h.SourceAddress(), h.DestinationAddress(), len(b)-s.ip)
}

func pseudo(from, to tcpip.Address, size int) uint16 {
	return header.PseudoHeaderChecksum(header.TCPProtocolNumber, from, to, uint16(size))
}
