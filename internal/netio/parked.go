package netio

import "sync"

// A parked is what a waiting conn keeps an incomplete frame in: a buffer of the
// smallest size that holds it. So a peer that stalls within a frame costs what
// it has sent, rounded up, and not a chunk.
type parked struct {
	pool *sync.Pool // where it goes when the conn is read again
	buf  []byte
}

// parkSizes ends with the largest frame of the protocol.
var parkSizes = [...]int{1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, restSize}

var parkPools = newParkPools()

func newParkPools() (pools [len(parkSizes)]*sync.Pool) {
	for i, size := range parkSizes {
		pool := new(sync.Pool)
		pool.New = func() any { return &parked{pool, make([]byte, size)} }
		pools[i] = pool
	}
	return pools
}

// park returns p in a buffer of its size, or nil if p is more than a frame.
func park(p []byte) *parked {
	for i, size := range parkSizes {
		if len(p) <= size {
			kept := parkPools[i].Get().(*parked)
			copy(kept.buf, p)
			return kept
		}
	}
	return nil
}

// release gives the buffer to the next conn that parks as much.
func (k *parked) release() { k.pool.Put(k) }
