package relay

import (
	"errors"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
)

// fill leaves no room for control frames towards c, whose writer is stuck.
func fill(c *conn) {
	c.out.writing = true
	big := derp.AppendHealth(nil, string(make([]byte, 16000)))
	for _, frame := range [][]byte{big, derp.AppendKeepAlive(nil)} {
		for c.out.pushControl(frame, c.controlLimit()) {
		}
	}
}

func wasClosed(c *conn, stream *sink, want error) bool {
	err := c.ended.Load()
	return stream.closed && err != nil && errors.Is(*err, want)
}

// What a watcher is told must not be lost: without room it is closed.
func TestWatcherThatDoesNotReadIsClosed(t *testing.T) {
	for name, tell := range map[string]func(s *Server, watcher, peer *conn){
		"flood": func(s *Server, watcher, _ *conn) {
			s.routes.unwatchLocked(watcher) // nobody else is at it
			s.routes.watch(watcher)
		},
		"new conn":    func(s *Server, _, _ *conn) { join(s, numbered(9)) },
		"key is gone": func(_ *Server, _, peer *conn) { leave(peer) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, Config{})
			watcher, stream := join(s, numbered(1))
			peer, _ := join(s, numbered(2))
			watcher.sibling = true
			s.routes.watch(watcher)
			if watcher.ended.Load() != nil {
				t.Fatal("closed with room left")
			}
			fill(watcher)
			tell(s, watcher, peer)
			if !wasClosed(watcher, stream, ErrOverrun) {
				t.Error("still open")
			}
			leave(watcher)
		})
	}
}

// A sibling that asks again and again is told a few times, and then once a second.
func TestAskingAgainToWatchIsLimited(t *testing.T) {
	s := newTestServer(t, Config{})
	watcher, stream := join(s, numbered(1))
	watcher.sibling = true
	for n := range 99 {
		join(s, numbered(2+n))
	}
	ask := func(times int, now int64) {
		for range times {
			watcher.watchConns(now)
		}
	}
	const flood, second = 100 * 56, int64(time.Second)
	for _, step := range []struct {
		times  int
		at     int64
		floods int
	}{{1, 1, 1}, {1, 1, 1}, {100, 1, 1}, {100, second / 2, 0}, {100, second + 1, 1}, {100, 10 * second, 3}} {
		before := stream.bytes
		ask(step.times, step.at)
		if got := stream.bytes - before; got != step.floods*flood {
			t.Errorf("asked %d times: told %d bytes, want %d floods of %d", step.times, got, step.floods, flood)
		}
	}
	if n := s.count.watchers.Load(); n != 1 {
		t.Errorf("%d watch", n)
	}
	leave(watcher)
	if n := s.count.watchers.Load(); n != 0 {
		t.Errorf("%d still watch", n)
	}
}

// A peer that reads nothing loses control frames, and stays.
func TestControlFramesToAPeerAreBounded(t *testing.T) {
	s := newTestServer(t, Config{})
	peer, stream := join(s, numbered(1))
	source, _ := join(s, numbered(2))
	if _, err := source.ingest(derp.AppendSendPacket(nil, peer.key, nil)); err != nil {
		t.Fatal(err)
	}
	fill(peer)
	if held := peer.out.box.Control.Bytes; held > peerControlLimit {
		t.Errorf("%d bytes of control frames wait", held)
	}
	disco := append([]byte("TS💬"), make([]byte, 56)...)
	if _, err := peer.ingest(derp.AppendSendPacket(nil, numbered(3), disco)); err != nil {
		t.Fatal(err)
	}
	leave(source)
	join(s, peer.key)
	if stream.closed {
		t.Error("closed")
	}
	if s.count.peerGone[0].Load()+s.count.peerGone[1].Load() != 0 {
		t.Error("frames are counted that had no room")
	}
}
