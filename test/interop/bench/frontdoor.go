package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/load"
	"github.com/detour-relay/detour/key"
)

// The front door: what it costs to know who comes in and how much each may use, and whether they get that.

// frontDoor is what was found.
type frontDoor struct {
	CPU     map[string][]float64 `json:"cpu_us_per_packet"` // by how the relay was started
	IdleKB  map[string][]float64 `json:"idle_kb,omitempty"` // memory of a peer, by the same
	Limited map[string]float64   `json:"limited"`           // by the rate in Mbit/s: of it, what arrived
	Gaps    int64                `json:"gaps"`              // packets that did not come, or not in their turn
	Greedy  *greedy              `json:"greedy,omitempty"`
	Logins  *hangingLogins       `json:"logins,omitempty"`
	BanMS   []float64            `json:"ban_ms,omitempty"`
	List    *keyList             `json:"list,omitempty"`
}

// greedy are ten keys that share a total, and a quiet pair.
type greedy struct {
	MostToLeast float64 `json:"most_to_least"`
	OfTotal     float64 `json:"of_total"` // what all had, of the total
	AloneP99    float64 `json:"alone_p99_us"`
	BesideP99   float64 `json:"beside_p99_us"`
}

// How relays are started whose CPU time is compared.
const (
	doorOpen    = "open"    // everybody, no limits
	doorAsks    = "asks"    // a URL is asked about each key
	doorLimits  = "limits"  // a limit on every key, in and out, that is not hit
	doorBehind  = "behind"  // connections come with a PROXY header
	doorEarlier = "earlier" // another build of ours, see -before
)

const (
	cpuTurns     = 6 // of each door in a round
	limitedTime  = 5 * time.Second
	limitedBurst = 2 * time.Second // after which a burst is used up
	greedyKeys   = 10
	greedyMbit   = 200
	quietPings   = 1500
	behindPeers  = 3000
	behindSettle = 30 * time.Second
)

var limitedMbit = []int{1, 10, 100}

// undisturbed is the lower quartile, nil of nothing: what else the machine does only ever adds, up to a quarter in a turn, and a median of
// few turns would tell of that.
func undisturbed(turns []float64) *float64 {
	if len(turns) == 0 {
		return nil
	}
	slices.Sort(turns)
	return &turns[len(turns)/4]
}

