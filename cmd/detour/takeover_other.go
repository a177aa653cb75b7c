//go:build !unix

package main

import (
	"context"
	"log/slog"
	"net"
	"os"

	"github.com/detour-relay/detour/relay"
)

// A takeover hands sockets to another process, which only Unix can.
type takeover struct{}

func newTakeover() (*takeover, error) { return nil, nil }

func (*takeover) inherited(string) (net.Listener, error) { return nil, nil }
func (*takeover) keep(string, net.Listener) error        { return nil }

func (*takeover) inheritedPacketConn(string) (*net.UDPConn, error) { return nil, nil }
func (*takeover) keepFile(string, *os.File) error                  { return nil }

func (*takeover) takesOver() bool { return false }
func (*takeover) ready() error    { return nil }

func (*takeover) follow(context.Context, *relay.Server) error { return nil }
func (*takeover) wait()                                       {}

func (*takeover) watch(ctx, _ context.Context, _ *relay.Server, _ *slog.Logger) bool {
	<-ctx.Done()
	return false
}
