package measure

import "github.com/detour-relay/detour/internal/home"

// unsent knows why probes could not be sent. Its zero value is ready to use.
type unsent struct {
	left map[int]int // tries of a region that were not lost
	why  map[int]reason
}

type reason struct {
	family home.Family
	err    error
}

func (u *unsent) tried(p home.Probe) {
	if u.left == nil {
		u.left, u.why = make(map[int]int), make(map[int]reason)
	}
	u.left[p.Region]++
}

// lost notes that a probe that was tried could not be sent. Among several reasons
// that of IPv4 is kept: many hosts have no IPv6.
func (u *unsent) lost(p home.Probe, err error) {
	u.left[p.Region]--
	if before, ok := u.why[p.Region]; !ok || p.Family < before.family {
		u.why[p.Region] = reason{p.Family, err}
	}
}

// regions returns those to which nothing could be sent, with the reasons.
func (u *unsent) regions() map[int]error {
	failed := make(map[int]error)
	for region, reason := range u.why {
		if u.left[region] == 0 {
			failed[region] = reason.err
		}
	}
	return failed
}
