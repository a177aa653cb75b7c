// Package measure finds out how far away the regions of a DERP map are: it opens the sockets and keeps the time for what
// internal/home plans.
//
// # The way of one report
//
//  1. stun.go sends the probes of a [home.Round] when they are due, and hands it what comes back.
//  2. If nothing came back, UDP is blocked, and https.go has regions timed over HTTPS instead.
//  3. Beside that, portal.go looks for a captive portal in a full report without UDP.
//
// # Limits
//
// A report takes 5 s at most, 3 s of it for STUN, and no longer than its context. It opens one UDP socket for each address family,
// which all probes share, and has a goroutine for each probe under way; when [Run] returns, none of these is left.
package measure

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// Config says by what means to measure. Zero fields mean the default.
type Config struct {
	// ListenPacket opens the sockets that STUN probes leave by; network is "udp4" or "udp6".
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)
	// Lookup finds the addresses of a host; network is "ip4" or "ip6".
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// HTTPS times a region over HTTPS; nil: there is no such fallback.
	HTTPS func(ctx context.Context, region int) (time.Duration, error)
	// DialContext connects to port 80 of relays.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// NoUDP sends no STUN probes, as if UDP were blocked.
	NoUDP bool
}

// A Result is a report, and what it does not say.
type Result struct {
	*home.Report
	Failed map[int]error // regions that could not be timed over HTTPS
}

// run is one report under way.
type run struct {
	cfg     Config
	q       home.Questions
	round   *home.Round // owned by the goroutine of Run
	lookups lookups
	sockets sockets
	probes  sync.WaitGroup
}

// Run makes one report. When ctx ends, it returns what it has.
func Run(ctx context.Context, cfg Config, q home.Questions) Result {
	ctx, cancel := context.WithTimeout(ctx, home.ReportLimit)
	defer cancel()
	cfg.complete()
	r := &run{cfg: cfg, q: q, round: home.NewRound(q, time.Now())}
	portal := r.lookForPortal(ctx)
	if !cfg.NoUDP {
		r.stun(ctx, portal.forget)
	}
	result := Result{Failed: r.https(ctx)}
	found := portal.wait()
	result.Report = r.round.Report()
	result.CaptivePortal = found && !result.UDP
	return result
}

func (c *Config) complete() {
	if c.ListenPacket == nil {
		c.ListenPacket = new(net.ListenConfig).ListenPacket
	}
	if c.Lookup == nil {
		c.Lookup = net.DefaultResolver.LookupNetIP
	}
	if c.DialContext == nil {
		c.DialContext = new(net.Dialer).DialContext
	}
}
