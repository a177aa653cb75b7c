package readbuf

import "sync"

const (
	Small = 4 << 10  // for a quiet connection
	Large = 64 << 10 // while input fills the small buffer
)

// Quiet connections share their buffers, and have none while they wait.
var (
	smallOnes = sync.Pool{New: func() any { return new([Small]byte) }}
	largeOnes = sync.Pool{New: func() any { return new([Large]byte) }}
)

// New returns a buffer of at least n bytes, which Free takes back.
func New(n int) []byte {
	switch {
	case n <= Small:
		return smallOnes.Get().(*[Small]byte)[:]
	case n <= Large:
		return largeOnes.Get().(*[Large]byte)[:]
	}
	return make([]byte, n)
}

// Free takes back a buffer of New, which may be used anew at once. nil is none.
func Free(b []byte) {
	switch len(b) {
	case Small:
		smallOnes.Put((*[Small]byte)(b))
	case Large:
		largeOnes.Put((*[Large]byte)(b))
	}
}
