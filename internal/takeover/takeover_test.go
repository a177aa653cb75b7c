package takeover

import (
	"context"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A process that nobody can take over from asks a nil Takeover like any other.
func TestNothingToTakeOver(t *testing.T) {
	var none *Takeover
	listener, err := none.Listener("relay")
	if listener != nil || err != nil {
		t.Errorf("a listener came from nowhere: %v, %v", listener, err)
	}
	if none.TakesOver() || none.Settings() != nil || none.Ready() != nil || none.Possible() == nil {
		t.Error("there is something to take over")
	}
	if err := none.Ask(t.Context(), nil); err == nil {
		t.Error("it was asked to take over, and said nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if none.Watch(ctx, nil, nil) {
		t.Error("somebody took over")
	}
	if file, err := none.File("twin"); file != nil || err != nil {
		t.Errorf("a file came from nowhere: %v, %v", file, err)
	}
}
