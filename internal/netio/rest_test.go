package netio_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// errLater is a handler's way to say that it wants no more for now.
var errLater = errors.New("later")

// A reader that stops after every burst gets all of it in the end, in its order,
// whatever it leaves unused, and no more at once than it asked for.
func TestReadersThatRestLoseNothing(t *testing.T) {
	for _, most := range []int{0, 4 << 10} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			forEachKind(t, func(t *testing.T, k kind) { restAndRead(t, k.dial(t, nil), most) })
		})
	}
}

func restAndRead(t *testing.T, l link, most int) {
	if s, ok := l.stream.(interface{ LimitBursts(int) }); ok {
		s.LimitBursts(most)
	}
	sent := noise(3 << 20)
	writing := run(func() error {
		defer l.peer.Close()
		return dribble(l.peer, sent, rand.New(rand.NewPCG(2, 2)), 50_000)
	})
	var got []byte
	random := rand.New(rand.NewPCG(3, 3))
	rests, longest := 0, 0
	err := errLater
	for err == errLater {
		err = l.stream.ReadBursts(func(burst []byte) (int, error) {
			if len(burst) == 0 { // half a record is no reason to rest
				return 0, nil
			}
			longest = max(longest, len(burst))
			used := len(burst) - random.IntN(min(len(burst), 3000))
			got = append(got, burst[:used]...)
			rests++
			return used, errLater
		})
	}
	if err != io.EOF && len(got) < len(sent)-3000 {
		t.Errorf("reading ended with %v", err)
	}
	if n := len(got); n > len(sent) || n < len(sent)-3000 {
		t.Fatalf("%d bytes of %d", n, len(sent))
	}
	wantSame(t, "what came", got, sent[:len(got)])
	if err := wait(t, writing); err != nil {
		t.Error(err)
	}
	if atMost := most + 3000 + 16<<10; most > 0 && longest > atMost || rests < 10 { // a record may end in it
		t.Errorf("%d bytes at once, %d rests", longest, rests)
	}
	l.stream.Close()
}
