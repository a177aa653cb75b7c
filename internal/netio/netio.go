// Package netio carries one peer's bytes between the relay engine and the
// network in bursts: everything a readiness of the socket yields is handed over
// in one piece, and everything the engine staged leaves in one write.
//
// # Words
//
//   - burst: the bytes one readiness of a socket yielded, at most [BurstSize]
//     of them from the network, behind what the last burst left unused.
//   - chunk: the pooled buffer a burst is read into. A conn that waits holds none.
//   - guest: a conn with a meter, whose peer is nobody yet. It gets small chunks.
//   - staged: bytes written by the engine and not yet handed to the socket.
//
// # Streams
//
// [TCP] and [TLS] work on non-blocking sockets of Unix systems, each read by a goroutine
// that waits in Go's poller, or on Linux by one of a few [Loops]; elsewhere, and for any
// other net.Conn, they fall back to [Blocking], which behaves the same and is slower. All
// of them satisfy relay.Stream; this package names nothing of the engine's, so that
// clients can use it as well.
//
// # Limits
//
// An unused rest larger than the chunk leaves no room to read into and ends the
// stream with [ErrBurstTooLong]; the engine's largest frame is smaller. A guest's
// handler may leave less: until Release, what fits into a small chunk.
package netio

import (
	"crypto/tls"
	"errors"
	"net"
)

const (
	// BurstSize is how many bytes one read takes from a socket at the most. It
	// bounds how long the first packet of a burst waits for the last.
	BurstSize = 64 << 10

	// restSize is the room for an incomplete frame in front of a burst: the
	// largest frame of the protocol (65,600 bytes and a header) and some slack.
	restSize = 66 << 10

	chunkSize = restSize + BurstSize

	// guestBurst and guestChunk are those of a guest. Its rest is at most a TLS
	// record. A machine that cannot keep up with its guests has hundreds of them in
	// the middle of a read, each with a chunk.
	guestBurst = 4 << 10
	guestChunk = 24 << 10
)

// ErrBurstTooLong reports that the handler of bursts left more unused than a
// chunk holds.
var ErrBurstTooLong = errors.New("netio: unused rest of a burst fills the whole chunk")

// A Handler works through a burst and reports how many of its bytes it used.
// The burst is the handler's until it returns.
type Handler = func(burst []byte) (used int, err error)

// A Stream is what the engine reads and writes; relay.Stream asks for the same
// and says what each method promises.
type Stream interface {
	ReadBursts(handle func(burst []byte) (used int, err error)) error
	Write(p []byte) (int, error)
	Flush(wait bool) (done bool, err error)
	Close() error
}

// TCP is that of Loops, for a stream that no loop reads.
func TCP(c net.Conn, buffered []byte) (Stream, error) { return (*Loops)(nil).TCP(c, buffered) }

// TLS is that of Loops, for a stream that no loop reads.
func TLS(c *tls.Conn, w *Wire, buffered []byte) (Stream, error) {
	return (*Loops)(nil).TLS(c, w, buffered)
}
