package relay

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/key"
)

// benchPeers is how many peers a lookup chooses from. Their routes fit the second
// level of a processor's cache; those of manyPeers do not, and each lookup waits
// for the third.
const (
	benchPeers = 1_000
	manyPeers  = 10_000
)

// population returns a conn, and the keys of the peers it may send to in random
// order.
func population(b *testing.B, n int) (*conn, []key.Public) {
	s := newTestServer(b, Config{})
	from, _ := join(s, numbered(0))
	var peers []key.Public
	for i := range n {
		k := numbered(1 + i)
		join(s, k)
		peers = append(peers, k)
	}
	rand.New(rand.NewPCG(1, 6)).Shuffle(n, func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	return from, peers
}

// BenchmarkLookupRepeated finds a destination that the conn remembers.
func BenchmarkLookupRepeated(b *testing.B) {
	from, peers := population(b, benchPeers)
	dst := peers[0]
	if from.lookup(&dst, nil, new(burst)) == nil {
		b.Fatal("not found")
	}
	b.ReportAllocs()
	for b.Loop() {
		if from.remembered(&dst) == nil {
			b.Fatal("not remembered")
		}
	}
}

// BenchmarkLookupTable finds destinations in the table, each time another one.
func BenchmarkLookupTable(b *testing.B) { benchmarkTable(b, benchPeers) }

// BenchmarkLookupLargeTable is the same with more peers.
func BenchmarkLookupLargeTable(b *testing.B) { benchmarkTable(b, manyPeers) }

func benchmarkTable(b *testing.B, n int) {
	from, peers := population(b, n)
	b.ReportAllocs()
	for next := 0; b.Loop(); next++ {
		if next == n {
			next = 0
		}
		rt := from.server.routes.lookup(&peers[next])
		if rt == nil || rt.active.Load() == nil {
			b.Fatal("not found")
		}
	}
}

// BenchmarkLookupTableAndAudience is all that a packet costs before its outbox
// when its destination is not remembered: who hears from whom is noted as well.
func BenchmarkLookupTableAndAudience(b *testing.B) {
	from, peers := population(b, benchPeers)
	var w burst
	for i := range peers {
		from.lookup(&peers[i], nil, &w)
	}
	b.ReportAllocs()
	for next := 0; b.Loop(); next++ {
		if next == benchPeers {
			next = 0
		}
		dst := &peers[next]
		if out := from.remembered(dst); out == nil && from.lookup(dst, nil, &w) == nil {
			b.Fatal("not found")
		}
	}
}

// BenchmarkSurvey is what a scrape asks for, and BenchmarkPeers what a list of all conns
// does, of a relay with 20,000.
func BenchmarkSurvey(b *testing.B) {
	from, _ := population(b, 20_000)
	b.ReportAllocs()
	for b.Loop() {
		if n := from.server.Survey().Conns; n != 20_001 {
			b.Fatalf("%d conns", n)
		}
	}
}

func BenchmarkPeers(b *testing.B) {
	from, _ := population(b, 20_000)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for p := range from.server.Peers {
			n += int(p.ID % 2)
		}
		if n == 0 {
			b.Fatal("no conns")
		}
	}
}

// BenchmarkIngest relays bursts of packets of 1400 bytes, without a network.
func BenchmarkIngest(b *testing.B) {
	for _, c := range []struct{ peers, frames int }{{1, 1}, {1, 40}, {100, 40}} {
		b.Run(fmt.Sprintf("peers=%d/frames=%d", c.peers, c.frames), func(b *testing.B) {
			from, peers := population(b, c.peers)
			burst := burstTo(peers, c.frames, 1400)
			b.SetBytes(int64(c.frames * 1400))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := from.ingest(burst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.frames), "ns/packet")
		})
	}
}
