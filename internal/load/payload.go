package load

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// A packet begins with four big-endian words and goes on with a piece of a fixed
// random text:
//
//	0   "DTRB" and the number of the stream, 4 bytes each
//	8   sequence number in the stream
//	16  when it was sent, nanoseconds of the run's clock
//	24  a mix of the three words before it
//	32  text[place(stream, seq):]
//
// The first bytes never look like a disco packet, so relays treat all of it as
// data.
const (
	stampLen = 32
	magic    = 0x44545242 // "DTRB"

	// MinSize and MaxSize bound the bytes of one packet.
	MinSize = stampLen
	MaxSize = 65536

	// places is how many different beginnings a piece of text has: a prime, so that
	// the steps of place do not fall into a short cycle.
	places = 65521
)

// text is what packets are filled with: copying a piece of it and comparing with it
// are the cheapest ways to make and to check a whole payload that differs from
// packet to packet.
type text []byte

func newText(size int) text {
	t := make(text, places+size)
	random := rand.NewPCG(0x6465746f7572, 0x6c6f6164)
	for i := 0; i+8 <= len(t); i += 8 {
		binary.LittleEndian.PutUint64(t[i:], random.Uint64())
	}
	return t
}

// place says where in the text the filling of one packet begins.
func place(stream uint32, seq uint64) uint64 {
	return (uint64(stream)*40503 + seq*2654435761) % places
}

// stamp is what the head of a packet says.
type stamp struct {
	stream uint32
	seq    uint64
	sentAt int64 // nanoseconds of the run's clock
}

func (s stamp) mix() uint64 {
	m := (uint64(s.stream)<<32 ^ s.seq) * 0x9e3779b97f4a7c15
	return (m ^ m>>29 ^ uint64(s.sentAt)) * 0xbf58476d1ce4e5b9
}

// write fills packet, which is at least stampLen long.
func (t text) write(packet []byte, s stamp) {
	binary.BigEndian.PutUint32(packet[0:], magic)
	binary.BigEndian.PutUint32(packet[4:], s.stream)
	binary.BigEndian.PutUint64(packet[8:], s.seq)
	binary.BigEndian.PutUint64(packet[16:], uint64(s.sentAt))
	binary.BigEndian.PutUint64(packet[24:], s.mix())
	copy(packet[stampLen:], t[place(s.stream, s.seq):])
}

// read returns what the packet says about itself and whether every byte of it is as
// it was written.
func (t text) read(packet []byte) (s stamp, intact bool) {
	if len(packet) < stampLen || binary.BigEndian.Uint32(packet) != magic {
		return stamp{}, false
	}
	s = stamp{
		stream: binary.BigEndian.Uint32(packet[4:]),
		seq:    binary.BigEndian.Uint64(packet[8:]),
		sentAt: int64(binary.BigEndian.Uint64(packet[16:])),
	}
	if binary.BigEndian.Uint64(packet[24:]) != s.mix() {
		return s, false
	}
	filling := packet[stampLen:]
	from := place(s.stream, s.seq)
	if from+uint64(len(filling)) > uint64(len(t)) {
		return s, false
	}
	return s, bytes.Equal(filling, t[from:from+uint64(len(filling))])
}
