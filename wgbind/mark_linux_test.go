package wgbind

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/sockmark"
	"github.com/detour-relay/detour/key"
)

// The connection to the relay gets the mark that the device has been given.
func TestMark(t *testing.T) {
	var relay atomic.Pointer[net.TCPConn]
	b := newBind(t, startRelay(t), key.NewPrivate(), Config{NewHost: func(cfg client.HostConfig) (*client.Host, error) {
		dial := cfg.Base.DialContext
		cfg.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if tcp, ok := conn.(*net.TCPConn); ok {
				relay.Store(tcp)
			}
			return conn, err
		}
		return client.NewHost(cfg)
	}})
	want := 4711
	if err := b.SetMark(4711); errors.Is(err, syscall.EPERM) {
		want = 0
	} else if err != nil {
		t.Fatal(err)
	}
	raw, err := relay.Load().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if mark, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK); err != nil || mark != want {
			t.Errorf("the mark is %d, want %d (%v)", mark, want, err)
		}
	})
}

// Where somebody else makes the sockets, that is told.
func TestForeignSockets(t *testing.T) {
	cfg := client.HostConfig{Key: key.NewPrivate(), Map: startRelay(t)}
	cfg.Base.DialContext = new(net.Dialer).DialContext
	b, err := New(cfg, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	if err := b.SetMark(1); !errors.Is(err, sockmark.ErrForeign) {
		t.Errorf("a mark: %v", err)
	}
}
