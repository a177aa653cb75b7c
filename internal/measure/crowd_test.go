package measure

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// However many regions a map has, a report has bounds: of goroutines, and of time.
func TestLargeMapsAreMeasuredWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var regions []home.Region
		for id := 1; id <= 6505; id++ {
			regions = append(regions, home.Region{ID: id, Nodes: []home.Node{{HostName: "r.example", IPv4: "198.51.100.1", IPv6: "2001:db8::1"}}})
		}
		before := runtime.NumGoroutine()
		var atOnce, most, goroutines, late atomic.Int64
		look := func() {
			if n := int64(runtime.NumGoroutine() - before); n > goroutines.Load() {
				goroutines.Store(n)
			}
		}
		start := time.Now()
		Run(t.Context(), Config{
			ListenPacket: func(context.Context, string, string) (net.PacketConn, error) {
				return deaf{look: look, closed: make(chan struct{})}, nil
			},
			HTTPS: func(ctx context.Context, _ int) (time.Duration, error) {
				n := atOnce.Add(1)
				defer atOnce.Add(-1)
				most.Store(max(most.Load(), n))
				look()
				if ctx.Err() != nil {
					late.Add(1)
				}
				<-ctx.Done()
				return 0, ctx.Err()
			},
		}, home.Questions{Full: true, Have: both, Regions: regions})
		if took := time.Since(start); took > home.ReportLimit || most.Load() > maxTimed || goroutines.Load() > 3*maxProbes {
			t.Errorf("%v, %d goroutines, %d regions at once over HTTPS", took, goroutines.Load(), most.Load())
		}
		if late.Load() > 0 {
			t.Errorf("%d regions are asked when time is up", late.Load())
		}
		if most.Load() == 0 || goroutines.Load() < maxProbes/2 {
			t.Errorf("%d goroutines, %d regions at once over HTTPS: nothing was measured", goroutines.Load(), most.Load())
		}
	})
}

// deaf is a socket on which no answer arrives.
type deaf struct {
	net.PacketConn
	look   func()
	closed chan struct{}
}

func (d deaf) WriteTo(b []byte, _ net.Addr) (int, error) { d.look(); return len(b), nil }
func (d deaf) ReadFrom([]byte) (int, net.Addr, error)    { <-d.closed; return 0, nil, net.ErrClosed }
func (d deaf) Close() error                              { close(d.closed); return nil }
func (d deaf) SetReadDeadline(time.Time) error           { return nil }
func (d deaf) SetWriteDeadline(time.Time) error          { return nil }
func (d deaf) SetDeadline(time.Time) error               { return nil }
func (d deaf) LocalAddr() net.Addr                       { return &net.UDPAddr{} }
