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
	answer stun.Result
	err    error // it could not be sent
}

// stun sends the probes of the round until it is over. It calls answered with every answer.
func (r *run) stun(ctx context.Context, answered func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer r.closeProbers()
	defer r.probes.Wait()
	defer cancel()
	outcomes := make(chan outcome)
	wake := time.NewTimer(0)
	defer wake.Stop()
	for now := time.Now(); ctx.Err() == nil; now = time.Now() {
		for _, p := range r.round.Due(now) {
			r.unsent.tried(p)
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
	if o.err != nil {
		r.round.Lost(o.probe)
		r.unsent.lost(o.probe, o.err)
		return
	}
	answered()
	r.round.Answer(o.probe, o.answer.RoundTrip, o.answer.Public, time.Now())
}

// probe sends one request and waits for the answer until ctx ends.
func (r *run) probe(ctx context.Context, p home.Probe, outcomes chan<- outcome) {
	answer, err := r.ask(ctx, p)
	select {
	case outcomes <- outcome{p, answer, err}:
	case <-ctx.Done():
	}
}

func (r *run) ask(ctx context.Context, p home.Probe) (stun.Result, error) {
	addr, err := r.addrOf(ctx, p)
	if err != nil {
		return stun.Result{}, err
	}
	prober, err := r.prober(ctx, p.Family)
	if err != nil {
		return stun.Result{}, err
	}
	return prober.Probe(ctx, netip.AddrPortFrom(addr, p.Target.Port), home.ReportLimit)
}
