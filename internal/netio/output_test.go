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
			s.sentLocked(n)
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
