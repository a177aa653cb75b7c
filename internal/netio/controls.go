package netio

import (
	"errors"
	"math"
	"time"
)

// ErrControlRecords reports a peer that sends more TLS records without data than
// any honest one: key updates, which cost an answer each, or empty records.
var ErrControlRecords = errors.New("netio: too many TLS records without data (key updates, or empty ones)")

// controlsPerSecond bounds them. An honest peer updates its keys once in 2^24
// records.
const controlsPerSecond = 16

// controls finds the records that bring no data. Whether one does is encrypted,
// but each record with data ends one Read of the TLS conn: what has gone in and
// not come out as data was of the other sort.
//
// Each conn has one, which is why its numbers are small.
type controls struct {
	records
	extra    int32  // records that went in, less reads that brought data, since the last check
	count    uint16 // controls in this second
	second   uint16
	unpaid   uint16 // controls whose answers may still be staged; see answers_unix.go
	counting bool   // reads are told of
}

// begin counts from now on.
func (c *controls) begin() { c.extra, c.counting = 0, true }

// pass takes bytes on their way to the TLS conn.
func (c *controls) pass(p []byte) { c.extra += int32(c.records.pass(p)) }

// took says that a read of the TLS conn has brought data.
func (c *controls) took() { c.extra-- }

// check is called when the TLS conn asks for more, so that it has nothing left
// of what went in. A record that came out in several reads is credit for what
// came with it, at most; streams over sockets read each record at once.
func (c *controls) check() error {
	more := c.extra
	c.extra = 0
	if more <= 0 || !c.counting {
		return nil
	}
	if now := uint16(time.Now().Unix()); now != c.second {
		c.second, c.count = now, 0
	}
	if more > controlsPerSecond {
		return ErrControlRecords
	}
	c.count += uint16(more)
	c.unpaid += uint16(more)
	if c.count > controlsPerSecond {
		return ErrControlRecords
	}
	return nil
}

// whole returns how much of p, which is to go in next, is complete records; all of
// it, if there is something that is no record: that is for TLS to refuse.
func (c *controls) whole(p []byte) int {
	n := c.records.rest()
	for n <= len(p)-recordHeader {
		header := p[n:]
		size := int(header[3])<<8 + int(header[4])
		if header[0] < 20 || header[0] > 24 || header[1] != 3 || size > maxRecord {
			return len(p)
		}
		if len(header) < recordHeader+size {
			break
		}
		n += recordHeader + size
	}
	return min(n, len(p))
}

// maxRecord is the largest body of a record in TLS 1.2; those of 1.3 are smaller.
const maxRecord = 16<<10 + 2048

// recordHeader is the type of a TLS record, its version and its length.
const recordHeader = 5

// records counts TLS records as they go by, whatever the pieces they come in.
type records struct {
	left uint16 // bytes of the body still to come
	have uint8  // bytes of the header that have come
}

// rest returns how much is to come of the record that has begun; more than can
// be, if not even its header is complete, so that TLS gets all there is.
func (r *records) rest() int {
	switch {
	case r.have == recordHeader:
		return int(r.left)
	case r.have > 0:
		return math.MaxInt
	}
	return 0
}

// pass takes p and returns how many records end in it.
func (r *records) pass(p []byte) (ended int) {
	for len(p) > 0 {
		n := 1
		switch {
		case r.have == recordHeader:
			n = min(len(p), int(r.left))
			r.left -= uint16(n)
		case r.have >= recordHeader-2: // the length
			r.left = r.left<<8 + uint16(p[0])
			fallthrough
		default:
			r.have++
		}
		p = p[n:]
		if r.have == recordHeader && r.left == 0 {
			r.have = 0
			ended++
		}
	}
	return ended
}
