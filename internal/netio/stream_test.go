package netio_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/detour-relay/detour/internal/netio"
)

// dribble writes p in pieces of random length.
func dribble(w io.Writer, p []byte, random *rand.Rand, most int) error {
	for len(p) > 0 {
		n := min(len(p), 1+random.IntN(most))
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// What goes out and comes back is the same, however it is cut.
func TestEcho(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		echo := run(func() error { return sendBack(l.stream) })
		sent := noise(echoSize)
		written := run(func() error {
			for turn, rest := uint64(0), sent; len(rest) > 0; turn++ { // sometimes small pieces, sometimes large ones
				n := min(len(rest), 1<<20)
				if err := dribble(l.peer, rest[:n], rand.New(rand.NewPCG(turn, 0)), 1<<(6+3*(turn%4))); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(l.peer, got); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "echo", got, sent)
		if err := wait(t, written); err != nil {
			t.Error(err)
		}
		l.peer.Close()
		if err := wait(t, echo); !errors.Is(err, io.EOF) {
			t.Errorf("reading ended with %v", err)
		}
	})
}

// sendBack sends all that comes back until the stream ends. Who reads does not wait: a
// loop that did would wait for itself.
func sendBack(s netio.Stream) error {
	var mu sync.Mutex
	var came []byte
	more := make(chan struct{}, 1)
	sent := run(func() error {
		for range more {
			mu.Lock()
			p := came
			came = nil
			mu.Unlock()
			if err := send(s, p); err != nil {
				return err
			}
		}
		return nil
	})
	err := s.ReadBursts(func(burst []byte) (int, error) {
		mu.Lock()
		came = append(came, burst...)
		mu.Unlock()
		select {
		case more <- struct{}{}:
		default:
		}
		return len(burst), nil
	})
	close(more)
	return cmp.Or(err, <-sent)
}

// Both directions are used at once, by goroutines that know nothing of another.
func TestBothWays(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		in, out := noise(echoSize/2), noise(echoSize/2)
		sending := run(func() error {
			random := rand.New(rand.NewPCG(1, 1))
			for rest := out; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(100_000))
				if err := send(l.stream, rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
		writing := run(func() error { return dribble(l.peer, in, rand.New(rand.NewPCG(2, 2)), 50_000) })
		var got []byte
		reading := run(func() (err error) { got, err = collect(l.stream, len(in)); return err })
		came := make([]byte, len(out))
		if _, err := io.ReadFull(l.peer, came); err != nil {
			t.Fatal(err)
		}
		for _, done := range []<-chan error{sending, writing, reading} {
			if err := wait(t, done); err != nil {
				t.Error(err)
			}
		}
		wantSame(t, "out", came, out)
		wantSame(t, "in", got, in)
	})
}

// blocks is a stream of blocks: a length and as many bytes of it.
func blocks(sizes ...int) (stream []byte) {
	for n, size := range sizes {
		stream = binary.BigEndian.AppendUint32(stream, uint32(size))
		stream = append(stream, bytes.Repeat([]byte{byte(n)}, size)...)
	}
	return stream
}

// unblock counts the complete blocks at the front of p and checks them.
func unblock(p []byte, next *int) (used int, err error) {
	for len(p)-used >= 4 {
		size := int(binary.BigEndian.Uint32(p[used:]))
		if len(p)-used < 4+size {
			break
		}
		for _, b := range p[used+4 : used+4+size] {
			if b != byte(*next) {
				return used, fmt.Errorf("block %d holds a byte of block %d", *next, b)
			}
		}
		used += 4 + size
		*next++
	}
	return used, nil
}

// What a handler leaves unused stands in front of the next burst, be it little,
// more than a small rest, or about a whole frame of the protocol.
func TestRestStaysInFront(t *testing.T) {
	var sizes []int
	random := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		sizes = append(sizes, []int{0, 1, random.IntN(100), random.IntN(5000), random.IntN(20_000), 65_600}[random.IntN(6)])
	}
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		done := errors.New("all blocks came")
		next := 0
		reading := run(func() error {
			return l.stream.ReadBursts(func(burst []byte) (int, error) {
				used, err := unblock(burst, &next)
				if next == len(sizes) && err == nil {
					err = done
				}
				return used, err
			})
		})
		if err := dribble(l.peer, blocks(sizes...), rand.New(rand.NewPCG(4, 4)), 40_000); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, reading); !errors.Is(err, done) {
			t.Errorf("after %d of %d blocks: %v", next, len(sizes), err)
		}
	})
}

