// Package frames takes apart what comes from a relay that tells its siblings of peers: all
// frames that mean something are short, and the others are passed over as they come.
package frames

import "github.com/detour-relay/detour/derp"

// Longest bounds the frames that mean something.
const Longest = 4 << 10

// A Reader is one connection's. Its fields are set before it reads.
type Reader struct {
	Means func(derp.FrameType) bool                       // others are passed over
	Take  func(t derp.FrameType, payload []byte) error    // one that means something
	Bad   func(t derp.FrameType, size int) (reason error) // one of impossible length

	skip int // bytes of a frame still to come that means nothing
}

// Burst takes the complete frames at the front of a burst.
func (r *Reader) Burst(p []byte) (used int, err error) {
	for more := true; more && err == nil; {
		var n int
		n, err = r.frame(p[used:])
		used += n
		more = n > 0
	}
	return used, err
}

// frame takes the frame at the front of p and returns its length; 0 if it is not complete.
func (r *Reader) frame(p []byte) (n int, err error) {
	if r.skip > 0 {
		n = min(r.skip, len(p))
		r.skip -= n
		return n, nil
	}
	if len(p) < derp.HeaderLen {
		return 0, nil
	}
	t, size := derp.ParseHeader(p)
	means := r.Means(t)
	if size > derp.MaxFrameToClient || means && size > Longest {
		return 0, r.Bad(t, size)
	}
	if !means {
		r.skip = size
		return derp.HeaderLen, nil
	}
	end := derp.HeaderLen + size
	if len(p) < end {
		return 0, nil
	}
	return end, r.Take(t, p[derp.HeaderLen:end])
}
