package netio_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// A link is a stream under test and the peer at its other end.
type link struct {
	stream netio.Stream
	peer   net.Conn // in plaintext
	wire   net.Conn // below peer, if that is a TLS conn; else peer itself
}

// A kind makes links. buffered is what the stream finds read already.
type kind struct {
	name   string
	direct bool // a flush that may not wait sends what the socket takes
	link   func(t testing.TB, buffered []byte) link
}

var kinds = []kind{
	{"TCP", true, func(t testing.TB, buffered []byte) link { return plain(t, buffered, tcpStream) }},
	{"TLS 1.3", true, func(t testing.TB, buffered []byte) link {
		return overTLS(t, buffered, tls.VersionTLS13, netio.TLS)
	}},
	{"TLS 1.2", true, func(t testing.TB, buffered []byte) link {
		return overTLS(t, buffered, tls.VersionTLS12, netio.TLS)
	}},
	{"looped TCP", true, func(t testing.TB, buffered []byte) link { return plain(t, buffered, loops(t).TCP) }},
	{"TLS 1.3, looped", true, func(t testing.TB, buffered []byte) link {
		return overTLS(t, buffered, tls.VersionTLS13, loops(t).TLS)
	}},
	{"TLS 1.3, looped and started", true, func(t testing.TB, buffered []byte) link {
		l := overTLS(t, buffered, tls.VersionTLS13, loops(t).TLS)
		l.stream = started{l.stream.(startable)}
		return l
	}},
	{"blocking TCP", false, func(t testing.TB, buffered []byte) link { return plain(t, buffered, blockingStream) }},
	{"blocking TLS", false, func(t testing.TB, buffered []byte) link {
		return overTLS(t, buffered, tls.VersionTLS13, func(c *tls.Conn, _ *netio.Wire, buffered []byte) (netio.Stream, error) {
			return netio.Blocking(c, buffered), nil
		})
	}},
	{"pipe", false, func(t testing.TB, buffered []byte) link {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close() })
		return link{stream: netio.Blocking(far, buffered), peer: near, wire: near}
	}},
}

// A startable stream can be read by who does not wait for it.
type startable interface {
	netio.Stream
	StartBursts(handle netio.Handler, ended func(error))
	LimitBursts(int)
	RoundTrip() time.Duration
	Reader() int
}

// started is such a stream, read that way.
type started struct{ startable }

func (s started) ReadBursts(handle func([]byte) (int, error)) error {
	ended := make(chan error, 1)
	s.StartBursts(handle, func(err error) {
		ended <- err
		close(ended) // a second time would panic
	})
	return <-ended
}

// loops are two of the test's own; nil where there are none.
func loops(t testing.TB) *netio.Loops {
	l, err := netio.NewLoops(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// dial makes a link whose peer does not wait for ever.
func (k kind) dial(t testing.TB, buffered []byte) link {
	t.Helper()
	l := k.link(t, buffered)
	if err := l.peer.SetDeadline(time.Now().Add(2 * timeout)); err != nil {
		t.Fatal(err)
	}
	return l
}

// forEachKind runs a test over all kinds of streams, two or so at a time.
func forEachKind(t *testing.T, test func(t *testing.T, k kind)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

func tcpStream(c net.Conn, buffered []byte) (netio.Stream, error) { return netio.TCP(c, buffered) }

func blockingStream(c net.Conn, buffered []byte) (netio.Stream, error) {
	return netio.Blocking(c, buffered), nil
}

func plain(t testing.TB, buffered []byte, make func(net.Conn, []byte) (netio.Stream, error)) link {
	t.Helper()
	server, client := loopback(t)
	stream, err := make(server, buffered)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	return link{stream: stream, peer: client, wire: client}
}

func overTLS(t testing.TB, buffered []byte, version uint16, make func(*tls.Conn, *netio.Wire, []byte) (netio.Stream, error)) link {
	t.Helper()
	return overTLSThrough(t, buffered, &tls.Config{MaxVersion: version}, make, func(c net.Conn) net.Conn { return c })
}

// overTLSThrough is overTLS with a conn of the test's own below the peer's TLS.
func overTLSThrough(t testing.TB, buffered []byte, client *tls.Config,
	make func(*tls.Conn, *netio.Wire, []byte) (netio.Stream, error), below func(net.Conn) net.Conn) link {
	t.Helper()
	near, far := loopback(t)
	wire := netio.NewWire(near)
	server := tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	client.InsecureSkipVerify = true // the certificate is the test's own
	transport := below(far)
	peer := tls.Client(transport, client)
	done := run(server.Handshake)
	if err := peer.Handshake(); err != nil {
		t.Fatal(err)
	}
	if c, ok := transport.(*corked); ok {
		if err := c.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := wait(t, done); err != nil {
		t.Fatal(err)
	}
	stream, err := make(server, wire, buffered)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	return link{stream: stream, peer: peer, wire: far}
}

// loopback returns both ends of a TCP connection.
func loopback(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return server, client
}

var certificateOnce struct {
	sync.Once
	tls.Certificate
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	certificateOnce.Do(func() {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		certificateOnce.Certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	})
	return certificateOnce.Certificate
}

// run calls f on a goroutine of its own.
func run(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// timeout is more than anything here takes, also on a busy machine.
const timeout = 2 * time.Minute

// wait returns what run's function returned, which must be soon.
func wait(t testing.TB, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(timeout):
		t.Fatal("nothing returns")
		return nil
	}
}

// send stages p and flushes until all of it is sent.
func send(s netio.Stream, p []byte) error {
	if _, err := s.Write(p); err != nil {
		return err
	}
	for {
		if done, err := s.Flush(true); done || err != nil {
			return err
		}
	}
}

// collect reads bursts until n bytes have come, and uses them all.
func collect(s netio.Stream, n int) ([]byte, error) {
	var got []byte
	err := s.ReadBursts(func(burst []byte) (int, error) {
		got = append(got, burst...)
		if len(got) >= n {
			return len(burst), io.EOF
		}
		return len(burst), nil
	})
	if err == io.EOF && len(got) >= n {
		err = nil
	}
	return got, err
}

var noises atomic.Uint64

// noise returns n bytes that are different each time.
func noise(n int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], noises.Add(1))
	p := make([]byte, n)
	mrand.NewChaCha8(seed).Read(p)
	return p
}

func wantSame(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s: %d bytes, want %d; they differ from byte %d on", what, len(got), len(want), at)
	}
}
