package readbuf

import (
	"net"
	"testing"
)

// A quiet source keeps no large buffer, and a busy one has it for as long as it is
// busy.
func TestBufferFollowsTraffic(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	in := &Buffer{Src: ours}
	write := func(n, times int) {
		go func() {
			for range times {
				theirs.Write(make([]byte, n))
			}
		}()
		if err := in.Skip(n * times); err != nil {
			t.Fatal(err)
		}
	}
	check := func(step string, want int) {
		t.Helper()
		if len(in.buf) != want {
			t.Errorf("%s: buffer of %d bytes, want %d", step, len(in.buf), want)
		}
	}
	check("before", 0)
	write(5, 3)
	check("quiet", Small)
	write(2*Large, 2)
	check("busy", Large)
	write(5, quietReads/2)
	check("not yet quiet", Large)
	write(Large, 2)
	write(5, quietReads+1)
	check("quiet again", Small)
	go theirs.Write(make([]byte, 3*Large))
	if err := in.Need(3 * Large); err != nil || len(in.Buffered()) < 3*Large {
		t.Errorf("%d bytes, %v", len(in.Buffered()), err)
	}
	in.Discard(3 * Large)
	write(5, 1)
	check("after a huge frame", Large)
}
