package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/detour-relay/detour/internal/load"
)

func TestParseGoBench(t *testing.T) {
	const out = `goos: linux
pkg: github.com/detour-relay/detour/relay
BenchmarkLookupRepeated-2   	250000000	         4.10 ns/op	       0 B/op	       0 allocs/op
BenchmarkLookupRepeated-2   	250000000	         4.30 ns/op	       0 B/op	       0 allocs/op
BenchmarkRelayTLS-2         	    1000	    123456 ns/op	         0.500 allocs/packet
PASS
ok  	github.com/detour-relay/detour/relay	4.2s
`
	want := []benchmark{
		{Name: lookupRepeated, Values: map[string][]float64{"ns/op": {4.1, 4.3}, "B/op": {0, 0}, "allocs/op": {0, 0}}},
		{Name: relayTLS, Values: map[string][]float64{"ns/op": {123456}, "allocs/packet": {0.5}}},
	}
	if got := parseGoBench([]byte(out)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestProfileIsSplitByTheRunningFunction(t *testing.T) {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	caller := &profile.Function{ID: 1, Name: "relay.serve"}
	sample := func(name string, ns int64) {
		f := &profile.Function{ID: uint64(len(p.Function) + 2), Name: name}
		l := &profile.Location{ID: uint64(len(p.Location) + 1), Line: []profile.Line{{Function: f}, {Function: caller}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{1, ns}})
	}
	sample("internal/runtime/syscall/linux.Syscall6", 30)
	sample("runtime.futex", 5)
	sample("crypto/internal/fips140/aes/gcm.gcmAesEnc", 25)
	sample("runtime.memmove", 10)
	sample("runtime.lock2", 20)
	sample("relay.lookup", 10)
	p.Function = append(p.Function, caller)
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := readProfile(&b)
	if err != nil {
		t.Fatal(err)
	}
	if math.Round(got.Syscalls) != 35 || math.Round(got.AESGCM) != 25 || math.Round(got.Copies) != 10 || math.Round(got.Else) != 30 {
		t.Errorf("%+v", got)
	}
	if len(got.Top) != 2 || got.Top[0].Function != "runtime.lock2" {
		t.Errorf("top of the rest: %+v", got.Top)
	}
	if _, err := readProfile(strings.NewReader("no profile")); err == nil {
		t.Error("garbage is accepted as a profile")
	}
}

// fixture has the reports of three rounds for each relay.
func fixture() *results {
	r := &results{Missing: map[string]error{}}
	for _, v := range []float64{3000, 1000, 2000} {
		r.add("max", ours, &load.Report{Packets: load.Packets{GoodputMbitPerS: v}})
		r.add("max", derper, &load.Report{Packets: load.Packets{GoodputMbitPerS: v / 64}})
		r.add("max-100", ours, &load.Report{Packets: load.Packets{GoodputMbitPerS: v / 2}})
		r.add("max-100", derper, &load.Report{Packets: load.Packets{GoodputMbitPerS: v / 64}})
	}
	return r
}

func lineOf(t *testing.T, name string, r *results) line {
	t.Helper()
	for _, row := range allRows(options{}) {
		if row.name == name {
			return row.line(r)
		}
	}
	t.Fatalf("no row is called %s", name)
	return line{}
}

func TestRowsCompareMedians(t *testing.T) {
	r := fixture()
	if l := lineOf(t, "goodput", r); *l.Ours != 2000 || *l.Derper != 31.25 || *l.Ratio != 64 || l.Status != statusOK {
		t.Errorf("%+v", l)
	}
	if l := lineOf(t, "scale", r); *l.Ours != 0.5 || *l.Derper != 1 || l.Status != statusMissed {
		t.Errorf("%+v", l)
	}
	if l := lineOf(t, "whole", r); *l.Ours != 0 || l.Status != statusOK {
		t.Errorf("%+v", l)
	}
	r.find("max", ours).Reports[1].Broken = load.Broken{Streams: 1, Frames: 7}
	if l := lineOf(t, "whole", r); *l.Ours != 1 || l.Status != statusMissed {
		t.Errorf("a broken stream is not counted: %+v", l)
	}
}

func TestRowsWithoutFigures(t *testing.T) {
	r := fixture()
	r.Missing["download"] = errors.New("needs root")
	if l := lineOf(t, "download", r); l.Status != statusNotMeasured || l.Note != "needs root" {
		t.Errorf("%+v", l)
	}
	if l := lineOf(t, "cpu-1g", r); l.Status != statusNotMeasured || l.Note == "" {
		t.Errorf("%+v", l)
	}
	r.add("500m-1", ours, &load.Report{}) // of a system where the CPU time is unknown
	r.add("500m-1", derper, &load.Report{})
	r.add(quietName(100), ours, &load.Report{QuietPair: &load.EchoReport{Sent: 5}}) // nothing came back
	for _, name := range []string{"cpu-500m", "rtt-100-p99"} {
		if l := lineOf(t, name, r); l.Status != statusNotMeasured {
			t.Errorf("%+v", l)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, test := range []struct {
		m      mark
		figure float64
		want   bool
	}{
		{mark{limit: 20, atLeast: true}, 20, true},
		{mark{limit: 20, atLeast: true}, 19.9, false},
		{mark{limit: 5, below: true}, 5, false},
		{mark{limit: 5, below: true}, -1, true},
		{mark{}, 0, true},
		{mark{}, 0.01, false},
	} {
		if got := test.m.reached(test.figure); got != test.want {
			t.Errorf("%v with %s: %v", test.figure, test.m.text(""), got)
		}
	}
}

func TestEveryRowNeedsMeasurementsThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, m := range loads() {
		known[m.name] = true
	}
	for _, o := range new(stage).others(new(results)) {
		known[o.name] = true
	}
	seen := map[string]bool{}
	for _, r := range allRows(options{}) {
		if seen[r.name] {
			t.Errorf("two rows are called %s", r.name)
		}
		seen[r.name] = true
		for _, name := range r.needs {
			if !known[name] {
				t.Errorf("row %s needs %s, which nobody measures", r.name, name)
			}
		}
	}
	if _, err := choose(allRows(options{}), "goodput,nonsense"); err == nil {
		t.Error("-rows accepts a row that does not exist")
	}
}

func TestTheDocumentKeepsItsText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	text := "before\n" + docBegin + "\nold\n" + docEnd + "\nafter\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	rows, _ := choose(allRows(options{}), "goodput")
	rep := newReport(options{rounds: 3, seconds: 5}, machine{}, rows, fixture(), time.Now())
	for range 2 { // the second time it finds its own table
		if err := rep.updateDoc(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "| goodput, 10 pairs, as fast as it goes | ≥ 61 x derper | 2000 Mbit/s | 31.2 Mbit/s | 64.0 | ok |"
	if s := string(got); !strings.HasPrefix(s, "before\n"+docBegin) || !strings.HasSuffix(s, docEnd+"\nafter\n") ||
		strings.Contains(s, "old") || strings.Count(s, want) != 1 {
		t.Errorf("%s", s)
	}
	if _, err := replaceBetween("no place for a table", "x"); err == nil {
		t.Error("a document without the lines is accepted")
	}
}
