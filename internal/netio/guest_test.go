package netio_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/internal/netio"
)

// tally counts bytes, and fails beyond most.
type tally struct {
	most, sum atomic.Int64
}

var errEnough = errors.New("enough")

func (c *tally) Took(n int) error {
	if sum := c.sum.Add(int64(n)); c.most.Load() > 0 && sum > c.most.Load() {
		return errEnough
	}
	return nil
}

// guests makes links whose streams read beneath a meter.
func guests(meter netio.Meter, guest **netio.Metered) []kind {
	metered := func(c net.Conn) net.Conn {
		*guest = netio.NewMetered(c, meter)
		return *guest
	}
	return []kind{
		{"TCP", true, func(t testing.TB, buffered []byte) link {
			return plain(t, buffered, func(c net.Conn, buffered []byte) (netio.Stream, error) {
				return netio.TCP(metered(c), buffered)
			})
		}},
		{"TLS", true, func(t testing.TB, buffered []byte) link {
			return overTLS(t, buffered, tls.VersionTLS13, func(c *tls.Conn, w *netio.Wire, buffered []byte) (netio.Stream, error) {
				w.Conn = metered(w.Conn)
				return netio.TLS(c, w, buffered)
			})
		}},
	}
}

// A guest is read in small bursts and metered; from its Release on it may send
// frames of every size.
func TestGuestBecomesAPeer(t *testing.T) {
	const alone, frame = 300 << 10, 65_605
	meter, guest := new(tally), (*netio.Metered)(nil)
	for _, k := range guests(meter, &guest) {
		t.Run(k.name, func(t *testing.T) {
			meter.sum.Store(0)
			l := k.dial(t, nil)
			sent := noise(alone + 4*frame)
			go l.peer.Write(sent)
			var got []byte
			err := l.stream.ReadBursts(func(burst []byte) (int, error) {
				switch {
				case len(got) == alone: // whole frames only
					if len(burst) < frame {
						return 0, nil
					}
					got = append(got, burst[:frame]...)
					return frame, io.EOF
				case len(burst) > 24<<10:
					t.Errorf("a burst of %d bytes", len(burst))
				}
				n := min(len(burst), alone-len(got))
				if got = append(got, burst[:n]...); len(got) == alone {
					if sum := meter.sum.Load(); sum < alone || sum > alone+32<<10 {
						t.Errorf("%d bytes metered, of %d", sum, alone)
					}
					guest.Release()
				}
				return n, nil
			})
			if err != io.EOF {
				t.Fatal(err)
			}
			wantSame(t, "received", got, sent[:alone+frame])
		})
	}
}

// A meter ends the stream of a guest that sends too much.
func TestMeterEndsAGuest(t *testing.T) {
	meter, guest := new(tally), (*netio.Metered)(nil)
	for _, k := range guests(meter, &guest) {
		t.Run(k.name, func(t *testing.T) {
			meter.sum.Store(0)
			meter.most.Store(100 << 10)
			l := k.dial(t, nil)
			go l.peer.Write(noise(1 << 20))
			if _, err := collect(l.stream, 1<<20); err != errEnough {
				t.Errorf("ended with %v", err)
			}
			if sum := meter.sum.Load(); sum > 105<<10 {
				t.Errorf("%d bytes were read", sum)
			}
		})
	}
}
