package measure

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// model is the same report without sockets and goroutines.
func (n *network) model(q home.Questions, start time.Time) (report *home.Report, took time.Duration) {
	type event struct {
		at    time.Time
		probe home.Probe
		place *place
	}
	r, now := home.NewRound(q, start), start
	var answers []event
	for {
		for _, p := range r.Due(now) {
			network := map[home.Family]string{home.IPv4: "ip4", home.IPv6: "ip6"}[p.Family]
			to := n.places[netip.AddrPortFrom(n.names[network+" "+p.Target.Host], p.Target.Port)]
			if to.loses > 0 {
				to.loses--
				continue
			}
			answers = append(answers, event{now.Add(to.latency), p, to})
		}
		slices.SortFunc(answers, func(a, b event) int { return a.at.Compare(b.at) })
		if r.Over(now) {
			return r.Report(), now.Sub(start)
		}
		if now = r.Wake(); len(answers) > 0 && !answers[0].at.After(now) {
			a := answers[0]
			now, answers = a.at, answers[1:]
			r.Answer(a.probe, a.place.latency, a.place.sees, now)
		}
	}
}

func TestReportsAreThoseOfTheModel(t *testing.T) {
	for seed := range uint64(200) {
		build := func(t *testing.T) (*network, home.Questions) {
			random := rand.New(rand.NewPCG(seed, 0))
			n := newNetwork(t)
			q := home.Questions{Full: random.IntN(2) == 0, AllRegions: random.IntN(4) == 0, Have: both}
			q.Last = &home.Report{Latency: make(map[int]time.Duration)}
			for id := 1; id <= random.IntN(12); id++ {
				q.Regions = append(q.Regions, n.add(id, 0))
				for _, p := range []*place{n.place4(id), n.place6(id)} {
					p.latency, p.loses = time.Duration(1+random.IntN(400_000_000)), max(random.IntN(8)-4, 0)
				}
				if random.IntN(2) == 0 {
					n.place4(id).sees = netip.AddrPortFrom(me4.Addr(), 9)
				}
				q.Last.Latency[id] = time.Duration(random.IntN(300_000_000))
				q.Home = id
			}
			return n, q
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n, q := build(t)
			got, took := measuring(t, n, n.config(), q)
			obvious, q := build(t)
			want, wantTook := obvious.model(q, got.Start)
			if took != wantTook || !reflect.DeepEqual(got.Report, want) {
				t.Errorf("\n got %+v after %v\nwant %+v after %v", got.Report, took, want, wantTook)
			}
		})
	}
}
