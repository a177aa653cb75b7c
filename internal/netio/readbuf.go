package netio

import "sync"

// smallRest is what a waiting conn may hold for an incomplete frame without
// keeping a whole chunk. A peer that stalls in the middle of a frame costs at
// most this or a small multiple of the bytes it sent.
const smallRest = 4 << 10

var smallRests = sync.Pool{New: func() any { return new([smallRest]byte) }}

// readBuf collects a conn's incoming bytes. While bytes arrive it owns a chunk;
// while the conn waits it owns nothing, or just the unused rest.
type readBuf struct {
	chunk *chunk           // nil while waiting
	small *[smallRest]byte // an unused rest that fits, while waiting
	n     int              // bytes held in chunk or small
}

// preload puts in bytes that were read before there was a readBuf.
func (b *readBuf) preload(p []byte) {
	for len(p) > 0 {
		n := copy(b.room(), p)
		if n == 0 {
			return
		}
		b.add(n)
		p = p[n:]
	}
	b.park()
}

// held returns the bytes held.
func (b *readBuf) held() []byte {
	if b.n == 0 {
		return nil
	}
	b.unpack()
	return b.chunk[:b.n]
}

// room returns where the next bytes go, at most BurstSize of them, taking a
// chunk if there is none. It is empty when the rest fills the chunk.
func (b *readBuf) room() []byte {
	b.unpack()
	return b.chunk[b.n:min(b.n+BurstSize, chunkSize)]
}

// unpack takes a chunk, and puts the rest kept while waiting into it.
func (b *readBuf) unpack() {
	if b.chunk != nil {
		return
	}
	b.chunk = chunks.Get().(*chunk)
	if b.small != nil {
		copy(b.chunk[:], b.small[:b.n])
		smallRests.Put(b.small)
		b.small = nil
	}
}

// add counts n bytes that were put into room.
func (b *readBuf) add(n int) { b.n += n }

// deliver hands everything held to handle and keeps what it leaves unused.
func (b *readBuf) deliver(handle Handler) error {
	if b.n == 0 {
		return nil
	}
	used, err := handle(b.held())
	if used > 0 {
		b.n = copy(b.chunk[:], b.chunk[used:b.n])
	}
	return err
}

// park gives the chunk back before the conn waits. A rest too large for the
// small buffer keeps it.
func (b *readBuf) park() {
	switch {
	case b.chunk == nil:
		return
	case b.n > smallRest:
		return
	case b.n > 0:
		b.small = smallRests.Get().(*[smallRest]byte)
		copy(b.small[:], b.chunk[:b.n])
	}
	chunks.Put(b.chunk)
	b.chunk = nil
}

// keepLast forgets all but the last n of the bytes held.
func (b *readBuf) keepLast(n int) {
	if n > 0 {
		copy(b.chunk[:], b.chunk[b.n-n:b.n])
	}
	b.n = n
	b.park()
}
