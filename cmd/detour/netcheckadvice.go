package main

// netcheckAdvice says what is bad about a report, and what to do.
func netcheckAdvice(r netcheckReport, noUDP bool) (lines []string) {
	switch {
	case r.CaptivePortal:
		lines = append(lines, "a captive portal answers in place of the relays: open a web page over http://, log in there, and try again")
	case r.Home == 0:
		lines = append(lines, "no region answered: is this host online, and are the names and ports in the map right? \"detour ping\" tries one relay")
	case !r.UDP && !noUDP:
		lines = append(lines, "nothing answers over UDP, so that peers here reach others through relays only: let UDP out, to STUN (port 3478) "+
			"and to the ports of peers")
	}
	if r.MappingVaries != nil && *r.MappingVaries {
		lines = append(lines, "the NAT gives this host another port for each destination, so that direct connections will be hard: "+
			"switch on UPnP or NAT-PMP in the router, or have it keep ports")
	}
	return lines
}
