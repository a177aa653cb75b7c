package greeting

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/derp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pieces are what a stream brings, one after the other.
type pieces [][]byte

func (ps *pieces) ReadBursts(handle func([]byte) (int, error)) error {
	var held []byte
	for _, p := range *ps {
		held = append(held, p...)
		used, err := handle(held)
		held = held[used:]
		if err != nil {
			*ps = pieces{held}
			return err
		}
	}
	return io.EOF
}

// However it is cut up, the frame is read whole, and nothing behind it.
func TestFrameIsReadWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 8))
	for range 500 {
		payload := make([]byte, 1+random.IntN(100_000))
		for i := range payload {
			payload[i] = byte(random.Uint32())
		}
		all := append(append(derp.AppendHeader(nil, derp.FrameClientInfo, len(payload)), payload...), "behind"...)
		var stream pieces
		for rest := all; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(20_000))
			stream, rest = append(stream, rest[:n]), rest[n:]
		}
		var large atomic.Int64
		f := Frame{Want: derp.FrameClientInfo, Min: 1, Max: 100_000, Large: &large}
		got, err := f.From(&stream)
		if err != nil || !bytes.Equal(got, payload) || !bytes.HasPrefix([]byte("behind"), stream[0]) {
			t.Fatalf("%d bytes of %d: %v, and %q is left", len(got), len(payload), err, stream[0])
		}
		if f.Release(); large.Load() != 0 {
			t.Fatalf("%d bytes are not given back", large.Load())
		}
	}
}

func TestOtherFramesAreRefused(t *testing.T) {
	for name, p := range map[string][]byte{
		"another type": derp.AppendHeader(nil, derp.FramePing, 8),
		"too short":    derp.AppendHeader(nil, derp.FrameClientInfo, 1),
		"too long":     derp.AppendHeader(nil, derp.FrameClientInfo, 1001),
		"text":         []byte("GET / HTTP/1.1"),
	} {
		f := Frame{Want: derp.FrameClientInfo, Min: 2, Max: 1000}
		if _, err := f.From(&pieces{p}); !errors.Is(err, ErrUnexpected) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMemoryIsShared(t *testing.T) {
	var large atomic.Int64
	large.Store(loginBudget)
	header := derp.AppendHeader(nil, derp.FrameClientInfo, 5000)
	f := Frame{Want: derp.FrameClientInfo, Min: 2, Max: 5000, Large: &large}
	if _, err := f.From(&pieces{header, make([]byte, 500), make([]byte, 1000)}); !errors.Is(err, ErrMemory) {
		t.Errorf("%v", err)
	}
	if f.Release(); large.Load() != loginBudget {
		t.Errorf("%d bytes are taken", large.Load())
	}
}
