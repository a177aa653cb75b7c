package edge

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// errWebSocketFlood ends a WebSocket whose peer keeps the library busy with
// frames that bring nothing.
var errWebSocketFlood = errors.New("edge: too many WebSocket frames without data (pings, or empty ones)")

// idleFramesPerSecond bounds those frames. Libraries ping once in some seconds,
// and some end each message with an empty frame, which is forgiven.
const idleFramesPerSecond = 20

// Beyond idleFramesFree of them in a second, each has its sender wait for idleFrameRest:
// else 200 peers that stay below the bound make others wait.
const (
	idleFramesFree = 4
	idleFrameRest  = 10 * time.Millisecond
	longestRest    = 250 * time.Millisecond
)

// watchedConn is the transport beneath a WebSocket. Within one read of a message
// the library answers pings and passes over empty frames, as many as there are,
// so what bounds them and lets others run stands here.
type watchedConn struct {
	net.Conn // in plaintext

	// Owned by the reader.
	frames webSocketFrames
	second int64 // that count is for
	count  idleFrames
	rested int // idle frames of this second that have been rested for
}

// watch returns what the WebSocket library is to read from instead of c, which
// net/http has taken buffered from already.
func watch(c net.Conn, buffered []byte) net.Conn {
	w := &watchedConn{Conn: c}
	w.frames.pass(buffered, &w.count)
	if t, ok := c.(*tls.Conn); ok {
		if wire, ok := t.NetConn().(*netio.Wire); ok {
			w.Conn = wire.Counted(c)
		}
	}
	return w
}

// Read implements net.Conn.
func (w *watchedConn) Read(p []byte) (int, error) {
	w.rest()
	n, err := w.Conn.Read(p)
	if now := time.Now().Unix(); now != w.second {
		w.second, w.count, w.rested = now, idleFrames{}, idleFramesFree
	}
	w.frames.pass(p[:n], &w.count)
	if w.count.tooMany() {
		return 0, errWebSocketFlood
	}
	return n, err
}

// rest lets others have their turn: for as long as the frames without data cost that have
// come since.
func (w *watchedConn) rest() {
	idle := w.count.idle()
	if idle <= w.rested {
		runtime.Gosched()
		return
	}
	time.Sleep(min(time.Duration(idle-w.rested)*idleFrameRest, longestRest))
	w.rested = idle
}

// idleFrames counts the frames of a second by what they bring.
type idleFrames struct{ control, empty, data int }

func (f *idleFrames) idle() int { return f.control + max(0, f.empty-f.data) }

func (f *idleFrames) tooMany() bool { return f.idle() > idleFramesPerSecond }

// webSocketFrames finds the frames in what a peer sends (RFC 6455, 5.2), whatever
// the pieces it comes in. What is no WebSocket is for the library to refuse.
type webSocketFrames struct {
	header [14]byte
	have   int    // bytes of header that have come
	left   uint64 // bytes of the payload still to come
}

func (f *webSocketFrames) pass(p []byte, count *idleFrames) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(p)))
			f.left -= n
			p = p[n:]
			continue
		}
		f.header[f.have] = p[0]
		f.have++
		p = p[1:]
		if f.have >= 2 && f.have == f.headerLen() {
			f.begin(count)
		}
	}
}

// headerLen needs the first two bytes of the header.
func (f *webSocketFrames) headerLen() int {
	n := 2
	switch f.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.header[1]&0x80 != 0 {
		n += 4 // the mask
	}
	return n
}

// begin is called when a header is complete.
func (f *webSocketFrames) begin(count *idleFrames) {
	f.have = 0
	switch n := f.header[1] & 0x7f; n {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.header[2:])
	default:
		f.left = uint64(n)
	}
	switch {
	case f.header[0]&0x08 != 0:
		count.control++
	case f.left == 0:
		count.empty++
	default:
		count.data++
	}
}
