package netwatch

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A change that comes in pieces is told once, when it is over; what changes nothing is
// not told, and what nobody announces is seen all the same.
func TestWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events, told := make(chan struct{}, 1), make(chan string, 9)
		var network atomic.Value // of strings
		network.Store("home")
		look := func() string { return network.Load().(string) }
		go watch(ctx, events, look, func() { told <- look() })
		want := func(what, network string) {
			t.Helper()
			synctest.Wait()
			got := ""
			for len(told) > 0 {
				got += <-told
			}
			if got != network {
				t.Errorf("%s: told %q, want %q", what, got, network)
			}
		}
		synctest.Wait()
		events <- struct{}{}
		time.Sleep(quiet)
		want("nothing is another", "")
		for _, piece := range []string{"", "caf", "cafe"} {
			network.Store(piece)
			events <- struct{}{}
			time.Sleep(quiet / 2)
		}
		want("not over", "")
		time.Sleep(quiet)
		want("over", "cafe")
		network.Store("train")
		for range 2 * mostWait / quiet {
			events <- struct{}{}
			time.Sleep(quiet / 2)
		}
		want("never quiet", "train")
		network.Store("home")
		time.Sleep(lookEvery)
		want("not announced", "home")
	})
}

func TestWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Watch(ctx, func(string) bool { return false }, func() {})
	}()
	cancel()
	<-ended
}

func TestExceptedInterfacesDoNotCount(t *testing.T) {
	if got := connections(func(string) bool { return true }); strings.Contains(got, "/") {
		t.Errorf("%q", got)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	got := connections(func(string) bool { return false })
	for _, i := range all {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			counts := i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 && a.(*net.IPNet).IP.IsGlobalUnicast()
			if strings.Contains(got, i.Name+" "+a.String()) != counts {
				t.Errorf("%s %v counts: %v", i.Name, a, !counts)
			}
		}
	}
}
