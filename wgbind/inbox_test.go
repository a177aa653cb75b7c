package wgbind

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
)

// numbered are packets of one byte in buffers of a size.
func numbered(first, n, size int) (parcels []parcel) {
	for i := range n {
		b := make([]byte, size)
		b[0] = byte(first + i)
		parcels = append(parcels, parcel{b[:1], nil})
	}
	return parcels
}

func openInbox(t testing.TB) (*inbox, uint64) {
	t.Helper()
	in := newInbox(8)
	opening, err := in.open()
	if err != nil {
		t.Fatal(err)
	}
	return in, opening
}

func TestTheOldestAreDropped(t *testing.T) {
	in, opening := openInbox(t)
	for i := range MostWaiting + 99 {
		in.put(numbered(i, 1, 8))
	}
	parcels := make([]parcel, 2*MostWaiting)
	n, err := in.take(opening, parcels)
	if err != nil || n != MostWaiting || in.full != 99 {
		t.Fatalf("%d wait, %d are dropped (%v)", n, in.full, err)
	}
	for i, p := range parcels[:n] {
		if p.packet[0] != byte(99+i) {
			t.Fatalf("packet %d is %d", i, p.packet[0])
		}
	}
	in.giveBack(parcels[:n], n-1)
	if in.delivered != MostWaiting-1 || in.large != 1 || in.bytes != 0 || len(in.free) != MostWaiting+99 {
		t.Errorf("%d delivered, %d too large, %d bytes, %d free", in.delivered, in.large, in.bytes, len(in.free))
	}
}

// Who reads from the relay waits while the device takes packets, so that none is dropped,
// and not for long if it takes none.
func TestReaderWaitsForTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, opening := openInbox(t)
		waits := func(want time.Duration) {
			t.Helper()
			before := time.Now()
			if in.awaitRoom(time.Second); time.Since(before) != want {
				t.Errorf("it waits for %v, want %v", time.Since(before), want)
			}
		}
		in.put(numbered(0, MostWaiting-batch, 8))
		waits(0)
		in.put(numbered(0, batch, 8))
		waits(time.Second)
		go func() {
			for range batch {
				time.Sleep(900 * time.Millisecond)
				in.take(opening, make([]parcel, 1))
			}
		}()
		waits(batch * 900 * time.Millisecond)
		in.put(numbered(0, batch, 8))
		time.AfterFunc(time.Millisecond, in.close)
		waits(time.Millisecond)
		if in.full != 0 {
			t.Errorf("%d are dropped", in.full)
		}
	})
}

func TestLargePacketsHaveABound(t *testing.T) {
	in, opening := openInbox(t)
	const size = 64 << 10
	in.put(numbered(0, 100, size))
	parcels := make([]parcel, MostWaiting)
	n, err := in.take(opening, parcels)
	if err != nil || n != mostBytes/size || in.full != uint64(100-n) || parcels[n-1].packet[0] != 99 {
		t.Fatalf("%d wait, %d are dropped (%v)", n, in.full, err)
	}
	in.giveBack(parcels[:n], n)
	if len(in.free) != 0 {
		t.Errorf("%d buffers of another size are kept", len(in.free))
	}
	in.put(numbered(0, 1, 2*mostBytes))
	if n, err := in.take(opening, parcels); n != 1 || err != nil {
		t.Errorf("one that is larger than all: %d (%v)", n, err)
	}
}

// Each opening has its own end.
func TestOpenings(t *testing.T) {
	in, first := openInbox(t)
	in.put(numbered(0, 3, 8))
	in.close()
	in.close()
	if in.put(numbered(0, 2, 8)) || in.down != 5 {
		t.Errorf("%d are dropped while nobody listens", in.down)
	}
	second, err := in.open()
	if err != nil {
		t.Fatal(err)
	}
	parcels := make([]parcel, 4)
	if _, err := in.take(first, parcels); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first opening: %v", err)
	}
	in.put(numbered(7, 1, 8))
	if n, err := in.take(second, parcels); n != 1 || err != nil || parcels[0].packet[0] != 7 {
		t.Errorf("the second: %d packets (%v)", n, err)
	}
	in.end()
	if _, err := in.take(second, parcels); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// What the device has no room for is left out, and the others move up.
func TestHand(t *testing.T) {
	from := newEndpoint([32]byte{1})
	parcels := []parcel{{make([]byte, 5), from}, {make([]byte, 6), from}, {[]byte{1, 2}, from}}
	packets, sizes, eps := [][]byte{make([]byte, 5), make([]byte, 5), make([]byte, 5)}, make([]int, 3), make([]conn.Endpoint, 3)
	if n := hand(parcels, packets, sizes, eps); n != 2 || sizes[0] != 5 || sizes[1] != 2 || packets[1][1] != 2 || eps[1] != from {
		t.Errorf("%d packets of %v", n, sizes)
	}
}

func TestInboxAllocatesNothing(t *testing.T) {
	in, opening := openInbox(t)
	bufs, parcels := make([][]byte, batch), make([]parcel, batch)
	once := func() {
		in.refill(bufs)
		for i, b := range bufs {
			parcels[i] = parcel{b[:1], nil}
		}
		in.put(parcels)
		clear(bufs)
		n, err := in.take(opening, parcels)
		if n != batch || err != nil {
			t.Fatal(n, err)
		}
		in.giveBack(parcels, n)
	}
	once()
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
