package client

import "io"

const (
	smallInput = 4 << 10  // for a quiet connection
	largeInput = 64 << 10 // while input fills the small buffer
	quietReads = 64       // this many reads that the small buffer would have held make a connection quiet again
)

// inbuf reads ahead from a source, with a buffer whose size follows the traffic. It has one user at a time.
type inbuf struct {
	src   io.Reader
	buf   []byte
	r, w  int // buf[r:w] is read and not used
	busy  bool
	quiet int // reads in a row that a small buffer would have held
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
			return noEOF(err)
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
	b.makeRoom(n)
	for range 100 { // a reader may return nothing without an error, but not forever
		got, err := b.src.Read(b.buf[b.w:])
		b.w += got
		if got > 0 {
			b.watch(got)
			return nil // an error beside the bytes will come again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom moves what is buffered to the front of a buffer of the right size.
func (b *inbuf) makeRoom(n int) {
	pending := b.buffered()
	size := smallInput
	if b.busy {
		size = largeInput
	}
	size = max(size, n)
	if len(b.buf) < size || (len(b.buf) > size && len(pending) < size) {
		b.buf = append(make([]byte, 0, size), pending...)[:size]
	} else if b.r > 0 {
		copy(b.buf, pending)
	}
	b.r, b.w = 0, len(pending)
}

// watch notices when traffic begins and ends.
func (b *inbuf) watch(got int) {
	switch {
	case b.w == len(b.buf):
		b.busy, b.quiet = true, 0
	case got >= smallInput:
		b.quiet = 0
	default:
		if b.quiet++; b.quiet == quietReads {
			b.busy = false
		}
	}
}

// noEOF is for places where the input must not end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
