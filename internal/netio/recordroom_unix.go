//go:build unix

package netio

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls reads records into a buffer of each conn, which stays as large as the largest
// record that has come, 18 KB, and collects its handshake in another. A conn that waits is
// to hold neither, and there is no other way to them than this one (docs/decisions/0029).
//
// They are touched by who reads the conn, and only while nothing is in them.

// A recordRoom is the room for records that a conn is lent while its stream works.
type recordRoom struct {
	lent *buffer // nil: none
}

// recordRoomSize holds the largest record, its header, and what a bytes.Buffer wants
// behind what is read into it. A Wire puts no part of another one into it.
const recordRoomSize = 20 << 10

var recordRooms = newPool(recordRoomSize)

// lend has records be read into a buffer of the pool.
func (r *recordRoom) lend(c *tls.Conn) {
	if records := tlsLayout.records(c); records != nil && r.lent == nil && records.Len() == 0 {
		r.lent = take(recordRooms)
		*records = *bytes.NewBuffer(r.lent.bytes[:0])
	}
}

// takeBack leaves the conn without buffers, if nothing is in them. It has just said that it
// is dry, so nobody has what was in them any more.
func (r *recordRoom) takeBack(c *tls.Conn) {
	if handshake := tlsLayout.handshake(c); handshake != nil && handshake.Len() == 0 {
		*handshake = bytes.Buffer{}
	}
	records := tlsLayout.records(c)
	if records == nil || records.Len() > 0 {
		return
	}
	*records = bytes.Buffer{}
	if r.lent != nil {
		r.lent.release()
		r.lent = nil
	}
}

// A connLayout is where a tls.Conn has its buffers.
type connLayout struct {
	known                  bool // else it is another crypto/tls, which keeps what it has
	recordsAt, handshakeAt uintptr
}

var tlsLayout = layoutOf(reflect.TypeFor[tls.Conn](), "rawInput", "hand")

func layoutOf(conn reflect.Type, records, handshake string) connLayout {
	r, hasRecords := conn.FieldByName(records)
	h, hasHandshake := conn.FieldByName(handshake)
	is := reflect.TypeFor[bytes.Buffer]()
	return connLayout{hasRecords && hasHandshake && r.Type == is && h.Type == is, r.Offset, h.Offset}
}

func (l connLayout) records(c *tls.Conn) *bytes.Buffer { return l.at(c, l.recordsAt) }

func (l connLayout) handshake(c *tls.Conn) *bytes.Buffer { return l.at(c, l.handshakeAt) }

func (l connLayout) at(c *tls.Conn, offset uintptr) *bytes.Buffer {
	if !l.known {
		return nil
	}
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset))
}
