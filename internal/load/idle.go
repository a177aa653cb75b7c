package load

import (
	"context"
	"time"
)

// idle logs in the peers that only stay, lets them settle and measures what they
// cost the relay. They stay until the run ends.
func (r *run) idle(ctx context.Context) error {
	if r.cfg.Idle == 0 {
		return nil
	}
	before, err := watch(r.cfg.PID)
	if err != nil {
		return err
	}
	began := time.Now()
	peers, err := loginAll(ctx, r.cfg.Dial, r.cfg.Idle, func(done int) {
		r.tell(Progress{Stage: "idle peers", Done: done, Total: r.cfg.Idle})
	})
	if err != nil {
		return err
	}
	r.idlers = peers
	for _, p := range peers {
		r.receiving.Go(func() { r.lost("idle peer", p.conn, keep(p.conn)) })
	}
	idle := &Idle{Peers: len(peers), LoginSeconds: time.Since(began).Seconds()}
	r.sleep(ctx, "settling", r.cfg.Settle, nil)
	idle.SettledSeconds = r.cfg.Settle.Seconds()
	if after := before.finish(0); after != nil {
		idle.ResidentBefore, idle.ResidentAfter = after.ResidentStart, after.ResidentEnd
		idle.BytesPerPeer = float64(after.ResidentEnd-after.ResidentStart) / float64(len(peers))
	}
	r.report.Idle = idle
	return ctx.Err()
}

// hold keeps a run without streams going for its duration, to see which idle peers
// stay.
func (r *run) hold(ctx context.Context) error {
	relay, err := watch(r.cfg.PID)
	if err != nil {
		return err
	}
	began := time.Now()
	r.sleep(ctx, "holding", r.cfg.Duration, relay.look)
	r.report.Idle.HeldSeconds = time.Since(began).Seconds()
	r.report.Relay = relay.finish(0)
	return nil
}
