//go:build !unix

package main

import (
	"context"
	"log/slog"
	"net"
)

// A takeover hands listeners to another process, which only Unix can.
type takeover struct{}

func newTakeover() (*takeover, error) { return nil, nil }

func (*takeover) inherited(string) (net.Listener, error) { return nil, nil }
func (*takeover) keep(string, net.Listener) error        { return nil }
func (*takeover) takesOver() bool                        { return false }
func (*takeover) ready() error                           { return nil }

func (*takeover) watch(ctx context.Context, _ *slog.Logger) bool {
	<-ctx.Done()
	return false
}
