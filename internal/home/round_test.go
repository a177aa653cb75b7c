package home

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func at(milliseconds int) time.Time { return start.Add(time.Duration(milliseconds) * ms) }

var me = netip.MustParseAddrPort("192.0.2.7:41641")

// probeOf returns a probe of the plan by its short form without the time: "900a/4".
func probeOf(t *testing.T, r *Round, name string) Probe {
	t.Helper()
	for _, p := range r.plan {
		if got, _, _ := strings.Cut(short([]Probe{p}), "@"); got == name {
			return p
		}
	}
	t.Fatalf("no probe %s in the plan %s", name, short(r.plan))
	return Probe{}
}

// An event is an answer to a probe that comes at a time and took as long as that is
// after the round's start.
type event struct {
	at     int
	answer string
	mapped string // default: me
}

func TestRound(t *testing.T) {
	v4 := Families{IPv4: true}
	last := &Report{Latency: latencies(1, 10, 2, 20, 3, 30), Latency4: latencies(1, 10)}
	four := []Region{plain(1, 1), plain(2, 1), plain(3, 1), plain(4, 1)}

	for _, test := range []struct {
		name    string
		q       Questions
		answers []event
		sent    string
		over    int // when, in ms
		want    map[int]time.Duration
	}{
		{
			name: "nobody answers: every probe is sent, and the 3 s are waited for",
			q:    Questions{Full: true, Regions: four[:1], Have: v4},
			sent: "1a/4@0 1a/4@100 1a/4@200", over: 3000,
		},
		{
			name: "nobody to ask: over at once",
			q:    Questions{Full: true, Have: v4},
			over: 0,
		},
		{
			name:    "an answer ends the set, and all sets the round",
			q:       Questions{Full: true, Regions: four[:1], Have: v4},
			answers: []event{{at: 40, answer: "1a/4"}},
			sent:    "1a/4@0", over: 40, want: latencies(1, 40),
		},
		{
			name:    "an answer ends its set only",
			q:       Questions{Full: true, Regions: four[:1], Have: both},
			answers: []event{{at: 40, answer: "1a/4"}, {at: 120, answer: "1a/6", mapped: "[2001:db8::7]:9"}},
			sent:    "1a/4@0 1a/6@0 1a/6@100", over: 120, want: latencies(1, 40),
		},
		{
			name: "IPv6 of a region that has answered is asked no further once IPv6 is known to work",
			q:    Questions{Full: true, Regions: four[:2], Have: both},
			answers: []event{
				{at: 10, answer: "1a/4"}, {at: 20, answer: "1a/6", mapped: "[2001:db8::7]:9"}, {at: 30, answer: "2a/4"},
			},
			sent: "1a/4@0 1a/6@0 2a/4@0 2a/6@0", over: 100, want: latencies(1, 10, 2, 30),
		},
		{
			name: "IPv4 of a region that has answered is asked on while it is not known whether the mapping varies",
			q:    Questions{Full: true, Regions: four[:2], Have: both},
			answers: []event{
				{at: 10, answer: "1a/6", mapped: "[2001:db8::7]:9"}, {at: 20, answer: "2a/6", mapped: "[2001:db8::7]:9"},
				{at: 130, answer: "1a/4"},
				{at: 140, answer: "2a/4"},
			},
			sent: "1a/4@0 1a/6@0 2a/4@0 2a/6@0 1a/4@100 2a/4@100", over: 140, want: latencies(1, 10, 2, 20),
		},
		{
			name: "and no further once it is",
			q:    Questions{Full: true, Regions: four[:3], Have: both},
			answers: []event{
				{at: 10, answer: "1a/4"}, {at: 20, answer: "2a/4"},
				{at: 25, answer: "1a/6", mapped: "[2001:db8::7]:9"}, {at: 120, answer: "3a/6", mapped: "[2001:db8::7]:9"},
			},
			// Here the third region answers at 120 and takes twice that to stop the
			// round, were there any set left by 200.
			sent: "1a/4@0 1a/6@0 2a/4@0 2a/6@0 3a/4@0 3a/6@0 3a/4@100 3a/6@100", over: 200, want: latencies(1, 10, 2, 20, 3, 120),
		},
		{
			name:    "full: three answers, and twice the slowest of them later it is over",
			q:       Questions{Full: true, Regions: four, Have: v4},
			answers: []event{{at: 10, answer: "1a/4"}, {at: 20, answer: "2a/4"}, {at: 30, answer: "3a/4"}},
			sent:    "1a/4@0 2a/4@0 3a/4@0 4a/4@0", over: 90, want: latencies(1, 10, 2, 20, 3, 30),
		},
		{
			name: "full: what comes in that time counts",
			q:    Questions{Full: true, Regions: append(four, plain(5, 1)), Have: v4},
			answers: []event{
				{at: 10, answer: "1a/4"}, {at: 20, answer: "2a/4"}, {at: 60, answer: "3a/4"}, {at: 170, answer: "4a/4"},
			},
			sent: "1a/4@0 2a/4@0 3a/4@0 4a/4@0 5a/4@0 4a/4@100 5a/4@100", over: 180, want: latencies(1, 10, 2, 20, 3, 60, 4, 170),
		},
		{
			name:    "full: the moment may not outlast the 3 s",
			q:       Questions{Full: true, Regions: four, Have: v4},
			answers: []event{{at: 10, answer: "1a/4"}, {at: 20, answer: "2a/4"}, {at: 1500, answer: "3a/4"}},
			sent:    "1a/4@0 2a/4@0 3a/4@0 4a/4@0 3a/4@100 4a/4@100 3a/4@200 4a/4@200",
			over:    3000, want: latencies(1, 10, 2, 20, 3, 1500),
		},
		{
			name:    "patient: everyone is waited for",
			q:       Questions{Full: true, AllRegions: true, Regions: four, Have: v4},
			answers: []event{{at: 10, answer: "1a/4"}, {at: 20, answer: "2a/4"}, {at: 30, answer: "3a/4"}},
			sent:    "1a/4@0 2a/4@0 3a/4@0 4a/4@0 4a/4@100 4a/4@200", over: 3000, want: latencies(1, 10, 2, 20, 3, 30),
		},
		{
			name:    "incremental: three answers, and once the slowest of them later it is over",
			q:       Questions{Regions: four, Have: v4, Last: last, Home: 4},
			answers: []event{{at: 10, answer: "1a/4"}, {at: 20, answer: "2a/4"}, {at: 30, answer: "3a/4"}},
			sent:    "1a/4@0 2a/4@0 3a/4@0 4a/4@0", over: 60, want: latencies(1, 10, 2, 20, 3, 30),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRound(test.q, start)
			var sent []Probe
			answers := test.answers
			now := start
			for {
				sent = append(sent, r.Due(now)...)
				if r.Over(now) {
					break
				}
				wake := r.Wake()
				if !wake.After(now) {
					t.Fatalf("at %v the round wants to be woken at %v: it spins", now.Sub(start), wake.Sub(start))
				}
				if len(answers) == 0 || wake.Before(at(answers[0].at)) {
					now = wake
					continue
				}
				e := answers[0]
				answers = answers[1:]
				now = at(e.at)
				mapped := me
				if e.mapped != "" {
					mapped = netip.MustParseAddrPort(e.mapped)
				}
				r.Answer(probeOf(t, r, e.answer), now.Sub(start), mapped, now)
			}
			if got := short(sent); got != test.sent {
				t.Errorf("sent\n got %s\nwant %s", got, test.sent)
			}
			if got := now.Sub(start).Milliseconds(); got != int64(test.over) {
				t.Errorf("over after %d ms, want %d", got, test.over)
			}
			if test.want == nil {
				test.want = latencies()
			}
			report := r.Report()
			if !reflect.DeepEqual(report.Latency, test.want) {
				t.Errorf("latencies %v, want %v", report.Latency, test.want)
			}
			if report.UDP != (len(test.answers) > 0) || report.Full != test.q.Full || report.Start != start {
				t.Errorf("report %+v does not fit", report)
			}
			if len(answers) > 0 {
				t.Errorf("over before the answers %v", answers)
			}
		})
	}
}

