package main

import "fmt"

// measurement is one load on one relay. Its name is its identity in results.
type measurement struct {
	name string
	args []string // of detour bench, besides those that say where and how long

	long   bool // twice as long as others, for the sake of its percentiles
	sameGo bool // also of ours as derper's Go builds it
	before bool // also of the build before, if there is one

	mesh    bool // the receivers are on a sibling of the senders' relay
	beside  bool // the load stays on one relay, but there is a sibling, and a little load crosses to it
	stopped bool // with beside: the sibling is stopped before the measurement begins
}

// of says whether the measurement is made of a relay.
func (m measurement) of(kind relayKind, o options) bool {
	switch kind {
	case derper:
		return !m.beside
	case sameGo:
		return m.sameGo
	case earlier:
		return m.before && o.before != ""
	}
	return true
}

// loads are all measurements, in the order in which they are made. Packets are 1400 bytes, one TLS record
// each, in ten pairs, unless the arguments say otherwise.
func loads() []measurement {
	all := []measurement{
		{name: "max", args: []string{"--rate", "max"}, sameGo: true, before: true},
		{name: "max-100", args: []string{"--rate", "max", "--pairs", "100"}, sameGo: true},
		{name: "2g", args: []string{"--rate", "2G", "--burst", "16"}},
		{name: "1g-16", args: []string{"--rate", "1G", "--burst", "16"}, sameGo: true},
		{name: "500m-1", args: []string{"--rate", "500M", "--burst", "1"}, sameGo: true},
		{name: "50m-500", args: []string{"--rate", "50M", "--burst", "1", "--pairs", "500"}, sameGo: true},
		{name: "nine", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9"}},
		{name: "nine-stalled", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9", "--stall"}},
		{name: "fanin", args: []string{"--rate", "max", "--pattern", "fanin"}},
	}
	all = append(all,
		measurement{name: "mesh-max", args: []string{"--rate", "max"}, mesh: true},
		measurement{name: "mesh-500m", args: []string{"--rate", "500M", "--burst", "1"}, mesh: true, sameGo: true},
		measurement{name: "mesh-local", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9"}, beside: true},
		measurement{name: "mesh-local-stopped", args: []string{"--rate", "900M", "--burst", "16", "--pairs", "9"}, beside: true, stopped: true},
	)
	for _, rate := range quietRates {
		all = append(all, measurement{
			name: quietName(rate), args: []string{"--rate", fmt.Sprintf("%dM", rate), "--burst", "1", "--quiet-pair"}, long: true, sameGo: rate != 250,
		})
	}
	return all
}

// quietRates are the loads in Mbit/s beside which a quiet pair is measured.
var quietRates = []int{100, 250, 500}

func quietName(rate int) string { return fmt.Sprintf("quiet-%d", rate) }

// arguments are those of detour bench, without the relay's URL.
func (m measurement) arguments(o options) []string {
	args := append([]string{"bench", "--json", "--insecure"}, m.args...)
	during := o.during()
	if m.long {
		during *= 2
	}
	return append(args, "--duration", during.String(), "--warmup", "1s")
}
