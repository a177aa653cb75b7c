package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// Conns that loops read have no goroutine while nothing comes, whether they are new, have
// relayed something, or rest. Each tells once that it has ended, and why.
func TestStartedConnsHaveNoGoroutine(t *testing.T) {
	const conns = 100
	s, err := relay.New(relay.Config{Key: relaytest.Key("server")})
	if err != nil {
		t.Fatal(err)
	}
	loops, err := netio.NewLoops(2)
	if err != nil {
		t.Fatal(err)
	}
	defer loops.Close()
	before := runtime.NumGoroutine()
	ended := make(chan error, 2*conns) // as many as nobody should tell
	var peers []net.Conn
	for range conns {
		peers = append(peers, startOne(t, s, loops, ended))
	}
	until(t, "all are logged in", func() bool { return s.Counters().Conns == conns })
	until(t, "no goroutine is left of a login", func() bool { return runtime.NumGoroutine() < before+conns/10 })
	for _, p := range peers {
		p.Write(derp.AppendPing(nil, [derp.PingLen]byte{}))
	}
	until(t, "all pings are answered", func() bool { return s.Counters().Pings == conns })
	s.SetLimits(relay.LimitRules{Keys: relay.Limits{In: 8000, Burst: 1}})
	for _, p := range peers {
		p.Write(derp.AppendSendPacket(nil, key.Public{1}, make([]byte, derp.MaxPacket)))
		p.Write(derp.AppendSendPacket(nil, key.Public{1}, make([]byte, derp.MaxPacket)))
	}
	until(t, "all rest", func() bool { return atRest(s) == conns })
	until(t, "no goroutine is left of a burst", func() bool { return runtime.NumGoroutine() < before+conns/10 })
	for _, p := range peers[:conns/2] {
		p.(*net.TCPConn).CloseWrite()
	}
	s.SetLimits(relay.LimitRules{})
	for range conns / 2 {
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("who has left: %v", err)
		}
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range conns / 2 {
		if err := <-ended; !errors.Is(err, relay.ErrShutdown) {
			t.Errorf("who has stayed: %v", err)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("one has ended twice: %v", err)
	default:
	}
}

// atRest is how many conns are not read now.
func atRest(s *relay.Server) (n int) {
	for p := range s.Peers {
		if p.Resting {
			n++
		}
	}
	return n
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in a minute: ", what)
		}
	}
}

// startOne has a peer log in over a stream that a loop reads.
func startOne(t *testing.T, s *relay.Server, loops *netio.Loops, ended chan<- error) (peer net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	peer, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stream, err := loops.TCP(far, nil)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start(t.Context(), stream, relay.Origin{}, func(err error) { ended <- err })
	private := key.NewPrivate()
	box := private.Box(s.PublicKey())
	if _, err := peer.Write(derp.AppendClientInfo(nil, private.Public(), &box, derp.ClientInfo{Version: derp.ProtocolVersion})); err != nil {
		t.Fatal(err)
	}
	return peer
}
