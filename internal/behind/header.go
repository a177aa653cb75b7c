package behind

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

const (
	// MostHeader bounds a header. An address has 232 bytes at the most; a cloud adds
	// some dozens, and a proxy that ends TLS perhaps the peer's certificate.
	MostHeader = headV2 + 4096

	headV2 = 16  // signature, command, family and length
	mostV1 = 107 // the longest line that the protocol has

	// firstRead has room for a header as proxies send it, and for some of what follows.
	firstRead = 1024
)

// Local is a header that says: this connection is the proxy's own, and brings nobody.
const Local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// ReadHeader reads the header of a connection. from is the peer's address; it is not
// valid if the proxy speaks for itself (LOCAL, or UNKNOWN in v1). ahead is what was
// read of all that follows: with [ErrNoHeader], everything that was read.
//
// The error is ErrNoHeader, [ErrMalformed], or that of reading.
func ReadHeader(r io.Reader) (from netip.AddrPort, ahead []byte, err error) {
	b := make([]byte, 0, firstRead)
	for {
		n, err := length(b)
		if err != nil {
			return from, b, err
		}
		if n > 0 && len(b) >= n {
			from, err := parse(b[:n])
			return from, b[n:], err
		}
		if len(b) == cap(b) {
			b = append(b, make([]byte, n-len(b))...)[:len(b)] // of v2, which says how much it needs
		}
		got, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+got]
		if err != nil && got == 0 {
			return from, b, err
		}
	}
}

// Begins reports whether the first bytes of a connection are those of a header.
func Begins(b []byte) bool {
	n, err := length(b)
	return err == nil && (n > 0 || len(b) >= len(proxyproto.SIGV1)) || err != nil && err != ErrNoHeader
}

// length returns how long the header is that b begins with; 0: b is too short to see.
func length(b []byte) (int, error) {
	switch {
	case agree(b, proxyproto.SIGV2):
		if len(b) < headV2 {
			return 0, nil
		}
		n := headV2 + int(binary.BigEndian.Uint16(b[headV2-2:]))
		if n > MostHeader {
			return 0, fmt.Errorf("%w: its header has %d bytes, and %d are the most", ErrMalformed, n, MostHeader)
		}
		return n, nil
	case agree(b, append(proxyproto.SIGV1[:len(proxyproto.SIGV1):len(proxyproto.SIGV1)], ' ')):
		if end := bytes.IndexByte(b[:min(len(b), mostV1)], '\n'); end >= 0 {
			return end + 1, nil
		}
		if len(b) >= mostV1 {
			return 0, fmt.Errorf("%w: the line of its header does not end", ErrMalformed)
		}
		return 0, nil
	}
	return 0, ErrNoHeader
}

// agree reports whether one begins with the other.
func agree(b, signature []byte) bool {
	n := min(len(b), len(signature))
	return bytes.Equal(b[:n], signature[:n])
}

// parse reads a whole header.
func parse(b []byte) (from netip.AddrPort, err error) {
	header, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)))
	if err != nil {
		return from, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if header.Command.IsLocal() {
		return from, nil
	}
	source, _, ok := header.TCPAddrs()
	if !ok {
		return from, fmt.Errorf("%w: its header has no address of TCP", ErrMalformed)
	}
	if from = unmapped(source.AddrPort()); !from.IsValid() {
		return from, fmt.Errorf("%w: its header has no address", ErrMalformed)
	}
	return from, nil
}

// unmapped is IPv4 as IPv4.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Header is a PROXY header, v2, that brings a peer which has come to an address; Local,
// if it is not known where it comes from.
func Header(from, to netip.AddrPort) []byte {
	if !from.IsValid() || !to.IsValid() {
		return []byte(Local)
	}
	b, err := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(unmapped(from)), net.TCPAddrFromAddrPort(unmapped(to))).Format()
	if err != nil {
		return []byte(Local)
	}
	return b
}
