package netio_test

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// A corked conn gathers what is written until it is flushed or waits for input.
type corked struct {
	net.Conn
	mu    sync.Mutex
	bytes []byte // guarded by mu
	most  int    // most bytes in one write when it flushes; 0: no limit
}

func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = append(c.bytes, p...)
	return len(p), nil
}

func (c *corked) Read(p []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *corked) Close() error {
	c.flush()
	return c.Conn.Close()
}

func (c *corked) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.bytes) > 0 {
		n := len(c.bytes)
		if c.most > 0 {
			n = min(n, c.most)
		}
		if _, err := c.Conn.Write(c.bytes[:n]); err != nil {
			return err
		}
		c.bytes = c.bytes[n:]
	}
	return nil
}

// overCorked makes a TLS link whose peer writes through a corked conn.
func overCorked(t *testing.T, version uint16) (link, *corked) {
	var c *corked
	l := overTLSThrough(t, nil, &tls.Config{MaxVersion: version}, netio.TLS, func(far net.Conn) net.Conn {
		c = &corked{Conn: far}
		return c
	})
	return l, c
}

var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// Input that came with the end of the handshake is handed out without waiting.
func TestInputBehindTheHandshake(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			near, far := loopback(t)
			cork := &corked{Conn: far}
			peer := tls.Client(cork, &tls.Config{MaxVersion: version, InsecureSkipVerify: true})
			wire := netio.NewWire(near)
			server := tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
			handshake := run(server.Handshake)
			if err := peer.Handshake(); err != nil {
				t.Fatal(err)
			}
			if _, err := peer.Write([]byte("early")); err != nil {
				t.Fatal(err)
			}
			if err := cork.flush(); err != nil {
				t.Fatal(err)
			}
			if err := wait(t, handshake); err != nil {
				t.Fatal(err)
			}
			stream, err := netio.TLS(server, wire, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			got, err := collect(stream, 5)
			if err != nil {
				t.Error(err)
			}
			wantSame(t, "input", got, []byte("early"))
		})
	}
}

func TestManyRecordsAtOnce(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			l, cork := overCorked(t, version)
			sent := noise(3000)
			for _, b := range sent { // a record for each byte: more than a burst
				if _, err := l.peer.Write([]byte{b}); err != nil {
					t.Fatal(err)
				}
			}
			flushed := run(cork.flush)
			got, err := collect(l.stream, len(sent))
			if err != nil {
				t.Error(err)
			}
			wantSame(t, "input", got, sent)
			if err := wait(t, flushed); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRecordsInPieces(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			l, cork := overCorked(t, version)
			sent := noise(40_000)
			for p := range slices.Chunk(sent, 13_000) {
				if _, err := l.peer.Write(p); err != nil {
					t.Fatal(err)
				}
			}
			cork.most = 100
			flushed := run(cork.flush)
			got, err := collect(l.stream, len(sent))
			if err != nil {
				t.Error(err)
			}
			wantSame(t, "input", got, sent)
			if err := wait(t, flushed); err != nil {
				t.Error(err)
			}
		})
	}
}

// The handler hears of a record that is incomplete by an empty burst, once, and again by
// one when nothing of it is there any more; whoever takes its place hears it, too.
func TestHandlersHearOfIncompleteRecords(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			l, cork := overCorked(t, version)
			sent := noise(1000)
			if _, err := l.peer.Write(sent); err != nil {
				t.Fatal(err)
			}
			record := cork.bytes
			stream := l.stream.(interface {
				netio.Stream
				Begun() int
			})
			hear := func(send []byte, bytes int) (burst []byte) {
				t.Helper()
				reading := run(func() error {
					return stream.ReadBursts(func(p []byte) (int, error) {
						burst = append(burst, p...)
						if len(p) < bytes {
							return len(p), nil
						}
						return len(p), io.EOF
					})
				})
				if _, err := l.wire.Write(send); err != nil {
					t.Fatal(err)
				}
				if err := wait(t, reading); err != io.EOF {
					t.Fatal(err)
				}
				return burst
			}
			for _, more := range [][]byte{record[:500], nil} {
				wantSame(t, "of half a record", hear(more, 0), nil)
				if n := stream.Begun(); n != 500 {
					t.Errorf("%d bytes are begun, want 500", n)
				}
			}
			wantSame(t, "of a whole record", hear(record[500:], len(sent)), sent)
			if n := stream.Begun(); n != 0 {
				t.Errorf("%d bytes are begun, want none", n)
			}
		})
	}
}

