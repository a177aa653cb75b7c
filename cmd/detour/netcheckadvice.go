package main

import (
	"fmt"
	"slices"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// netcheckAdvice says what is bad about a report, and what to do.
func netcheckAdvice(r netcheckReport, noUDP bool) (lines []string) {
	switch {
	case r.CaptivePortal:
		lines = append(lines, "a captive portal answers in place of the relays: open a web page over http://, log in there, and try again")
	case r.Home == 0:
		lines = append(lines, noneAnswered(r)...)
	case !r.UDP && !noUDP:
		lines = append(lines, "nothing answers over UDP, so that peers here reach others through relays only: let UDP out, to STUN (port 3478) "+
			"and to the ports of peers")
	}
	if r.Home != 0 && !r.HomeRelays {
		lines = append(lines, fmt.Sprintf("region %d is the nearest, but none of its nodes relays (STUNOnly), so that peers that take it for home "+
			"are not reached there: give it a relay, or set NoMeasureNoHome in the map", r.Home))
	}
	if r.MappingVaries != nil && *r.MappingVaries {
		lines = append(lines, "the NAT gives this host another port for each destination, so that direct connections will be hard: "+
			"switch on UPnP or NAT-PMP in the router, or have it keep ports")
	}
	return lines
}

// mostReasons bounds the advice where each region has trouble of its own.
const mostReasons = 3

// noneAnswered goes by what the regions failed for. That this host may be offline is said only if nothing
// speaks against it.
func noneAnswered(r netcheckReport) (lines []string) {
	var remedies []string
	offline := true
	for _, region := range r.Regions {
		offline = offline && region.cause.MayBeOffline()
		if region.Remedy == "" || region.cause.MayBeOffline() || slices.Contains(remedies, region.Remedy) {
			continue
		}
		if remedies = append(remedies, region.Remedy); len(remedies) <= mostReasons {
			lines = append(lines, fmt.Sprintf("no region answered; region %d: %s", region.Region, region.Remedy))
		}
	}
	switch more := len(remedies) - mostReasons; {
	case offline:
		return []string{"no region answered: is this host online, and are the names and ports in the map right? \"detour ping\" tries one relay"}
	case more > 0:
		return append(lines, fmt.Sprintf("%s more: \"detour check\" says what is wrong with each relay", cli.Counted(more, "cause")))
	case len(lines) == 0:
		return []string{"no region answered, though something does: \"detour check\" says what is wrong with each relay"}
	}
	return lines
}
