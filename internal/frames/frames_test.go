package frames

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/detour-relay/detour/derp"
)

var errBad, errEnough = errors.New("bad"), errors.New("enough")

// reader notes what means something to it: types below 0x10.
func reader(took *[]string) *Reader {
	return &Reader{
		Means: func(t derp.FrameType) bool { return t < 0x10 },
		Take: func(t derp.FrameType, payload []byte) error {
			*took = append(*took, fmt.Sprintf("%d %x", t, payload))
			if t == 0xf {
				return errEnough
			}
			return nil
		},
		Bad: func(derp.FrameType, int) error { return errBad },
	}
}

func frame(t derp.FrameType, payload []byte) []byte {
	return append(derp.AppendHeader(nil, t, len(payload)), payload...)
}

// Whatever the bursts, what means something is taken, once and in its order.
func TestFramesAreTakenWhateverThePieces(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var stream []byte
		var want, got []string
		for n := range 60 {
			t, payload := derp.FrameType(random.IntN(0x1f)), make([]byte, random.IntN(1<<random.IntN(13)))
			if t == 0xf {
				continue
			}
			for i := range payload {
				payload[i] = byte(n)
			}
			stream = append(stream, frame(t, payload)...)
			if t < 0x10 {
				want = append(want, fmt.Sprintf("%d %x", t, payload))
			}
		}
		r := reader(&got)
		var held []byte
		for len(stream) > 0 {
			n := 1 + random.IntN(min(len(stream), 3000))
			held, stream = append(held, stream[:n]...), stream[n:]
			used, err := r.Burst(held)
			if err != nil {
				t.Fatal(err)
			}
			held = held[used:]
		}
		if len(held) > 0 || !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d frames of %d, %d bytes left", seed, len(got), len(want), len(held))
		}
	}
}

func TestWhatIsTooLongIsBad(t *testing.T) {
	for name, c := range map[string]struct {
		t    derp.FrameType
		size int
		bad  bool
	}{
		"means something, longest":    {1, Longest, false},
		"means something, too long":   {1, Longest + 1, true},
		"means nothing, longest":      {0x20, derp.MaxFrameToClient, false},
		"means nothing, beyond bound": {0x20, derp.MaxFrameToClient + 1, true},
	} {
		var got []string
		if _, err := reader(&got).Burst(derp.AppendHeader(nil, c.t, c.size)); errors.Is(err, errBad) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Behind a frame that ends the connection nothing is taken.
func TestErrorEndsTheBurst(t *testing.T) {
	var got []string
	last := frame(0xf, []byte{1})
	used, err := reader(&got).Burst(slices.Concat(frame(1, nil), last, frame(2, nil)))
	if want := derp.HeaderLen + len(last); used != want || err != errEnough || len(got) != 2 {
		t.Errorf("%d bytes used, want %d; %v; %d taken", used, want, err, len(got))
	}
}
