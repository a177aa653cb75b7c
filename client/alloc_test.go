//go:build !race

// The race detector makes sync.Pool forget things on purpose, and crypto/tls has
// its buffers from one.

package client

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/readbuf"
	"github.com/detour-relay/detour/internal/socket"
	"github.com/detour-relay/detour/key"
)

func TestSendingDoesNotAllocate(t *testing.T) {
	for _, c := range costs {
		cfg := costRelay(t, c.version, (*side).sink)
		cfg.RecordPerPacket = c.records
		conn := admitted(t, cfg)
		batch := batchOf(40)
		packet := batch[0].Data
		if n := testing.AllocsPerRun(300, func() {
			if conn.SendBatch(batch) != nil || conn.Send(key.Public{1}, packet) != nil {
				t.Error("sending failed")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for a batch and a packet, want 0", c.name, n)
		}
		conn.Close()
	}
}

// bareAllocs returns what crypto/tls alone allocates for so many packets, and half an
// allocation for each more, as it depends on how they arrive. One of ours for each
// packet is too much.
func bareAllocs(t *testing.T, version uint16, perWrite, packets int) float64 {
	t.Helper()
	if version == 0 {
		return 0
	}
	server := serverTLS(newAuthority(t).issue("relay.example.com"))
	server.MaxVersion, server.DynamicRecordSizingDisabled = version, true
	relay := startRelay(t, key.NewPrivate(), server, flood(perWrite))
	raw, err := net.Dial("tcp", relay.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	over := tls.Client(socket.ReadAhead(socket.New(raw, nil)), &tls.Config{InsecureSkipVerify: true})
	buf := make([]byte, readbuf.Large)
	return float64(packets)/2 + testing.AllocsPerRun(50, func() {
		for left := packets * (packetFrameLen + packetLen); left > 0; {
			n, err := over.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	})
}

// Nothing of ours, beside what crypto/tls allocates when it wants more input.
func TestReceivingDoesNotAllocate(t *testing.T) {
	const perRun = 100
	for _, c := range costs {
		cfg := costRelay(t, c.version, flood(1))
		conn := admitted(t, cfg)
		buf := make([]byte, derp.MaxPacket)
		limit := bareAllocs(t, c.version, 1, perRun)
		if n := testing.AllocsPerRun(50, func() {
			for range perRun {
				if msg, err := conn.Recv(buf); err != nil || len(msg.Packet) != packetLen {
					t.Fatal(msg.Kind, err)
				}
			}
		}); n > limit {
			t.Errorf("%s: %v allocations for %d packets, want at most %v", c.name, n, perRun, limit)
		}
		conn.Close()
	}
}

// A Region is like its connections.
func TestRegionDoesNotAllocate(t *testing.T) {
	const perRun = 100
	r := regionOf(t, costRelay(t, 0, flood(40)))
	regionRecv(t, r, MessageServerInfo)
	buf := make([]byte, derp.MaxPacket)
	if n := testing.AllocsPerRun(50, func() {
		for range perRun {
			if msg, err := r.Recv(buf); err != nil || len(msg.Packet) != packetLen {
				t.Fatal(msg.Kind, err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d packets received, want 0", n, perRun)
	}
	r = regionOf(t, costRelay(t, 0, (*side).sink))
	regionRecv(t, r, MessageServerInfo)
	batch := batchOf(40)
	if n := testing.AllocsPerRun(300, func() {
		if r.SendBatch(batch) != nil || r.Send(key.Public{1}, batch[0].Data) != nil {
			t.Error("sending failed")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a batch and a packet, want 0", n)
	}
}

// aloneWith makes a Host whose only region is the relay that cfg leads to.
func aloneWith(t *testing.T, cfg Config) *Host {
	t.Helper()
	node := &derpmap.Node{Name: "1a", RegionID: 1, HostName: "relay.example.com", STUNPort: -1}
	n, err := NewHost(HostConfig{
		Key: cfg.Key, Base: cfg, OnUnknown: func(key.Public) {}, // every packet is looked at
		Map: &derpmap.Map{Regions: map[int]*derpmap.Region{1: {RegionID: 1, Nodes: []*derpmap.Node{node}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if _, err := n.AwaitHome(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// A Host is like its Regions: what crypto/tls allocates is all there is.
func TestHostDoesNotAllocate(t *testing.T) {
	const perRun = 100
	n := aloneWith(t, costRelay(t, tls.VersionTLS13, flood(40)))
	buf := make([]byte, derp.MaxPacket)
	receive := func() {
		for got := 0; got < perRun; {
			msg, err := n.Recv(buf)
			if err != nil {
				t.Fatal(err)
			}
			if msg.Kind == MessagePacket {
				got++
			}
		}
	}
	receive()
	limit := bareAllocs(t, tls.VersionTLS13, 40, perRun)
	if allocs := testing.AllocsPerRun(50, receive); allocs > limit {
		t.Errorf("%v allocations for %d packets received, want at most %v", allocs, perRun, limit)
	}
	n = aloneWith(t, costRelay(t, tls.VersionTLS13, (*side).sink))
	packet := make([]byte, packetLen)
	send := func() {
		for range perRun {
			if err := n.Send(key.Public{1}, packet); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 { // until all buffers have grown
		send()
	}
	if allocs := testing.AllocsPerRun(200, send); allocs > 1 {
		t.Errorf("%v allocations for %d packets sent, want 0", allocs, perRun)
	}
}
