package coordstate

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

func numberedKey(n int) (k key.Public) {
	binary.BigEndian.PutUint64(k[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(k[8:], uint64(n))
	return k
}

// fill loads tailnets with members, all of whom have reported.
func fill(tailnets, members int) *State {
	s := New("a")
	w := map[string]coordstore.Watcher{}
	revs := map[string]uint64{}
	for _, name := range coordstore.Buckets() {
		w[name] = s.Watcher(name)
		w[name].Begin("1")
	}
	put := func(bucket, k string, rec any) {
		revs[bucket]++
		w[bucket].Entry(coordstore.Entry{Key: k, Value: Encode(rec), Revision: revs[bucket]})
	}
	for n := range tailnets {
		id := fmt.Sprintf("t%012d", n)
		put(coordstore.Hard, TailnetKey(id), TailnetRecord{Name: fmt.Sprintf("tailnet-%d", n), ULA: "0123456789", Next: uint32(members) + 1})
		for m := range members {
			k := numberedKey(n*members + m + 1)
			put(coordstore.Hard, MemberKey(id, k), MemberRecord{Name: fmt.Sprintf("host-%d", m), Index: uint32(m + 1), Joined: 1_800_000_000})
			put(coordstore.Soft(coordstore.SoftOf(id)), SoftKey(id, k), SoftRecord{Boot: 1_800_000_000, Seq: 7, Home: int32(900 + m%7), Disco: k, Version: "1.2.3", Since: 1_800_000_000, From: "192.0.2.1"})
		}
	}
	for _, w := range w {
		w.Current()
	}
	return s
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A member costs little, and so do tailnets of few.
func TestAMemberCostsLittle(t *testing.T) {
	before := heap()
	s := fill(1000, 100)
	each := float64(heap()-before) / 100_000
	if got := s.Totals(); got.Members != 100_000 || got.Tailnets != 1000 || got.BadRecords != 0 || got.Orphans != 0 {
		t.Fatalf("%+v", got)
	}
	if each > 265 {
		t.Errorf("%.0f bytes for each member", each)
	}
	t.Logf("%.0f bytes for each member", each)
	runtime.KeepAlive(s)
}

// BenchmarkMillion reports what a member of a million costs, and how long loading takes.
func BenchmarkMillion(b *testing.B) {
	for _, shape := range []struct{ tailnets, members int }{{20_000, 50}, {20, 50_000}} {
		b.Run(fmt.Sprintf("%dx%d", shape.tailnets, shape.members), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				s := fill(shape.tailnets, shape.members)
				b.ReportMetric(float64(heap()-before)/1e6, "B/member")
				runtime.KeepAlive(s)
			}
		})
	}
}