// A handler may give up at any burst; reading goes on where it was.
func TestReadingAgain(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		sent := noise(2 << 20)
		writing := run(func() error { return dribble(l.peer, sent, rand.New(rand.NewPCG(5, 5)), 100_000) })
		random := rand.New(rand.NewPCG(6, 6))
		pause := errors.New("pause")
		var got []byte
		reading := run(func() error {
			for len(got) < len(sent) {
				fromRest := false
				err := l.stream.ReadBursts(func(burst []byte) (int, error) {
					used := min(len(burst), 1+random.IntN(60_000))
					got = append(got, burst[:used]...)
					switch {
					case used < len(burst), random.IntN(3) == 0, len(got) == len(sent):
						return used, pause // the rest is handed out again at once
					}
					fromRest = true
					return used, nil
				})
				if !errors.Is(err, pause) {
					return fmt.Errorf("after %d bytes (%v): %w", len(got), fromRest, err)
				}
			}
			return nil
		})
		if err := wait(t, reading); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "input", got, sent)
		if err := wait(t, writing); err != nil {
			t.Error(err)
		}
	})
}

// The rest comes first when reading begins again, without any new input.
func TestReadingAgainBeginsWithTheRest(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		enough := errors.New("enough")
		sent := noise(20_000)
		writing := run(func() error { _, err := l.peer.Write(sent); return err })
		err := l.stream.ReadBursts(func(burst []byte) (int, error) {
			if len(burst) < len(sent) {
				return 0, nil
			}
			return 7000, enough
		})
		if err != enough { // as it is, not wrapped
			t.Fatalf("reading ended with %v", err)
		}
		var got []byte
		err = l.stream.ReadBursts(func(burst []byte) (int, error) {
			got = bytes.Clone(burst)
			return len(burst), enough
		})
		if err != enough {
			t.Fatalf("reading ended with %v", err)
		}
		wantSame(t, "rest", got, sent[7000:])
		if err := wait(t, writing); err != nil {
			t.Error(err)
		}
	})
}

func TestBufferedBytesComeFirst(t *testing.T) {
	for _, size := range []int{1, 100, 4096, 5000, 70_000} {
		forEachKind(t, func(t *testing.T, k kind) {
			buffered, sent := noise(size), noise(3000)
			l := k.dial(t, buffered)
			want := slices.Concat(buffered, sent)
			clear(buffered) // they are the caller's again
			writing := run(func() error { _, err := l.peer.Write(sent); return err })
			got, err := collect(l.stream, len(want))
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, "input", got, want)
			if err := wait(t, writing); err != nil {
				t.Error(err)
			}
		})
	}
}

// Buffered bytes are handed out without any input from the network.
func TestBufferedBytesDoNotWait(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, []byte("early"))
		reading := run(func() error {
			got, err := collect(l.stream, 5)
			wantSame(t, "input", got, []byte("early"))
			return err
		})
		if err := wait(t, reading); err != nil {
			t.Error(err)
		}
	})
}

// A handler that uses nothing ends the stream before it costs much.
func TestHandlerThatUsesNothing(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		most := 0
		reading := run(func() error {
			return l.stream.ReadBursts(func(burst []byte) (int, error) {
				most = max(most, len(burst))
				return 0, nil
			})
		})
		writing := run(func() error { _, err := l.peer.Write(make([]byte, 1<<20)); return err })
		if err := wait(t, reading); !errors.Is(err, netio.ErrBurstTooLong) {
			t.Errorf("reading ended with %v", err)
		}
		if most < 65_605 || most > 200_000 {
			t.Errorf("the longest burst had %d bytes", most)
		}
		l.stream.Close()
		wait(t, writing)
	})
}

// A burst is bounded, so that the first packet of a long one does not wait.
func TestBurstsAreBounded(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		sent := noise(4 << 20)
		writing := run(func() error { _, err := l.peer.Write(sent); return err })
		got, most := 0, 0
		err := l.stream.ReadBursts(func(burst []byte) (int, error) {
			got, most = got+len(burst), max(most, len(burst))
			if got == len(sent) {
				return len(burst), io.EOF
			}
			return len(burst), nil
		})
		if err != io.EOF || got != len(sent) {
			t.Errorf("read %d bytes: %v", got, err)
		}
		if most > 2*netio.BurstSize {
			t.Errorf("the longest burst had %d bytes", most)
		}
		if err := wait(t, writing); err != nil {
			t.Error(err)
		}
	})
}
