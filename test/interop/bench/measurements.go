package main

import (
	"fmt"
	"strconv"
	"time"
)

// measurement is one load on one relay. Its name is its identity in results.
type measurement struct {
	name string
	args []string // of detour bench, besides those that say where and how long

	long   bool // twice as long as others, for the sake of its percentiles
	once   bool // one round is enough
	settle time.Duration
	idle   bool // no load: a duration means nothing

	mesh    bool // the receivers are on a sibling of the senders' relay
	beside  bool // the load stays on one relay, but there is a sibling, and a little load crosses to it
	stopped bool // with beside: the sibling is stopped before the measurement begins
}

// alone says that only our relay is measured.
func (m measurement) alone() bool { return m.beside }

const (
	idlePeers  = 5000
	idleSettle = time.Minute // from the last login until memory is read
)

// loads are all measurements, in the order in which they are made. Packets are 1400 bytes, one TLS record
// each, in ten pairs, unless the arguments say otherwise.
func loads() []measurement {
	all := []measurement{
		{name: "max", args: []string{"--rate", "max"}},
		{name: "max-100", args: []string{"--rate", "max", "--pairs", "100"}},
		{name: "2g", args: []string{"--rate", "2G", "--burst", "16"}},
		{name: "1g-16", args: []string{"--rate", "1G", "--burst", "16"}},
		{name: "500m-1", args: []string{"--rate", "500M", "--burst", "1"}},
		{name: "nine", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9"}},
		{name: "nine-stalled", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9", "--stall"}},
		{name: "fanin", args: []string{"--rate", "max", "--pattern", "fanin"}},
		{name: "idle", args: []string{"--pairs", "0", "--idle", strconv.Itoa(idlePeers)}, settle: idleSettle, once: true, idle: true},
	}
	all = append(all,
		measurement{name: "mesh-max", args: []string{"--rate", "max"}, mesh: true},
		measurement{name: "mesh-500m", args: []string{"--rate", "500M", "--burst", "1"}, mesh: true},
		measurement{name: "mesh-local", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9"}, beside: true},
		measurement{name: "mesh-local-stopped", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9"}, beside: true, stopped: true},
	)
	for _, rate := range quietRates {
		all = append(all, measurement{
			name: quietName(rate), args: []string{"--rate", fmt.Sprintf("%dM", rate), "--burst", "1", "--quiet-pair"}, long: true,
		})
	}
	return all
}

// quietRates are the loads in Mbit/s beside which a quiet pair is measured.
var quietRates = []int{100, 250, 500}

func quietName(rate int) string { return fmt.Sprintf("quiet-%d", rate) }

// rounds is how often the measurement is made.
func (m measurement) rounds(o options) int {
	if m.once {
		return 1
	}
	return o.rounds
}

// arguments are those of detour bench, without the relay's URL.
func (m measurement) arguments(o options) []string {
	args := append([]string{"bench", "--json", "--insecure"}, m.args...)
	if m.idle {
		return append(args, "--settle", m.settle.String())
	}
	seconds := o.seconds
	if m.long {
		seconds *= 2
	}
	return append(args, "--duration", fmt.Sprintf("%ds", seconds), "--warmup", "1s")
}
