package main

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/stun"
)

// responder starts our STUN responder, which ends with the test.
func responder(t testing.TB) netip.AddrPort {
	t.Helper()
	r, err := stun.Listen(t.Context(), stun.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { r.Serve(context.Background()) })
	t.Cleanup(func() {
		r.Close()
		serving.Wait()
	})
	return r.Addr()
}

func TestAskersGetAnswers(t *testing.T) {
	all, err := newAskers(responder(t), 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer all.close()
	for range 2 {
		n, err := all.run(50 * time.Millisecond)
		if err != nil || n < 20 || all.lost() != 0 {
			t.Errorf("%d answers, %d lost: %v", n, all.lost(), err)
		}
	}
}

func TestAskersLookAtAnswers(t *testing.T) {
	a, err := newAsker(netip.MustParseAddrPort("127.0.0.1:9"), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer a.socket.close()
	good := func() []byte {
		a.renew(1)
		answer := append([]byte(nil), a.right...)
		copy(answer[idStart:], a.requests[1][idStart:idEnd])
		return answer
	}
	answer := good()
	if i, err := a.check(answer); i != 1 || err != nil {
		t.Errorf("a good answer: %d, %v", i, err)
	}
	a.renew(1)
	if i, err := a.check(answer); i != -1 || err != nil {
		t.Errorf("a late answer: %d, %v", i, err)
	}
	for place := range len(answer) {
		answer := good()
		answer[place] ^= 1
		if i, err := a.check(answer); err == nil && i >= 0 {
			t.Errorf("an answer whose byte %d is wrong is accepted", place)
		}
	}
	if _, err := a.check(good()[:idEnd]); err == nil {
		t.Error("half an answer is accepted")
	}
}

func TestAskersGoOnWithoutAnswers(t *testing.T) {
	silent, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	all, err := newAskers(silent.LocalAddr().(*net.UDPAddr).AddrPort(), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer all.close()
	if n, err := all.run(answerPatience + 50*time.Millisecond); n != 0 || err != nil || all.lost() < 3 {
		t.Errorf("%d answers, %d lost: %v", n, all.lost(), err)
	}
}
