package netio

// readBuf collects a conn's incoming bytes. While bytes arrive it owns a chunk;
// while the conn waits it owns nothing, or what holds just the unused rest.
type readBuf struct {
	chunk *chunk  // nil while waiting
	kept  *parked // the unused rest, while waiting
	n     int     // bytes held in chunk or kept
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
	if b.kept != nil {
		copy(b.chunk[:], b.kept.buf[:b.n])
		b.kept.release()
		b.kept = nil
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

// park gives the chunk back before the conn waits. Only a rest that is more than
// any frame keeps it: it ends the stream when more arrives.
func (b *readBuf) park() {
	if b.chunk == nil {
		return
	}
	if b.n > 0 {
		if b.kept = park(b.chunk[:b.n]); b.kept == nil {
			return
		}
	}
	chunks.Put(b.chunk)
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
		copy(b.chunk[:], b.chunk[b.n-n:b.n])
	}
	b.n = n
	b.park()
}