func TestRoundKeepsTheLeastLatency(t *testing.T) {
	r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 2), plain(2, 1), plain(3, 1)}, Have: both}, start)
	r.Due(start)
	r.Answer(probeOf(t, r, "1a/4"), 50*ms, me, at(50))
	r.Answer(probeOf(t, r, "1b/4"), 20*ms, me, at(51))
	r.Answer(probeOf(t, r, "1a/6"), 30*ms, netip.AddrPort{}, at(52))
	r.Answer(probeOf(t, r, "1a/6"), 40*ms, netip.AddrPort{}, at(53))
	r.Answer(probeOf(t, r, "2a/4"), -time.Hour, me, at(54))
	r.Answer(probeOf(t, r, "3a/4"), 1<<62, me, at(55))
	r.Answer(Probe{Region: 77, Family: IPv4}, 5*ms, me, at(56))
	got := r.Report()
	want := map[int]time.Duration{1: 20 * ms, 2: 1, 3: ReportLimit}
	if !reflect.DeepEqual(got.Latency, want) || !reflect.DeepEqual(got.Latency4, want) ||
		!reflect.DeepEqual(got.Latency6, latencies(1, 30)) {
		t.Errorf("latencies %v, IPv4 %v, IPv6 %v; want %v over IPv4 and 30 ms for 1 over IPv6", got.Latency, got.Latency4, got.Latency6, want)
	}
}

