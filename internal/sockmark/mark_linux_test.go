package sockmark

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/detour-relay/detour/client"
)

// markOf is what a socket has.
func markOf(t *testing.T, c syscall.Conn) (mark int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { mark, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return mark
}

// All sockets have the mark, those that there were and those that come. Who may not set
// marks is told.
func TestMark(t *testing.T) {
	var m Marker
	var cfg client.HostConfig
	m.Install(&cfg)
	if cfg.Lookup == nil {
		t.Error("names are looked up by other sockets")
	}
	before, err := cfg.Base.DialContext(t.Context(), "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	err = m.Set(4711)
	want := 4711
	if errors.Is(err, syscall.EPERM) { // and nothing is made any more, rather than without the mark
		if _, err := m.Dialer().DialContext(t.Context(), "udp", "127.0.0.1:9"); !errors.Is(err, syscall.EPERM) {
			t.Errorf("without the right: %v", err)
		}
		want = 0
		err = m.Set(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	dialled, err := m.Dialer().DialContext(t.Context(), "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	listening, err := cfg.ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close()
	for name, c := range map[string]any{"before": before, "dialled": dialled, "listening": listening} {
		if mark := markOf(t, c.(syscall.Conn)); mark != want {
			t.Errorf("%s: mark %d, want %d", name, mark, want)
		}
	}
}

// Closed sockets are forgotten.
func TestSocketsAreForgotten(t *testing.T) {
	var m Marker
	for range 1000 {
		conn, err := m.Dialer().DialContext(t.Context(), "udp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if n := len(m.sockets); n > 8 {
		t.Errorf("%d closed sockets are kept", n)
	}
}

// Where somebody else makes the sockets, a mark would be a promise that nobody keeps.
func TestForeignSocketsHaveNoMark(t *testing.T) {
	for _, cfg := range []client.HostConfig{
		{Base: client.Config{DialContext: new(net.Dialer).DialContext}},
		{ListenPacket: func(context.Context, string, string) (net.PacketConn, error) { return nil, nil }},
	} {
		var m Marker
		m.Install(&cfg)
		if err := m.Set(0); err != nil {
			t.Error(err)
		}
		if err := m.Set(1); !errors.Is(err, ErrForeign) {
			t.Errorf("a mark: %v", err)
		}
	}
}
