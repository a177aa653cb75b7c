//go:build !unix

package takeover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
)

// A Takeover hands sockets to another process, which only Unix can.
type Takeover struct{}

// New returns nil.
func New() (*Takeover, error) { return nil, nil }

// Listener returns nil.
func (*Takeover) Listener(string) (net.Listener, error) { return nil, nil }

// Keep does nothing.
func (*Takeover) Keep(string, net.Listener) error { return nil }

// PacketConn returns nil.
func (*Takeover) PacketConn(string) (*net.UDPConn, error) { return nil, nil }

// File returns nil.
func (*Takeover) File(string) (*os.File, error) { return nil, nil }

// KeepFile does nothing.
func (*Takeover) KeepFile(string, *os.File) error { return nil }

// Settings returns nil.
func (*Takeover) Settings() []byte { return nil }

// TakesOver returns false.
func (*Takeover) TakesOver() bool { return false }

// Ready does nothing.
func (*Takeover) Ready() error { return nil }

// Possible returns why there is no takeover.
func (*Takeover) Possible() error {
	return errors.New("on this system no process can take over from another")
}

// Ask returns why there is no takeover.
func (t *Takeover) Ask(context.Context, []byte) error { return t.Possible() }

// Watch returns false when ctx is done.
func (*Takeover) Watch(ctx context.Context, _ Prepare, _ *slog.Logger) bool {
	<-ctx.Done()
	return false
}
