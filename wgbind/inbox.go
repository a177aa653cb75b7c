package wgbind

import (
	"net"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
)

// MostWaiting is how many packets wait for the device at the most. mostBytes bounds
// what they take where somebody sends large ones.
const (
	MostWaiting = 1024
	mostBytes   = 4 << 20
)

// An inbox has what came in and the device has not taken yet.
type inbox struct {
	mu      sync.Mutex
	arrived sync.Cond // packets, or the end of an opening

	left chan struct{} // tells that packets were taken, or are forgotten

	opening uint64 // odd: the device listens; each Open and Close counts
	ended   bool   // nothing comes in any more

	ring  [MostWaiting]parcel
	first int
	n     int
	bytes int // that their buffers take

	size int      // of a buffer, usually
	free [][]byte // such buffers

	delivered, full, down, large uint64
}

// A parcel is one packet and whom it is from.
type parcel struct {
	packet []byte
	from   conn.Endpoint
}

func newInbox(size int) *inbox {
	in := &inbox{size: size, left: make(chan struct{}, 1)}
	in.arrived.L = &in.mu
	return in
}

// isOpen reports whether the device listens.
func (in *inbox) isOpenLocked() bool { return in.opening%2 == 1 }

// open has the device listen.
func (in *inbox) open() (opening uint64, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.ended:
		return 0, net.ErrClosed
	case in.isOpenLocked():
		return 0, conn.ErrBindAlreadyOpen
	}
	in.opening++
	return in.opening, nil
}

// close has it stop, and forgets what waits.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.isOpenLocked() {
		in.opening++
	}
	in.down += uint64(in.n)
	for in.n > 0 {
		in.recycleLocked(in.popLocked().packet)
	}
	in.free = nil
	in.arrived.Broadcast()
	in.tellLeft()
}

// end is for when nothing comes in any more.
func (in *inbox) end() {
	in.mu.Lock()
	in.ended = true
	in.mu.Unlock()
	in.close()
}

// awaitRoom waits until there is room for a batch, or until nobody has taken anything for
// so long.
func (in *inbox) awaitRoom(atMost time.Duration) {
	if in.hasRoom() {
		return
	}
	late := time.NewTimer(atMost)
	defer late.Stop()
	defer in.tellLeft() // to who else waits
	for !in.hasRoom() {
		select {
		case <-in.left:
			late.Reset(atMost)
		case <-late.C:
			return
		}
	}
}

func (in *inbox) hasRoom() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.isOpenLocked() || in.n <= MostWaiting-batch && in.bytes < mostBytes/2
}

// put takes packets with their buffers, and reports false if nobody listens.
func (in *inbox) put(parcels []parcel) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.isOpenLocked() {
		in.down += uint64(len(parcels))
		return false
	}
	for _, p := range parcels {
		for in.n == MostWaiting || in.n > 0 && in.bytes+cap(p.packet) > mostBytes {
			in.full++
			in.recycleLocked(in.popLocked().packet)
		}
		in.ring[(in.first+in.n)%MostWaiting] = p
		in.n++
		in.bytes += cap(p.packet)
	}
	in.arrived.Signal()
	return true
}

// refill puts a buffer of the usual size wherever there is none.
func (in *inbox) refill(bufs [][]byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i, b := range bufs {
		if cap(b) == in.size {
			continue
		}
		if last := len(in.free) - 1; last >= 0 {
			bufs[i], in.free[last] = in.free[last], nil
			in.free = in.free[:last]
		} else {
			bufs[i] = make([]byte, in.size)
		}
	}
}

// take waits for packets, and hands out as many as there is room for. Their buffers
// come back by giveBack.
func (in *inbox) take(opening uint64, parcels []parcel) (n int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.n == 0 && in.opening == opening && !in.ended {
		in.arrived.Wait()
	}
	if in.opening != opening || in.ended {
		return 0, net.ErrClosed
	}
	for n < len(parcels) && in.n > 0 {
		parcels[n] = in.popLocked()
		n++
	}
	if in.n > 0 {
		in.arrived.Signal() // for whoever else waits
	}
	in.tellLeft()
	return n, nil
}

func (in *inbox) tellLeft() {
	select {
	case in.left <- struct{}{}:
	default:
	}
}

// giveBack has the buffers of what was taken used again, of which the device has taken
// delivered, and the others were too large for it.
func (in *inbox) giveBack(parcels []parcel, delivered int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range parcels {
		in.recycleLocked(parcels[i].packet)
		parcels[i] = parcel{}
	}
	in.delivered += uint64(delivered)
	in.large += uint64(len(parcels) - delivered)
}

func (in *inbox) popLocked() parcel {
	p := in.ring[in.first]
	in.ring[in.first] = parcel{}
	in.first = (in.first + 1) % MostWaiting
	in.n--
	in.bytes -= cap(p.packet)
	return p
}

// recycleLocked keeps a buffer for the next packet, while somebody listens.
func (in *inbox) recycleLocked(b []byte) {
	if cap(b) == in.size && in.isOpenLocked() {
		in.free = append(in.free, b[:in.size])
	}
}
