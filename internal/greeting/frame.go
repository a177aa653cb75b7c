package greeting

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

// A Frame is exactly one frame to be read.
type Frame struct {
	Want     derp.FrameType
	Min, Max int           // bytes of payload
	Large    *atomic.Int64 // what all frames have that are larger than freeLogin; nil: Max is small

	taken int    // this one's part of that
	frame []byte // as far as it has arrived
}

var (
	// ErrUnexpected: another type of frame, or an impossible length.
	ErrUnexpected = fmt.Errorf("%w: unexpected first frame", ErrBad)
	// ErrMemory: logins under way need too much memory together, and this one, which
	// is larger than real ones are, asked for more.
	ErrMemory = errors.New("relay: unfinished logins take too much memory")

	errComplete = errors.New("frame complete") // ends the reading
)

type reader interface {
	ReadBursts(handle func(burst []byte) (used int, err error)) error
}

// From reads the frame from a stream.
func (f *Frame) From(stream reader) (payload []byte, err error) {
	if err := stream.ReadBursts(f.read); !errors.Is(err, errComplete) {
		return nil, err
	}
	return f.frame[derp.HeaderLen:], nil
}

// read takes what belongs to the frame from a burst.
func (f *Frame) read(p []byte) (used int, err error) {
	header := f.frame
	if len(header) == 0 {
		header = p
	}
	if len(header) < derp.HeaderLen {
		return 0, nil
	}
	t, n := derp.ParseHeader(header)
	if t != f.Want || n < f.Min || n > f.Max {
		return 0, fmt.Errorf("%w: %v of %d bytes", ErrUnexpected, t, n)
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
func (f *Frame) grow(size, whole int) error {
	if size <= cap(f.frame) {
		return nil
	}
	size = min(max(size, 4*cap(f.frame), freeLogin), whole)
	if size > freeLogin && f.Large != nil {
		more := size - f.taken
		f.taken = size
		if f.Large.Add(int64(more)) > loginBudget {
			return ErrMemory
		}
	}
	f.frame = append(make([]byte, 0, size), f.frame...)
	return nil
}

// Release gives back what the frame has taken.
func (f *Frame) Release() {
	if f.taken > 0 {
		f.Large.Add(-int64(f.taken))
	}
}
