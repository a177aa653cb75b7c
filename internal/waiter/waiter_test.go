package waiter

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsSentAheadIsHeld(t *testing.T) {
	w := New(context.WithCancel(t.Context()))
	for _, p := range []string{"ab", "cd", "e"} {
		if used, err := w.Hold([]byte(p)); used != len(p) || err != nil {
			t.Errorf("%q: %d, %v", p, used, err)
		}
	}
	var got string
	if !w.Admit(func(early []byte) int { got = string(early); return 3 }) || got != "abcde" || string(w.Rest()) != "de" {
		t.Errorf("%q, and %q is left", got, w.Rest())
	}
	if used, err := w.Hold([]byte("f")); used != 0 || !errors.Is(err, ErrOver) || w.Left(err) || w.Left(io.EOF) {
		t.Errorf("after the decision: %d, %v", used, err)
	}
}

// With more than may be held, nothing is used until the decision.
func TestTooMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(context.WithCancel(t.Context()))
		held := make(chan int)
		go func() {
			used, _ := w.Hold(make([]byte, MaxEarly+1))
			held <- used
		}()
		time.Sleep(time.Hour)
		closed := 0
		w.Refuse(func() error { closed++; return nil })
		if used := <-held; used != 0 || closed != 1 {
			t.Errorf("%d bytes used, closed %d times", used, closed)
		}
	})
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
	if _, err := w.Hold(nil); !w.Left(err) {
		t.Error("it has not left")
	}
	w = New(context.WithCancel(t.Context()))
	w.Admit(func([]byte) int { return 0 })
	if w.GiveUp() || !w.Decided() {
		t.Error("given up after the decision")
	}
}
