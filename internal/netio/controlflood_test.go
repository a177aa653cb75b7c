package netio_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"

	"github.com/detour-relay/detour/internal/netio"
)

// countedTLS is what other systems and WebSocket use: TLS that reads by itself.
func countedTLS(c *tls.Conn, w *netio.Wire, buffered []byte) (netio.Stream, error) {
	return netio.Blocking(w.Counted(c), buffered), nil
}

var keyedStreams = map[string]func(*tls.Conn, *netio.Wire, []byte) (netio.Stream, error){
	"over a socket": netio.TLS, "over any conn": countedTLS,
}

// A round of records, of which some bring data.
type round func(s *sealer) []byte

func rounds(n int, what func(s *sealer) []byte, data int) round {
	return func(s *sealer) (all []byte) {
		for range n {
			all = append(all, what(s)...)
		}
		return append(all, s.data(make([]byte, data))...)
	}
}

// Records without data end the stream when they are more than a few a second,
// whatever they are, however they are mixed with data, and whether or not the
// peer reads what they are answered with.
func TestRecordsWithoutDataWithoutEnd(t *testing.T) {
	unasked := func(s *sealer) []byte { return s.update(0) }
	empty := func(s *sealer) []byte { return s.data(nil) }
	for name, flood := range map[string]round{
		"key updates, as many in a row as TLS takes": rounds(15, (*sealer).keyUpdate, 5),
		"a key update with each record":              rounds(1, (*sealer).keyUpdate, 1000),
		"key updates that ask for none":              rounds(15, unasked, 1),
		"empty records":                              rounds(10, empty, 100),
		"both, before much data": func(s *sealer) []byte {
			return append(append(empty(s), s.keyUpdate()...), s.data(make([]byte, 4<<10))...)
		},
	} {
		for over, stream := range keyedStreams {
			for _, reads := range []bool{true, false} {
				t.Run(name+" "+over, func(t *testing.T) {
					l, sealer, _ := keyedThrough(t, stream)
					reading := run(func() error {
						return l.stream.ReadBursts(func(burst []byte) (int, error) { return len(burst), nil })
					})
					if reads {
						go io.Copy(io.Discard, l.wire)
					}
					go func() {
						for {
							if _, err := l.wire.Write(flood(sealer)); err != nil {
								return
							}
						}
					}()
					if err := wait(t, reading); !errors.Is(err, netio.ErrControlRecords) {
						t.Errorf("reading ended with %v", err)
					}
					l.stream.Close()
					l.wire.Close()
				})
			}
		}
	}
}

// What honest peers do is none of that: a few updates at once, and records of any
// size and number.
func TestHonestRecordsAreNoFlood(t *testing.T) {
	for over, stream := range keyedStreams {
		t.Run(over, func(t *testing.T) {
			l, sealer, _ := keyedThrough(t, stream)
			go io.Copy(io.Discard, l.wire)
			var sent, want []byte
			add := func(p []byte) { sent, want = append(sent, sealer.data(p)...), append(want, p...) }
			for range 3000 {
				add(noise(1))
			}
			for _, size := range []int{5, 1400, 4096, 5000, 16 << 10} {
				sent = append(sent, sealer.keyUpdate()...)
				add(noise(size))
			}
			for range 50 {
				add(noise(16 << 10))
			}
			go func() {
				for p := range bytes.SplitSeq(sent, []byte{7}) { // in pieces of all sizes
					l.wire.Write(p)
					l.wire.Write([]byte{7})
				}
			}()
			got, err := collect(l.stream, len(want))
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, "input", got, want)
		})
	}
}

// Answers that nobody takes end the stream, though the engine sends nothing that
// it would have to wait for.
func TestAnswersThatAreNotRead(t *testing.T) {
	l, sealer, _ := keyed(t)
	fill(t, l)
	reading := run(func() error {
		return l.stream.ReadBursts(func(burst []byte) (int, error) { return len(burst), nil })
	})
	if _, err := l.wire.Write(append(sealer.keyUpdate(), sealer.data([]byte("x"))...)); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, reading); !errors.Is(err, netio.ErrAnswersUnread) {
		t.Errorf("reading ended with %v", err)
	}
}

// A peer that takes its answers late, but takes them, stays.
func TestAnswersThatAreReadLate(t *testing.T) {
	l, sealer, _ := keyed(t)
	sent := fill(t, l)
	came := make(chan error, 2)
	go l.stream.ReadBursts(func(burst []byte) (int, error) { came <- nil; return len(burst), nil })
	write := func() {
		if _, err := l.wire.Write(append(sealer.keyUpdate(), sealer.data([]byte("x"))...)); err != nil {
			t.Fatal(err)
		}
		wait(t, came)
	}
	write()
	reading := run(func() error { _, err := io.ReadFull(l.peer, make([]byte, len(sent))); return err })
	if err := send(l.stream, nil); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, reading); err != nil {
		t.Fatal(err)
	}
	write()
}
