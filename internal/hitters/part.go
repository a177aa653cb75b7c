package hitters

import (
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A tally counts one stretch of time, each kind of name on its own.
type tally struct {
	total    Use
	keys     summary[key.Public]
	networks summary[netip.Prefix]
	apps     summary[string]
	labels   summary[string]
}

// A part is a tally that is complete.
type part struct {
	from, to time.Duration
	total    Use
	keys     finished[key.Public]
	networks finished[netip.Prefix]
	apps     finished[string]
	labels   finished[string]
}

func (t *tally) add(p *relay.PeerState, u Use) {
	t.total = t.total.plus(u)
	t.keys.add(p.Peer, u)
	t.networks.add(network(p.Addr.Addr()), u)
	t.apps.add(bounded(p.AppName), u)
	t.labels.add(bounded(p.Group), u)
}

func (t *tally) merge(p *part) {
	t.total = t.total.plus(p.total)
	t.keys.merge(p.keys)
	t.networks.merge(p.networks)
	t.apps.merge(p.apps)
	t.labels.merge(p.labels)
}

// finish returns what has been counted. Counting may go on.
func (t *tally) finish(from, to time.Duration) *part {
	return &part{from, to, t.total, t.keys.finish(), t.networks.finish(), t.apps.finish(), t.labels.finish()}
}

// network is that of an address: who has one of its addresses can have the others. The
// zero value stands for peers of whom none is known.
func network(a netip.Addr) netip.Prefix {
	bits := 24
	if a = a.Unmap(); a.Is6() {
		bits = 48
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// longest is how long a name is at most, in bytes. Two that only differ later are one.
const longest = 128

func bounded(name string) string {
	if len(name) <= longest {
		return name
	}
	return strings.Clone(strings.ToValidUTF8(name[:longest], ""))
}