// An orderly end is io.EOF. A conn that breaks within a record is not.
func TestEndOfTLS(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			l, _ := overCorked(t, version)
			reading := run(func() error { return l.stream.ReadBursts(unused) })
			closing := run(l.peer.(*tls.Conn).Close)
			if err := wait(t, reading); err != io.EOF {
				t.Errorf("after close_notify, reading ended with %v", err)
			}
			wait(t, closing)

			l, cork := overCorked(t, version)
			reading = run(func() error {
				return l.stream.ReadBursts(func(p []byte) (int, error) {
					if len(p) > 0 {
						return unused(p)
					}
					return 0, nil
				})
			})
			if _, err := l.peer.Write(noise(1000)); err != nil {
				t.Fatal(err)
			}
			if _, err := l.wire.Write(cork.bytes[:500]); err != nil {
				t.Fatal(err)
			}
			l.wire.Close()
			if err := wait(t, reading); err == nil || err.Error() == "there was no input" {
				t.Errorf("after half a record, reading ended with %v", err)
			}
		})
	}
}

// Garbage ends the stream, and the peer is told by an alert.
func TestGarbageInsteadOfRecords(t *testing.T) {
	for name, version := range versions {
		for what, garbage := range map[string][]byte{
			"a record that does not open": append([]byte{23, 3, 3, 0, 64}, noise(64)...),
			"another protocol":            []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
			"a record that is too long":   {23, 3, 3, 0xff, 0xff, 0, 0, 0},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				l := overTLS(t, nil, version, netio.TLS)
				reading := run(func() error { return l.stream.ReadBursts(unused) })
				if _, err := l.wire.Write(garbage); err != nil {
					t.Fatal(err)
				}
				if err := wait(t, reading); err == nil || err.Error() == "there was no input" {
					t.Errorf("reading ended with %v", err)
				}
				alert := run(func() error { _, err := l.peer.Read(make([]byte, 1)); return err })
				if err := wait(t, alert); err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
					t.Errorf("the peer is told %v", err)
				}
			})
		}
	}
}

// Deadlines that were set for the handshake mean nothing afterwards, and setting
// them later neither.
func TestDeadlinesOfTheHandshake(t *testing.T) {
	near, far := loopback(t)
	wire := netio.NewWire(near)
	server := tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	peer := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	soon := time.Now().Add(time.Second)
	if err := server.SetDeadline(soon); err != nil {
		t.Fatal(err)
	}
	handshake := run(server.Handshake)
	if err := peer.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, handshake); err != nil {
		t.Fatal(err)
	}
	stream, err := netio.TLS(server, wire, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, set := range []func(time.Time) error{server.SetDeadline, server.SetReadDeadline, server.SetWriteDeadline} {
		if err := set(time.Now().Add(-time.Hour)); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(time.Until(soon))
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(stream, 5); err != nil {
		t.Error(err)
	}
	if err := send(stream, []byte("hello")); err != nil {
		t.Error(err)
	}
}

// Until a stream takes it over, a wire refuses what its conn refuses.
func TestWireObeysDeadlinesAtFirst(t *testing.T) {
	near, _ := loopback(t)
	wire := netio.NewWire(near)
	past := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		set func(time.Time) error
		do  func([]byte) (int, error)
	}{{wire.SetDeadline, wire.Read}, {wire.SetReadDeadline, wire.Read}, {wire.SetWriteDeadline, wire.Write}} {
		if err := wire.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := c.set(past); err != nil {
			t.Fatal(err)
		}
		_, err := c.do(make([]byte, 1))
		if e, ok := err.(net.Error); !ok || !e.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
	}
}
