// Package measure finds out how far away the regions of a DERP map are: it opens
// the sockets and keeps the time for what internal/home plans.
//
// # The way of one report
//
//  1. stun.go sends the probes of a [home.Round] when they are due, and hands it
//     what comes back.
//  2. If nothing came back, UDP is blocked, and https.go has regions timed over
//     HTTPS instead.
//  3. Beside that, portal.go looks for a captive portal in a full report without
//     UDP.
//
// # Limits
//
// A report takes 5 s at most, 3 s of it for STUN, and no longer than its context.
// It opens one UDP socket for each address family, which all probes share, and has
// a goroutine for each probe under way. When [Run] returns, none of these is left,
// provided that the functions of [Config] return when their context ends.
package measure

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/stun"
)

// Config says by what means to measure. Zero fields mean the default.
type Config struct {
	// ListenPacket opens the sockets that STUN probes leave by; network is "udp4"
	// or "udp6".
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

	// Failed tells why regions without a latency could not be asked: by STUN, or
	// without UDP over HTTPS. Those that were asked by STUN and did not answer are
	// not in it.
	Failed map[int]error
}

// run is one report under way.
type run struct {
	cfg Config
	q   home.Questions

	round  *home.Round // owned by the goroutine of Run, like unsent
	unsent unsent

	probes  sync.WaitGroup
	lookups shared[name, netip.Addr]
	probers shared[home.Family, *stun.Prober]
}

// Run makes one report. When ctx ends, it returns what it has.
func Run(ctx context.Context, cfg Config, q home.Questions) Result {
	ctx, cancel := context.WithTimeoutCause(ctx, home.ReportLimit, errTooLate)
	defer cancel()
	cfg.complete()
	r := &run{cfg: cfg, q: q, round: home.NewRound(q, time.Now())}
	portal := r.lookForPortal(ctx)
	if !cfg.NoUDP {
		r.stun(ctx, portal.forget)
	}
	failed := r.unsent.regions()
	r.https(ctx, failed)
	found := portal.wait()
	report := r.round.Report()
	report.CaptivePortal = found && !report.UDP
	return Result{report, failed}
}

// tooLateError is why things fail that are under way when a report ends.
type tooLateError struct{}

func (tooLateError) Error() string {
	return fmt.Sprintf("no answer within the %v of a report", home.ReportLimit)
}
func (tooLateError) Is(target error) bool { return target == context.DeadlineExceeded }

var errTooLate error = tooLateError{}

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