func TestRoundIgnoresWhatComesTooLate(t *testing.T) {
	r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 1)}, Have: both}, start)
	p := r.Due(start)[0]
	r.Answer(p, 3*time.Second, me, at(3000))
	if got := r.Report(); got.UDP || len(got.Latency) > 0 {
		t.Errorf("report %+v, want an empty one", got)
	}
	if due := r.Due(at(3000)); due != nil {
		t.Errorf("probes %v are due when it is over", due)
	}
}

// A user that is woken late gets what was due before in one piece, but nothing that
// has become useless.
func TestRoundOfALateUser(t *testing.T) {
	r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 1), plain(2, 1)}, Have: Families{IPv4: true}}, start)
	r.Due(start)
	r.Answer(probeOf(t, r, "1a/4"), 50*ms, me, at(50))
	if got := short(r.Due(at(250))); got != "2a/4@100 2a/4@200" {
		t.Errorf("due %s, want both further tries of region 2", got)
	}
}

func TestWakeSkipsSetsThatHaveEnded(t *testing.T) {
	r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 1), one(2, Node{STUNTestIP: "::1"})}, Have: both}, start)
	r.Due(start)
	r.Answer(probeOf(t, r, "2a/6"), ms, me, at(1))
	r.Answer(probeOf(t, r, "1a/4"), ms, me, at(1))
	if got := r.Wake(); got != at(100) {
		t.Errorf("woken after %v, want 100 ms for the second try of 1a/6", got.Sub(start))
	}
	r = NewRound(Questions{Regions: []Region{plain(1, 1), plain(2, 1)}, Last: &Report{Latency: latencies(1, 10, 2, 50), Latency4: latencies(1, 10)}, Have: Families{IPv4: true}}, start)
	r.Due(start)
	r.Answer(probeOf(t, r, "1a/4"), ms, me, at(1))
	if got := r.Wake(); got != at(60) {
		t.Errorf("woken after %v, want 60 ms for region 2: region 1 has answered", got.Sub(start))
	}
}

func TestPublicAddresses(t *testing.T) {
	type seen struct{ probe, as string }
	for _, test := range []struct {
		name   string
		seen   []seen
		varies Maybe
		v4, v6 string
	}{
		{"never", nil, Unknown, "invalid AddrPort", "invalid AddrPort"},
		{"once", []seen{{"1a/4", "192.0.2.7:5"}}, Unknown, "192.0.2.7:5", "invalid AddrPort"},
		{"the same by two regions", []seen{{"1a/4", "192.0.2.7:5"}, {"2a/4", "192.0.2.7:5"}}, No, "192.0.2.7:5", "invalid AddrPort"},
		{"the same by two nodes", []seen{{"1a/4", "192.0.2.7:5"}, {"1b/4", "192.0.2.7:5"}}, No, "192.0.2.7:5", "invalid AddrPort"},
		{"the same by one node says nothing", []seen{{"1a/4", "192.0.2.7:5"}, {"1a/4", "192.0.2.7:5"}}, Unknown, "192.0.2.7:5", "invalid AddrPort"},
		{"another port", []seen{{"1a/4", "192.0.2.7:5"}, {"2a/4", "192.0.2.7:6"}}, Yes, "192.0.2.7:5", "invalid AddrPort"},
		{"another port, later", []seen{{"1a/4", "192.0.2.7:5"}, {"2a/4", "192.0.2.7:5"}, {"3a/4", "192.0.2.8:5"}}, Yes, "192.0.2.7:5", "invalid AddrPort"},
		{"yes stays yes", []seen{{"1a/4", "192.0.2.7:5"}, {"2a/4", "192.0.2.7:6"}, {"3a/4", "192.0.2.7:5"}}, Yes, "192.0.2.7:5", "invalid AddrPort"},
		{"over IPv6 it does not matter", []seen{{"1a/6", "[2001:db8::1]:1"}, {"2a/6", "[2001:db8::1]:2"}}, Unknown, "invalid AddrPort", "[2001:db8::1]:1"},
		{"of the wrong family", []seen{{"1a/6", "192.0.2.7:5"}, {"2a/4", "[2001:db8::1]:2"}}, Unknown, "invalid AddrPort", "invalid AddrPort"},
		{"mapped IPv4", []seen{{"1a/4", "[::ffff:192.0.2.7]:5"}}, Unknown, "192.0.2.7:5", "invalid AddrPort"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 2), plain(2, 1), plain(3, 1), plain(4, 1)}, Have: both}, start)
			for _, s := range test.seen {
				r.Answer(probeOf(t, r, s.probe), ms, netip.MustParseAddrPort(s.as), start)
			}
			got := r.Report()
			if got.MappingVaries != test.varies || got.Public4.String() != test.v4 || got.Public6.String() != test.v6 {
				t.Errorf("public addresses %v and %v, varies: %v; want %s, %s, %v", got.Public4, got.Public6, got.MappingVaries, test.v4, test.v6, test.varies)
			}
		})
	}
}

