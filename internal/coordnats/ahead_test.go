//go:build unix

package coordnats

import (
	"context"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordstore"
)

// slowly takes what comes, more slowly than the engine sends it.
type slowly struct {
	entries int
	end     context.CancelFunc
}

func (w *slowly) Begin(string) {}
func (w *slowly) Current()     { w.end() }
func (w *slowly) Entry(coordstore.Entry) {
	if w.entries++; w.entries%1000 == 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// The engine sends ahead by bytes, and a hundred thousand small messages are few of
// them: who reads slowly is still told of all.
func TestASlowWatcherOfMany(t *testing.T) {
	t.Parallel()
	const members = 150_000
	dir := t.TempDir()
	fill(t, dir, members)
	s := openStore(t, Config{Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	w := &slowly{end: cancel}
	if err := s.Watch(ctx, coordstore.Hard, w); ctx.Err() == nil || w.entries != members {
		t.Errorf("told of %d of %d, and then: %v", w.entries, members, err)
	}
}
