//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/stun"
)

// The relay is measured all the time while one process takes over from another,
// by STUN and by probes, and each request is answered well; the old one drains for
// long, and must not swallow any.
func TestTakeoverIsMeasured(t *testing.T) {
	s := startService(t, "--drain", "10m")
	addr := netip.MustParseAddrPort(s.wantLog(t, `"stun":"([^"]+)"`)[1])
	s.wantNotice(t, `^READY=1$`)
	guest := s.dial(t) // who keeps the old process from ending
	a := s.askAllTheTime(t, addr)
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
		t.Errorf("a request was not answered well: %v\n%s", *err, s.log.text())
	}

	syscall.Kill(next, syscall.SIGTERM)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
}

// askers measure the relay all the time, each with one request after the other.
type askers struct {
	stun, probes atomic.Int64 // that were answered
	failed       atomic.Pointer[error]
	enough       atomic.Bool
	all          sync.WaitGroup
}

func (s *service) askAllTheTime(t *testing.T, addr netip.AddrPort) *askers {
	t.Helper()
	prober, err := stun.Dial("udp4")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Timeout: timeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	a := new(askers)
	for range 4 {
		a.goOn(&a.stun, func() error {
			_, err := prober.Probe(context.Background(), addr, timeout) // once: what is swallowed shows
			return err
		})
	}
	a.goOn(&a.probes, func() error { return wantWelcome(web, strings.TrimSuffix(s.url, "/derp")+"/derp/probe") })
	t.Cleanup(func() {
		a.stop()
		prober.Close()
	})
	return a
}

func wantWelcome(web *http.Client, url string) error {
	answer, err := web.Get(url)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s", url, answer.Status)
	}
	return nil
}

// goOn asks until one fails, or enough have asked.
func (a *askers) goOn(answered *atomic.Int64, ask func() error) {
	a.all.Go(func() {
		for !a.enough.Load() {
			if err := ask(); err != nil {
				a.failed.CompareAndSwap(nil, &err)
				return
			}
			answered.Add(1)
			time.Sleep(100 * time.Microsecond)
		}
	})
}

// wantMore waits until some more were answered, or one was not.
func (a *askers) wantMore(t *testing.T) {
	t.Helper()
	requests, probes := a.stun.Load()+500, a.probes.Load()+20
	for deadline := time.Now().Add(timeout); a.failed.Load() == nil; time.Sleep(time.Millisecond) {
		if a.stun.Load() >= requests && a.probes.Load() >= probes {
			return
		}
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
