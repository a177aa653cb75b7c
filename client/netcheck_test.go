package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
)

// startSTUN starts a responder on loopback and returns its port.
func startSTUN(t *testing.T) int {
	t.Helper()
	r, err := stun.Listen(t.Context(), stun.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { r.Serve(context.Background()) })
	t.Cleanup(func() {
		r.Close()
		serving.Wait()
	})
	return int(r.Addr().Port())
}

// startFarSTUN is startSTUN for one that takes a while, and sees all under the same
// other address.
func startFarSTUN(t *testing.T, takes time.Duration) int {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			asked := pion.Message{Raw: append([]byte(nil), b[:n]...)}
			if asked.Decode() != nil {
				continue
			}
			answer := pion.MustBuild(pion.NewTransactionIDSetter(asked.TransactionID), pion.BindingSuccess,
				&pion.XORMappedAddress{IP: net.IPv4(203, 0, 113, 7), Port: 7})
			time.AfterFunc(takes, func() { conn.WriteToUDP(answer.Raw, from) })
		}
	})
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// stunRegions are regions from 1 with nodes that answer STUN on these ports of
// loopback.
func stunRegions(ports ...int) *derpmap.Map {
	m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
	for i, port := range ports {
		m.Regions[i+1] = &derpmap.Region{RegionID: i + 1, Nodes: []*derpmap.Node{
			{Name: "a", HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none", STUNPort: port, DERPPort: 1},
		}}
	}
	return m
}

func TestNetcheck(t *testing.T) {
	m := stunRegions(startSTUN(t), startSTUN(t))
	m.HomeParams = &derpmap.HomeParams{RegionScore: map[int]float64{2: 1e-9}} // whichever answers first
	got, err := Netcheck(t.Context(), NetcheckConfig{Map: m})
	if err != nil {
		t.Fatal(err)
	}
	if got.Region != 2 || got.Nearest != 2 || got.Reason != "it is the nearest" {
		t.Errorf("home %+v, want 2", got)
	}
	r := got.Report
	if !r.UDP || !r.Full || r.CaptivePortal || len(r.Failed) > 0 || r.Public4.Addr() != netip.MustParseAddr("127.0.0.1") || r.Public6.IsValid() {
		t.Errorf("report %+v", r)
	}
	if r.MappingVaries == nil || *r.MappingVaries || r.Latency[1] <= 0 || r.Latency[2] <= 0 || !reflect.DeepEqual(r.Latency, r.Latency4) || len(r.Latency6) > 0 {
		t.Errorf("report %+v", r)
	}
}

func TestNetcheckWaitsForAllRegions(t *testing.T) {
	const far = time.Second
	m := stunRegions(startSTUN(t), startSTUN(t), startSTUN(t), startFarSTUN(t, far))
	for _, all := range []bool{false, true} {
		got, err := Netcheck(t.Context(), NetcheckConfig{Map: m, AllRegions: all})
		if err != nil {
			t.Fatal(err)
		}
		took, measured := got.Report.Latency[4]
		if measured != all || all && took < far || got.Region == 4 || len(got.Report.Latency) < 3 {
			t.Errorf("all: %t; %+v", all, got)
		}
		if varies := got.Report.MappingVaries; varies == nil || *varies != all { // the far one sees us elsewhere
			t.Errorf("all: %t; the mapping varies: %v", all, varies)
		}
	}
}

// httpsRegion has nodes at these relays; nil stands for one where nothing listens.
func httpsRegion(relays ...*testRelay) *derpmap.Region {
	r := &derpmap.Region{Nodes: []*derpmap.Node{nil, {Name: "s", HostName: "127.0.0.1", DERPPort: 1, STUNOnly: true}}}
	for _, relay := range relays {
		port := 1
		if relay != nil {
			port = relay.listener.Addr().(*net.TCPAddr).Port
		}
		r.Nodes = append(r.Nodes, &derpmap.Node{HostName: "127.0.0.1", DERPPort: port})
	}
	return r
}

func TestNetcheckWithoutUDP(t *testing.T) {
	const late = 50 * time.Millisecond
	a := newAuthority(t)
	https := func(script func(*side)) *testRelay {
		return startRelay(t, key.Private{}, serverTLS(a.issue("127.0.0.1")), script)
	}
	near := https(answering(latencyAnswer))
	slow := https(func(s *side) { s.request(); time.Sleep(late); s.write([]byte(latencyAnswer)) })
	redirecting := https(answering("HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"))
	untrusted := startRelay(t, key.Private{}, serverTLS(newAuthority(t).issue("127.0.0.1")), answering(latencyAnswer))
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{
		1: httpsRegion(slow), 2: httpsRegion(nil, near), 3: httpsRegion(untrusted, nil), 4: httpsRegion(nil), 5: httpsRegion(redirecting),
		6: httpsRegion(near), 7: httpsRegion(near), 8: httpsRegion(),
	}}
	m.Regions[6].Avoid, m.Regions[7].NoMeasureNoHome = true, true
	got, err := Netcheck(t.Context(), NetcheckConfig{
		Map: m, NoUDP: true, Base: Config{RootCAs: a.pool(), Proxy: noProxy},
		ListenPacket: func(context.Context, string, string) (net.PacketConn, error) {
			t.Error("a socket for STUN was opened")
			return nil, net.ErrClosed
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := got.Report
	if r.UDP || len(r.Latency) != 2 || r.Latency[1] < late || r.Latency[2] <= 0 || len(r.Latency4)+len(r.Latency6) > 0 || r.MappingVaries != nil {
		t.Errorf("report %+v", r)
	}
	if got.Region == 0 || got.Nearest != got.Region {
		t.Errorf("%+v", got)
	}
	var status *StatusError
	if len(r.Failed) != 3 || !errors.Is(r.Failed[3], ErrCertificate) || r.Failed[4] == nil || !errors.As(r.Failed[5], &status) {
		t.Errorf("failed %v", r.Failed)
	}
}

func TestNetcheckOfMapsWithoutRegions(t *testing.T) {
	for _, m := range []*derpmap.Map{nil, {}, {Regions: map[int]*derpmap.Region{1: nil}}} {
		if _, err := Netcheck(t.Context(), NetcheckConfig{Map: m}); err == nil {
			t.Errorf("%+v can be measured", m)
		}
	}
}

// What is wrong in a map harms nobody but the region that it is in.
func TestNetcheckOfHostileMaps(t *testing.T) {
	node := func(host string, port int) *derpmap.Region {
		return &derpmap.Region{Nodes: []*derpmap.Node{nil, {HostName: host, DERPPort: port, STUNPort: port, IPv4: "none", IPv6: "none"}}}
	}
	m := stunRegions(startSTUN(t))
	m.Regions[-1], m.Regions[0], m.Regions[math.MaxInt] = m.Regions[1], m.Regions[1], &derpmap.Region{}
	m.Regions[2], m.Regions[3], m.Regions[4] = node("a b/\x00?", 1), node("", -5), node("127.0.0.1", 1<<40)
	m.Regions[5] = &derpmap.Region{Nodes: []*derpmap.Node{{HostName: "127.0.0.1", STUNTestIP: "nowhere", IPv4: "\x1b[31m", CertName: "sha256-raw:"}}}
	m.HomeParams = &derpmap.HomeParams{RegionScore: map[int]float64{1: math.NaN(), -1: 0, 0: -1}}
	for _, noUDP := range []bool{false, true} {
		got, err := Netcheck(t.Context(), NetcheckConfig{Map: m, NoUDP: noUDP, AllRegions: true, Base: Config{Proxy: noProxy}})
		if err != nil {
			t.Fatal(err)
		}
		want, measured := 1, 1
		if noUDP {
			want, measured = 0, 0 // nothing relays there
		}
		if got.Region != want || len(got.Report.Latency) != measured || got.Report.UDP == noUDP {
			t.Errorf("%+v, want home %d", got, want)
		}
		if noUDP && (len(got.Report.Failed) != 5 || got.Reason != "nothing answered") {
			t.Errorf("%q, failed %v", got.Reason, got.Report.Failed)
		}
	}
}

func TestNetcheckEndsWithTheContext(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m := stunRegions(silent.LocalAddr().(*net.UDPAddr).Port)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody wants to know any more")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	start := time.Now()
	for range 2 { // the second time from the beginning
		if _, err := Netcheck(ctx, NetcheckConfig{Map: m, Base: Config{Proxy: noProxy}}); !errors.Is(err, why) || time.Since(start) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
}

func TestDERPLatency(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		report Report
		want   map[string]float64
	}{
		{Report{}, map[string]float64{}},
		{
			Report{
				UDP: true, Latency: map[int]time.Duration{1: second, 2: second},
				Latency4: map[int]time.Duration{1: 2 * second}, Latency6: map[int]time.Duration{1: second, 2: second / 4},
			},
			map[string]float64{"1-v4": 2, "1-v6": 1, "2-v6": 0.25},
		},
		{Report{Latency: map[int]time.Duration{1: second / 2}}, map[string]float64{"1-v4": 0.5}},
	} {
		if got := test.report.DERPLatency(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v, want %v", got, test.want)
		}
	}
}

// A region's time is not used up by relays that hang: the next one is tried
// meanwhile.
func TestRegionIsTimedPastHangingRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency = 20 * time.Millisecond
		a := newAuthority(t)
		config := serverTLS(a.issue("127.0.0.1"))
		overTLS := func(script func(*side)) func(net.Conn) {
			return func(c net.Conn) { script(newSide(t, key.Private{}, tls.Server(c, config))) }
		}
		hanging := func(c net.Conn) { io.Copy(io.Discard, c) }
		scripts := []func(net.Conn){ // by port, from 1
			overTLS(func(s *side) { s.request(); time.Sleep(latency); s.write([]byte(latencyAnswer)) }),
			hanging,
			overTLS(func(s *side) { s.drain() }),
			overTLS(func(s *side) { s.request(); s.write([]byte("HTTP/1.1 200")); s.drain() }),
			overTLS(func(s *side) { s.request() }),
			overTLS(answering("HTTP/1.1 400 Bad Request\r\n\r\n")),
		}
		var serving sync.WaitGroup
		dial := func(_ context.Context, _, addr string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			port := netip.MustParseAddrPort(addr).Port()
			serving.Go(func() {
				defer theirs.Close()
				scripts[port-1](theirs)
			})
			return ours, nil
		}
		region := func(ports ...int) *derpmap.Region {
			r := new(derpmap.Region)
			for _, port := range ports {
				r.Nodes = append(r.Nodes, &derpmap.Node{HostName: "127.0.0.1", DERPPort: port})
			}
			return r
		}
		m := &derpmap.Map{Regions: map[int]*derpmap.Region{99: region(2, 3)}}
		for port := 2; port <= len(scripts); port++ {
			m.Regions[port] = region(port, port, port, 1)
		}
		got, err := Netcheck(t.Context(), NetcheckConfig{Map: m, NoUDP: true, Base: Config{RootCAs: a.pool(), Proxy: noProxy, DialContext: dial}})
		if err != nil {
			t.Fatal(err)
		}
		for id := range m.Regions {
			want := latency
			if id == 99 {
				want = 0
			}
			if took := got.Report.Latency[id]; took != want {
				t.Errorf("region %d: %v, want %v: %v", id, took, want, got.Report.Failed[id])
			}
		}
		serving.Wait()
	})
}

