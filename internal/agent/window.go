package agent

import (
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const (
	// mostInside is about how many packets are within the device at a time, each way. The
	// device has a buffer of 64 KiB for each, and no bound for them.
	mostInside = 128

	// insideTime is how long one may be: those that do not come out are dropped there, or
	// wait for a handshake.
	insideTime = 100 * time.Millisecond
)

// A window is what holds back packets before the device while too many are within.
type window struct {
	left chan struct{} // tells that some have come out

	mu     sync.Mutex
	since  time.Time // guarded by mu
	inside int       // guarded by mu: those since then
	before int       // guarded by mu: those of the time before
}

func newWindow() *window { return &window{left: make(chan struct{}, 1)} }

// await waits until there is room. One goroutine at a time may call it.
func (w *window) await() {
	for w.isFull(time.Now()) {
		late := time.NewTimer(insideTime)
		select {
		case <-w.left:
		case <-late.C:
		}
		late.Stop()
	}
}

func (w *window) isFull(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if age := now.Sub(w.since); age >= insideTime {
		w.before, w.inside, w.since = w.inside, 0, now
		if age >= 2*insideTime {
			w.before = 0
		}
	}
	return w.inside+w.before >= mostInside
}

// enter counts packets that go into the device.
func (w *window) enter(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inside += n
}

// leave counts those that have come out.
func (w *window) leave(n int) {
	w.mu.Lock()
	old := min(n, w.before)
	w.before -= old
	w.inside = max(0, w.inside-(n-old))
	w.mu.Unlock()
	select {
	case w.left <- struct{}{}:
	default:
	}
}

// isData reports whether it has a packet of the tunnel in it: what has none is a message
// of the device itself.
func isData(b []byte) bool {
	return len(b) > device.MessageKeepaliveSize && b[0] == device.MessageTransportType
}

func countData(bufs [][]byte) (n int) {
	for _, b := range bufs {
		if isData(b) {
			n++
		}
	}
	return n
}

// gate is the network as the device sees it: it yields packets while there is room.
type gate struct {
	tun.Device
	out, in *window
}

func (g gate) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	g.out.await()
	n, err := g.Device.Read(bufs, sizes, offset)
	g.out.enter(n)
	return n, err
}

func (g gate) Write(bufs [][]byte, offset int) (int, error) {
	n, err := g.Device.Write(bufs, offset)
	g.in.leave(len(bufs))
	return n, err
}

// gatedBind is the Bind as the device sees it.
type gatedBind struct {
	conn.Bind
	out, in *window
}

func (g gatedBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	err := g.Bind.Send(bufs, ep)
	g.out.leave(countData(bufs))
	return err
}

func (g gatedBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive, port, err := g.Bind.Open(port)
	for i, next := range receive {
		receive[i] = func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			g.in.await()
			n, err := next(packets, sizes, eps)
			for j := range n {
				if isData(packets[j][:sizes[j]]) {
					g.in.enter(1)
				}
			}
			return n, err
		}
	}
	return receive, port, err
}
