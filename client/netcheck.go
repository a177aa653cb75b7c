package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/measure"
)

// NetcheckConfig says what to measure, and how. Map is required.
type NetcheckConfig struct {
	Map *derpmap.Map

	// Base is how to reach relays: its DialContext, Proxy and RootCAs count.
	Base Config
	// ListenPacket opens the UDP sockets for STUN; network is "udp4" or "udp6".
	// nil: net.ListenConfig.
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)
	// Lookup finds where STUN goes for nodes without addresses in the map; network
	// is "ip4" or "ip6". nil: net.DefaultResolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	NoUDP      bool // as if UDP were blocked: only HTTPS
	AllRegions bool // wait for all regions, instead of only a moment longer than for the nearest three
}

// Netcheck measures all regions once and tells which one would be home. It takes at
// most 5 s, of which STUN gets the first 3 and what is left is for HTTPS if no STUN
// answer came. That nothing answers is no error; it fails for a map without
// regions, and when ctx ends.
func Netcheck(ctx context.Context, cfg NetcheckConfig) (Home, error) {
	if cfg.Map == nil || len(cfg.Map.IDs()) == 0 {
		return Home{}, errors.New("netcheck: the map has no regions")
	}
	means := measure.Config{
		ListenPacket: cfg.ListenPacket, Lookup: cfg.Lookup, DialContext: cfg.Base.DialContext, HTTPS: timeRegions(cfg.Map, cfg.Base), NoUDP: cfg.NoUDP,
	}
	regions := measure.Regions(cfg.Map)
	result := measure.Run(ctx, means, home.Questions{
		Regions: regions, Have: measure.HostFamilies(), Full: true, AllRegions: cfg.AllRegions,
	})
	if ctx.Err() != nil {
		return Home{}, fmt.Errorf("netcheck: %w", context.Cause(ctx))
	}
	var chooser home.Chooser
	decision := chooser.Choose(time.Now(), result.Report, home.Circumstances{Regions: regions, Scores: scores(cfg.Map)})
	found := newHome(decision, result)
	if found.Region != 0 {
		found.Unusable = unusable(cfg.Map.Regions[found.Region], cfg.Base)
	}
	return found, nil
}

// unusable returns why no relay of a region can be connected to, as far as the map
// says; nil: one can.
func unusable(r *derpmap.Region, base Config) error {
	var failed error
	for _, n := range measure.Relays(r) {
		if _, err := newTarget(base.AtNode(n)); err == nil {
			return nil
		} else {
			failed = cmp.Or(failed, err)
		}
	}
	return cmp.Or(failed, measure.ErrNoRelay)
}

// timeRegions returns what times a region of the map over HTTPS, at the first of
// its relays that answers.
func timeRegions(m *derpmap.Map, base Config) func(context.Context, int) (time.Duration, error) {
	return measure.TimeRegions(m, func(ctx context.Context, n *derpmap.Node) (time.Duration, error) {
		cfg := base.AtNode(n)
		cfg.DialContext = withTCPTimeout(cfg.DialContext)
		return Latency(ctx, cfg)
	})
}

func scores(m *derpmap.Map) map[int]float64 {
	if m.HomeParams == nil {
		return nil
	}
	return m.HomeParams.RegionScore
}
