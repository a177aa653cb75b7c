package relay

import (
	"errors"
	"testing"

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
		"flood":       func(s *Server, watcher, _ *conn) { s.routes.watch(watcher) },
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

// A peer that reads nothing loses control frames, and stays.
func TestControlFramesToAPeerAreBounded(t *testing.T) {
	s := newTestServer(t, Config{})
	peer, stream := join(s, numbered(1))
	source, _ := join(s, numbered(2))
	if _, err := source.ingest(derp.AppendSendPacket(nil, peer.key, nil)); err != nil {
		t.Fatal(err)
	}
	fill(peer)
	if held := peer.out.control.bytes; held > peerControlLimit {
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
