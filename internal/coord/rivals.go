package coord

import (
	"net/netip"
	"sync"
	"time"
)

// rivals remembers reports of boots that another has followed: a second one, or one
// from another address, is no left-over of a process that has ended.
type rivals struct {
	mu  sync.Mutex
	all map[session]time.Time
}

const mostRivals = 4096

func (v *rivals) again(ses session, from netip.Addr, counts string) bool {
	ses.expires = 0
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil || len(v.all) >= mostRivals {
		v.all = map[session]time.Time{}
	}
	before, ok := v.all[ses]
	v.all[ses] = time.Now()
	recently := ok && time.Since(before) < rivalTime*time.Second
	return recently || counts != "" && from.IsValid() && counts != from.String()
}