// A region can be the nearest and yet be of no use as a home.
func TestNetcheckSaysThatAHomeCannotRelay(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*derpmap.Node)
		usable bool
	}{
		"a relay":               {func(*derpmap.Node) {}, true},
		"no name, insecure":     {func(n *derpmap.Node) { n.HostName, n.InsecureForTests = "", true }, true},
		"no use of name, pin":   {func(n *derpmap.Node) { n.HostName, n.CertName = "a b", "sha256-raw:"+strings.Repeat("0", 64) }, true},
		"STUN only":             {func(n *derpmap.Node) { n.STUNOnly = true }, false},
		"no name, secure":       {func(n *derpmap.Node) { n.HostName = "" }, false},
		"not ASCII, secure":     {func(n *derpmap.Node) { n.HostName = "b\u00fccher.example" }, false},
		"no such port":          {func(n *derpmap.Node) { n.DERPPort = 70000 }, false},
		"a pin that cannot be":  {func(n *derpmap.Node) { n.CertName = "sha256-raw:12" }, false},
		"a port in name, other": {func(n *derpmap.Node) { n.HostName = "r.example:443" }, false},
	} {
		m := stunRegions(startSTUN(t))
		test.change(m.Regions[1].Nodes[0])
		got, err := Netcheck(t.Context(), NetcheckConfig{Map: m})
		if err != nil || got.Region != 1 || (got.Unusable == nil) != test.usable {
			t.Errorf("%s: home %d, unusable: %v; %v", name, got.Region, got.Unusable, err)
		}
	}
}
