package client

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// startEngine starts a relay that is one, and not a script.
func startEngine(t *testing.T) *testRelay {
	private := key.NewPrivate()
	server, err := relay.New(relay.Config{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return startRelay(t, private, nil, func(s *side) {
		if _, ok := s.request(); !ok || !s.write([]byte(switchingProtocols)) {
			return
		}
		early, _ := s.br.Peek(s.br.Buffered())
		server.Serve(context.Background(), netio.Blocking(s.conn, bytes.Clone(early)), relay.Origin{})
	})
}

// Two peers lose the relay they are on without warning, and go on through the next
// one.
func TestTrafficResumesAfterKill(t *testing.T) {
	relays := []*testRelay{startEngine(t), startEngine(t), startEngine(t)}
	region := func() (*Region, key.Public) {
		private, cfg := key.NewPrivate(), RegionConfig{}
		for _, relay := range relays {
			node := relay.config(t, "http://relay.example.com")
			node.Key = private
			cfg.Nodes = append(cfg.Nodes, RelayConfig{Config: node})
		}
		r, err := NewRegion(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r, private.Public()
	}
	from, _ := region()
	to, toKey := region()
	arrived := make(chan byte, 1) // the round that a packet belongs to
	go func() {
		buf := make([]byte, derp.MaxPacket)
		for msg, err := to.Recv(buf); err == nil; msg, err = to.Recv(buf) {
			if msg.Kind == MessagePacket {
				select {
				case arrived <- msg.Packet[0]:
				default:
				}
			}
		}
	}()
	round := byte(0)
	resume := func() {
		for {
			from.Send(toKey, []byte{round})
			select {
			case n := <-arrived:
				if n == round {
					return
				}
			case <-time.After(time.Millisecond):
			}
		}
	}
	within(t, "the first packet", resume)
	for _, relay := range relays[:2] {
		relay.stop()
		round++
		start := time.Now()
		within(t, "resuming", resume)
		t.Logf("resumed after %v", time.Since(start))
	}
	onNode(t, from, 2)
	onNode(t, to, 2)
}