func frontDoorRows(earlier bool) []row {
	reference, than := doorOpen, "without"
	if earlier {
		reference, than = doorEarlier, "the build before"
	}
	of := func(f *results, door string) *float64 {
		if f.FrontDoor == nil {
			return nil
		}
		return undisturbed(slices.Clone(f.FrontDoor.CPU[door]))
	}
	rows := []row{
		{
			name: "frontdoor-cpu-admission", text: "CPU per packet with admission and no limits, 1 Gbit/s, 16 packets per write", unit: "us",
			mark: mark{limit: 1.01, ratio: true, reference: than}, needs: []string{doorCPU},
			figures: func(r *results) (*float64, *float64) { return of(r, doorAsks), of(r, reference) },
		},
		{
			name: "frontdoor-cpu-limits", text: "CPU per packet with a limit on every key that is not hit, 1 Gbit/s, 16 packets per write", unit: "us",
			mark: mark{limit: 1.03, ratio: true, reference: "without"}, needs: []string{doorCPU},
			figures: func(r *results) (*float64, *float64) { return of(r, doorLimits), of(r, doorOpen) },
		},
		{
			name: "frontdoor-cpu-behind", text: "CPU per packet of peers that a proxy brings by PROXY headers, 1 Gbit/s, 16 packets per write", unit: "us",
			mark: mark{limit: 1.01, ratio: true, reference: "without"}, needs: []string{doorCPU},
			figures: func(r *results) (*float64, *float64) { return of(r, doorBehind), of(r, doorOpen) },
		},
		{
			name: "frontdoor-memory-behind", text: fmt.Sprintf("resident memory per idle peer of those, %d peers", behindPeers), unit: "KB",
			mark: mark{limit: 1.01, ratio: true, reference: "without"}, needs: []string{doorIdle},
			figures: func(r *results) (*float64, *float64) {
				if r.FrontDoor == nil {
					return nil, nil
				}
				return undisturbed(slices.Clone(r.FrontDoor.IdleKB[doorBehind])), undisturbed(slices.Clone(r.FrontDoor.IdleKB[doorOpen]))
			},
		},
	}
	for _, mbit := range limitedMbit {
		rows = append(rows, doorRow(fmt.Sprintf("frontdoor-limit-%d", mbit), fmt.Sprintf("a key limited to %d Mbit/s: how far what arrives in 5 s is from it", mbit), "%",
			mark{limit: 5}, limitedKeys, func(f *frontDoor) float64 { return 100 * math.Abs(f.Limited[fmt.Sprint(mbit)]-1) }))
	}
	return append(rows,
		doorRow("frontdoor-limit-gaps", "packets lost or out of their turn that limited keys sent", "", mark{}, limitedKeys, func(f *frontDoor) float64 { return float64(f.Gaps) }),
		doorRow("frontdoor-fair", "ten greedy keys under a total of 200 Mbit/s: most / least", "", mark{limit: 1.1}, greedyDoor, func(f *frontDoor) float64 { return f.Greedy.MostToLeast }),
		doorRow("frontdoor-total", "how far what they get together is from the total", "%", mark{limit: 5}, greedyDoor, func(f *frontDoor) float64 { return 100 * math.Abs(f.Greedy.OfTotal-1) }),
		row{
			name: "frontdoor-quiet", text: "RTT of a quiet pair beside ten greedy keys under a total, p99", unit: "us",
			mark: mark{limit: 2, ratio: true, reference: "alone"}, needs: []string{greedyDoor},
			figures: func(r *results) (*float64, *float64) {
				if r.FrontDoor == nil || r.FrontDoor.Greedy == nil {
					return nil, nil
				}
				return &r.FrontDoor.Greedy.BesideP99, &r.FrontDoor.Greedy.AloneP99
			},
		},
		doorRow("frontdoor-logins", fmt.Sprintf("%d logins of known keys at once while the source hangs: all are in", manyLogins), "ms", mark{limit: 3000}, doorLogins, func(f *frontDoor) float64 { return f.Logins.TookMS }),
		doorRow("frontdoor-logins-lost", "packets that connected peers lose meanwhile", "", mark{}, doorLogins, func(f *frontDoor) float64 { return float64(f.Logins.Lost) }),
		doorRow("frontdoor-ban", "a ban until the connection is gone, the longest of 20", "ms", mark{limit: 1000}, doorBan, func(f *frontDoor) float64 { return slices.Max(f.BanMS) }),
		doorRow("frontdoor-list", "key list of 1,000,000 lines: time to load it", "ms", mark{limit: 3000}, doorList, func(f *frontDoor) float64 { return f.List.LoadMS }),
		doorRow("frontdoor-list-memory", "resident memory that it takes", "MB", mark{limit: 150}, doorList, func(f *frontDoor) float64 { return f.List.MB }),
	)
}

// The measurements of the front door.
const (
	doorCPU     = "front door: CPU"
	doorIdle    = "front door: idle peers"
	limitedKeys = "front door: limited keys"
	greedyDoor  = "front door: greedy keys"
	doorLogins  = "front door: logins"
	doorBan     = "front door: ban"
	doorList    = "front door: list"
)

// doorRow is a row of one figure that is compared with its mark.
func doorRow(name, text, unit string, m mark, needs string, figure func(*frontDoor) float64) row {
	return row{name: name, text: text, unit: unit, mark: m, needs: []string{needs}, apart: true, figures: func(r *results) (*float64, *float64) {
		if r.FrontDoor == nil || r.Missing[needs] != nil {
			return nil, nil
		}
		f := figure(r.FrontDoor)
		return &f, nil
	}}
}

// frontDoors are the measurements of the front door.
func (s *stage) frontDoors(r *results) (all []other) {
	for _, m := range []struct {
		name    string
		measure func(context.Context, *frontDoor) error
	}{
		{doorCPU, s.doorCPU}, {doorIdle, s.doorIdle}, {limitedKeys, s.limitedKeys}, {greedyDoor, s.greedyKeys}, {doorLogins, s.hangingLogins}, {doorBan, s.bans}, {doorList, s.keyList},
	} {
		all = append(all, other{m.name, func(ctx context.Context) error {
			if r.FrontDoor == nil {
				r.FrontDoor = new(frontDoor)
			}
			return m.measure(ctx, r.FrontDoor)
		}})
	}
	return all
}

