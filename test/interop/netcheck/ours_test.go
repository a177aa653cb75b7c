package netcheck

import (
	"context"
	"net"
	"sync"
	"time"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/measure"
)

// ours puts together what a client.Host does for a report.
type ours struct {
	schedule home.Schedule
	chooser  home.Chooser
	last     *home.Report
}

func (o *ours) report(ctx context.Context, dm *tailcfg.DERPMap, s step, began time.Time, network *network) result {
	m, err := derpmap.Load(jsonOf(dm), derpmap.JSON)
	if err != nil {
		panic(err)
	}
	if s.full {
		o.schedule.Trigger(home.NetworkChanged)
	}
	regions := measure.Regions(m)
	means := measure.Config{ListenPacket: func(context.Context, string, string) (net.PacketConn, error) {
		return newSocket(network), nil
	}}
	found := measure.Run(ctx, means, home.Questions{
		Regions: regions, Full: o.schedule.Begin(began), Last: o.last, Home: o.chooser.Home(),
	}).Report
	now := time.Now()
	o.schedule.End(now, found, 0)
	o.last = found
	heard := make(map[int]time.Time)
	for region, after := range s.heard {
		heard[region] = began.Add(after)
	}
	d := o.chooser.Choose(now, found, home.Circumstances{
		Regions: regions, Scores: m.HomeParams.RegionScore, Forced: s.forced, Heard: heard,
	})
	return result{home: d.Home, latency: found.Latency}
}

// socket is a UDP socket on the simulated network.
type socket struct {
	network *network
	in      chan datagram
	close   sync.Once
	closed  chan struct{}
}

type datagram struct {
	data []byte
	from net.Addr
}

func newSocket(n *network) *socket {
	return &socket{network: n, in: make(chan datagram), closed: make(chan struct{})}
}

func (s *socket) WriteTo(request []byte, to net.Addr) (int, error) {
	relay := to.(*net.UDPAddr).AddrPort()
	answer := datagram{answerTo(request, relay), to}
	s.network.carry(relay, func() {
		select {
		case s.in <- answer:
		case <-s.closed:
		}
	})
	return len(request), nil
}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-s.in:
		return copy(b, d.data), d.from, nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *socket) Close() error {
	s.close.Do(func() { close(s.closed) })
	return nil
}

func (s *socket) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(public) }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
