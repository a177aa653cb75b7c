// Package behind is about what stands before a server: which proxies are believed, and
// whom they say they bring.
//
// # Words
//
//   - believed: a proxy within one of the networks that the operator has named. What
//     it says of a peer's address counts; what all others say does not.
//   - header: a PROXY header, v1 or v2, which stands before all else on a connection.
//   - word: what a request says by Forwarded (RFC 7239) or X-Forwarded-For.
//   - silent: a proxy that is believed and says nothing.
//
// # Limits
//
// A header is [MostHeader] bytes at the most, and who reads it bounds the time. A word
// is as long as net/http lets the head of a request be. What cannot be read is never
// passed over: an address that was made up is worse than none.
package behind

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Why it is not known whom a proxy brings.
var (
	// ErrNoHeader: what came is no PROXY header.
	ErrNoHeader = errors.New("there is no PROXY header")
	// ErrMalformed: what the proxy says cannot be read.
	ErrMalformed = errors.New("the proxy's word cannot be read")
	// ErrSilent: the request has neither of the two words.
	ErrSilent = errors.New("the proxy does not say whom it brings")
	// ErrContradiction: two words name different peers, so one is made up.
	ErrContradiction = errors.New("the words Forwarded and X-Forwarded-For name different peers")
)

// Proxies are those that are believed. The zero value is nobody.
type Proxies struct {
	networks []netip.Prefix
}

// Parse reads networks and addresses: 10.0.0.0/8, 2001:db8::/32, 127.0.0.1.
func Parse(networks []string) (p Proxies, err error) {
	for _, text := range networks {
		network, err := parseNetwork(text)
		if err != nil {
			return Proxies{}, err
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

func parseNetwork(text string) (network netip.Prefix, err error) {
	if strings.Contains(text, "/") {
		network, err = netip.ParsePrefix(text)
	} else {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(text); err == nil {
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
	}
	switch {
	case err != nil || strings.Contains(text, "%"): // a zone means something on one host only
		return network, fmt.Errorf("%q: want networks or addresses, such as 10.0.0.0/8 or 127.0.0.1", text)
	case network.Bits() == 0:
		return network, fmt.Errorf("%q is everybody, who could claim any address: name the networks of your proxies", text)
	case network.Addr().Is4In6() && network.Bits() < 96:
		return network, fmt.Errorf("%q: write IPv4 as IPv4, such as 10.0.0.0/8", text)
	case network.Addr().Is4In6():
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		return parseNetwork(network.String())
	}
	return network.Masked(), nil
}

// Believes reports whether a proxy at the address is believed.
func (p Proxies) Believes(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range p.networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
