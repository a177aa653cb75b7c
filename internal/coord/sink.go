package coord

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
)

// lineTime is how long a peer may take for a piece of its stream.
const (
	lineTime  = 15 * time.Second
	pieceSize = 32 << 10
)

// A sink is where a stream's lines go. One goroutine at a time writes.
type sink interface {
	write(lines [][]byte) error
	close() // by the one who writes, after the last line
	cut()   // by anybody: a write under way fails
}

var pieces = sync.Pool{New: func() any { b := make([]byte, 0, mostBefore+pieceSize+mostAfter); return &b }}

// inPieces hands lines on in pieces, put together as far as they fit.
func inPieces(lines [][]byte, room int, write func(b []byte) error) error {
	p := pieces.Get().(*[]byte)
	defer pieces.Put(p)
	b := (*p)[:room]
	for _, line := range lines {
		for len(line) > 0 {
			n := copy(b[len(b):room+pieceSize], line)
			b, line = b[:len(b)+n], line[n:]
			if len(b) < room+pieceSize {
				continue
			}
			if err := write(b); err != nil {
				return err
			}
			b = b[:room]
		}
	}
	if len(b) == room {
		return nil
	}
	return write(b)
}

// taken is a connection of HTTP/1.1 that was taken over: without buffers, and without
// what a server keeps for a request. That is most of what a stream costs.
type taken struct {
	conn  net.Conn
	begun bool // the head of the answer is written
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunkHead  = 6 // the most that a chunk's length takes
	mostBefore = len(streamHead) + chunkHead
	mostAfter  = 2
)

// write sends the head of the answer together with the first lines: a write costs more
// than what is in it. Without lines it is the head alone.
func (t *taken) write(lines [][]byte) error {
	if len(lines) == 0 {
		return t.send([]byte(t.head()))
	}
	return inPieces(lines, mostBefore, func(b []byte) error {
		length := strconv.AppendInt(make([]byte, 0, chunkHead), int64(len(b)-mostBefore), 16)
		before := append(append(make([]byte, 0, mostBefore), t.head()...), length...)
		before = append(before, "\r\n"...)
		start := mostBefore - len(before)
		copy(b[start:], before)
		return t.send(append(b, "\r\n"...)[start:])
	})
}

// head is what is to be written before anything else, once.
func (t *taken) head() string {
	if t.begun {
		return ""
	}
	t.begun = true
	return streamHead
}

func (t *taken) send(b []byte) error {
	t.conn.SetWriteDeadline(time.Now().Add(lineTime))
	_, err := t.conn.Write(b)
	return err
}

func (t *taken) close() {
	t.conn.SetWriteDeadline(time.Now().Add(time.Second))
	io.WriteString(t.conn, "0\r\n\r\n")
	t.conn.Close()
}

func (t *taken) cut() { t.conn.SetDeadline(time.Unix(1, 0)) }

// mostSaid is what a peer may send on its stream, which is nothing.
const mostSaid = 4096

// listen returns when the peer has gone.
func (t *taken) listen() {
	b := make([]byte, 64)
	for said := 0; said < mostSaid; {
		n, err := t.conn.Read(b)
		if err != nil {
			return
		}
		said += n
	}
}

// plain is any other response: HTTP/2, or one that cannot be taken over.
type plain struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (p plain) write(lines [][]byte) error {
	defer p.rc.SetWriteDeadline(time.Time{}) // of HTTP/2 it would end a stream that is silent
	err := inPieces(lines, 0, func(b []byte) error {
		p.rc.SetWriteDeadline(time.Now().Add(lineTime))
		_, err := p.w.Write(b)
		return err
	})
	return errors.Join(err, p.rc.Flush())
}

func (p plain) close() {}
func (p plain) cut()   { p.rc.SetWriteDeadline(time.Unix(1, 0)) }

// stream answers a request with a stream, until it ends or the peer goes. A connection
// that can be taken over lives on when this returns.
func (s *Service) stream(w http.ResponseWriter, r *http.Request, ses session, from func(*stream) source) {
	st := &stream{of: s, ses: ses, done: make(chan struct{})}
	rc := http.NewResponseController(w)
	conn, _, err := rc.Hijack()
	if err == nil && r.ProtoAtLeast(1, 1) {
		s.takeOver(st, conn, from)
		return
	}
	if err == nil {
		conn.Close() // HTTP/1.0 knows no chunks
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	rc.SetReadDeadline(time.Time{})
	st.out = plain{w, rc}
	if !s.streams.start(st, from) {
		s.refused(w, errFull())
		return
	}
	select {
	case <-r.Context().Done():
		st.end()
	case <-st.done:
	}
	<-st.done
}

func (s *Service) takeOver(st *stream, conn net.Conn, from func(*stream) source) {
	t := &taken{conn: conn}
	st.out = t
	conn.SetReadDeadline(time.Time{})
	s.streams.listens(1) // before it can end, so that whoever waits for all waits for this
	if !s.streams.start(st, from) {
		s.streams.listens(-1)
		t.write([][]byte{moveLine})
		t.close()
		return
	}
	go func() {
		defer s.streams.listens(-1)
		t.listen()
		st.end()
		<-st.done
	}()
}

func errFull() error {
	return later(coordapi.CodeUnavailable, "this coordinator has as many streams as it may, or is about to end: ask another")
}
