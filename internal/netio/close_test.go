package netio_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// unused is the handler of streams without input.
func unused([]byte) (int, error) { return 0, errors.New("there was no input") }

// hangsUp wants the peer to see the end of the conn, with or without a reset.
func hangsUp(t *testing.T, peer net.Conn) {
	t.Helper()
	seen := run(func() error { _, err := io.Copy(io.Discard, peer); return err })
	select {
	case <-seen:
	case <-time.After(timeout):
		t.Error("the peer does not see that the stream was closed")
	}
}

// isClosed wants every call on a closed stream to fail, and none to wait.
func isClosed(t *testing.T, s netio.Stream) {
	t.Helper()
	for range 2 {
		if err := wait(t, run(func() error { return s.ReadBursts(unused) })); err == nil || err.Error() == "there was no input" {
			t.Errorf("reading from a closed stream: %v", err)
		}
		err := wait(t, run(func() error {
			if _, err := s.Write([]byte("late")); err != nil {
				return err
			}
			_, err := s.Flush(true)
			return err
		}))
		if err == nil {
			t.Error("a closed stream sends")
		}
		wait(t, run(s.Close)) // again has no effect
	}
}

func TestCloseBeforeReading(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		l.stream.Close()
		hangsUp(t, l.peer)
		isClosed(t, l.stream)
	})
}

func TestCloseWithinTheHandler(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		bursts := 0
		reading := run(func() error {
			return l.stream.ReadBursts(func(burst []byte) (int, error) {
				bursts++
				l.stream.Close()
				return len(burst), nil
			})
		})
		if _, err := l.peer.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, reading); err == nil {
			t.Error("reading ended without an error")
		}
		if bursts != 1 {
			t.Errorf("%d bursts were handed out, want 1", bursts)
		}
		hangsUp(t, l.peer)
		isClosed(t, l.stream)
	})
}

func TestCloseWhileReadingWaits(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		came := make(chan error, 1)
		reading := run(func() error {
			return l.stream.ReadBursts(func(burst []byte) (int, error) {
				came <- nil
				return 0, nil // a rest is kept while it waits
			})
		})
		if _, err := l.peer.Write([]byte("half a frame")); err != nil {
			t.Fatal(err)
		}
		wait(t, came)
		if err := wait(t, run(l.stream.Close)); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := wait(t, reading); err == nil {
			t.Error("reading ended without an error")
		}
		hangsUp(t, l.peer)
		isClosed(t, l.stream)
	})
}

func TestCloseWhileAFlushWaits(t *testing.T) {
	for _, reads := range []bool{false, true} { // with and without a reader at work
		forEachKind(t, func(t *testing.T, k kind) {
			l := k.dial(t, nil)
			var reading <-chan error
			if reads {
				reading = run(func() error { return l.stream.ReadBursts(unused) })
			}
			fill(t, l)
			flushed := make(chan error, 1)
			waits := make(chan error, 1)
			go func() {
				waits <- nil
				for {
					if done, err := l.stream.Flush(true); done || err != nil {
						flushed <- err
						return
					}
				}
			}()
			wait(t, waits)
			l.stream.Close()
			if err := wait(t, flushed); err == nil {
				t.Error("all was flushed, though nobody reads")
			}
			if reads {
				if err := wait(t, reading); err == nil {
					t.Error("reading ended without an error")
				}
			}
			hangsUp(t, l.peer)
			isClosed(t, l.stream)
		})
	}
}

func TestCloseFromEverywhereAtOnce(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		for range 20 {
			l := k.dial(t, nil)
			reading := run(func() error {
				return l.stream.ReadBursts(func(burst []byte) (int, error) { return len(burst), send(l.stream, burst) })
			})
			go io.Copy(io.Discard, l.peer)
			go func() {
				for {
					if _, err := l.peer.Write(make([]byte, 1000)); err != nil {
						return
					}
				}
			}()
			var closers sync.WaitGroup
			for range 8 {
				closers.Go(func() { l.stream.Close() })
			}
			if err := wait(t, run(func() error { closers.Wait(); return nil })); err != nil {
				t.Error(err)
			}
			if err := wait(t, reading); err == nil {
				t.Error("reading ended without an error")
			}
			l.peer.Close()
			isClosed(t, l.stream)
		}
	})
}

// A peer that leaves is an io.EOF, after all that it sent.
func TestPeerThatLeaves(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		var got []byte
		reading := run(func() error {
			return l.stream.ReadBursts(func(burst []byte) (int, error) {
				got = append(got, burst...)
				return len(burst), nil
			})
		})
		if _, err := l.peer.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		l.peer.Close()
		if err := wait(t, reading); err != io.EOF {
			t.Errorf("reading ended with %v", err)
		}
		wantSame(t, "input", got, []byte("bye"))
		l.stream.Close()
		isClosed(t, l.stream)
	})
}

// A peer that vanishes behind a TLS conn leaves no close_notify.
func TestTransportThatLeaves(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		reading := run(func() error { return l.stream.ReadBursts(unused) })
		l.wire.Close()
		if err := wait(t, reading); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("reading ended with %v", err)
		}
	})
}

// A reset ends reading and sending with an error.
func TestPeerThatResets(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		tcp, ok := l.wire.(*net.TCPConn)
		if !ok {
			l.wire.Close() // a pipe has no other end than this
			return
		}
		reading := run(func() error { return l.stream.ReadBursts(unused) })
		fill(t, l)
		tcp.SetLinger(0)
		tcp.Close()
		if err := wait(t, reading); err == nil {
			t.Error("reading ended without an error")
		}
		if err := wait(t, run(func() error { return send(l.stream, noise(1000)) })); err == nil {
			t.Error("a reset conn sends")
		}
	})
}

// A flush with nothing staged has nothing to wait for.
func TestFlushOfNothing(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		for _, mayWait := range []bool{false, true} {
			if done, err := l.stream.Flush(mayWait); !done || err != nil {
				t.Errorf("flush of nothing: %v, %v", done, err)
			}
		}
		if _, err := l.stream.Write(nil); err != nil {
			t.Error(err)
		}
		if done, err := l.stream.Flush(true); !done || err != nil {
			t.Errorf("flush of nothing: %v, %v", done, err)
		}
	})
}
