package client

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// buffers are what ReadPackets is called with.
func buffers(n, size int) (bufs [][]byte, sizes []int, from []key.Public) {
	for range n {
		bufs = append(bufs, make([]byte, size))
	}
	return bufs, make([]int, n), make([]key.Public, n)
}

func TestHostSendsAndReadsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		var events []MessageKind
		a := w.host()
		b := w.host(func(cfg *HostConfig) { cfg.OnEvent = func(m Message) { events = append(events, m.Kind) } })
		w.awaitHomes(a, b)
		var packets []Packet
		for i := range 100 {
			packets = append(packets, Packet{b.cfg.Key.Public(), fmt.Append(nil, "packet ", i)})
		}
		if err := a.SendBatch(packets); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // and no longer: nobody reads, and what waits at the relay grows too old
		bufs, sizes, from := buffers(64, derp.MaxPacket)
		calls := 0
		for got := 0; got < len(packets); calls++ {
			n, err := b.ReadPackets(bufs, sizes, from)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			for i := range n {
				if string(bufs[i][:sizes[i]]) != string(packets[got].Data) || from[i] != a.cfg.Key.Public() {
					t.Fatalf("packet %d is %q", got, bufs[i][:sizes[i]])
				}
				got++
			}
		}
		if calls > 10 {
			t.Errorf("%d calls for %d packets that were there", calls, len(packets))
		}
		if len(events) == 0 || events[0] != MessageServerInfo {
			t.Errorf("events %v, want that of the login first", events)
		}
		a.Close()
		b.Close()
	})
}

// Who waits for room waits until packets are worth nothing, and not again before some
// have been taken.
func TestAwaitRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		a := w.host(func(cfg *HostConfig) { cfg.MaxAge = 200 * time.Millisecond })
		w.awaitHomes(a)
		b := key.NewPrivate().Public()
		waits := func(want time.Duration) {
			t.Helper()
			before := time.Now()
			if a.AwaitRoom(b); time.Since(before) != want {
				t.Errorf("it waits for %v, want %v", time.Since(before), want)
			}
		}
		waits(0)
		w.of(900)[0].kill()
		synctest.Wait()
		for range 2 { // the writer has the first ones
			if err := a.SendBatch(packetsOf(b, 3, derp.MaxPacket)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(50 * time.Millisecond)
		waits(150 * time.Millisecond)
		waits(0)
		a.Close()
		waits(0)
	})
}

func packetsOf(to key.Public, n, size int) (packets []Packet) {
	for range n {
		packets = append(packets, Packet{to, make([]byte, size)})
	}
	return packets
}

func TestBatchesRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		h := w.host()
		w.awaitHomes(h)
		self := h.cfg.Key.Public()
		if err := h.SendBatch([]Packet{{self, []byte("x")}, {self, make([]byte, derp.MaxPacket+1)}}); !errors.Is(err, ErrPacketSize) {
			t.Errorf("too large: %v", err)
		}
		if queued := h.Stats().Queued; queued != 0 {
			t.Errorf("%d packets of that batch were sent", queued)
		}
		if err := h.SendBatch(nil); err != nil {
			t.Errorf("nothing: %v", err)
		}
		bufs, sizes, from := buffers(2, 4)
		for name, err := range map[string]error{
			"no buffers":  errorOf(h.ReadPackets(nil, nil, nil)),
			"few sizes":   errorOf(h.ReadPackets(bufs, sizes[:1], from)),
			"few senders": errorOf(h.ReadPackets(bufs, sizes, from[:1])),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if err := h.SendBatch([]Packet{{self, []byte("12")}, {self, []byte("12345")}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n, err := h.ReadPackets(bufs, sizes, from); n != 1 || err != nil {
			t.Errorf("%d, %v, want the packet that fits", n, err)
		}
		if n, err := h.ReadPackets(bufs, sizes, from); n != 0 || !errors.Is(err, ErrBufferSize) {
			t.Errorf("%d, %v, want ErrBufferSize", n, err)
		}
		bufs[0] = make([]byte, 5)
		if n, err := h.ReadPackets(bufs, sizes, from); n != 1 || err != nil || string(bufs[0]) != "12345" {
			t.Errorf("%d, %v, want the same packet", n, err)
		}
		h.Close()
		if _, err := h.ReadPackets(bufs, sizes, from); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := h.SendBatch([]Packet{{self, nil}}); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func errorOf(_ int, err error) error { return err }
