package wgbind

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"

	"github.com/detour-relay/detour/client"
)

// errForeignSockets: somebody else makes the Host's sockets.
var errForeignSockets = errors.New("wgbind: the mark cannot be set: HostConfig.Base.DialContext or ListenPacket makes the sockets, and has to mark them itself")

// A marker makes the sockets of a Host, and marks them.
type marker struct {
	foreign bool // somebody else makes some of them

	mu      sync.Mutex
	mark    uint32
	sockets []syscall.RawConn // some may be closed
}

// install has a Host make its sockets by way of the marker.
func (m *marker) install(cfg *client.HostConfig) {
	if m.foreign = cfg.Base.DialContext != nil || cfg.ListenPacket != nil; m.foreign {
		return
	}
	dialer := m.dialer()
	cfg.Base.DialContext = dialer.DialContext
	cfg.ListenPacket = (&net.ListenConfig{Control: m.made}).ListenPacket
	if cfg.Lookup == nil {
		cfg.Lookup = dialer.Resolver.LookupNetIP
	}
}

// dialer makes connections, and asks for names, by sockets of the marker. Where the
// system's resolver is asked, it sends by its own.
func (m *marker) dialer() *net.Dialer {
	asks := &net.Dialer{ControlContext: m.control}
	return &net.Dialer{ControlContext: m.control, Resolver: &net.Resolver{Dial: asks.DialContext}}
}

func (m *marker) control(_ context.Context, network, address string, c syscall.RawConn) error {
	return m.made(network, address, c)
}

// made marks a new socket, before anything is sent by it.
func (m *marker) made(_, _ string, c syscall.RawConn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pruneLocked()
	m.sockets = append(m.sockets, c)
	if m.mark == 0 {
		return nil
	}
	return setMark(c, m.mark)
}

// pruneLocked forgets closed sockets whenever there may be twice as many as were open.
func (m *marker) pruneLocked() {
	if len(m.sockets) < cap(m.sockets) {
		return
	}
	open := make([]syscall.RawConn, 0, 8)
	for _, c := range m.sockets {
		if c.Control(func(uintptr) {}) == nil {
			open = append(open, c)
		}
	}
	m.sockets = append(make([]syscall.RawConn, 0, max(8, 2*len(open))), open...)
}

// set marks all sockets, those to come included.
func (m *marker) set(mark uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.foreign && mark != 0 {
		return errForeignSockets
	}
	m.mark = mark
	var problem error
	for _, c := range m.sockets {
		if err := setMark(c, mark); err != nil && c.Control(func(uintptr) {}) == nil {
			problem = err
		}
	}
	return problem
}
