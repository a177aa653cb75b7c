package home_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// The way of one report, with regions that answer at once or not at all. A real
// user has sockets, and waits for what comes first: an answer, or the round's Wake.
func Example() {
	regions := []home.Region{
		{ID: 900, Nodes: []home.Node{{HostName: "fra.example"}}},
		{ID: 901, Nodes: []home.Node{{HostName: "ams.example"}}},
	}
	latency := map[int]time.Duration{900: 32 * time.Millisecond, 901: 11 * time.Millisecond}
	us := netip.MustParseAddrPort("192.0.2.7:41641")

	var schedule home.Schedule
	var chooser home.Chooser
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

	round := home.NewRound(home.Questions{
		Regions: regions,
		Have:    home.Families{IPv4: true},
		Full:    schedule.Begin(now),
		Home:    chooser.Home(),
	}, now)
	for {
		for _, probe := range round.Due(now) {
			fmt.Printf("probe to %s\n", probe.Target.Host)
			round.Answer(probe, latency[probe.Region], us, now)
		}
		if round.Over(now) {
			break
		}
		now = round.Wake()
	}
	report := round.Report()
	decision := chooser.Choose(now, report, home.Circumstances{Regions: regions})
	schedule.End(now, report, 0.5)

	fmt.Printf("home %d: %s\n", decision.Home, decision.Reason)
	wait, _ := schedule.Wait(now, now)
	fmt.Printf("next report in %v\n", wait)
	// Output:
	// probe to fra.example
	// probe to ams.example
	// home 901: it is the nearest
	// next report in 23s
}
