package netio

// readBuf collects a conn's incoming bytes. While bytes arrive it owns a chunk;
// while the conn waits it owns nothing, or what holds just the unused rest.
type readBuf struct {
	guest *Metered // nil once it is released, or if there never was one
	chunk *buffer  // nil while waiting
	kept  *buffer  // the unused rest, while waiting
	n     int      // bytes held in chunk or kept
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
	return b.chunk.bytes[:b.n]
}

// room returns where the next bytes go, at most a burst, taking a chunk if there
// is none. It is empty when the rest fills the chunk.
func (b *readBuf) room() []byte {
	if b.guest != nil && b.guest.released.Load() {
		b.park()
		b.guest = nil
	}
	b.unpack()
	return b.chunk.bytes[b.n:min(b.n+b.burst(), len(b.chunk.bytes))]
}

// burst is how much is read at a time.
func (b *readBuf) burst() int {
	if b.guest != nil {
		return guestBurst
	}
	return BurstSize
}

// unpack takes a chunk, and puts the rest kept while waiting into it.
func (b *readBuf) unpack() {
	if b.chunk != nil {
		return
	}
	pool := chunks
	if b.guest != nil {
		pool = guestChunks
	}
	b.chunk = take(pool)
	if b.kept != nil {
		copy(b.chunk.bytes, b.kept.bytes[:b.n])
		b.kept.release()
		b.kept = nil
	}
}

// add counts n bytes that were put into room.
func (b *readBuf) add(n int) { b.n += n }

// meter tells the meter of a guest that n bytes were read.
func (b *readBuf) meter(n int) error {
	if b.guest == nil {
		return nil
	}
	return b.guest.took(n)
}

// deliver hands everything held to handle and keeps what it leaves unused.
func (b *readBuf) deliver(handle Handler) error {
	if b.n == 0 {
		return nil
	}
	used, err := handle(b.held())
	if used > 0 {
		b.n = copy(b.chunk.bytes, b.chunk.bytes[used:b.n])
	}
	return err
}

// park gives the chunk back before the conn waits. Only a rest that is more than
// any frame keeps it: it ends the stream when more arrives.
func (b *readBuf) park() {
	if b.chunk == nil {
		return
	}
	if b.n > 0 {
		if b.kept = park(b.chunk.bytes[:b.n]); b.kept == nil {
			return
		}
	}
	b.chunk.release()
	b.chunk = nil
}

// end gives the chunk back when reading ends, for good or for now: a stream that
// ended with one would keep it from the others.
func (b *readBuf) end(forGood bool) {
	if forGood {
		b.n = 0
	}
	b.park()
}

// keepLast forgets all but the last n of the bytes held.
func (b *readBuf) keepLast(n int) {
	if n > 0 {
		copy(b.chunk.bytes, b.chunk.bytes[b.n-n:b.n])
	}
	b.n = n
	b.park()
}
