package wgbind

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// marks are those of the sockets that are open.
func (m *marker) marks(t *testing.T) (marks []int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.sockets {
		var mark int
		var err error
		if closed := c.Control(func(fd uintptr) { mark, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) }); closed != nil {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, mark)
	}
	return marks
}

// All sockets have the mark, those that there were and those that come. Who may not set
// marks is told.
func TestMark(t *testing.T) {
	b := newBind(t, startRelay(t), key.NewPrivate(), Config{})
	err := b.SetMark(4711)
	want := 4711
	if errors.Is(err, syscall.EPERM) {
		want = 0
	} else if err != nil {
		t.Fatal(err)
	}
	if want == 0 {
		if err := b.SetMark(0); err != nil {
			t.Error(err)
		}
	}
	conn, err := b.marker.dialer().DialContext(t.Context(), "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	marks := b.marker.marks(t)
	if len(marks) < 2 {
		t.Fatalf("%d sockets are known, want that of the relay and ours", len(marks))
	}
	for _, mark := range marks {
		if mark != want {
			t.Errorf("the marks are %v, want %d", marks, want)
		}
	}
}

// Closed sockets are forgotten.
func TestSocketsAreForgotten(t *testing.T) {
	var m marker
	for range 1000 {
		conn, err := m.dialer().DialContext(t.Context(), "udp", "127.0.0.1:9")
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
	cfg := client.HostConfig{Key: key.NewPrivate(), Map: startRelay(t)}
	cfg.Base.DialContext = new(net.Dialer).DialContext
	b, err := New(cfg, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	if err := b.SetMark(0); err != nil {
		t.Error(err)
	}
	if err := b.SetMark(1); !errors.Is(err, errForeignSockets) {
		t.Errorf("a mark: %v", err)
	}
}
