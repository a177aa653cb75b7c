// Package clients says who uses a relay: it picks connections out of all there are, a
// page at a time, and shows them as derper does.
//
// # Words
//
//   - filter: which connections. Values of one kind are alternatives, kinds add up.
//   - column: what a connection has that one can sort by, in one direction or the other.
//   - cursor: behind which connection a page begins: its value in the column, and its
//     number, so that it may be gone by then.
//
// # Limits
//
// A page visits every connection once and keeps [MostLimit] of them at most; no lock of
// the relay is held while it compares. Between two pages by a column that changes, such
// as bytes, a connection may be shown twice, or not at all.
package clients

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A Filter picks connections; empty fields pick all.
type Filter struct {
	Keys     []KeyPrefix
	Networks []netip.Prefix // of the address that the peer comes from
	Labels   []string       // see relay.Admission.Group; empty: those without
	Apps     []string       // what peers call their programs; empty: those that say nothing
}

// Picks reports whether a filter takes a connection.
func (f *Filter) Picks(p *relay.PeerState) bool {
	return (len(f.Keys) == 0 || slices.ContainsFunc(f.Keys, func(k KeyPrefix) bool { return k.Of(p.Peer) })) &&
		(len(f.Networks) == 0 || slices.ContainsFunc(f.Networks, func(n netip.Prefix) bool { return n.Contains(p.Addr.Addr().Unmap().WithZone("")) })) &&
		(len(f.Labels) == 0 || slices.Contains(f.Labels, p.Group)) &&
		(len(f.Apps) == 0 || slices.Contains(f.Apps, p.AppName))
}

// A KeyPrefix is a key, or what it begins with.
type KeyPrefix struct {
	begins key.Public
	digits int // of hex that count
}

// WholeKey is the prefix that only one key has.
func WholeKey(k key.Public) KeyPrefix { return KeyPrefix{k, 2 * len(k)} }

// Whole returns the key if it is one.
func (k KeyPrefix) Whole() (key.Public, bool) { return k.begins, k.digits == 2*len(k.begins) }

const keyType = "nodekey:"

var errKeyPrefix = errors.New("want nodekey: and hex digits, or the digits alone, 64 at most")

// ParseKeyPrefix reads a key, or what it begins with, with or without nodekey: before it.
func ParseKeyPrefix(text string) (k KeyPrefix, err error) {
	digits := strings.TrimPrefix(text, keyType)
	if len(digits) == 0 || len(digits) > 2*len(k.begins) {
		return k, errKeyPrefix
	}
	even := digits
	if len(even)%2 == 1 {
		even += "0"
	}
	if _, err := hex.Decode(k.begins[:], []byte(even)); err != nil {
		return KeyPrefix{}, errKeyPrefix
	}
	k.digits = len(digits)
	return k, nil
}

// Of reports whether a key begins like this.
func (k KeyPrefix) Of(whole key.Public) bool {
	n := k.digits / 2
	return slices.Equal(k.begins[:n], whole[:n]) && (k.digits%2 == 0 || k.begins[n]>>4 == whole[n]>>4)
}

// String is what ParseKeyPrefix reads.
func (k KeyPrefix) String() string { return keyType + hex.EncodeToString(k.begins[:])[:k.digits] }

// ParseNetwork reads a network, or the one address of it. It has no zone: an address of a
// link is picked on all links of the relay's machine.
func ParseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "%") {
		return netip.Prefix{}, errors.New("a zone, which stands behind %, cannot be picked: leave it out, and the address counts on all links")
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, errors.New("want a network such as 192.0.2.0/24, or an address")
	}
	return network.Masked(), nil
}

// quoted is a text of others, short enough to be repeated.
func quoted(text string) string { return fmt.Sprintf("%.60q", text) }
