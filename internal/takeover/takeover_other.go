//go:build !unix

package takeover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"

	"github.com/detour-relay/detour/relay"
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

// Follow does nothing.
func (*Takeover) Follow(context.Context, *relay.Server) error { return nil }

// Wait does nothing.
func (*Takeover) Wait() {}

// Watch returns false when ctx is done.
func (*Takeover) Watch(ctx, _ context.Context, _ *relay.Server, _ *slog.Logger) bool {
	<-ctx.Done()
	return false
}
