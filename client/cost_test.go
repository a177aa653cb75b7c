package client

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

const packetLen = 1400

// costRelay starts a relay that does after once the login is over. version is that
// of TLS, and 0 for none.
func costRelay(t testing.TB, version uint16, after func(*side)) Config {
	t.Helper()
	private := key.NewPrivate()
	script := func(s *side) {
		if s.admit() {
			after(s)
		}
	}
	if version == 0 {
		return startRelay(t, private, nil, script).config(t, "http://relay.example.com")
	}
	a := newAuthority(t)
	server := serverTLS(a.issue("relay.example.com"))
	server.MaxVersion, server.DynamicRecordSizingDisabled = version, true
	cfg := startRelay(t, private, server, script).config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	return cfg
}

// sink forgets everything without allocating: also TLS, so it does not even
// decrypt.
func (s *side) sink() {
	conn := s.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	buf := make([]byte, 256<<10)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// flood sends packets without end and without allocating, so many with each write
// and TLS record.
func flood(perWrite int) func(*side) {
	burst := bytes.Repeat(derp.AppendRecvPacket(nil, key.Public{1}, make([]byte, packetLen)), perWrite)
	return func(s *side) {
		for s.write(burst) {
		}
	}
}

// costs are the ways of which the cost is known.
var costs = []struct {
	name    string
	version uint16
	records bool
}{
	{"plain", 0, false},
	{"TLS 1.2", tls.VersionTLS12, false},
	{"TLS 1.3", tls.VersionTLS13, false},
	{"TLS 1.3, one record per packet", tls.VersionTLS13, true},
}

func batchOf(n int) []Packet {
	batch := make([]Packet, n)
	for i := range batch {
		batch[i] = Packet{Peer: key.Public{1}, Data: make([]byte, packetLen)}
	}
	return batch
}

func BenchmarkSendBatch(b *testing.B) {
	for _, c := range costs {
		b.Run(c.name, func(b *testing.B) {
			cfg := costRelay(b, c.version, (*side).sink)
			cfg.RecordPerPacket = c.records
			conn, batch := admitted(b, cfg), batchOf(40)
			b.SetBytes(packetLen)
			b.ReportAllocs()
			for n := 0; n < b.N; n += len(batch) {
				if err := conn.SendBatch(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecv(b *testing.B) {
	for _, c := range costs {
		b.Run(c.name, func(b *testing.B) {
			perWrite := 40
			if c.records {
				perWrite = 1
			}
			conn, buf := admitted(b, costRelay(b, c.version, flood(perWrite))), make([]byte, derp.MaxPacket)
			b.SetBytes(packetLen)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Recv(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
