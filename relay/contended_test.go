package relay

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// Readers on several processors wait for each other where they write to the same receiver,
// and nowhere else: the profile of contended locks knows no other lock on the way of a
// packet whose destination is remembered.
func TestReadersContendForOutboxesOnly(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	for name, rules := range map[string]LimitRules{"no limits": {}, "limits": {Keys: Limits{In: 1 << 40, Out: 1 << 40}, Total: 1 << 40}} {
		s := newTestServer(t, Config{})
		s.SetLimits(rules)
		for _, who := range readAtOnce(t, s, 16) {
			if !strings.HasPrefix(who, "relay.(*outbox).") && !strings.HasPrefix(who, "relay.(*sink).") {
				t.Errorf("%s: readers wait for each other in %s", name, who)
			}
		}
	}
}

// readAtOnce has as many conns read at once, each of which sends to the next two, and
// returns who has let go of locks that others waited for.
func readAtOnce(t *testing.T, s *Server, n int) []string {
	to := peersOf(s, n)
	var first, reading sync.WaitGroup
	first.Add(n)
	start := make(chan struct{})
	for i := range n {
		c, _ := join(s, numbered(i))
		reading.Go(func() {
			ingestTo(t, c, to[i], to[(i+1)%n], 1) // from now on they are remembered
			first.Done()
			<-start
			ingestTo(t, c, to[i], to[(i+1)%n], 1000)
		})
	}
	first.Wait()
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	close(start)
	reading.Wait()
	return contended(t)
}

// ingestTo has a conn read so many bursts for two others.
func ingestTo(t *testing.T, c *conn, one, other key.Public, bursts int) {
	var burst []byte
	for range 10 {
		burst = derp.AppendSendPacket(burst, one, make([]byte, 100))
		burst = derp.AppendSendPacket(burst, other, make([]byte, 100))
	}
	for range bursts {
		if used, err := c.ingest(burst); err != nil || used != len(burst) {
			t.Errorf("%d of %d bytes were used (%v)", used, len(burst), err)
		}
	}
}

// contended returns who has let go of a lock for which others had to wait, on a packet's way.
func contended(t *testing.T) (all []string) {
	records := make([]runtime.BlockProfileRecord, 10_000)
	n, ok := runtime.MutexProfile(records)
	if !ok {
		t.Fatalf("%d stacks are more than expected", n)
	}
	for _, r := range records[:n] {
		if who := unlocked(r.Stack()); who != "" && !slices.Contains(all, who) {
			all = append(all, who)
		}
	}
	return all
}

// unlocked returns the function that has let go of a lock under ingestIn; empty: it was
// not there, or the lock is the runtime's, or one of sync.Pool's, which has one for each
// processor until the garbage is collected.
func unlocked(stack []uintptr) (who string) {
	frames := runtime.CallersFrames(stack)
	f, more := frames.Next()
	for ; more; f, more = frames.Next() {
		_, function, own := strings.Cut(f.Function, "/detour/")
		switch {
		case who == "" && own:
			who = function
		case who == "" && !strings.Contains(f.Function, "Mutex)."):
			return ""
		}
		if function == "relay.(*conn).ingestIn" {
			return who
		}
	}
	return ""
}
