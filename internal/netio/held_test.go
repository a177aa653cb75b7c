//go:build unix && !race

package netio_test

import (
	"crypto/tls"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// A TLS stream that waits holds neither what the handshake has left in crypto/tls nor room
// for the records that have come.
func TestIdleStreamsHoldNoRecords(t *testing.T) {
	t.Run("by Go's poller", func(t *testing.T) { testHeld(t, netio.TLS) })
	t.Run("by loops", func(t *testing.T) { testHeld(t, loops(t).TLS) })
}

func testHeld(t *testing.T, over func(*tls.Conn, *netio.Wire, []byte) (netio.Stream, error)) {
	const streams, record = 100, 16 << 10
	var all []link
	for range streams {
		all = append(all, overTLS(t, nil, tls.VersionTLS13, over))
	}
	before := held()
	whole := make(chan error, streams)
	for _, l := range all {
		got := 0
		run(func() error {
			return l.stream.ReadBursts(func(burst []byte) (int, error) {
				if got += len(burst); got == 1 || got == 1+record {
					whole <- nil
				}
				return len(burst), nil
			})
		})
	}
	for _, size := range []int{1, record} {
		sent := noise(size)
		for _, l := range all {
			if _, err := l.peer.Write(sent); err != nil {
				t.Fatal(err)
			}
		}
		for range all {
			wait(t, whole)
		}
		each := held() - before
		for end := time.Now().Add(timeout); each >= 0 && time.Now().Before(end); each = held() - before {
			time.Sleep(time.Millisecond) // the last ones are at it
		}
		t.Logf("after records of %d bytes: %d bytes more for each stream", size, each/streams)
		if each >= 0 {
			t.Errorf("after records of %d bytes each stream holds %d bytes more than after its handshake, want less", size, each/streams)
		}
	}
}

// held is what the heap holds.
func held() int64 {
	for range 3 { // pools forget in two
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// However full the records are that come at once, crypto/tls finds room for them in what it
// has been lent.
func TestFullRecordsTakeNoMemory(t *testing.T) {
	t.Run("by Go's poller", func(t *testing.T) { testFullRecords(t, netio.TLS) })
	t.Run("by loops", func(t *testing.T) { testFullRecords(t, loops(t).TLS) })
}

func testFullRecords(t *testing.T, over func(*tls.Conn, *netio.Wire, []byte) (netio.Stream, error)) {
	const at, turns = 200_000, 50 // several records, bursts of whose do not end where records do
	l := overTLS(t, nil, tls.VersionTLS13, over)
	whole := make(chan error, 1)
	got := 0
	run(func() error {
		return l.stream.ReadBursts(func(burst []byte) (int, error) {
			if got += len(burst); got%at == 0 {
				whole <- nil
			}
			return len(burst), nil
		})
	})
	sent := noise(at)
	send := func(turns int) {
		for range turns {
			if _, err := l.peer.Write(sent); err != nil {
				t.Fatal(err)
			}
			wait(t, whole)
		}
	}
	send(2) // the peer's records are small at first
	before := allocated()
	send(turns)
	if each := (allocated() - before) / turns; each > at/10 {
		t.Errorf("%d bytes are allocated for each %d that come in records of 16 KiB", each, at)
	}
}

// allocated returns how many bytes have ever been allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
