package disco

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/detour-relay/detour/key"
)

// A Type says what a Message is.
type Type byte

const (
	Ping        Type = 1
	Pong        Type = 2
	CallMeMaybe Type = 3
)

// MostEndpoints is how many endpoints of a CallMeMaybe are read; the others are left
// out. A machine with many interfaces has a dozen.
const MostEndpoints = 32

const (
	version     = 0
	headerLen   = 2 // type, version
	txIDLen     = 12
	endpointLen = 16 + 2
)

// PingLen is how long the message of a Ping with a key is, without padding.
const PingLen = headerLen + txIDLen + key.Len

// Errors of Parse.
var (
	ErrShort = errors.New("disco: the message is cut off")
	ErrType  = errors.New("disco: a type of message that is not known")
)

// A TxID ties a Pong to its Ping. It is random, so that nobody can guess it who has not
// seen the Ping.
type TxID [txIDLen]byte

// A Message is what stands in a box. Which fields count depends on the Type.
type Message struct {
	Type Type
	TxID TxID // of Ping and Pong

	Node    key.Public // of Ping: who the sender says it is; zero: it does not say
	Padding int        // of Ping, in bytes

	Source netip.AddrPort // of Pong: where the Ping came from

	Endpoints []netip.AddrPort // of CallMeMaybe: where the sender may be reached
}

// Append appends the message as it stands in a box. A message of a type that is not
// known appends nothing.
func (m *Message) Append(b []byte) []byte {
	switch m.Type {
	case Ping:
		b = append(append(b, byte(Ping), version), m.TxID[:]...)
		if !m.Node.IsZero() {
			b = append(b, m.Node[:]...)
		}
		return appendZeros(b, m.Padding)
	case Pong:
		b = append(append(b, byte(Pong), version), m.TxID[:]...)
		return appendEndpoint(b, m.Source)
	case CallMeMaybe:
		b = append(b, byte(CallMeMaybe), version)
		for _, e := range m.Endpoints {
			b = appendEndpoint(b, e)
		}
	}
	return b
}

// appendZeros is append(b, make([]byte, n)...) without a slice that is made under the
// race detector only.
func appendZeros(b []byte, n int) []byte {
	start := len(b)
	b = slices.Grow(b, max(0, n))[:start+max(0, n)]
	clear(b[start:])
	return b
}

// Parse reads what stood in a box. It uses the space of m.Endpoints again, and keeps
// nothing of b.
func (m *Message) Parse(b []byte) error {
	*m = Message{Endpoints: m.Endpoints[:0]}
	if len(b) < headerLen {
		return ErrShort
	}
	m.Type = Type(b[0])
	switch rest := b[headerLen:]; m.Type {
	case Ping:
		return m.parsePing(rest)
	case Pong:
		return m.parsePong(rest)
	case CallMeMaybe:
		if b[1] == version { // there may be another form in times to come
			m.parseEndpoints(rest)
		}
		return nil
	}
	return ErrType
}

func (m *Message) parsePing(b []byte) error {
	if len(b) < txIDLen {
		return ErrShort
	}
	m.TxID = TxID(b)
	b = b[txIDLen:]
	if len(b) >= key.Len && !key.Public(b).IsZero() { // zeros are padding
		m.Node = key.Public(b)
		b = b[key.Len:]
	}
	m.Padding = len(b)
	return nil
}

func (m *Message) parsePong(b []byte) error {
	if len(b) < txIDLen+endpointLen {
		return ErrShort
	}
	m.TxID = TxID(b)
	m.Source = endpoint(b[txIDLen:])
	return nil
}

// parseEndpoints takes none where they do not come out even: that is some other form.
func (m *Message) parseEndpoints(b []byte) {
	if len(b)%endpointLen != 0 {
		return
	}
	for ; len(b) > 0 && len(m.Endpoints) < MostEndpoints; b = b[endpointLen:] {
		m.Endpoints = append(m.Endpoints, endpoint(b))
	}
}

func endpoint(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:]))
}

// appendEndpoint writes no address as that of nobody, ::.
func appendEndpoint(b []byte, e netip.AddrPort) []byte {
	ip := [16]byte{}
	if e.Addr().IsValid() {
		ip = e.Addr().As16()
	}
	return binary.BigEndian.AppendUint16(append(b, ip[:]...), e.Port())
}
