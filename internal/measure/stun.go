package measure

import (
	"context"
	"errors"
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

const (
	// maxProbes may wait for their answers at once: a program that runs for long
	// has other things to do, a person waits for the numbers. Only a map of a
	// hundred regions may need more; there they wait for each other, and not for
	// long.
	maxProbes          = 512
	maxUnhurriedProbes = 16 * maxProbes

	perRegion    = 6 // probes at most
	crowdTimeout = time.Second
	crowdLook    = 50 * time.Millisecond
)

// stun sends the probes of the round until it is over. It calls answered with every
// answer.
func (r *run) stun(ctx context.Context, answered func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer r.closeProbers()
	defer r.probes.Wait()
	defer cancel()
	outcomes := make(chan outcome)
	wake := time.NewTimer(0)
	defer wake.Stop()
	waiting := 0
	var due []home.Probe // not yet sent
	for now := time.Now(); ctx.Err() == nil; now = time.Now() {
		if len(due) == 0 {
			due = r.round.Due(now)
		}
		for ; len(due) > 0 && waiting < r.room(); due = due[1:] {
			p := due[0]
			waiting++
			r.unsent.tried(p)
			r.probes.Go(func() { r.probe(ctx, p, outcomes) })
		}
		if r.round.Over(now) {
			return
		}
		wake.Reset(time.Until(r.round.Wake()))
		if len(due) > 0 {
			wake.Reset(crowdLook) // the next ones are due already, but have no room
		}
		select {
		case o := <-outcomes:
			waiting--
			r.take(o, answered)
		case <-wake.C:
		case <-ctx.Done():
		}
	}
}

func (r *run) take(o outcome, answered func()) {
	if errors.Is(o.err, errCrowd) {
		return
	}
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
	answer, err := r.askInCrowd(ctx, p)
	select {
	case outcomes <- outcome{p, answer, err}:
	case <-ctx.Done():
	}
}

// room returns how many probes may wait for their answers at once.
func (r *run) room() int {
	if r.q.AllRegions {
		return maxUnhurriedProbes
	}
	return maxProbes
}

// errCrowd: a probe of many has waited long enough.
var errCrowd = errors.New("others are waiting to be sent")

// askInCrowd is ask with a limit if there are more probes than may wait at once.
func (r *run) askInCrowd(ctx context.Context, p home.Probe) (stun.Result, error) {
	if len(r.q.Regions)*perRegion <= r.room() {
		return r.ask(ctx, p)
	}
	ctx, cancel := context.WithTimeout(ctx, crowdTimeout)
	defer cancel()
	answer, err := r.ask(ctx, p)
	if err != nil && ctx.Err() != nil {
		err = errCrowd
	}
	return answer, err
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
