package main

import (
	"fmt"
	"time"
)

const (
	direct = "direct"
	relay  = "relay"
)

// A scenario is two laptops in some surroundings, and what is to come of it.
type scenario struct {
	name  string
	six   bool // IPv6 only
	build func(w *world) (a, b side)
	want  string
	hold  time.Duration // for how long it has to stay so; 0: 3 s

	then *event // in the middle of the stream; nil: nothing
}

// A side is where a laptop is.
type side struct {
	host   space
	dev    string // its interface
	behind *place // the network it is in
	nature nature // of what is between it and the Internet

	elsewhere *place // another network that it can move to
	moved     int
}

// An event is something that happens while packets flow.
type event struct {
	do   func(w *world, a *side) error // nil: nothing
	undo func(w *world, a *side) error // nil: the next run begins as this one ends
	rest time.Duration                 // nothing is sent for so long
	want string
	lose int // packets that may be lost by it, of 200 a second
}

// Nobody can know that a NAT has forgotten a mapping before something has not come: 3 s
// of packets (docs/decisions/0022-direct-paths.md), and as much again for a machine that
// has other things to do.
const silent = 1200

func (w *world) behind(name string, k kind, outside *place, net string) side {
	l := w.newLAN(name+"-nat", k, outside, net)
	return w.in(name, l, k.nature())
}

// in has a laptop in a network.
func (w *world) in(name string, l *place, n nature) side {
	s := side{host: w.newSpace(name), dev: "eth0", behind: l, nature: n}
	w.plug(s.host, s.dev, l)
	return s
}

func between(a, b kind) func(*world) (side, side) {
	return func(w *world) (side, side) {
		return w.behind("a", a, w.internet, "192.168.1"), w.behind("b", b, w.internet, "192.168.2")
	}
}

func sameLAN(w *world) (a, b side) {
	a = w.behind("a", portCone, w.internet, "192.168.1")
	return a, w.in("b", a.behind, a.nature)
}

func noNAT(w *world) (a, b side) {
	open := nature{opens: "all"}
	return w.in("a", w.internet, open), w.in("b", w.internet, open)
}

// doubleNAT has a behind a router at home that is behind the provider's.
func doubleNAT(w *world) (a, b side) {
	carrier := w.newLAN("carrier", portCone, w.internet, "100.64.0")
	return w.behind("a", portCone, carrier, "192.168.1"), w.behind("b", portCone, w.internet, "192.168.1")
}

func behindFirewalls(w *world) (a, b side) {
	return w.behind("a", firewall, w.internet, "2001:db8:a001::"), w.behind("b", firewall, w.internet, "2001:db8:a002::")
}

func forgets(_ *world, a *side) error {
	return fed("", "ip", "netns", "exec", string(a.behind.router), "conntrack", "-F")
}

// shortMemory has a NAT forget what has been still for 5 s.
func shortMemory(w *world) (a, b side) {
	a, b = between(portCone, portCone)(w)
	for _, s := range []side{a, b} {
		w.try(s.behind.router.set("netfilter/nf_conntrack_udp_timeout=5", "netfilter/nf_conntrack_udp_timeout_stream=5"))
	}
	return a, b
}

// twoNetworks has a be in one network, and able to go to another.
func twoNetworks(w *world) (a, b side) {
	a, b = between(portCone, portCone)(w)
	a.elsewhere = w.newLAN("cafe", portCone, w.internet, "192.168.3")
	return a, b
}

// moves has a laptop leave its network for another one: a wire is pulled, and then
// another one is plugged in.
func moves(w *world, a *side) error {
	a.moved++
	old, dev := a.dev, fmt.Sprintf("eth%d", a.moved)
	lift, _ := w.attach(a.host, dev, a.elsewhere)
	w.try(a.host.ip(append([]string{"addr flush dev " + old, "link set " + old + " down"}, lift...)...))
	w.try(a.host.ip("link del " + old))
	a.dev, a.behind, a.elsewhere = dev, a.elsewhere, a.behind
	return w.err
}

// dropsUDP has a's router let no UDP through any more, and passesUDP let it.
func dropsUDP(_ *world, a *side) error {
	return a.behind.router.nft("add chain ip lab late { type filter hook forward priority -1; }\nadd rule ip lab late meta l4proto udp drop\n")
}

func passesUDP(_ *world, a *side) error { return a.behind.router.nft("delete chain ip lab late\n") }

var scenarios = []scenario{
	{name: "no NAT", build: noNAT, want: direct},
	{name: "same LAN", build: sameLAN, want: direct},
	{name: "port cone to port cone", build: between(portCone, portCone), want: direct},
	{name: "full cone to port cone", build: between(fullCone, portCone), want: direct},
	{name: "symmetric to full cone", build: between(symmetric, fullCone), want: direct},
	{name: "symmetric to address cone", build: between(symmetric, addrCone), want: direct},
	{name: "symmetric to port cone", build: between(symmetric, portCone), want: relay, hold: 20 * time.Second},
	{name: "symmetric to symmetric", build: between(symmetric, symmetric), want: relay, hold: longHold},
	{name: "UDP dropped", build: between(noUDP, portCone), want: relay, hold: 20 * time.Second},
	{name: "UDP dropped one way", build: between(noUDPIn, fullCone), want: relay, hold: 20 * time.Second},
	{name: "double NAT", build: doubleNAT, want: direct},
	{name: "IPv6 only, firewalls", six: true, build: behindFirewalls, want: direct},
	{name: "NAT that forgets", build: between(portCone, portCone), want: direct, then: &event{do: forgets, want: direct, lose: silent}},
	{name: "NAT that forgets its ports", build: between(symmetric, fullCone), want: direct, then: &event{do: forgets, want: direct, lose: silent}},
	{name: "NAT with 5 s of memory", build: shortMemory, want: direct, then: &event{rest: 20 * time.Second, want: direct}},
	{name: "address that changes", build: twoNetworks, want: direct, then: &event{do: moves, want: direct, lose: silent}},
	{name: "UDP dropped later", build: between(portCone, portCone), want: direct, then: &event{do: dropsUDP, undo: passesUDP, want: relay, lose: silent}},
}
