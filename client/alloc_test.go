//go:build !race

// The race detector makes sync.Pool forget things on purpose, and crypto/tls has its buffers from one.

package client

import (
	"testing"

	"github.com/detour-relay/detour/derp"
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

// Nothing of ours; crypto/tls allocates for each time that it wants more input, which is at most twice for a record.
func TestReceivingDoesNotAllocate(t *testing.T) {
	const perRun = 100
	for _, c := range costs {
		cfg := costRelay(t, c.version, flood(1))
		conn := admitted(t, cfg)
		buf := make([]byte, derp.MaxPacket)
		limit := 0.0
		if c.version != 0 {
			limit = 2 * perRun
		}
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
