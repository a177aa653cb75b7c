// Package failure breaks a region of three of our relays, each a process of its own, in the ways that regions break, and
// waits until it is whole again: every relay knows every peer and no other, packets pass between all of them, no relay
// contradicts itself, and no goroutine is left over.
//
// Between each two relays and in each direction there is a proxy that injects the faults. Peers connect to the relays
// directly.
package failure

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/detour-relay/detour/test/interop/programs"
)

// patience is how long anything that must happen may take. It is far above what a loaded machine with two cores needs:
// the slowest is a link whose other end has vanished, which is found after some 20 s.
const patience = time.Minute

func TestMain(m *testing.M) {
	status := m.Run()
	programs.Clean()
	os.Exit(status)
}

const relays = 3

// drain is how long a relay takes to send its peers away in a planned restart.
const drain = "4s"

// A region is three relays and the ways between them.
type region struct {
	t      *testing.T
	relays [relays]*programs.Relay
	pprof  [relays]string
	way    [relays][relays]*toxiproxy.Proxy // from the dialling relay to the dialled one
	before [relays]int                      // goroutines of each relay when the region was whole at first
}

// newRegion starts a region and waits until it is whole. It ends with the test.
func newRegion(t *testing.T) *region {
	t.Helper()
	t.Parallel()
	g := &region{t: t}
	faults := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	var siblings []programs.Sibling
	for i := range relays {
		var with []string
		for j := range relays {
			if i != j {
				g.way[i][j] = toxiproxy.NewProxy(faults, fmt.Sprintf("%d to %d", i, j), programs.FreeAddr(t).String(), "")
				with = append(with, g.way[i][j].Listen)
			}
		}
		g.pprof[i] = programs.FreeAddr(t).String()
		siblings = append(siblings, programs.Sibling{
			Program: "detour",
			With:    with,
			Args:    []string{"--pprof", g.pprof[i], "--drain", drain},
		})
	}
	copy(g.relays[:], programs.StartRegion(t, programs.NewMeshKey(), siblings...))
	g.each(func(i, j int, way *toxiproxy.Proxy) {
		way.Upstream = g.relays[j].Addr.String()
		if err := way.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(way.Stop)
	})
	g.whole(nil)
	for i := range relays {
		g.before[i] = g.goroutines(i)
	}
	return g
}

// each visits every way.
func (g *region) each(f func(from, to int, way *toxiproxy.Proxy)) {
	for i := range g.way {
		for j, way := range g.way[i] {
			if way != nil {
				f(i, j, way)
			}
		}
	}
}

// between visits the ways between two relays.
func (g *region) between(a, b int, f func(*toxiproxy.Proxy)) { f(g.way[a][b]); f(g.way[b][a]) }

// part ends the connections between two relays and refuses new ones, until join.
func (g *region) part(a, b int) { g.between(a, b, (*toxiproxy.Proxy).Stop) }

func (g *region) join(a, b int) {
	g.t.Helper()
	g.between(a, b, func(way *toxiproxy.Proxy) {
		if err := way.Start(); err != nil {
			g.t.Fatal(err)
		}
	})
}

// swallow makes everything between two relays vanish without ending connections, until unswallow.
func (g *region) swallow(a, b int) {
	g.t.Helper()
	g.between(a, b, func(way *toxiproxy.Proxy) {
		for _, stream := range []string{"upstream", "downstream"} {
			hole := fmt.Sprintf(`{"name": %q, "type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream, stream)
			if _, err := way.Toxics.AddToxicJson(strings.NewReader(hole)); err != nil {
				g.t.Fatal(err)
			}
		}
	})
}

func (g *region) unswallow(a, b int) {
	g.t.Helper()
	g.between(a, b, func(way *toxiproxy.Proxy) { way.Toxics.ResetToxics(g.t.Context()) })
}

// signal sends a signal to a relay's process.
func (g *region) signal(i int, s syscall.Signal) {
	g.t.Helper()
	if err := syscall.Kill(g.relays[i].PID, s); err != nil {
		g.t.Fatal(err)
	}
}

// status is what these tests read of a relay's /status.
type status struct {
	Relay struct {
		Peers       int `json:"peers"`
		RemotePeers int `json:"remote_peers"`
		Links       []struct {
			Peers int `json:"peers"`
		} `json:"links"`
		Dropped map[string]struct {
			Other struct {
				Packets int `json:"packets"`
			} `json:"other"`
		} `json:"dropped"`
	} `json:"relay"`
}

func (g *region) status(i int) (s status, err error) {
	body, err := get(g.relays[i].Admin + "/status")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}

// goroutines returns how many a relay has.
func (g *region) goroutines(i int) (n int) {
	g.t.Helper()
	body, err := get("http://" + g.pprof[i] + "/debug/pprof/goroutine?debug=1")
	if err == nil {
		_, err = fmt.Sscanf(body, "goroutine profile: total %d", &n)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// get returns the body of an answer with status 200.
func get(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, answer.Status, body)
	}
	return string(body), err
}

// whole waits until every relay has both links, knows these peers and no others, and does not contradict itself. at is how
// many of the peers are on each relay; nil: none.
func (g *region) whole(at []int) {
	g.t.Helper()
	total := 0
	for _, n := range at {
		total += n
	}
	g.eventually("the region to be whole", func() error {
		for i := range relays {
			here := 0
			if at != nil {
				here = at[i]
			}
			if err := g.knows(i, here, total-here); err != nil {
				return fmt.Errorf("relay %d: %w", i, err)
			}
		}
		return nil
	})
}

// linked waits until every relay has its links, whoever the peers are.
func (g *region) linked() {
	g.t.Helper()
	g.eventually("all links", func() error {
		for i := range relays {
			if s, err := g.status(i); err != nil || len(s.Relay.Links) != relays-1 {
				return fmt.Errorf("relay %d has %d links (%v)", i, len(s.Relay.Links), err)
			}
		}
		return nil
	})
}

// knows compares what a relay knows with what it should.
func (g *region) knows(i, here, elsewhere int) error {
	s, err := g.status(i)
	if err != nil {
		return err
	}
	const siblings = relays - 1 // their conns are peers, too
	if s.Relay.Peers != here+siblings || s.Relay.RemotePeers != elsewhere || len(s.Relay.Links) != siblings {
		return fmt.Errorf("it has %d peers, %d remote ones and %d links; want %d, %d and %d",
			s.Relay.Peers, s.Relay.RemotePeers, len(s.Relay.Links), here+siblings, elsewhere, siblings)
	}
	_, err = get(g.relays[i].Admin + "/check")
	return err
}

// nothingLeft checks, once all peers are gone, that no relay has more goroutines than at the beginning.
func (g *region) nothingLeft() {
	g.t.Helper()
	g.whole(nil)
	const slack = 3 // timers, the request for the profile itself
	g.eventually("goroutines to end", func() error {
		for i := range relays {
			if n := g.goroutines(i); n > g.before[i]+slack {
				return fmt.Errorf("relay %d has %d goroutines, and had %d at first", i, n, g.before[i])
			}
		}
		return nil
	})
}

// eventually waits until check succeeds.
func (g *region) eventually(what string, check func() error) {
	g.t.Helper()
	late := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-late:
			g.t.Fatalf("waited %v for %s: %v", patience, what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
