package admit

import (
	"errors"
	"time"

	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
)

// Failing open is derper's way: while a URL cannot be reached, strangers come in, too.
// They are asked about again and again until somebody answers, and a no cuts them off.
// What is reached and says nothing of use lets in nobody.

// isUnreachable reports whether an error of a source lets strangers in.
func (s *source) isUnreachable(err error) bool {
	_, unreachable := errors.AsType[*vouch.UnreachableError](err)
	return unreachable && s.kind == SourceVerify
}

// letIn admits a key that nobody could be asked about.
func (c *Chain) letIn(k key.Public) decision {
	c.revoking.spare(k, true)
	return admitted(SourceOpen)
}

// sparedFor is how long a key that is not connected is to be asked about: it may be on
// its way in.
const sparedFor = time.Minute

// keep notes that a key which is spared is connected.
func (v *revoking) keep(k key.Public, now time.Time) {
	v.state.Lock()
	defer v.state.Unlock()
	if _, here := v.spared[k]; here {
		v.spared[k] = now
	}
}

// forgetLeft forgets the spared who have left.
func (v *revoking) forgetLeft(now time.Time) {
	v.state.Lock()
	defer v.state.Unlock()
	for k, seen := range v.spared {
		if now.Sub(seen) > sparedFor {
			delete(v.spared, k)
		}
	}
}
