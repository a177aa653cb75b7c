package main

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// startBlackHole runs a proxy for a relay until the test ends, like a path that loses what is large: from
// the first such piece on, nothing of that connection gets through to the relay.
func startBlackHole(t *testing.T, relay string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { loseWhatIsLarge(conn, relay) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		work.Wait()
	})
	return listener.Addr().String()
}

func loseWhatIsLarge(conn net.Conn, relay string) {
	defer conn.Close()
	far, err := net.Dial("tcp", relay)
	if err != nil {
		return
	}
	const largest = 1200
	var back sync.WaitGroup
	defer back.Wait()
	defer far.Close()
	back.Go(func() {
		defer conn.Close()
		pipe(conn, far, func(int) bool { return true })
	})
	lost := false
	pipe(far, conn, func(n int) bool {
		lost = lost || n > largest
		return !lost
	})
}

func pipe(to, from net.Conn, pass func(n int) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !pass(n) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// What is lost for its size is the path's doing, not the relay's.
func TestPingBlamesThePathForLargePackets(t *testing.T) {
	relay := startMeshed(t, 1)[0]
	through := "http://" + startBlackHole(t, strings.TrimSuffix(strings.TrimPrefix(relay.url, "http://"), "/derp")) + "/derp"
	command(t, 0, "ping", "-c", "2", "-i", "5ms", through)
	_, talk := command(t, 1, "ping", "-c", "2", "-i", "5ms", "-s", "1400", through)
	wantMatch(t, talk, `no packet of 1400 bytes came back, though one of 32 does: the path loses large packets \(MTU\)`)
}
