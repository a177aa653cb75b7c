package netcheck

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/logger"

	"github.com/detour-relay/detour/test/interop/mapnode"
)

// The addresses under which everybody sees both sides.
var (
	public  = netip.MustParseAddrPort("192.0.2.1:1234")
	public6 = netip.MustParseAddrPort("[2001:db8::2]:1234")
)

// theirs is Tailscale's netcheck. Its goroutines may outlive the report that they were for.
type theirs struct {
	client  *netcheck.Client
	network atomic.Pointer[network] // of the report under way
}

func newTheirs(monitor *netmon.Monitor) *theirs {
	t := &theirs{client: &netcheck.Client{NetMon: monitor, Logf: logger.Discard}}
	t.client.SendPacket = func(request []byte, to netip.AddrPort) (int, error) {
		answer := answerTo(request, to)
		t.network.Load().carry(to, func() { t.client.ReceiveSTUNPacket(answer, to) })
		return len(request), nil
	}
	return t
}

func (t *theirs) report(ctx context.Context, dm *tailcfg.DERPMap, s step, began time.Time, network *network) result {
	t.network.Store(network)
	t.client.SetForcePreferredDERP(tailcfg.DERPRegionID(s.forced))
	if s.full {
		t.client.MakeNextReportFull()
	}
	report, err := t.client.GetReport(ctx, dm, &netcheck.GetReportOpts{
		OnlySTUN: true, // what there is besides would leave the simulation
		GetLastDERPActivity: func(region tailcfg.DERPRegionID) time.Time {
			if after, ok := s.heard[int(region)]; ok {
				return began.Add(after)
			}
			return time.Time{}
		},
	})
	if err != nil {
		panic(err)
	}
	return result{home: int(report.PreferredDERP), latency: mapnode.Numbers(report.RegionLatency)}
}

// answerTo is what a relay at that address answers to a STUN request.
func answerTo(request []byte, at netip.AddrPort) []byte {
	id, err := stun.ParseBindingRequest(request)
	if err != nil {
		panic(err)
	}
	if at.Addr().Is6() {
		return stun.Response(id, public6)
	}
	return stun.Response(id, public)
}
