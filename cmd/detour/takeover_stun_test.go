//go:build unix

package main

import (
	"context"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/stun"
)

// STUN is asked all the time while one process takes over from another, and each
// request is answered; the old one drains for long, and must not swallow any.
func TestTakeoverAnswersSTUN(t *testing.T) {
	s := startService(t, "--drain", "10m")
	addr := netip.MustParseAddrPort(s.wantLog(t, `"stun":"([^"]+)"`)[1])
	s.wantNotice(t, `^READY=1$`)
	guest := s.dial(t) // who keeps the old process from ending
	a := askAllTheTime(t, addr)
	a.wantMore(t)

	s.cmd.Process.Signal(syscall.SIGUSR2)
	notice := s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)
	next, _ := strconv.Atoi(notice[1])
	t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
	s.wantLog(t, `"msg":"another process has taken over"`)
	a.wantMore(t)
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	guest.conn.Close()
	a.wantMore(t)
	a.stop()
	if err := a.failed.Load(); err != nil {
		t.Errorf("a request was not answered: %v\n%s", *err, s.log.text())
	}

	syscall.Kill(next, syscall.SIGTERM)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
}

// askers ask for their address all the time, one request after the other.
type askers struct {
	answered atomic.Int64
	failed   atomic.Pointer[error]
	enough   atomic.Bool
	all      sync.WaitGroup
}

func askAllTheTime(t *testing.T, addr netip.AddrPort) *askers {
	t.Helper()
	prober, err := stun.Dial("udp4")
	if err != nil {
		t.Fatal(err)
	}
	a := new(askers)
	for range 4 {
		a.all.Go(func() {
			for !a.enough.Load() {
				_, err := prober.Probe(context.Background(), addr, patience) // once: what is swallowed shows
				if err != nil {
					a.failed.CompareAndSwap(nil, &err)
					return
				}
				a.answered.Add(1)
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	t.Cleanup(func() {
		a.stop()
		prober.Close()
	})
	return a
}

// wantMore waits until some more were answered.
func (a *askers) wantMore(t *testing.T) {
	t.Helper()
	want := a.answered.Load() + 500
	for deadline := time.Now().Add(patience); a.answered.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody is answered any more")
		}
	}
}

// stop lets the last ones be answered.
func (a *askers) stop() {
	a.enough.Store(true)
	a.all.Wait()
}