func TestFallback(t *testing.T) {
	avoided, never := plain(2, 1), plain(3, 1)
	avoided.Avoid, never.NoMeasureNoHome = true, true
	stunOnly := one(4, Node{HostName: "a", STUNOnly: true})
	mixed := Region{ID: 5, Nodes: []Node{{HostName: "a", STUNOnly: true}, {HostName: "b"}}}
	noSTUN := one(6, Node{HostName: "a", STUNPort: -1})
	q := Questions{Full: true, Regions: []Region{plain(1, 1), avoided, never, stunOnly, mixed, noSTUN, plain(7, 0)}, Have: both}

	r := NewRound(q, start)
	if got, want := r.Fallback(), []int{1, 5, 6}; !reflect.DeepEqual(got, want) {
		t.Errorf("fallback to %v, want %v", got, want)
	}
	r.AnswerFallback(1, 80*ms)
	r.AnswerFallback(1, 70*ms)
	r.AnswerFallback(1, 90*ms)
	r.AnswerFallback(6, 0)
	got := r.Report()
	if want := map[int]time.Duration{1: 70 * ms, 6: 1}; !reflect.DeepEqual(got.Latency, want) || got.UDP || len(got.Latency4) > 0 {
		t.Errorf("report %+v, want latencies %v and no UDP", got, want)
	}

	r = NewRound(q, start)
	r.Answer(probeOf(t, r, "1a/4"), ms, me, start)
	if got := r.Fallback(); got != nil {
		t.Errorf("fallback to %v although UDP works", got)
	}
}

func TestReportIsACopy(t *testing.T) {
	r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 1), plain(2, 1)}, Have: both}, start)
	before := r.Report()
	r.Answer(probeOf(t, r, "1a/4"), ms, me, start)
	r.Answer(probeOf(t, r, "1a/6"), ms, me, start)
	if len(before.Latency)+len(before.Latency4)+len(before.Latency6) > 0 {
		t.Errorf("report %+v has changed after it was taken", before)
	}
}

// A set is not waited for once none of its probes could be sent, but one that is
// under way is.
func TestRoundOfProbesThatAreLost(t *testing.T) {
	for _, test := range []struct {
		name string
		lost string // tries of 1a/4 that cannot be sent; the others are not answered
		over int    // ms
	}{
		{"none", "", 3000},
		{"all", "012", 200},
		{"the first", "0", 3000},
		{"the last", "12", 3000},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 1)}, Have: Families{IPv4: true}}, start)
			now, try := start, 0
			for ; !r.Over(now); now = r.Wake() {
				for _, p := range r.Due(now) {
					if strings.Contains(test.lost, string(rune('0'+try))) {
						r.Lost(p)
					}
					try++
				}
				if r.Over(now) {
					break
				}
			}
			if got := now.Sub(start).Milliseconds(); got != int64(test.over) || try != fullTries {
				t.Errorf("over after %d ms and %d tries, want %d ms", got, try, test.over)
			}
		})
	}
}

func TestLostProbesOfSetsThatHaveEndedChangeNothing(t *testing.T) {
	r := NewRound(Questions{Full: true, Regions: []Region{plain(1, 1), plain(2, 1)}, Have: Families{IPv4: true}}, start)
	due := r.Due(start)
	r.Answer(due[0], ms, me, at(1))
	r.Lost(due[0])
	r.Lost(Probe{Region: 77, Family: IPv4})
	if r.Over(at(1)) {
		t.Error("over although region 2 may still answer")
	}
}
