package admit

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// k is a key that is told by its number.
func k(n int) (p key.Public) {
	binary.BigEndian.PutUint64(p[:], uint64(n))
	p[31] = 1
	return p
}

// applicant is somebody with this key.
func applicant(p key.Public) relay.Applicant {
	return relay.Applicant{Peer: p, Addr: netip.MustParseAddrPort("192.0.2.7:41641"), Info: derp.ClientInfo{}}
}

// house has the connected of a relay that is not there.
type house struct {
	mu    sync.Mutex
	conns []relay.PeerState
	why   map[key.Public]error
}

func (h *house) join(p relay.PeerState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, p)
}

func (h *house) Peers(yield func(relay.PeerState) bool) {
	h.mu.Lock()
	all := append([]relay.PeerState(nil), h.conns...)
	h.mu.Unlock()
	for _, p := range all {
		if !yield(p) {
			return
		}
	}
}

func (h *house) Close(match func(relay.PeerState) bool, why error, _ int) (closed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var left []relay.PeerState
	for _, p := range h.conns {
		if !match(p) {
			left = append(left, p)
			continue
		}
		closed++
		if h.why == nil {
			h.why = map[key.Public]error{}
		}
		h.why[p.Peer] = why
	}
	h.conns = left
	return closed
}

// left is how many are connected.
func (h *house) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// ended is why a key was closed; nil: it was not.
func (h *house) ended(p key.Public) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why[p]
}

// open makes a chain, which is not run.
func newChain(t *testing.T, cfg Config) *Chain {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.questions.close()
		closeSources(c.rules.Load().sources)
	})
	return c
}

// running runs a chain until the test ends, or until stop is called.
func running(t *testing.T, c *Chain) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { c.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// outcome is what becomes of an applicant: who decides, and why not.
func outcome(c *Chain, a relay.Applicant) (source string, why Reason) {
	d := c.decide(context.Background(), a)
	if d.refused != nil {
		why = d.refused.Reason
	}
	return d.source, why
}

func keysFile(t *testing.T, text string) config.Access {
	t.Helper()
	return config.Access{Keys: []string{writeFile(t, "keys", text)}}
}
