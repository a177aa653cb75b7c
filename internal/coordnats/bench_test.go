//go:build unix

package coordnats

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/detour-relay/detour/internal/coordstore"
)

// BenchmarkWrites creates keys: one by one for the latency, by many for the rate.
func BenchmarkWrites(b *testing.B) {
	for _, engine := range []string{"alone", "three"} {
		b.Run(engine, func(b *testing.B) {
			var p *process
			if engine == "alone" {
				p = &process{config: Config{Dir: b.TempDir() + "/one"}}
				p.start(b)
				p.await(b)
			} else {
				p = startCluster(b)[0]
			}
			s := p.store(b)
			for _, bucket := range []string{coordstore.Hard, "soft"} {
				for _, writers := range []int{1, 64} {
					b.Run(fmt.Sprintf("%s/writers=%d", bucket, writers), func(b *testing.B) { measureWrites(b, s, bucket, writers) })
				}
			}
		})
	}
}

var nextKey atomic.Int64

func measureWrites(b *testing.B, s *Store, bucket string, writers int) {
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	value := make([]byte, 150)
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			var own []time.Duration
			for left.Add(-1) >= 0 {
				n := int(nextKey.Add(1))
				into := bucket
				if bucket == "soft" {
					into = coordstore.Soft(n % coordstore.SoftBuckets)
				}
				began := time.Now()
				if _, err := s.Create(context.Background(), into, key(n), value); err != nil {
					b.Error(err)
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			took = append(took, own...)
			mu.Unlock()
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLeaderKilled is how long nothing can be written after the coordinator that
// leads the hard bucket was killed, and how long until a watcher elsewhere hears of
// what was written then. Each round is one kill.
func BenchmarkLeaderKilled(b *testing.B) {
	all := startCluster(b)
	var writes, hears []time.Duration
	for n := range b.N {
		victim := leaderOf(b, all, coordstore.Hard)
		other, third := all[(victim+1)%3].store(b), all[(victim+2)%3].store(b)
		r := follow(b, third, coordstore.Hard)
		began := time.Now()
		all[victim].kill()
		name := fmt.Sprintf("kill.%d", n)
		revision := insist(b, other, coordstore.Hard, name)
		writes = append(writes, time.Since(began))
		r.AwaitRevision(b, name, revision)
		hears = append(hears, time.Since(began))
		all[victim].start(b)
		all[victim].await(b)
		awaitReplicas(b, other)
		other.Close()
		third.Close()
	}
	for unit, took := range map[string][]time.Duration{"written": writes, "heard": hears} {
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds(), unit+"-p50-s")
		b.ReportMetric(took[len(took)*99/100].Seconds(), unit+"-p99-s")
	}
	b.ReportMetric(0, "ns/op")
}

// leaderOf is which of the processes leads a bucket.
func leaderOf(b *testing.B, all []*process, bucket string) int {
	s := all[0].store(b)
	defer s.Close()
	for b.Context().Err() == nil {
		info, err := s.ask(b.Context(), bucket)
		if err != nil || info.Cluster == nil {
			continue
		}
		for i, p := range all {
			if p.config.Cluster.Name == info.Cluster.Leader {
				return i
			}
		}
	}
	return 0
}

// BenchmarkMillion is what 1,000,000 members cost the engine alone: what stands on
// the disk, and what it takes to start after a kill and tell of all.
func BenchmarkMillion(b *testing.B) {
	const members = 1_000_000
	dir := b.TempDir() + "/one"
	fill(b, dir, members)
	b.ResetTimer()
	for range b.N {
		p := &process{config: Config{Dir: dir}, env: []string{thatWatches + "=1"}}
		began := time.Now()
		p.start(b)
		p.await(b)
		opened := time.Since(began)
		var l loaded
		if err := p.said.Decode(&l); err != nil {
			b.Fatal(err)
		}
		all := time.Since(began)
		time.Sleep(3 * time.Second)
		b.Logf("%d entries; open after %v, all told after %v; resident %d MB, heap %d MB, a little later %s",
			l.Entries, opened, all, l.Resident>>20, l.Heap>>20, residentOf(p.cmd.Process.Pid))
		if idle, err := time.ParseDuration(os.Getenv("DETOUR_TEST_IDLE")); err == nil {
			time.Sleep(idle)
			b.Logf("after %v more: %s", idle, residentOf(p.cmd.Process.Pid))
		}
		p.kill()
	}
}

func residentOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
			found = append(found, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(found, ", ")
}

// fill writes members as a coordinator would, without syncing.
func fill(b testing.TB, dir string, members int) {
	s, err := Open(b.Context(), Config{Dir: dir, unsynced: true, Logger: logTo(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	pending := make(chan jetstream.PubAckFuture, 2000)
	done := make(chan error, 1)
	go func() {
		for f := range pending {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				b.Error(err)
			}
		}
		done <- nil
	}()
	hard, soft := make([]byte, 150), make([]byte, 120)
	rand.Read(hard)
	rand.Read(soft)
	for n := range members {
		tailnet := fmt.Sprintf("t%06d", n/10)
		secret := sha256.Sum256([]byte(strconv.Itoa(n)))
		member := base64.RawURLEncoding.EncodeToString(secret[:])
		for bucket, value := range map[string][]byte{coordstore.Hard: hard, coordstore.Soft(coordstore.SoftOf(tailnet)): soft} {
			f, err := s.writer.PublishAsync(subjectOf(bucket, "m."+tailnet+"."+member), value)
			if err != nil {
				b.Fatal(err)
			}
			pending <- f
		}
	}
	close(pending)
	<-done
}
