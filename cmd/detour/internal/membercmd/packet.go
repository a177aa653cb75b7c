package membercmd

import (
	"encoding/binary"
	"slices"
)

// A ping is a packet of a kind, the number of the series, and that of the packet in it.
// What follows only makes it as long as asked. The answer is the same with another kind.
const (
	kindPing  = "DTRping1"
	kindPong  = "DTRpong1"
	headerLen = len(kindPing) + 8 + 8
)

type packet struct {
	kind        string
	series, seq uint64
}

func (p packet) make(size int) []byte {
	b := slices.Grow([]byte(nil), size)
	b = append(b, p.kind...)
	b = binary.BigEndian.AppendUint64(b, p.series)
	b = binary.BigEndian.AppendUint64(b, p.seq)
	for len(b) < size {
		b = append(b, byte(len(b)))
	}
	return b
}

// parsePacket reads what make has made; false: it is something else.
func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) < headerLen {
		return p, false
	}
	p = packet{string(b[:len(kindPing)]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	if p.kind != kindPing && p.kind != kindPong {
		return packet{}, false
	}
	for i, c := range b[headerLen:] {
		if c != byte(headerLen+i) {
			return packet{}, false
		}
	}
	return p, true
}
