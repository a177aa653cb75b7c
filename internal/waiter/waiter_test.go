package waiter

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsSentAheadIsHeld(t *testing.T) {
	w := New(context.WithCancel(t.Context()))
	for _, p := range []string{"ab", "cd", "e"} {
		if used, err := w.hold([]byte(p)); used != len(p) || err != nil {
			t.Errorf("%q: %d, %v", p, used, err)
		}
	}
	var got string
	if !w.Admit(func(early []byte) int { got = string(early); return 3 }) || got != "abcde" || string(w.early) != "de" {
		t.Errorf("%q, and %q is left", got, w.early)
	}
	if used, err := w.hold([]byte("f")); used != 0 || !errors.Is(err, ErrOver) || w.Left(err) || w.Left(io.EOF) {
		t.Errorf("after the decision: %d, %v", used, err)
	}
}

// pieces are what a stream brings, one after the other; then it waits until it is closed.
type pieces struct {
	left   [][]byte
	closed chan struct{}
}

func bring(left ...[]byte) *pieces { return &pieces{left, make(chan struct{})} }

func (p *pieces) ReadBursts(handle func([]byte) (int, error)) error {
	for len(p.left) > 0 {
		used, err := handle(p.left[0])
		if p.left[0] = p.left[0][used:]; len(p.left[0]) == 0 {
			p.left = p.left[1:]
		}
		if err != nil {
			return err
		}
	}
	<-p.closed
	return net.ErrClosed
}

func (p *pieces) Close() error { close(p.closed); return nil }

// With more than may be held, nothing is used until the decision, and nobody waits in the
// handler: who calls it may have others to read.
func TestTooMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(context.WithCancel(t.Context()))
		stream := bring(make([]byte, MaxEarly), []byte("more"))
		watched := make(chan error, 1)
		go func() { watched <- w.Watch(stream) }()
		time.Sleep(time.Hour)
		select {
		case err := <-watched:
			t.Fatalf("it does not wait: %v", err)
		default:
		}
		if used, err := w.hold([]byte("more")); used != 0 || err != errFull {
			t.Errorf("%d bytes used, %v", used, err)
		}
		closed := 0
		w.Refuse(func() error { closed++; return nil })
		if err := <-watched; err != ErrOver || closed != 1 || string(stream.left[0]) != "more" {
			t.Errorf("%v, closed %d times, %q is left", err, closed, stream.left)
		}
	})
}

// Whose time is up is closed.
func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(context.WithTimeout(t.Context(), time.Minute))
		if err := w.Watch(bring([]byte("early"))); err != net.ErrClosed || !w.Left(err) {
			t.Error(err)
		}
	})
}

// The frame that was begun ahead is completed, whatever the pieces, and no byte behind it
// is taken.
func TestFinishCompletesTheFrame(t *testing.T) {
	w := New(context.WithCancel(t.Context()))
	w.hold([]byte("abc"))
	w.Admit(func([]byte) int { return 1 })
	stream := bring([]byte("d"), []byte("efgh"))
	missing := func(frame []byte) int { return 4 - len(frame) } // the frame has four bytes
	var got string
	err := w.Finish(stream, missing, func(frame []byte) (int, error) {
		if len(frame) < 4 {
			return 0, nil
		}
		got = string(frame)
		return 4, nil
	})
	if err != ErrOver || got != "bcde" || string(stream.left[0]) != "fgh" {
		t.Errorf("%v, %q, %q is left", err, got, stream.left)
	}
	if err := w.Finish(stream, missing, nil); err != ErrOver {
		t.Errorf("nothing was begun: %v", err)
	}
}

// Who is first has ended the waiting: a peer that left is not admitted, and one that
// was admitted is not given up.
func TestFirstEndCounts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := New(ctx, cancel)
	if !w.Left(io.EOF) || ctx.Err() == nil || w.Decided() {
		t.Error("a peer that left waits on")
	}
	w.Refuse(func() error { t.Error("closed"); return nil })
	if w.Admit(func([]byte) int { t.Error("relayed"); return 0 }) {
		t.Error("admitted after its end")
	}
	if _, err := w.hold(nil); !w.Left(err) {
		t.Error("it has not left")
	}
	w = New(context.WithCancel(t.Context()))
	w.Admit(func([]byte) int { return 0 })
	if w.GiveUp() || !w.Decided() {
		t.Error("given up after the decision")
	}
}
