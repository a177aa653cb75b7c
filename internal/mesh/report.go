package mesh

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A keeper tells the operator of changes, not of tries: that a link is there,
// that it is lost, and why, once.

// linked notes that the sibling has told us its peers.
func (k *keeper) linked(t *try, sibling key.Public, at netip.AddrPort) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t.linkedAt = time.Now()
	k.up++
	k.now.Addr, k.now.Status, k.warned = at, Linked, noTrouble
	if k.up == 1 {
		k.now.Since = t.linkedAt
	}
	k.logLocked(slog.LevelInfo, "linked to a sibling", "peer", sibling.Short(), "took", t.linkedAt.Sub(t.began))
}

// over notes that a try has ended, and why.
func (k *keeper) over(ctx context.Context, t *try) {
	if wasGood := k.ended(ctx, t); !wasGood {
		return
	}
	k.mesh.lost.Send()
	if k.found != nil && ctx.Err() == nil {
		k.found.lookSooner()
	}
}

func (k *keeper) ended(ctx context.Context, t *try) (wasGood bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wasGood = !t.linkedAt.IsZero()
	if wasGood {
		k.up--
	}
	if k.up == 0 {
		k.now.Since = time.Time{}
		k.now.Status = k.statusLocked(t)
	}
	if ctx.Err() != nil {
		return wasGood // we ended it, which is no news
	}
	k.now.LastError = t.err.Error()
	if !k.reportLocked(t, wasGood) {
		k.logLocked(slog.LevelDebug, "no link to a sibling", "reason", t.err, "took", time.Since(t.began))
	}
	return wasGood
}

// reportLocked logs what is news, and says whether it was.
func (k *keeper) reportLocked(t *try, wasGood bool) bool {
	switch {
	case errors.Is(t.err, relay.ErrSelf):
		k.logLocked(slog.LevelInfo, "this sibling is the relay itself, or has a copy of its key; it is not tried any more")
	case errors.Is(t.err, relay.ErrLinked), errors.Is(t.err, relay.ErrShutdown):
		return false
	case k.up > 0 && !wasGood:
		return false
	case k.up > 0:
		k.logLocked(slog.LevelInfo, "a link to a restarting sibling has ended, another is up", "reason", t.err)
	case wasGood:
		k.warned = unlinked
		k.logLocked(slog.LevelWarn, "lost the link to a sibling; trying again", "reason", t.err, "took", time.Since(t.linkedAt))
	case errors.Is(t.err, relay.ErrNotSibling) && k.warned != wrongMeshKey:
		k.warned = wrongMeshKey
		k.logLocked(slog.LevelWarn, "a sibling does not take us for one; compare the mesh keys; trying again", "reason", t.err)
	case k.warned == noTrouble:
		k.warned = unlinked
		k.logLocked(slog.LevelWarn, "cannot link to a sibling; trying again", "reason", t.err)
	default:
		return false
	}
	return true
}

// statusLocked returns the status after the end of t, when there is no link.
func (k *keeper) statusLocked(t *try) Status {
	switch {
	case t != k.newest && k.now.NextTry.IsZero():
		return Dialling
	case errors.Is(t.err, relay.ErrSelf):
		return Self
	case errors.Is(t.err, relay.ErrLinked):
		return Known
	case errors.Is(t.err, relay.ErrShutdown):
		return Stopped
	}
	return Waiting
}

func (k *keeper) logLocked(level slog.Level, message string, args ...any) {
	args = append([]any{"sibling", k.to.Name, "addr", k.now.Addr}, args...)
	k.mesh.config.Logger.Log(context.Background(), level, message, args...)
}