// startDoor runs our relay with more arguments, and with a state directory of its own.
func (s *stage) startDoor(ctx context.Context, program string, more ...string) (*relay, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "door-")
	if err != nil {
		return nil, err
	}
	other := *s
	other.detour = program
	return other.startAt(ctx, ours, addr, dir, more...)
}

// doorCPU has relays that are started in different ways under the same load, in turns of which each begins with another one.
func (s *stage) doorCPU(ctx context.Context, f *frontDoor) error {
	source := startSource()
	defer source.stop()
	doors := map[string]*relay{}
	defer func() {
		for _, d := range doors {
			d.stop()
		}
	}()
	for name, args := range map[string][]string{
		doorOpen: {"--access-everyone"}, doorAsks: {"--access-verify", source.url()},
		doorLimits: {"--access-everyone", "--limits-in", "10Gbit/s", "--limits-out", "10Gbit/s"}, doorBehind: behindProxy, doorEarlier: nil,
	} {
		program := s.detour
		if name == doorEarlier {
			if program = s.options.before; program == "" {
				continue
			}
		}
		relay, err := s.startDoor(ctx, program, args...)
		if err != nil {
			return err
		}
		doors[name] = relay
	}
	f.CPU = map[string][]float64{}
	for turn := range cpuTurns * s.options.rounds {
		names := slices.Sorted(maps.Keys(doors))
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			report, err := s.loadDoor(ctx, doors[name], headerFor(name)...)
			if err != nil {
				return err
			}
			f.CPU[name] = append(f.CPU[name], report.Relay.CPUPerPacketUS)
			talk("  turn %d of %d  %-8s %s\n", turn+1, cpuTurns*s.options.rounds, name, glance(report))
		}
	}
	return nil
}

// behindProxy has the generator's PROXY headers believed; whether the relay is there is asked without one.
var behindProxy = []string{"--access-everyone", "--trusted-proxies", "127.0.0.1", "--proxy-header", "optional"}

// doorIdle has peers that do nothing come to new relays, with a proxy and without, in turns.
func (s *stage) doorIdle(ctx context.Context, f *frontDoor) error {
	f.IdleKB = map[string][]float64{}
	for range s.options.rounds {
		for name, args := range map[string][]string{doorOpen: {"--access-everyone"}, doorBehind: behindProxy} {
			relay, err := s.startDoor(ctx, s.detour, args...)
			if err != nil {
				return err
			}
			report, err := generate(ctx, s.detour, append([]string{"bench", "--json", "--insecure", "--pairs", "0", "--idle", fmt.Sprint(behindPeers),
				"--duration", "1s", "--settle", behindSettle.String(), "--pid", fmt.Sprint(relay.pid()), relay.url}, headerFor(name)...))
			relay.stop()
			if err != nil {
				return err
			}
			f.IdleKB[name] = append(f.IdleKB[name], kilobytesPerPeer(report))
			talk("  %-8s %s\n", name, glance(report))
		}
	}
	return nil
}

// headerFor are the generator's flags for a door.
func headerFor(door string) []string {
	if door == doorBehind {
		return []string{"--proxy-header"}
	}
	return nil
}

func (s *stage) loadDoor(ctx context.Context, r *relay, more ...string) (*load.Report, error) {
	report, err := generate(ctx, s.detour, append([]string{"bench", "--json", "--insecure", "--rate", "1G", "--burst", "16",
		"--duration", "2s", "--warmup", "500ms", "--pid", fmt.Sprint(r.pid()), r.url}, more...))
	if err == nil && report.Relay == nil {
		err = fmt.Errorf("the CPU time of the relay is unknown")
	}
	return report, err
}

