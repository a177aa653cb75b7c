package measure

import (
	"context"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/stun"
)

// outcome is what became of a probe.
type outcome struct {
	probe  home.Probe
	lost   bool // it could not be sent
	took   time.Duration
	mapped netip.AddrPort
}

// stun sends the probes of the round until it is over. It calls answered with the first answer.
func (r *run) stun(ctx context.Context, answered func()) {
	ctx, cancel := context.WithCancel(ctx)
	outcomes := make(chan outcome)
	defer r.sockets.close()
	defer r.probes.Wait()
	defer cancel()
	wake := time.NewTimer(0)
	defer wake.Stop()
	for now := time.Now(); ctx.Err() == nil; now = time.Now() {
		for _, p := range r.round.Due(now) {
			r.probes.Go(func() { r.probe(ctx, p, outcomes) })
		}
		if r.round.Over(now) {
			return
		}
		wake.Reset(time.Until(r.round.Wake()))
		select {
		case o := <-outcomes:
			r.take(o, answered)
		case <-wake.C:
		case <-ctx.Done():
		}
	}
}

func (r *run) take(o outcome, answered func()) {
	if o.lost {
		r.round.Lost(o.probe)
		return
	}
	answered()
	r.round.Answer(o.probe, o.took, o.mapped, time.Now())
}

// probe sends one request and waits for the answer until ctx ends.
func (r *run) probe(ctx context.Context, p home.Probe, outcomes chan<- outcome) {
	o := outcome{probe: p}
	answer, err := r.ask(ctx, p)
	if err != nil {
		o.lost = true
	} else {
		o.took, o.mapped = answer.RoundTrip, answer.Public
	}
	select {
	case outcomes <- o:
	case <-ctx.Done():
	}
}

func (r *run) ask(ctx context.Context, p home.Probe) (stun.Result, error) {
	addr := p.Target.Addr
	if !addr.IsValid() {
		var err error
		if addr, err = r.lookups.addr(ctx, r.cfg.Lookup, p.Family, p.Target.Host); err != nil {
			return stun.Result{}, err
		}
	}
	prober, err := r.sockets.of(ctx, r.cfg.ListenPacket, p.Family)
	if err != nil {
		return stun.Result{}, err
	}
	return prober.Probe(ctx, netip.AddrPortFrom(addr, p.Target.Port), home.ReportLimit)
}
