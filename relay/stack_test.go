//go:build !race

package relay_test

import (
	"context"
	"net"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// An idle conn has one goroutine, whose stack is 4 KiB at most: logging in and
// ending have frames of their own, on other goroutines.
func TestIdleConnsHaveSmallStacks(t *testing.T) {
	t.Run("all come in", func(t *testing.T) { testStacks(t, relay.Config{}) })
	// An answer that comes at once leaves nothing of the waiting on the stack.
	t.Run("Admit is asked", func(t *testing.T) { testStacks(t, relay.Config{Admit: after(0)}) })
}

func testStacks(t *testing.T, cfg relay.Config) {
	const conns, most = 500, 4800 // bytes; stacks have 2, 4 or 8 KiB
	cfg.Key = relaytest.Key("server")
	s, err := relay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	private := key.NewPrivate()
	box := private.Box(s.PublicKey())
	login := derp.AppendClientInfo(nil, private.Public(), &box, derp.ClientInfo{Version: derp.ProtocolVersion})
	before := stackBytes()
	for range conns {
		near, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		stream, err := netio.TCP(far.(*net.TCPConn), nil)
		if err != nil {
			t.Fatal(err)
		}
		go s.Serve(context.Background(), stream, relay.Origin{})
		near.Write(login)
	}
	for s.Counters().Conns < conns {
		time.Sleep(time.Millisecond)
	}
	each := (int(stackBytes()) - int(before)) / conns
	if each > most {
		t.Errorf("%d bytes of stack for each idle conn, want %d at most", each, most)
	}
	t.Logf("%d bytes of stack for each idle conn", each)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func stackBytes() uint64 {
	for range 3 { // a stack shrinks by half at a collection
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