// limitedKeys has a key send as fast as it is read.
func (s *stage) limitedKeys(ctx context.Context, f *frontDoor) error {
	f.Limited, f.Gaps = map[string]float64{}, 0
	for _, mbit := range limitedMbit {
		relay, err := s.startDoor(ctx, s.detour, "--access-everyone", "--limits-in", fmt.Sprintf("%dMbit/s", mbit), "--limits-burst", "100kB")
		if err != nil {
			return err
		}
		each, took, gaps, err := floodFor(ctx, relay, 1, limitedTime)
		relay.stop()
		if err != nil {
			return err
		}
		part := each[0] / took.Seconds() / (float64(mbit) * 1e6 / 8)
		f.Limited[fmt.Sprint(mbit)] = part
		f.Gaps += gaps
		talk("  %d Mbit/s: %.1f %% of it arrived, %d gaps\n", mbit, 100*part, gaps)
	}
	return nil
}

// floodFor has pairs flood a relay, and returns what arrives in a while after their bursts are used up.
func floodFor(ctx context.Context, r *relay, pairs int, during time.Duration) (each []float64, took time.Duration, gaps int64, err error) {
	flood, err := startRawPairs(ctx, r.addr.String(), pairs)
	if err != nil {
		return nil, 0, 0, err
	}
	defer flood.end()
	if _, _, err := flood.arrive(ctx, limitedBurst); err != nil {
		return nil, 0, 0, err
	}
	each, took, err = flood.arrive(ctx, during)
	return each, took, flood.gaps(), err
}

// greedyKeys has ten keys want everything under a total, and a quiet pair beside them.
func (s *stage) greedyKeys(ctx context.Context, f *frontDoor) error {
	relay, err := s.startDoor(ctx, s.detour, "--access-everyone", "--limits-total", fmt.Sprintf("%dMbit/s", greedyMbit))
	if err != nil {
		return err
	}
	defer relay.stop()
	found := new(greedy)
	if found.AloneP99, err = s.quietP99(ctx, relay); err != nil {
		return err
	}
	flood, err := startRawPairs(ctx, relay.addr.String(), greedyKeys)
	if err != nil {
		return err
	}
	defer flood.end()
	if _, _, err := flood.arrive(ctx, limitedBurst); err != nil {
		return err
	}
	each, took, err := flood.arrive(ctx, limitedTime)
	if err != nil {
		return err
	}
	sum := 0.0
	for _, n := range each {
		sum += n
	}
	found.MostToLeast = slices.Max(each) / slices.Min(each)
	found.OfTotal = sum / took.Seconds() / (greedyMbit * 1e6 / 8)
	if found.BesideP99, err = s.quietP99(ctx, relay); err != nil {
		return err
	}
	f.Greedy = found
	talk("  most / least %.3f, %.1f %% of the total, quiet pair p99 %.0f us, alone %.0f us\n", found.MostToLeast, 100*found.OfTotal, found.BesideP99, found.AloneP99)
	return nil
}

// quietP99 is that of a pair of peers in a process of its own.
func (s *stage) quietP99(ctx context.Context, r *relay) (float64, error) {
	text, err := exec.CommandContext(ctx, s.detour, "ping", "--json", "--insecure", "--interval", "5ms", "--count", fmt.Sprint(quietPings), r.url).Output()
	var report load.EchoReport
	if parsed := json.Unmarshal(text, &report); parsed != nil || report.RoundTrip == nil {
		return 0, fmt.Errorf("the quiet pair gave no report: %w", err)
	}
	return report.RoundTrip.P99, nil
}

// A source answers derper's admission request: yes, or not at all.
type source struct {
	server *http.Server
	addr   string
	hang   chan struct{} // closed: it does not answer any more
	over   chan struct{} // closed at the end
}

func startSource() *source {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // loopback has ports
	}
	s := &source{addr: l.Addr().String(), hang: make(chan struct{}), over: make(chan struct{})}
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.hang:
			select {
			case <-r.Context().Done():
			case <-s.over:
			}
		default:
			fmt.Fprintln(w, `{"Allow":true}`)
		}
	})}
	go s.server.Serve(l)
	return s
}

func (s *source) url() string { return "http://" + s.addr + "/verify" }

func (s *source) stop() {
	close(s.over)
	s.server.Close()
}

// secrets are n new keys.
func secrets(n int) (all []key.Private) {
	for range n {
		all = append(all, key.NewPrivate())
	}
	return all
}
