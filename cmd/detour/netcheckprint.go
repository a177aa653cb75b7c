package main

import (
	"fmt"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// Columns that what a map says may take: it may be anything.
const (
	maxCode   = 12
	maxName   = 32
	maxWhyNot = 200
)

// netcheckText is the report for people: what was found of this host, and a table of the regions.
func netcheckText(r netcheckReport, noUDP bool, on cli.Page) string {
	var text strings.Builder
	say := func(what, answer string) { fmt.Fprintf(&text, "%-15s  %s\n", what, answer) }
	say("UDP", udpAnswer(r, noUDP))
	say("IPv4", familyAnswer(r.UDP, r.IPv4, r.PublicIPv4))
	say("IPv6", familyAnswer(r.UDP, r.IPv6, r.PublicIPv6))
	say("NAT mapping", mappingAnswer(r.MappingVaries))
	if !r.UDP {
		say("Captive portal", portalAnswer(r.CaptivePortal))
	}
	say("Home", homeAnswer(r))
	text.WriteString("\n")
	newRegionTable(r, on).write(&text)
	return text.String()
}

func udpAnswer(r netcheckReport, noUDP bool) string {
	if noUDP {
		return "not tried, because of --no-udp"
	}
	return yesOrNo(r.UDP)
}

func familyAnswer(udp, works bool, addr string) string {
	switch {
	case !udp:
		return "not known"
	case works && addr != "":
		return "yes, " + addr
	}
	return yesOrNo(works)
}

func mappingAnswer(varies *bool) string {
	switch {
	case varies == nil:
		return "not known"
	case *varies:
		return "differs by region: direct connections will be hard"
	}
	return "the same for all regions"
}

func portalAnswer(found bool) string {
	if found {
		return "yes"
	}
	return "none found"
}

func homeAnswer(r netcheckReport) string {
	for _, region := range r.Regions {
		if region.Region != r.Home {
			continue
		}
		if !r.HomeRelays {
			return regionTitle(region) + ": " + r.Reason + ", but it cannot relay: all its nodes are STUNOnly"
		}
		return regionTitle(region) + ": " + r.Reason
	}
	return "none: " + r.Reason
}

func regionTitle(r netcheckRegion) string {
	title := fmt.Sprint(r.Region)
	if r.Code != "" {
		title += " " + cli.Clean(r.Code, maxCode)
	}
	if r.Name != "" {
		title += " (" + cli.Clean(r.Name, maxName) + ")"
	}
	return title
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
