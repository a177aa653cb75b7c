package readbuf

import (
	"io"
	"time"
)

const (
	quietReads = 64 // so many reads in a row that Small would have held make a source quiet again
	quietAfter = time.Second
	firstInput = 16 // what a quiet one is waited for with
)

// Buffer reads ahead from Src, and its size follows the traffic. It has one user at
// a time, and no memory while that waits for input of a quiet source.
type Buffer struct {
	Src   io.Reader // set once
	buf   []byte
	r, w  int  // buf[r:w] is read and not used
	more  bool // than the first bytes may be there
	busy  bool
	quiet int       // reads in a row that a small buffer would have held
	last  time.Time // when a busy one was read last
	first [firstInput]byte
}

// Preload makes b what is read first. Nothing must be buffered.
func (b *Buffer) Preload(p []byte) {
	if len(p) > 0 {
		b.buf = New(max(len(p), Small))
		b.r, b.w = 0, copy(b.buf, p)
	}
}

// Buffered returns what is there. It is valid until the next call of another method
// than Discard.
func (b *Buffer) Buffered() []byte { return b.buf[b.r:b.w] }

// Discard forgets the first n bytes that are buffered.
func (b *Buffer) Discard(n int) { b.r += n }

// Need reads until n bytes are buffered.
func (b *Buffer) Need(n int) error {
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

// Skip reads n bytes and forgets them.
func (b *Buffer) Skip(n int) error {
	for {
		used := min(n, b.w-b.r)
		b.Discard(used)
		if n -= used; n == 0 {
			return nil
		}
		if err := b.fill(1); err != nil {
			if err == io.EOF {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// Read returns what is buffered, or else reads once.
func (b *Buffer) Read(p []byte) (int, error) {
	if b.r == b.w {
		if err := b.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.Buffered())
	b.Discard(n)
	return n, nil
}

// fill reads at least one more byte into a buffer that has room for n in all.
func (b *Buffer) fill(n int) error {
	if !b.busy && !b.more && b.r == b.w {
		return b.awaitFirst()
	}
	b.makeRoom(n)
	got, err := readSome(b.Src, b.buf[b.w:])
	b.w += got
	if got > 0 {
		b.more = b.w == len(b.buf)
		b.watch(got)
	}
	return err
}

// awaitFirst waits without a buffer.
func (b *Buffer) awaitFirst() error {
	Free(b.buf)
	b.buf, b.r, b.w = nil, 0, 0
	got, err := readSome(b.Src, b.first[:])
	if got == 0 {
		return err
	}
	b.buf, b.more = New(Small), got == len(b.first)
	b.w = copy(b.buf, b.first[:got])
	return nil
}

// readSome reads at least one byte. A reader may return nothing without an error,
// but not forever.
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
func (b *Buffer) makeRoom(n int) {
	pending := b.Buffered()
	size := max(b.Size(), n)
	if len(b.buf) < size || (len(b.buf) > size && len(pending) < size) {
		buf := New(size)
		copy(buf, pending)
		Free(b.buf)
		b.buf = buf
	} else if b.r > 0 {
		copy(b.buf, pending)
	}
	b.r, b.w = 0, len(pending)
}

// watch notices when traffic begins and ends.
func (b *Buffer) watch(got int) {
	if b.busy {
		now := time.Now()
		if b.quiet++; got >= Small {
			b.quiet = 0
		}
		b.busy = b.quiet < quietReads && (b.last.IsZero() || now.Sub(b.last) < quietAfter)
		b.last = now
	} else if b.w == len(b.buf) {
		b.busy, b.quiet, b.last = true, 0, time.Time{}
	}
}

// Size returns how large a buffer the traffic asks for.
func (b *Buffer) Size() int {
	if b.busy {
		return Large
	}
	return Small
}
