package main

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/load"
)

func TestPacketsCountOnce(t *testing.T) {
	p := new(pair)
	p.sent.Store(4)
	began := time.Now()
	for i, number := range []uint64{^uint64(0), 0, 2, 2, 1} { // of begin, then one overtaken and one twice
		packet := make([]byte, trafficSize)
		binary.BigEndian.PutUint64(packet, number)
		p.book(packet, began.Add(time.Duration(i*i)*time.Millisecond))
	}
	load := &traffic{pairs: []*pair{p}}
	if p.got != 3 || p.twice != 1 || load.lost() != 1 || p.broken != nil {
		t.Errorf("%d arrived, %d twice, %d lost, %v", p.got, p.twice, load.lost(), p.broken)
	}
	if p.gap != 7*time.Millisecond {
		t.Errorf("the longest gap is %v", p.gap)
	}
	if p.last = time.Now().Add(-time.Minute); p.longestGap() < time.Minute {
		t.Error("the gap that lasts does not count")
	}
	p.last = time.Now()
	if gap := p.longestGap(); gap >= time.Minute {
		t.Errorf("a gap of %v was asked for already", gap)
	}
	p.book(make([]byte, 5+trafficSize), time.Now())
	if p.broken == nil {
		t.Error("a packet that was not sent is accepted")
	}
}

func TestPairsUseEveryWay(t *testing.T) {
	ways := map[[2]int]int{}
	for _, homes := range everyWay(regionPairs, regionSize) {
		ways[homes]++
	}
	if len(ways) != regionSize*regionSize {
		t.Errorf("%v", ways)
	}
	for way, n := range ways {
		if n != 2 {
			t.Errorf("%d pairs go the way %v", n, way)
		}
	}
}

func TestPaceKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, done := make(chan struct{}), 0
		time.AfterFunc(2*time.Second+time.Millisecond/2, func() { close(over) })
		pace(over, 100, func() { done++ })
		if done != 200 {
			t.Errorf("%d times in two seconds", done)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var values []float64
	if quantile(values, 0.99) != nil {
		t.Error("a quantile of nothing")
	}
	for v := range 200 {
		values = append(values, float64(v+1))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 100, 0.99: 198, 1: 200} {
		if got := *quantile(values, share); got != want {
			t.Errorf("quantile %v is %v, want %v", share, got, want)
		}
	}
}

func TestRowsAboutARegion(t *testing.T) {
	r := fixture()
	for _, v := range []float64{900, 880} {
		r.add("mesh-local", ours, &load.Report{Packets: load.Packets{GoodputMbitPerS: 900}})
		r.add("mesh-local-stopped", ours, &load.Report{Packets: load.Packets{GoodputMbitPerS: v}})
	}
	if l := lineOf(t, "mesh-stopped", r); l.Status != statusOK || l.Derper != nil || *l.Ours < 1 || *l.Ours > 2 {
		t.Errorf("%+v", l)
	}
	r.Restarts = &restarts{Sent: 1000, Lost: 1}
	if l := lineOf(t, "restart-loss", r); l.Status != statusMissed || *l.Ours != 1 {
		t.Errorf("%+v", l)
	}
	r.Kills = &outages{GapsMS: []float64{10, 20, 900}}
	if l := lineOf(t, "kill-gap", r); l.Status != statusOK || *l.Ours != 900 {
		t.Errorf("%+v", l)
	}
	r.Losses = losses{losingStopped: {GapsMS: []float64{1900, 2000, 3100}}, losingKilled: {GapsMS: []float64{20, 30}}}
	if l := lineOf(t, "silent-p50", r); l.Status != statusInfo || *l.Ours != 2000 {
		t.Errorf("%+v", l)
	}
	for name, want := range map[string]status{"silent-p99": statusMissed, "closed-p99": statusOK, "swallowed-p99": statusNotMeasured} {
		if l := lineOf(t, name, r); l.Status != want {
			t.Errorf("%+v", l)
		}
	}
	r.Presence = presences{ours: {KnownMS: 3}, derper: {KnownMS: 4}}
	if l := lineOf(t, "presence-known", r); l.Status != statusInfo || *l.Ratio != 0.75 {
		t.Errorf("%+v", l)
	}
}
