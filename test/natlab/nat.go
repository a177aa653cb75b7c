package main

import (
	"fmt"
	"strings"
)

// A kind of router between a LAN and what is outside.
type kind struct {
	name string

	random bool   // each connection leaves by a port of its own; else by the port that it has inside
	opens  string // who may send to a port that something was sent from: "", only where that went; "address", any port there; "all"
	mute   bool   // no UDP passes
	deaf   bool   // none comes in
	plain  bool   // addresses stay as they are: a firewall
}

// The kinds, by the names that are usual. Linux's own masquerading is the port-restricted
// cone as long as no two hosts use the same port; the wider ones lead all ports to the
// one host of their LAN, since conntrack has no such thing.
var (
	portCone  = kind{name: "port cone"}
	addrCone  = kind{name: "address cone", opens: "address"}
	fullCone  = kind{name: "full cone", opens: "all"}
	symmetric = kind{name: "symmetric", random: true}
	noUDP     = kind{name: "no UDP", mute: true}
	noUDPIn   = kind{name: "no UDP in", deaf: true}
	firewall  = kind{name: "firewall", plain: true}
)

// rules are nft's. What comes from outside for the router itself is dropped, as routers
// do: if it were answered, conntrack would remember it as a connection, and have ours to
// the same place leave by another port.
func (k kind) rules(l *place) string {
	var b strings.Builder
	family, all := "ip", "0.0.0.0/0"
	if k.plain {
		family, all = "ip6", "::/0"
	}
	fmt.Fprintf(&b, "table %s lab {\nset spoken { type ipv4_addr; flags dynamic,timeout; timeout 60s; }\n", family)
	b.WriteString("chain through {\ntype filter hook forward priority filter; policy drop;\n")
	if k.mute {
		b.WriteString("meta l4proto udp drop\n")
	}
	if k.deaf {
		b.WriteString("iifname wan meta l4proto udp drop\n")
	}
	if k.opens == "address" {
		b.WriteString("iifname lan update @spoken { ip daddr }\n")
	}
	fmt.Fprintf(&b, "iifname lan %s saddr %s accept\nct state established,related accept\nct status dnat accept\n}\n", family, all)
	if !k.plain {
		b.WriteString("chain here {\ntype filter hook input priority filter; policy drop;\niifname != wan accept\n}\n")
		b.WriteString(k.translation(l.net + ".2"))
	}
	b.WriteString("}\n")
	return b.String()
}

func (k kind) translation(host string) string {
	how, who := "masquerade", ""
	if k.random {
		how = "masquerade fully-random"
	}
	if k.opens == "address" {
		who = "ip saddr @spoken "
	}
	text := "chain goes {\ntype nat hook postrouting priority srcnat;\noifname wan " + how + "\n}\n"
	if k.opens != "" {
		text += "chain comes {\ntype nat hook prerouting priority dstnat;\niifname wan " + who + "udp dport 1024-65535 dnat to " + host + "\n}\n"
	}
	return text
}

// nature is what can be seen of a NAT from inside.
type nature struct {
	mute      bool
	symmetric bool
	opens     string
}

func (k kind) nature() nature {
	return nature{mute: k.mute || k.deaf, symmetric: k.random, opens: k.opens}
}

func (n nature) String() string {
	switch {
	case n.mute:
		return "no UDP"
	case n.symmetric:
		return "a port for each destination, open to " + n.who()
	}
	return "one port, open to " + n.who()
}

func (n nature) who() string {
	switch n.opens {
	case "":
		return "where it has sent to"
	case "address":
		return "addresses it has sent to"
	}
	return "all"
}
