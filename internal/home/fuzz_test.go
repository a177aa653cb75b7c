package home

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A tape gives the fuzzer's bytes out as numbers; past its end they are 0.
type tape struct{ left []byte }

func (t *tape) byte() byte {
	if len(t.left) == 0 {
		return 0
	}
	b := t.left[0]
	t.left = t.left[1:]
	return b
}

func (t *tape) int64() int64 {
	var b [8]byte
	t.left = t.left[copy(b[:], t.left):]
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// hostile returns a duration that is small, or any there is.
func (t *tape) hostile() time.Duration {
	switch b := t.byte(); b {
	case 255:
		return math.MaxInt64
	case 254:
		return math.MinInt64
	case 253:
		return time.Duration(t.int64())
	case 252:
		return -1
	default:
		return time.Duration(b) * ms
	}
}

func (t *tape) latencies() map[int]time.Duration {
	m := make(map[int]time.Duration)
	for range t.byte() % 8 {
		m[int(t.byte()%8)-1] = t.hostile()
	}
	return m
}

func (t *tape) regions() []Region {
	var regions []Region
	for id := range int(t.byte() % 8) {
		flags := t.byte()
		r := plain(id-1, int(flags>>6))
		r.Avoid, r.NoMeasureNoHome = flags&1 > 0, flags&2 > 0
		for i := range r.Nodes {
			n := &r.Nodes[i]
			n.IPv4 = []string{"", "none", "192.0.2.1", "127.0.0.1", "x", "::1"}[t.byte()%6]
			n.IPv6 = []string{"", "none", "2001:db8::1", "x", "fe80::1%eth0"}[t.byte()%5]
			n.STUNTestIP = []string{"", "", "127.0.0.1", "::1", "y"}[t.byte()%5]
			n.STUNPort = []int{0, 0, -1, 1, 65535, 65536, math.MaxInt, math.MinInt}[t.byte()%8]
			n.STUNOnly = flags&4 > 0
		}
		regions = append(regions, r)
	}
	return regions
}

func (t *tape) scores() map[int]float64 {
	m := make(map[int]float64)
	for range t.byte() % 4 {
		m[int(t.byte()%8)-1] = math.Float64frombits(uint64(t.int64()))
	}
	return m
}

func seeds(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x07\x40\x40\x80\x40\x40\x40\x40 some bytes that are as good as any others \xff\xfe\xfd\xfc"))
	f.Add([]byte{7, 64, 0, 0, 0, 0, 64, 2, 2, 0, 0, 129, 3, 0, 2, 1, 0, 0, 0, 0, 5, 2, 20, 3, 255, 4, 254, 5, 253, 1, 2, 3, 4, 5, 6, 7, 8})
	var nan [9]byte
	binary.LittleEndian.PutUint64(nan[1:], math.Float64bits(math.NaN()))
	f.Add(slices.Concat([]byte{4, 64, 0, 0, 0, 0, 64, 0, 0, 0, 0, 64, 0, 0, 0, 0, 64, 0, 0, 0, 0, 3}, nan[:], []byte{4}, nan[:]))
}

// Whatever is measured and scored: home is a region of the map that may be home, it
// is one if any such region answered, its latency is positive, and the same happens
// again.
func FuzzChoose(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &tape{left: data}
		var c, again Chooser
		now := start
		var is Circumstances
		for range 32 {
			switch in.byte() % 4 {
			case 0:
				is.Regions = in.regions()
			case 1:
				is.Scores = in.scores()
			case 2:
				is.Forced = int(in.byte()%8) - 1
			case 3:
				c.Changed(int(in.byte() % 8))
				again.home = c.home
			}
			is.Heard = map[int]time.Time{int(in.byte()%8) - 1: now.Add(in.hostile())}
			now = now.Add(in.hostile())
			r := &Report{Start: now.Add(-in.hostile()), Latency: in.latencies()}

			d := c.Choose(now, r, is)
			if repeated := again.Choose(now, r, is); fmt.Sprint(repeated) != fmt.Sprint(d) {
				t.Fatalf("decision %+v, then %+v", d, repeated)
			}
			canBe := func(id int) bool {
				return slices.ContainsFunc(is.Regions, func(r Region) bool { return r.ID == id && r.CanBeHome() })
			}
			if d.Home != 0 && !canBe(d.Home) {
				t.Fatalf("home %d cannot be home", d.Home)
			}
			for id, took := range r.Latency {
				if took > 0 && canBe(id) && (d.Home == 0 || d.Nearest == 0) {
					t.Fatalf("region %d answered in %v, and there is no home: %+v", id, took, d)
				}
			}
			for id, took := range d.Best {
				if took <= 0 || !canBe(id) {
					t.Fatalf("best of region %d is %v", id, took)
				}
			}
			if adopted := Adopt(d.Home, is.Forced, is.Regions, uint64(in.int64())); d.Home != 0 && adopted != d.Home || adopted != 0 && !canBe(adopted) {
				t.Fatalf("home %d was decided, %d adopted", d.Home, adopted)
			}
		}
	})
}

// Whatever the map and the last report say, a round sends few probes, none to
// nowhere, and is over after 3 s, without having to be looked at more often than
// there are probes.
func FuzzRound(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &tape{left: data}
		flags := in.byte()
		q := Questions{
			Regions: in.regions(), Full: flags&1 > 0, AllRegions: flags&2 > 0, Have: Families{flags&4 > 0, flags&8 > 0},
			Home: int(in.byte()%8) - 1,
		}
		if flags&16 > 0 {
			q.Last = &Report{Latency: in.latencies(), Latency4: in.latencies(), Latency6: in.latencies()}
		}
		r := NewRound(q, start)
		if len(r.plan) > 8*len(q.Regions) {
			t.Fatalf("%d probes for %d regions", len(r.plan), len(q.Regions))
		}
		for i, p := range r.plan {
			if p.Delay < 0 || p.Region <= 0 || p.Target.Port == 0 || !p.Target.Addr.IsValid() && p.Target.Host == "" {
				t.Fatalf("probe %+v", p)
			}
			if i > 0 && p.Delay < r.plan[i-1].Delay {
				t.Fatalf("plan out of order: %s", short(r.plan))
			}
		}
		now, sent := start, []Probe(nil)
		for turns := 0; ; turns++ {
			if turns > 3*len(r.plan)+1 {
				t.Fatalf("still going at %v after %d turns", now.Sub(start), turns)
			}
			sent = append(sent, r.Due(now)...)
			if r.Over(now) {
				break
			}
			if in.byte()%3 == 0 && len(sent) > 0 {
				p := sent[int(in.byte())%len(sent)]
				mapped := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, in.byte() % 3}), 7)
				r.Answer(p, in.hostile(), mapped, now)
			}
			if wake := r.Wake(); wake.Before(now) && !r.Over(now) {
				t.Fatalf("woken at %v for %v", now, wake)
			} else {
				now = wake
			}
		}
		if now.Sub(start) > stunLimit || len(sent) > len(r.plan) {
			t.Fatalf("over after %v and %d of %d probes", now.Sub(start), len(sent), len(r.plan))
		}
		for _, region := range r.Fallback() {
			r.AnswerFallback(region, in.hostile())
		}
		for _, took := range slices.Collect(maps.Values(r.Report().Latency)) {
			if took <= 0 || took > ReportLimit {
				t.Fatalf("latency %v", took)
			}
		}
	})
}
