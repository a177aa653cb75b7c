package relay

import (
	"errors"
	"fmt"

	"github.com/detour-relay/detour/derp"
)

// oneFrame collects exactly one frame of a login: the answer of a peer, or the
// greeting of a sibling.
type oneFrame struct {
	want     derp.FrameType
	min, max int    // bytes of payload
	frame    []byte // as far as it has arrived
}

// errComplete ends the reading of the frame when it is complete.
var errComplete = errors.New("relay: frame complete")

// from reads the frame from a stream.
func (f *oneFrame) from(stream Stream) (payload []byte, err error) {
	if err := stream.ReadBursts(f.read); !errors.Is(err, errComplete) {
		return nil, err
	}
	return f.frame[derp.HeaderLen:], nil
}

// read takes what belongs to the frame from a burst.
func (f *oneFrame) read(burst []byte) (used int, err error) {
	if len(f.frame) == 0 && len(burst) < derp.HeaderLen {
		return 0, nil
	}
	if len(f.frame) == 0 {
		used = derp.HeaderLen
		f.frame = append(f.frame, burst[:used]...)
	}
	t, n := derp.ParseHeader(f.frame)
	if t != f.want || n < f.min || n > f.max {
		return used, fmt.Errorf("%w: first frame is %v of %d bytes", ErrBadLogin, t, n)
	}
	more := min(derp.HeaderLen+n-len(f.frame), len(burst)-used)
	f.frame = append(f.frame, burst[used:used+more]...)
	if len(f.frame) == derp.HeaderLen+n {
		err = errComplete
	}
	return used + more, err
}
