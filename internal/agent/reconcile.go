package agent

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// wantedOf are the peers that the device is to have. An address is that of one peer: of
// a member rather than of a guest, and of several the one with the least key.
func wantedOf(own []netip.Addr, members, guests []tailnet.Peer) map[key.Public][]netip.Addr {
	wanted, taken := make(map[key.Public][]netip.Addr), make(map[netip.Addr]bool)
	for _, a := range own {
		taken[a] = true
	}
	for _, peers := range [][]tailnet.Peer{members, guests} {
		peers = slices.SortedFunc(slices.Values(peers), func(a, b tailnet.Peer) int { return a.Key.Compare(b.Key) })
		for _, p := range peers {
			var addresses []netip.Addr
			for _, a := range p.Addresses {
				if !taken[a] {
					taken[a] = true
					addresses = append(addresses, a)
				}
			}
			wanted[p.Key] = addresses
		}
	}
	return wanted
}

// peer is one of those that the device has.
type peer struct {
	endpoint  string
	allowed   []netip.Prefix
	keepalive bool
	preshared [32]byte  // zero: none
	handshake time.Time // the last one; zero: none yet
	received  uint64    // bytes, as they were in the tunnel
	sent      uint64
}

// readDevice reads what a device says of its peers, in the words of WireGuard's
// configuration protocol.
func readDevice(config string) (map[key.Public]*peer, error) {
	peers := make(map[key.Public]*peer)
	var p *peer
	var seconds int64
	lines := bufio.NewScanner(strings.NewReader(config))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if !ok {
			return nil, errors.New("the device says something that is no name=value")
		}
		var err error
		switch {
		case name == "public_key":
			var k key.Public
			if k, err = key.ParsePublicHex(value); err == nil {
				p = new(peer)
				peers[k] = p
			}
		case p == nil: // of the device itself
		case name == "last_handshake_time_sec":
			seconds, err = strconv.ParseInt(value, 10, 64)
		case name == "last_handshake_time_nsec":
			var nanos int64
			if nanos, err = strconv.ParseInt(value, 10, 64); seconds != 0 || nanos != 0 {
				p.handshake = time.Unix(seconds, nanos)
			}
		default:
			err = p.read(name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("the device says a %s that cannot be read: %w", name, err)
		}
	}
	return peers, lines.Err()
}

func (p *peer) read(name, value string) (err error) {
	switch name {
	case "endpoint":
		p.endpoint = value
	case "preshared_key":
		var b []byte
		if b, err = hex.DecodeString(value); err == nil && copy(p.preshared[:], b) != len(b) {
			err = errors.New("it is too long")
		}
	case "persistent_keepalive_interval":
		p.keepalive = value != "0"
	case "allowed_ip":
		var prefix netip.Prefix
		prefix, err = netip.ParsePrefix(value)
		p.allowed = append(p.allowed, prefix)
	case "rx_bytes":
		p.received, err = strconv.ParseUint(value, 10, 64)
	case "tx_bytes":
		p.sent, err = strconv.ParseUint(value, 10, 64)
	}
	return err
}

// difference is what has to be set so that what is found becomes what is wanted, and who
// is gone by that. It is empty if they are equal.
func difference(wanted map[key.Public][]netip.Addr, found map[key.Public]*peer, preshared func(key.Public) [32]byte) (change string, gone []key.Public) {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(found), key.Public.Compare) {
		if _, stays := wanted[k]; !stays {
			fmt.Fprintf(&b, "public_key=%s\nremove=true\n", k.Hex())
			gone = append(gone, k)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(wanted), key.Public.Compare) {
		p, known := found[k]
		if !known {
			p = new(peer)
		}
		if lines := p.changeTo(k, wanted[k], preshared(k)); lines != "" || !known {
			fmt.Fprintf(&b, "public_key=%s\n%s", k.Hex(), lines)
		}
	}
	return b.String(), gone
}

// changeTo is what one peer lacks, or has too much. Addresses that stay are not touched:
// packets to them would be lost meanwhile.
func (p *peer) changeTo(k key.Public, addresses []netip.Addr, preshared [32]byte) string {
	var b strings.Builder
	if p.endpoint != k.String() {
		fmt.Fprintf(&b, "endpoint=%s\n", k)
	}
	if p.preshared != preshared {
		fmt.Fprintf(&b, "preshared_key=%x\n", preshared)
	}
	if p.keepalive {
		b.WriteString("persistent_keepalive_interval=0\n")
	}
	var wanted []netip.Prefix
	for _, a := range addresses {
		wanted = append(wanted, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, prefix := range p.allowed {
		if !slices.Contains(wanted, prefix) {
			fmt.Fprintf(&b, "allowed_ip=-%s\n", prefix)
		}
	}
	for _, prefix := range wanted {
		if !slices.Contains(p.allowed, prefix) {
			fmt.Fprintf(&b, "allowed_ip=%s\n", prefix)
		}
	}
	return b.String()
}
