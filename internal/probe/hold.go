package probe

import (
	"context"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/proxyhint"
)

// checkHold keeps a connection open on which nobody sends but the relay its
// KeepAlives, as that of an idle peer is, and sees whether something on the way
// cuts it.
func (n *node) checkHold(ctx context.Context) Check {
	p, err := n.login(ctx)
	if err != nil {
		return n.notLoggedIn(err)
	}
	defer p.close()
	hold := n.run.cfg.Hold
	began := time.Now()
	end := time.NewTimer(hold)
	defer end.Stop()
	select {
	case <-end.C:
		return ok("held for %v, in which %d KeepAlives came", hold, p.keepAlives.Load())
	case <-ctx.Done():
		return fail("not held for %v: the time was over", hold).do("give the check more time")
	case <-p.ended:
	}
	held := time.Since(began)
	return fail("an idle connection is cut after %.1f s, in which %d KeepAlives came: %s", held.Seconds(), p.keepAlives.Load(), n.trim(p.err)).
		do("%s; or have the relay's KeepAlives come more often than each %.0f s (keepalive)", n.keepIdle(), held.Seconds())
}

// keepIdle says what has to keep idle connections for longer, and how.
func (n *node) keepIdle() string {
	const what = "keep idle connections for longer than its KeepAlives need"
	if n.proxyBefore().Line(proxyhint.Idle) != "" {
		return n.haveFront(proxyhint.Idle, what)
	}
	return "have what stands before the relay " + what + " (nginx: proxy_read_timeout, HAProxy: timeout tunnel, Envoy: stream_idle_timeout)"
}

// noteKeepAlive counts what a relay sends to idle peers.
func (p *peer) noteKeepAlive(msg client.Message) {
	if msg.Kind == client.MessageKeepAlive {
		p.keepAlives.Add(1)
	}
}
