package client

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// Whatever a map says, a Host neither crashes nor spins.
func FuzzHostMap(f *testing.F) {
	f.Add([]byte(`{"Regions":{"1":{"RegionID":1,"Nodes":[{"Name":"1a","RegionID":1,"HostName":"192.0.2.1"}]}}}`), "")
	f.Add([]byte(`{"Regions":{"900":null,"-1":{"Nodes":[{"HostName":"a b","DERPPort":99999,"STUNPort":-1},{"IPv4":"none"}]}},
		"HomeParams":{"RegionScore":{"900":-1}},"omitDefaultRegions":true}`), "tailnet.example")
	f.Add([]byte("regions:\n  900:\n    nodes:\n      - hostname: \"::1\"\n        ipv6: none\n        canport80: true\n"), "x")
	f.Fuzz(func(t *testing.T, text []byte, tailnet string) {
		m, err := derpmap.Load(text, "")
		if err != nil || len(m.Regions) > 50 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			var dials atomic.Int64
			n, err := NewHost(HostConfig{
				Key: key.NewPrivate(), Map: m, Tailnet: tailnet,
				Base: Config{Proxy: noProxy, DialContext: func(context.Context, string, string) (net.Conn, error) {
					dials.Add(1)
					return nil, io.ErrClosedPipe
				}},
				Lookup:       func(context.Context, string, string) ([]netip.Addr, error) { return nil, io.ErrClosedPipe },
				ListenPacket: func(context.Context, string, string) (net.PacketConn, error) { return nil, io.ErrClosedPipe },
			})
			if err != nil {
				t.Fatal(err)
			}
			for id := range m.Regions {
				n.SetPeerHome(numbered(id), id)
				n.Send(numbered(id), []byte("x"))
			}
			time.Sleep(10 * time.Second)
			n.Close()
			// A relay is tried about 14 times in 10 s, in two families, and measured
			// once or twice.
			nodes := 0
			for _, r := range m.Regions {
				if r != nil {
					nodes += len(r.Nodes)
				}
			}
			if limit := int64(50 + 40*nodes); dials.Load() > limit {
				t.Errorf("%d connections tried in 10 s, the limit is %d", dials.Load(), limit)
			}
		})
	})
}

func numbered(n int) (k key.Public) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}
