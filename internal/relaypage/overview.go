package relaypage

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/page"
	"github.com/detour-relay/detour/internal/quota"
	"github.com/detour-relay/detour/internal/signin"
)

// often is how often, in seconds, the script looks at a page that costs little, and
// seldom at one that visits each connection.
const (
	often  = 2
	seldom = 5
)

// overviewBody is what overview.html shows.
type overviewBody struct {
	admin.Status
	Verdict  verdict
	LatelyIn uint64  // packets, in the last minute
	In, Out  float64 // bytes a second
	Lost     uint64  // packets, in the last minute
	Uptime   time.Duration
	Charts   []page.Chart
	Usage    usage
	Drops    []drop
	Siblings []sibling
	Linked   int // of them
	Quota    *quotaBody
	Limits   []limit
	Sources  []source
	Refused  []counted
}

func (p *Page) overview(w http.ResponseWriter, r *http.Request, signed *signin.Session) {
	s, l, now := p.now(), p.pulse.lately(), time.Now()
	b := overviewBody{Status: s, LatelyIn: l.of.Packets, In: last(l.in), Out: last(l.out), Uptime: now.Sub(s.Started)}
	b.Verdict = judge(s, l, p.config.Explain(), now)
	for _, n := range l.lost {
		b.Lost += n
	}
	b.Charts = append([]page.Chart{trafficNow(l)}, p.past()...)
	if len(b.Charts) == 1 {
		b.Charts = append(b.Charts, crowdNow(l))
	}
	b.Usage = usageOf(s, r.URL.Query())
	b.Drops = dropsOf(s, l)
	b.Siblings, b.Linked = siblingRows(s, now)
	b.Quota, b.Limits = quotaOf(s), limitsOf(s)
	b.Sources, b.Refused = sourcesOf(s.Access), refusedOf(s.Access)
	f := p.frame(b.Verdict.Word, "./", signed, b)
	f.Every = often
	p.set.Show(w, http.StatusOK, "overview", f)
}

func trafficNow(l lately) page.Chart {
	c := page.Chart{Title: "Traffic, last 10 minutes", From: "10 min ago", To: "now"}
	c.Draw(page.Rate, page.Figures{Name: "in", Values: l.in, Filled: true}, page.Figures{Name: "out", Values: l.out})
	return c
}

func crowdNow(l lately) page.Chart {
	c := page.Chart{Title: "Connections, last 10 minutes", From: "10 min ago", To: "now"}
	c.Draw(page.Count, page.Figures{Name: "connections", Values: l.conns, Filled: true})
	return c
}

// A drop is a reason for which packets are given up.
type drop struct {
	Reason, Words string
	Lately, All   uint64 // packets
	Bytes         uint64 // all of them
}

func dropsOf(s admin.Status, l lately) (all []drop) {
	for reason, k := range s.Relay.Dropped {
		if sum := both(k); sum.Packets > 0 {
			all = append(all, drop{reason, dropWords[reason], l.lost[reason], sum.Packets, sum.Bytes})
		}
	}
	slices.SortFunc(all, func(a, b drop) int { return cmp.Or(cmp.Compare(b.All, a.All), cmp.Compare(a.Reason, b.Reason)) })
	return all
}

// A sibling is one as the page has it.
type sibling struct {
	mesh.State
	Class   string
	Peers   int // keys that it has; -1: there is no link
	Queued  int
	Up      time.Duration
	Leaving bool // it restarts
	Retry   time.Duration
}

func siblingRows(s admin.Status, now time.Time) (all []sibling, linked int) {
	for _, state := range siblingsOf(s) {
		row := sibling{State: state, Class: "idle", Peers: -1, Retry: max(0, state.NextTry.Sub(now))}
		switch state.Status {
		case mesh.Linked:
			row.Class, row.Up = good, now.Sub(state.Since)
			linked++
		case mesh.Waiting, mesh.Dialling:
			row.Class = odd
		}
		for _, l := range s.Relay.Links {
			if l.Name == state.Name && state.Status == mesh.Linked {
				row.Peers, row.Queued, row.Leaving = l.Peers, l.Queued, l.Restarting
			}
		}
		all = append(all, row)
	}
	return all, linked
}

// quotaBody is a quota with its meter, 600 wide.
type quotaBody struct {
	*quota.Snapshot
	Of         int64 // the mark that counts
	Part, Mark int   // how wide what is used is, and where the soft mark stands; 0: none
	Class      string
}

func quotaOf(s admin.Status) *quotaBody {
	if s.Quota == nil {
		return nil
	}
	q := &quotaBody{Snapshot: s.Quota, Of: cmp.Or(s.Quota.Hard, s.Quota.Soft), Class: good}
	if q.Of > 0 {
		q.Part = int(min(600, 600*float64(q.Used)/float64(q.Of)))
		if q.Soft > 0 && q.Hard > 0 {
			q.Mark = int(min(598, 600*float64(q.Soft)/float64(q.Hard)))
		}
	}
	switch q.State {
	case quota.PastSoft:
		q.Class = odd
	case quota.PastHard:
		q.Class = bad
	}
	return q
}

// A limit is what keys with a label may use; no label: all others.
type limit struct{ Label, In, Out, Burst string }

func limitsOf(s admin.Status) (all []limit) {
	l, ok := s.Limits.(config.Limits)
	if !ok {
		return nil
	}
	row := func(label string, in, out config.Rate, burst config.Size) {
		if in > 0 || out > 0 {
			all = append(all, limit{label, rate(in), rate(out), orNone(burst.String(), burst == 0)})
		}
	}
	row("", l.In, l.Out, l.Burst)
	for _, label := range slices.Sorted(maps.Keys(l.Labels)) {
		row(label, l.Labels[label].In, l.Labels[label].Out, l.Labels[label].Burst)
	}
	if l.Total > 0 {
		all = append(all, limit{Label: "all together", In: rate(l.Total), Out: "–", Burst: "–"})
	}
	return all
}

func rate(r config.Rate) string { return orNone(r.String(), r == 0) }

func orNone(text string, none bool) string {
	if none {
		return "–"
	}
	return text
}

// A source is somebody, or something, that decides about admission.
type source struct {
	Name, Class, State, Why string
}

func sourcesOf(a *admit.Snapshot) (all []source) {
	if a == nil {
		return nil
	}
	for _, f := range a.Keys {
		all = append(all, source{"file " + page.Text(f.File, 80), classOf(f.Error), page.Count(float64(f.Keys)) + " keys", f.Error})
	}
	if m := a.Managed; m.Keys > 0 || m.Bans > 0 || m.Error != "" {
		all = append(all, source{"the relay's own list", classOf(m.Error), page.Count(float64(m.Keys)) + " keys, " + strconv.Itoa(m.Bans) + " bans", m.Error})
	}
	for _, s := range a.Sources {
		row := source{Name: s.Source + " " + page.Text(s.Target, 80), Class: good, State: "answers", Why: s.Error}
		if s.Away {
			row.Class, row.State = odd, "cannot answer"
		}
		all = append(all, row)
	}
	return all
}

func classOf(trouble string) string {
	if trouble != "" {
		return odd
	}
	return good
}

// counted is how often something was.
type counted struct {
	What string
	N    uint64
}

func refusedOf(a *admit.Snapshot) (all []counted) {
	if a == nil {
		return nil
	}
	for reason, n := range a.Refused {
		if n > 0 {
			all = append(all, counted{string(reason), n})
		}
	}
	slices.SortFunc(all, func(a, b counted) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.What, b.What)) })
	return all
}
