package netio_test

import (
	"net"
	"testing"

	"github.com/detour-relay/detour/internal/netio"
)

// What was read of a conn before it had a stream comes first, whoever reads it.
func TestWhatWasReadAheadComesFirst(t *testing.T) {
	meter := new(tally)
	for name, stream := range map[string]func(m *netio.Metered, buffered []byte) (netio.Stream, error){
		"socket":   func(m *netio.Metered, buffered []byte) (netio.Stream, error) { return netio.TCP(m, buffered) },
		"blocking": func(m *netio.Metered, buffered []byte) (netio.Stream, error) { return netio.Blocking(m, buffered), nil },
		"some of it is read": func(m *netio.Metered, buffered []byte) (netio.Stream, error) {
			first := make([]byte, 2)
			if _, err := m.Read(first); err != nil {
				return nil, err
			}
			return netio.TCP(m, append(buffered, first...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := plain(t, []byte("first "), func(c net.Conn, buffered []byte) (netio.Stream, error) {
				m := netio.NewMetered(c, meter)
				m.Precede(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}, []byte("then "))
				if from := m.RemoteAddr().String(); from != "192.0.2.1:4711" {
					t.Errorf("it comes from %s", from)
				}
				return stream(m, buffered)
			})
			go l.peer.Write([]byte("and last"))
			const want = "first then and last"
			got, err := collect(l.stream, len(want))
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, "received", got, []byte(want))
		})
	}
}
