package netio

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// What is staged goes out once and in order, whatever the pieces and however
// little the socket takes at a time.
func TestStagedKeepsOrder(t *testing.T) {
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(seed, 2))
		var s staged
		var in, out []byte
		next := byte(0)
		for range 300 {
			if random.IntN(2) == 0 {
				p := make([]byte, random.IntN(1<<random.IntN(18)))
				for i := range p {
					p[i] = next
					next++
				}
				if n, err := s.Write(p); n != len(p) || err != nil {
					t.Fatalf("staged %d of %d bytes: %v", n, len(p), err)
				}
				in = append(in, p...)
				clear(p) // it is the caller's again
				continue
			}
			left := len(in) > len(out)
			if got := s.loadLocked(); got != left {
				t.Fatalf("something to send: %v, want %v", got, left)
			}
			n := random.IntN(len(s.going) + 1)
			out = append(out, s.going[:n]...)
			if s.sentLocked(n); len(s.going) > 0 && random.IntN(2) == 0 {
				s.stuckLocked()
			}
		}
		for s.loadLocked() {
			out = append(out, s.going...)
			s.sentLocked(len(s.going))
		}
		if !bytes.Equal(out, in) {
			t.Fatal("other bytes came out")
		}
		if s.current != nil || s.next != nil || !s.empty() {
			t.Fatal("a buffer is held with nothing to send")
		}
	}
}

// What a socket does not take keeps a buffer of about its size.
func TestStuckBytesHoldLittle(t *testing.T) {
	record := 16<<10 + 22
	for left, want := range map[int]int{1: 1 << 10, 1400: 4 << 10, 5000: 8 << 10, 16_000: 16 << 10, record: 18 << 10, 17_000: outputSize, 60_000: outputSize} {
		var s staged
		s.Write(make([]byte, 3*record+17_000)[:max(left, 3*record)])
		s.loadLocked()
		s.sentLocked(len(s.going) - left)
		if s.stuckLocked(); len(s.current.bytes) != want || len(s.going) != left {
			t.Errorf("%d bytes are left, and hold %d", len(s.going), len(s.current.bytes))
		}
	}
}
