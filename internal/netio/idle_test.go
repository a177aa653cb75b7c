package netio_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// longIdle is longer than a stream keeps ready for more input.
const longIdle = 5500 * time.Millisecond

// An idler is a stream that reads blocks, with long pauses between them.
type idler struct {
	link
	name    string
	sent    [2][]byte // before and after a pause; the first with a rest
	end     func(l link)
	want    error // one of these
	orElse  error
	came    chan error
	reading <-chan error
}

func (i *idler) start() {
	next := 0
	i.came = make(chan error, 2)
	i.reading = run(func() error {
		return i.stream.ReadBursts(func(burst []byte) (int, error) {
			before := next
			used, err := unblock(burst, &next)
			if next > before {
				i.came <- nil
			}
			return used, err
		})
	})
}

// idlers returns streams of all kinds, with rests of all sorts and both ends.
func idlers(t *testing.T) (all []*idler) {
	sent := blocks(1000, 9000)
	for _, k := range kinds {
		for _, rest := range []int{0, 10, 5000} {
			parts := [2][]byte{sent[:1004+rest], sent[1004+rest:]}
			all = append(all, &idler{
				name: fmt.Sprintf("%s, rest of %d, peer leaves", k.name, rest), link: k.dial(t, nil), sent: parts,
				end: func(l link) { l.peer.Close() }, want: io.EOF,
			}, &idler{
				name: fmt.Sprintf("%s, rest of %d, closed", k.name, rest), link: k.dial(t, nil), sent: parts,
				end: func(l link) { l.stream.Close() }, want: net.ErrClosed, orElse: io.ErrClosedPipe,
			})
		}
	}
	return all
}

// A stream that has been idle goes on where it was, and ends as any other.
func TestIdleStreams(t *testing.T) {
	all := idlers(t)
	for _, i := range all {
		i.start()
	}
	for part := range 2 {
		for _, i := range all {
			if _, err := i.peer.Write(i.sent[part]); err != nil {
				t.Fatal(err)
			}
			wait(t, i.came)
		}
		time.Sleep(longIdle)
	}
	for _, i := range all {
		i.end(i.link)
		if err := wait(t, i.reading); !errors.Is(err, i.want) && (i.orElse == nil || !errors.Is(err, i.orElse)) {
			t.Errorf("%s: reading ended with %v", i.name, err)
		}
	}
}
