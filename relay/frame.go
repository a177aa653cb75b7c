package relay

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/detour-relay/detour/derp"
)

// A login may be 256 KiB long (spec 3.2), and whoever sends it has proven nothing
// yet. Real ones are below 1 KB. So each has that much to itself, and all together
// share what more they need; when it runs out, whoever asks for more goes. It is
// counted without a lock: thousands may wait for one, each in the middle of a read.
const (
	freeLogin   = 1 << 10
	loginBudget = 16 << 20
)

// oneFrame collects exactly one frame of a login: the answer of a peer, or the
// greeting of a sibling.
type oneFrame struct {
	want     derp.FrameType
	min, max int           // bytes of payload
	large    *atomic.Int64 // what all frames have that are larger than freeLogin; nil: max is small
	taken    int           // this one's part of that
	frame    []byte        // as far as it has arrived
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
func (f *oneFrame) read(p []byte) (used int, err error) {
	header := f.frame
	if len(header) == 0 {
		header = p
	}
	if len(header) < derp.HeaderLen {
		return 0, nil
	}
	t, n := derp.ParseHeader(header)
	if t != f.want || n < f.min || n > f.max {
		return 0, fmt.Errorf("%w: first frame is %v of %d bytes", ErrBadLogin, t, n)
	}
	whole := derp.HeaderLen + n
	used = min(whole-len(f.frame), len(p))
	if err := f.grow(len(f.frame)+used, whole); err != nil {
		return 0, err
	}
	f.frame = append(f.frame, p[:used]...)
	if len(f.frame) == whole {
		err = errComplete
	}
	return used, err
}

// grow makes room for size bytes of a frame of whole bytes: more than that, so that
// it need not grow with each burst, but not all at once, so that a header alone
// gets nobody the memory.
func (f *oneFrame) grow(size, whole int) error {
	if size <= cap(f.frame) {
		return nil
	}
	size = min(max(size, 4*cap(f.frame), freeLogin), whole)
	if size > freeLogin && f.large != nil {
		more := size - f.taken
		f.taken = size
		if f.large.Add(int64(more)) > loginBudget {
			return ErrLoginMemory
		}
	}
	f.frame = append(make([]byte, 0, size), f.frame...)
	return nil
}

// release gives back what the frame has taken.
func (f *oneFrame) release() {
	if f.taken > 0 {
		f.large.Add(-int64(f.taken))
	}
}
