package stun

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/pion/stun/v3"
)

// transactionID tells an answer from all others.
type transactionID [stun.TransactionIDSize]byte

// errNoAnswer is what every complaint about an answer is.
var errNoAnswer = errors.New("STUN: not an answer")

// newRequest returns a request with a random transaction ID.
func newRequest() (transactionID, []byte, error) {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware(software), stun.Fingerprint)
	if err != nil {
		return transactionID{}, nil, fmt.Errorf("STUN: making a request: %w", err)
	}
	return m.TransactionID, m.Raw, nil
}

// answeredTransaction returns the transaction that b claims to answer. It is
// cheap, as anybody can send us datagrams.
func answeredTransaction(b []byte) (transactionID, bool) {
	if len(b) < headerSize || !stun.IsMessage(b) {
		return transactionID{}, false
	}
	return transactionID(b[headerSize-stun.TransactionIDSize : headerSize]), true
}

// parseAnswer returns the address that an answer gives: that of
// XOR-MAPPED-ADDRESS, also under its old number 0x8020, or else that of
// MAPPED-ADDRESS. An IPv6-mapped IPv4 address counts as IPv4. What comes
// after the length that the header declares is ignored, and so is a
// fingerprint. An address that no host can have is refused.
func parseAnswer(b []byte) (netip.AddrPort, error) {
	m := stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if m.Type != stun.BindingSuccess || b[0]&0xc0 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: it is a %v", errNoAnswer, m.Type)
	}
	var ip []byte
	var port int
	var value stun.RawAttribute
	var err error
	if found, ok := m.Attributes.Get(stun.AttrXORMappedAddress); ok {
		var a stun.XORMappedAddress
		err = a.GetFrom(&m)
		ip, port, value = a.IP, a.Port, found
	} else if found, ok := m.Attributes.Get(stun.AttrMappedAddress); ok {
		var a stun.MappedAddress
		err = a.GetFrom(&m)
		ip, port, value = a.IP, a.Port, found
	} else {
		return netip.AddrPort{}, fmt.Errorf("%w: it has no address", errNoAnswer)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok || int(value.Length) != 4+len(ip) { // the library fills up what is cut off with zeros
		return netip.AddrPort{}, fmt.Errorf("%w: its address has %d bytes", errNoAnswer, value.Length)
	}
	addr = addr.Unmap()
	if addr.IsUnspecified() || addr.IsMulticast() || port <= 0 || port > 0xffff {
		return netip.AddrPort{}, fmt.Errorf("%w: no host has the address %v port %d", errNoAnswer, addr, port)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}
