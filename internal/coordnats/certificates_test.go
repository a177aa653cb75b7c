package coordnats

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func authorityOf(t *testing.T, secrets ...byte) *authority {
	t.Helper()
	var all [][]byte
	for _, s := range secrets {
		all = append(all, bytes.Repeat([]byte{s}, 32))
	}
	a, err := newAuthority("one", all)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shake is the handshake of a route; each end has its own clock.
func shake(a, b *authority, ahead time.Duration) error {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server := b.config()
	server.Time = func() time.Time { return time.Now().Add(ahead) }
	failed := make(chan error, 1)
	go func() {
		s := tls.Server(far, server)
		failed <- s.Handshake()
		far.Close()
	}()
	c := tls.Client(near, a.config())
	err := c.Handshake()
	near.Close()
	if other := <-failed; other != nil {
		return other
	}
	return err
}

func TestRoutesNeedTheSecret(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []byte
		want bool
	}{
		"the same":             {[]byte{1}, []byte{1}, true},
		"another":              {[]byte{1}, []byte{2}, false},
		"old and new":          {[]byte{1, 2}, []byte{2, 1}, true},
		"new, known to other":  {[]byte{2, 1}, []byte{1, 2}, true},
		"new, not known there": {[]byte{2, 1}, []byte{1}, false},
	} {
		if err := shake(authorityOf(t, c.a...), authorityOf(t, c.b...), 0); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRoutesBearClocksThatDiffer(t *testing.T) {
	for ahead, want := range map[time.Duration]bool{
		-71 * time.Hour: true, 71 * time.Hour: true, -73 * time.Hour: false, 8 * 24 * time.Hour: false,
	} {
		if err := shake(authorityOf(t, 1), authorityOf(t, 1), ahead); (err == nil) != want {
			t.Errorf("%v ahead: %v", ahead, err)
		}
	}
}

func TestCertificatesAreMadeAnewEachDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authorityOf(t, 1)
		first, err := a.current()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(leafRenew - time.Second)
		if same, _ := a.current(); same != first {
			t.Error("it was made anew too early")
		}
		for range 30 {
			time.Sleep(leafRenew)
			if err := shake(a, authorityOf(t, 1), 0); err != nil {
				t.Error(err)
			}
		}
		if last, _ := a.current(); last == first {
			t.Error("it was never made anew")
		}
	})
}
