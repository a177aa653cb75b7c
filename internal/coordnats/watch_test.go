package coordnats

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/coordstore/storetest"
)

// A consumer at a server that lags behind has nothing more to tell, although more stood
// there when the watching began: to take that for all would be the end of the others.
// But the last revision may be gone from the history, and is not waited for then.
func TestCurrentIsAllThatTheLeaderHad(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{Dir: t.TempDir()})
	var last uint64
	for _, key := range []string{"a", "b", "c"} {
		var err error
		if last, err = s.Create(t.Context(), coordstore.Hard, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		end  uint64 // the last revision when the watching began
		told []string
		want bool // current after these
	}{
		"the server lags":      {last, []string{"a", "b"}, false},
		"it has caught up":     {last, []string{"a", "b", "c"}, true},
		"the last one is gone": {last + 1, []string{"a", "b", "c"}, true},
		"it lags, too":         {last + 1, []string{"a", "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s.loading <- struct{}{}
			w := new(currents)
			v := &view{s: s, bucket: coordstore.Hard, w: w, end: c.end, loading: true}
			defer v.loaded()
			for i, key := range c.told {
				m := &nats.Msg{Subject: subjectOf(v.bucket, key), Data: []byte(key),
					Reply: fmt.Sprintf("$JS.ACK.S.C.1.%d.%d.99.0", int(last)-2+i, i+1)}
				if err := v.take(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.n > 0; got != c.want || len(w.entries) != len(c.told) {
				t.Errorf("current %d times after %q", w.n, w.entries)
			}
		})
	}
	r := new(storetest.Recorder) // and what really comes is all
	go s.Watch(t.Context(), coordstore.Hard, r)
	r.AwaitCurrent(t, 1)
	if got := r.Values(); len(got) != 3 {
		t.Errorf("told of %v", got)
	}
}

// currents counts how often it is told that it is current.
type currents struct {
	n       int
	entries []string
}

func (w *currents) Begin(string)             {}
func (w *currents) Current()                 { w.n++ }
func (w *currents) Entry(e coordstore.Entry) { w.entries = append(w.entries, e.Key) }
