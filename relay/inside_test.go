package relay

import (
	"encoding/binary"
	"io"
	"sync"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// What the tests from inside share: a relay without goroutines, and conns over
// streams that take everything, or nothing.

// newTestServer returns a relay that runs nothing by itself.
func newTestServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.Key = key.NewPrivate()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// numbered returns a key that is different for each n.
func numbered(n int) (k key.Public) {
	binary.LittleEndian.PutUint64(k[:], uint64(n)*0x9e3779b97f4a7c15) // so that first bytes differ
	binary.LittleEndian.PutUint64(k[8:], uint64(n))
	return k
}

// join registers a conn of k over a sink.
func join(s *Server, k key.Public) (*conn, *sink) {
	stream := new(sink)
	c := newConn(s, stream, &Origin{}, k, derp.ClientInfo{})
	s.routes.add(c)
	return c, stream
}

// peersOf returns the keys of n peers that are in.
func peersOf(s *Server, n int) (peers []key.Public) {
	for i := range n {
		k := numbered(1000 + i)
		join(s, k)
		peers = append(peers, k)
	}
	return peers
}

// announcedBy returns the keys of n peers that a sibling has.
func announcedBy(s *Server, n int) (peers []key.Public) {
	l := newLink(s, new(sink), Sibling{Name: "sibling"}, numbered(9000))
	if err := s.routes.link(l); err != nil {
		panic(err)
	}
	for i := range n {
		k := numbered(10_000 + i)
		if err := s.routes.announced(l, k); err != nil {
			panic(err)
		}
		peers = append(peers, k)
	}
	return peers
}

func burstTo(peers []key.Public, frames, size int) (burst []byte) {
	for i := range frames {
		burst = derp.AppendSendPacket(burst, peers[i%len(peers)], make([]byte, size))
	}
	return burst
}

// leave undoes what join did, as the end of Serve does.
func leave(c *conn) {
	c.server.routes.remove(c)
	c.out.close()
	c.server.routes.audience.End(c)
}

// A sink is a stream that takes everything at once.
type sink struct {
	mu     sync.Mutex
	writes int // guarded by mu
	bytes  int // guarded by mu
	keep   bool
	kept   []byte // guarded by mu: what came, if keep is set
	closed bool   // guarded by mu
}

func (s *sink) ReadBursts(func([]byte) (int, error)) error { return io.EOF }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	s.bytes += len(p)
	if s.keep {
		s.kept = append(s.kept, p...)
	}
	return len(p), nil
}

func (s *sink) Flush(bool) (bool, error) { return true, nil }

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
