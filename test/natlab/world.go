package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// A world is an Internet of its own, with what a scenario has in it. What goes wrong
// while it is built is kept in err, and ends the building.
type world struct {
	six      bool   // IPv6 only; else IPv4 only
	prefix   string // of the names of its namespaces
	dir      string // of files, of its own
	logs     string // another one, of what programs say
	internet *place
	spaces   []space
	wires    int
	err      error
}

// A place is a network that machines are attached to: the Internet, or a LAN, whose
// router is another machine.
type place struct {
	router space
	net    string // first three numbers of a LAN, or its prefix of IPv6; empty: the Internet
	hosts  int    // that are attached
}

// Addresses of the Internet. Responders of the probes are at both, relay and coordinator
// are at the first.
func (w *world) services() (one, other string) {
	if w.six {
		return "2001:db8:ffff::129", "2001:db8:ffff::130"
	}
	return "203.0.113.129", "203.0.113.130"
}

func newWorld(prefix string, six bool, logs string) *world {
	w := &world{prefix: prefix, six: six, logs: logs}
	w.dir, w.err = os.MkdirTemp("", "natlab-") // short: sockets have their paths in it
	if logs == "" {
		w.logs = w.dir
	}
	w.try(os.MkdirAll(w.logs, 0o700))
	w.internet = &place{router: w.newSpace("inet")}
	one, other := w.services()
	w.try(w.internet.router.ip(
		fmt.Sprintf("addr add %s/%d dev lo nodad", one, w.bits()), fmt.Sprintf("addr add %s/%d dev lo nodad", other, w.bits())))
	return w
}

// end takes it away. Processes are gone already.
func (w *world) end() {
	for _, s := range slices.Backward(w.spaces) {
		exec.Command("ip", "netns", "del", string(s)).Run()
	}
	os.RemoveAll(w.dir)
}

func (w *world) try(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *world) bits() int {
	if w.six {
		return 128
	}
	return 32
}

// newSpace makes a machine that forwards packets and has no wire yet.
func (w *world) newSpace(name string) space {
	s := space(w.prefix + name)
	w.try(fed("", "ip", "netns", "add", string(s)))
	w.spaces = append(w.spaces, s)
	w.try(s.set("ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1"))
	w.try(s.ip("link set lo up"))
	return s
}

// attach lays a wire from a machine to a network, where it gets an address and its
// default route. The wire is down until lift.
func (w *world) attach(s space, dev string, to *place) (lift []string, addr string) {
	to.hosts++
	w.wires++
	far, gateway, addr, bits := fmt.Sprintf("w%d", w.wires), "", "", 24
	switch {
	case w.six && to.net == "":
		gateway, addr, bits = fmt.Sprintf("2001:db8:%x::1", to.hosts), fmt.Sprintf("2001:db8:%x::2", to.hosts), 64
	case w.six:
		gateway, addr, bits = to.net+"1", fmt.Sprintf("%s%x", to.net, to.hosts+1), 64
	case to.net == "":
		gateway, addr, bits = fmt.Sprintf("198.51.100.%d", to.hosts*4+1), fmt.Sprintf("198.51.100.%d", to.hosts*4+2), 30
	default:
		gateway, addr = to.net+".1", fmt.Sprintf("%s.%d", to.net, to.hosts+1)
	}
	w.try(fed("", "ip", "link", "add", far, "netns", string(to.router), "type", "veth", "peer", "name", dev, "netns", string(s)))
	if to.net == "" {
		w.try(to.router.ip(fmt.Sprintf("addr add %s/%d dev %s nodad", gateway, bits, far), "link set "+far+" up"))
	} else {
		w.try(to.router.ip("link set "+far+" master lan", "link set "+far+" up"))
	}
	return []string{
		fmt.Sprintf("addr add %s/%d dev %s nodad", addr, bits, dev), "link set " + dev + " up",
		fmt.Sprintf("route replace default via %s dev %s", gateway, dev),
	}, addr
}

func (w *world) plug(s space, dev string, to *place) (addr string) {
	lift, addr := w.attach(s, dev, to)
	w.try(s.ip(lift...))
	return addr
}

// newLAN makes a network behind a router of this kind. The router's own address is in
// outside; net is the network's.
func (w *world) newLAN(name string, k kind, outside *place, net string) *place {
	l := &place{router: w.newSpace(name), net: net}
	wan := w.plug(l.router, "wan", outside)
	w.try(l.router.ip("link add lan type bridge", "link set lan up"))
	if w.six {
		w.try(l.router.ip("addr add " + net + "1/64 dev lan nodad"))
		w.try(outside.router.ip(fmt.Sprintf("route add %s/64 via %s", net, wan)))
	} else {
		w.try(l.router.ip("addr add " + net + ".1/24 dev lan"))
	}
	w.try(l.router.nft(k.rules(l)))
	return l
}
