package client

import (
	"io"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/reach"
)

const (
	smallInput = 4 << 10  // for a quiet connection
	largeInput = 64 << 10 // while input fills the small buffer
	quietReads = 64       // this many reads that the small buffer would have held make a connection quiet again
	quietAfter = time.Second
	firstInput = 16 // what a quiet connection waits with
)

// Quiet connections share their buffers, and have none while they wait.
var (
	smallInputs = sync.Pool{New: func() any { return new([smallInput]byte) }}
	largeInputs = sync.Pool{New: func() any { return new([largeInput]byte) }}
)

// newInput returns a buffer of at least n bytes, which freeInput takes back.
func newInput(n int) []byte {
	switch {
	case n <= smallInput:
		return smallInputs.Get().(*[smallInput]byte)[:]
	case n <= largeInput:
		return largeInputs.Get().(*[largeInput]byte)[:]
	}
	return make([]byte, n)
}

func freeInput(b []byte) {
	switch len(b) {
	case smallInput:
		smallInputs.Put((*[smallInput]byte)(b))
	case largeInput:
		largeInputs.Put((*[largeInput]byte)(b))
	}
}

// inbuf reads ahead from a source, with a buffer whose size follows the traffic. It has one user at a time.
type inbuf struct {
	src   io.Reader
	buf   []byte
	r, w  int  // buf[r:w] is read and not used
	more  bool // than the first bytes may be there
	busy  bool
	quiet int       // reads in a row that a small buffer would have held
	last  time.Time // when a busy one was read last
	first [firstInput]byte
}

// preload makes b what is read first. Nothing must be buffered.
func (b *inbuf) preload(p []byte) {
	if len(p) > 0 {
		b.buf = newInput(max(len(p), smallInput))
		b.r, b.w = 0, copy(b.buf, p)
	}
}

// buffered returns what is there; it is valid until the next call of another method than discard.
func (b *inbuf) buffered() []byte { return b.buf[b.r:b.w] }

func (b *inbuf) discard(n int) { b.r += n }

// need reads until n bytes are buffered.
func (b *inbuf) need(n int) error {
	for b.w-b.r < n {
		if err := b.fill(n); err != nil {
			if err == io.EOF && b.w > b.r {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// skip reads n bytes and forgets them.
func (b *inbuf) skip(n int) error {
	for {
		used := min(n, b.w-b.r)
		b.discard(used)
		if n -= used; n == 0 {
			return nil
		}
		if err := b.fill(1); err != nil {
			return reach.NoEOF(err)
		}
	}
}

// Read returns what is buffered, or else reads once.
func (b *inbuf) Read(p []byte) (int, error) {
	if b.r == b.w {
		if err := b.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buffered())
	b.discard(n)
	return n, nil
}

// fill reads at least one more byte into a buffer that has room for n in all.
func (b *inbuf) fill(n int) error {
	if !b.busy && !b.more && b.r == b.w {
		return b.awaitFirst()
	}
	b.makeRoom(n)
	got, err := readSome(b.src, b.buf[b.w:])
	b.w += got
	if got > 0 {
		b.more = b.w == len(b.buf)
		b.watch(got)
	}
	return err
}

// awaitFirst waits without a buffer.
func (b *inbuf) awaitFirst() error {
	freeInput(b.buf)
	b.buf, b.r, b.w = nil, 0, 0
	got, err := readSome(b.src, b.first[:])
	if got == 0 {
		return err
	}
	b.buf, b.more = newInput(smallInput), got == len(b.first)
	b.w = copy(b.buf, b.first[:got])
	return nil
}

// readSome reads at least one byte. A reader may return nothing without an error, but not forever.
func readSome(src io.Reader, p []byte) (int, error) {
	for range 100 {
		got, err := src.Read(p)
		if got > 0 {
			return got, nil // an error beside the bytes will come again
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// makeRoom moves what is buffered to the front of a buffer of the right size.
func (b *inbuf) makeRoom(n int) {
	pending := b.buffered()
	size := max(b.size(), n)
	if len(b.buf) < size || (len(b.buf) > size && len(pending) < size) {
		buf := newInput(size)
		copy(buf, pending)
		freeInput(b.buf)
		b.buf = buf
	} else if b.r > 0 {
		copy(b.buf, pending)
	}
	b.r, b.w = 0, len(pending)
}

// watch notices when traffic begins and ends.
func (b *inbuf) watch(got int) {
	if b.busy {
		now := time.Now()
		if b.quiet++; got >= smallInput {
			b.quiet = 0
		}
		b.busy = b.quiet < quietReads && (b.last.IsZero() || now.Sub(b.last) < quietAfter)
		b.last = now
	} else if b.w == len(b.buf) {
		b.busy, b.quiet, b.last = true, 0, time.Time{}
	}
}
