package relay_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// A region is three relays with a link between each two, and peers that come,
// go and move between them.
type region struct {
	t      *testing.T
	random *rand.Rand
	relays []*relaytest.Relay
	cut    map[[2]int]func()
	conns  map[string][]regionConn
}

type regionConn struct {
	relay int
	*relaytest.Peer
}

func newRegion(t *testing.T, first *relaytest.Relay, seed uint64) *region {
	g := &region{
		t: t, random: rand.New(rand.NewPCG(seed, 3)), cut: map[[2]int]func(){}, conns: map[string][]regionConn{},
		relays: []*relaytest.Relay{first},
	}
	for _, name := range []string{"second", "third"} {
		g.relays = append(g.relays, relaytest.New(t, relay.Config{Key: relaytest.Key(name)}))
	}
	for a := range g.relays {
		for b := range a {
			g.link(a, b)
		}
	}
	return g
}

func (g *region) link(a, b int) { g.cut[[2]int{a, b}] = relaytest.Mesh(g.relays[a], g.relays[b]) }

// step does one thing that happens in a region. It does not wait for it.
func (g *region) step() {
	name := fmt.Sprintf("peer %d", g.random.IntN(8))
	switch conns := g.conns[name]; g.random.IntN(10) {
	case 0: // a partition between two relays, or its end
		a := 1 + g.random.IntN(2)
		pair := [2]int{a, g.random.IntN(a)}
		if cut := g.cut[pair]; cut != nil {
			cut()
			delete(g.cut, pair)
		} else {
			synctest.Wait() // while the old link is there, a new one is refused
			g.link(pair[0], pair[1])
		}
	case 1, 2, 3:
		if len(conns) > 0 {
			i := g.random.IntN(len(conns))
			conns[i].Close()
			g.conns[name] = append(conns[:i:i], conns[i+1:]...)
		}
	default:
		if len(conns) < 3 {
			i := g.random.IntN(len(g.relays))
			g.conns[name] = append(conns, regionConn{i, g.relays[i].Join(name)})
		}
	}
	if g.random.IntN(3) == 0 {
		synctest.Wait()
	}
}

// heal ends all partitions.
func (g *region) heal() {
	synctest.Wait()
	for a := range g.relays {
		for b := range a {
			if g.cut[[2]int{a, b}] == nil {
				g.link(a, b)
			}
		}
	}
	synctest.Wait()
}

// converged checks that every relay knows every peer of the region and no other.
func (g *region) converged() {
	g.t.Helper()
	checked(g.t, g.relays...)
	for i, r := range g.relays {
		here, elsewhere := map[string]bool{}, map[string]bool{}
		for name, conns := range g.conns {
			for _, c := range conns {
				if c.relay == i {
					here[name] = true
				}
			}
			if len(conns) > 0 && !here[name] {
				elsewhere[name] = true
			}
		}
		s := r.Survey()
		const siblings = 2 // are conns too
		if s.Peers != int64(len(here)+siblings) || s.RemotePeers != int64(len(elsewhere)) || len(s.Links) != 2 {
			g.t.Errorf("relay %d has %d peers, %d remote ones and %d links; want %d, %d and 2",
				i, s.Peers, s.RemotePeers, len(s.Links), len(here)+siblings, len(elsewhere))
		}
		g.reaches(r)
	}
}

// reaches checks that a packet through r arrives at every peer of the region, at
// one of its conns, and at nobody else.
func (g *region) reaches(r *relaytest.Relay) {
	g.t.Helper()
	sender := r.Join("sender")
	synctest.Wait()
	for name, conns := range g.conns {
		for _, c := range conns {
			c.Got()
		}
		sender.Send(derp.AppendSendPacket(nil, relaytest.Key(name).Public(), []byte("hi")))
		arrived := 0
		for _, c := range conns {
			for _, f := range c.Got() {
				if f[:4] == "Recv" {
					arrived++
				}
			}
		}
		if want := min(1, len(conns)); arrived != want {
			g.t.Errorf("a packet for %s, which has %d conns, arrived %d times", name, len(conns), arrived)
		}
	}
	sender.Close()
	sender.Ended()
	synctest.Wait()
}

// Whatever happens in a region, once it is whole again everybody is known and
// reached everywhere.
func TestPresenceConverges(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, first *relaytest.Relay) {
				g := newRegion(t, first, seed)
				for range 4 {
					for range 40 {
						g.step()
					}
					g.heal()
					g.converged()
				}
			})
		})
	}
}
