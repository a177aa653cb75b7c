package tailnet

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
)

const twoRegions = `{"Regions":{"900":{"RegionID":900,"RegionCode":"a","RegionName":"A","Nodes":[{"Name":"900a","RegionID":900,"HostName":"192.0.2.1"}]},` +
	`"901":{"RegionID":901,"RegionCode":"b","RegionName":"B","Nodes":[{"Name":"901a","RegionID":901,"HostName":"192.0.2.2"}]}}}`

// scripted is a stream that says this and ends.
func scripted(lines ...coordapi.Event) func(io.Writer, func(), *http.Request) {
	return func(w io.Writer, flush func(), _ *http.Request) {
		write(w, lines...)
		flush()
	}
}

// Through whatever happens, the view of a member becomes that of the coordinators, and
// what OnEvent was told adds up to it.
func TestTheViewFollowsThroughEverything(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *fake) {
				random := rand.New(rand.NewPCG(seed, 1))
				sum := make(map[string]Peer)
				onEvent := func(e Event) {
					switch e.Type {
					case PeerAdded, PeerChanged:
						if _, known := sum[e.Peer.Key.Hex()]; known != (e.Type == PeerChanged) {
							t.Errorf("%s of %s, known %t", e.Type, e.Peer.Name, known)
						}
						sum[e.Peer.Key.Hex()] = e.Peer
					case PeerGone:
						delete(sum, e.Peer.Key.Hex())
					}
				}
				m, cfg := joined(t, f, func(c *Config) { c.OnEvent = onEvent })
				var there []coordapi.Peer
				epoch := 1
				for range 400 {
					switch random.IntN(10) {
					case 0, 1:
						p := peerNamed(fmt.Sprintf("p%d", random.IntN(1e6)), 900+random.IntN(2))
						there = append(there, p)
						f.put(p)
					case 2, 3:
						if len(there) > 0 {
							i := random.IntN(len(there))
							there[i].Home = 900 + random.IntN(2)
							f.put(there[i])
						}
					case 4:
						if len(there) > 3 {
							f.remove(there[0].Key)
							there = there[1:]
						}
					case 5:
						f.replicas[random.IntN(3)].kill()
					case 6, 7:
						f.replicas[random.IntN(3)].revive()
					case 8:
						if random.IntN(4) == 0 {
							epoch++
							f.renew(fmt.Sprint("e", epoch))
						}
					case 9:
						if random.IntN(4) == 0 {
							m.Close()
							m = open(t, cfg)
						}
					}
					time.Sleep(time.Duration(random.IntN(5)) * time.Second)
				}
				for _, r := range f.replicas {
					r.revive()
				}
				time.Sleep(11 * time.Minute)
				settle(t, m, Connected)
				sameView(t, m, f)
				synctest.Wait()
				if len(sum) != len(m.Peers()) {
					t.Errorf("the events add up to %d peers, want %d", len(sum), len(m.Peers()))
				}
				for _, p := range m.Peers() {
					if !sum[p.Key.Hex()].same(p) {
						t.Errorf("the events leave %+v, want %+v", sum[p.Key.Hex()], p)
					}
				}
			})
		})
	}
}
