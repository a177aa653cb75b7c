package load

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/detour-relay/detour/derp"
)

func TestEveryFlippedByteIsFound(t *testing.T) {
	for _, size := range []int{MinSize, MinSize + 1, 100, 1400} {
		fill := newText(size)
		packet := make([]byte, size)
		want := stamp{stream: 7, seq: rand.Uint64(), sentAt: rand.Int64()}
		fill.write(packet, want)
		if got, intact := fill.read(packet); got != want || !intact {
			t.Fatalf("%d bytes: wrote %+v, read %+v, intact %v", size, want, got, intact)
		}
		for i := range packet {
			spoilt := slices.Clone(packet)
			spoilt[i] ^= 1 << rand.IntN(8)
			if _, intact := fill.read(spoilt); intact {
				t.Errorf("%d bytes: a flipped bit in byte %d was not found", size, i)
			}
		}
	}
}

func TestNeighboursDiffer(t *testing.T) {
	const size = 200
	fill := newText(size)
	a, b := make([]byte, size), make([]byte, size)
	for stream := range uint32(20) {
		for seq := range uint64(1000) {
			fill.write(a, stamp{stream: stream, seq: seq})
			fill.write(b, stamp{stream: stream, seq: seq + 1})
			copy(b[100:], a[100:]) // the tail of the packet before
			if _, intact := fill.read(b); intact {
				t.Fatalf("stream %d: the tail of packet %d passes in packet %d", stream, seq, seq+1)
			}
		}
	}
}

func TestNoPacketLooksLikeDisco(t *testing.T) {
	fill := newText(MaxSize)
	packet := make([]byte, 1400)
	fill.write(packet, stamp{})
	if derp.IsDisco(packet) {
		t.Error("a packet of the generator counts as disco, which relays treat differently")
	}
}

func TestForeignPacketsAreNotIntact(t *testing.T) {
	fill := newText(100)
	for _, packet := range [][]byte{nil, make([]byte, stampLen-1), make([]byte, 100), make([]byte, MaxSize)} {
		if _, intact := fill.read(packet); intact {
			t.Errorf("%d zero bytes count as intact", len(packet))
		}
	}
	long := make([]byte, MaxSize)
	newText(MaxSize).write(long, stamp{seq: 1})
	if _, intact := fill.read(long); intact {
		t.Error("a packet that reaches beyond the text counts as intact")
	}
}

func TestWriteAndReadDoNotAllocate(t *testing.T) {
	fill, packet := newText(1400), make([]byte, 1400)
	if n := testing.AllocsPerRun(100, func() { fill.write(packet, stamp{seq: 9}); fill.read(packet) }); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}
