package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

// While as many packets are within the device as may be, no more go in; those that never
// come out are forgotten.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow()
		waits := func(least, most time.Duration) {
			t.Helper()
			before := time.Now()
			w.await()
			if d := time.Since(before); d < least || d > most {
				t.Errorf("it waits for %v, want %v to %v", d, least, most)
			}
		}
		waits(0, 0)
		w.enter(mostInside - 1)
		waits(0, 0)
		w.enter(1)
		time.AfterFunc(time.Millisecond, func() { w.leave(1) })
		waits(time.Millisecond, time.Millisecond)
		w.enter(1)
		waits(insideTime, 2*insideTime)
		w.leave(mostInside) // they come after all
		w.enter(mostInside - 1)
		waits(0, 0)
		w.leave(mostInside - 1)
		time.Sleep(time.Hour)
		w.enter(mostInside)
		w.leave(1)
		waits(0, 0)
	})
}

// What comes out is counted by what went in: packets of the tunnel, and nothing else.
func TestCountData(t *testing.T) {
	bufs := [][]byte{
		make([]byte, device.MessageKeepaliveSize), make([]byte, device.MessageKeepaliveSize+16), make([]byte, device.MessageInitiationSize), {}, nil,
	}
	bufs[0][0], bufs[1][0], bufs[2][0] = device.MessageTransportType, device.MessageTransportType, device.MessageInitiationType
	if n := countData(bufs); n != 1 {
		t.Errorf("%d", n)
	}
}
