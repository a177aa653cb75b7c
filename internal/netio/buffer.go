package netio

import "sync"

// A buffer comes from the pool of its size, and goes back there.
type buffer struct {
	pool  *sync.Pool
	bytes []byte
}

func newPool(size int) *sync.Pool {
	pool := new(sync.Pool)
	pool.New = func() any { return &buffer{pool, make([]byte, size)} }
	return pool
}

var chunks, guestChunks = newPool(chunkSize), newPool(guestChunk)

// parkPools has the buffers in which a waiting conn keeps an incomplete frame, or what
// its socket does not take: the smallest that holds it. So a peer that stalls within a
// frame costs what it has sent, rounded up, and not a chunk. One holds a full record of
// TLS with what sealing adds, the last the largest frame of the protocol.
var parkPools = [...]struct {
	size int
	pool *sync.Pool
}{
	{1 << 10, newPool(1 << 10)},
	{4 << 10, newPool(4 << 10)},
	{8 << 10, newPool(8 << 10)},
	{16 << 10, newPool(16 << 10)},
	{18 << 10, newPool(18 << 10)},
	{32 << 10, newPool(32 << 10)},
	{restSize, newPool(restSize)},
}

func take(pool *sync.Pool) *buffer { return pool.Get().(*buffer) }

// release gives the buffer to the next one that needs its size.
func (b *buffer) release() { b.pool.Put(b) }

// park returns p in a buffer of its size, or nil if p is more than a frame.
func park(p []byte) *buffer {
	for _, of := range parkPools {
		if len(p) <= of.size {
			kept := take(of.pool)
			copy(kept.bytes, p)
			return kept
		}
	}
	return nil
}
