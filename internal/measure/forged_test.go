package measure

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

func TestForgedAnswersDoNotCount(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, Have: v4, Regions: []home.Region{n.add(1, 30*ms), n.add(2, 20*ms)}}
	good := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.0.1:3478"))
	lie := netip.MustParseAddrPort("192.0.2.66:6")
	n.place4(2).before = func(request []byte) []datagram {
		other := slices.Clone(request)
		other[19]++
		echo := answerTo(t, request, lie)
		all := []datagram{
			{answerTo(t, other, lie), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.0.2:3478"))},
			{echo, good}, // has not been asked this
			{echo, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.0.2:9"))},
			{echo, nil}, {echo, named("nobody")}, {echo, named("")},
			{echo[:20], good}, {nil, good}, {request, good},
			{answerTo(t, request, netip.MustParseAddrPort("0.0.0.0:1")), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.0.2:3478"))},
		}
		for range 5000 {
			all = append(all, datagram{[]byte("SSH-2.0-OpenSSH"), good})
		}
		return all
	}
	got, took := measuring(t, n, n.config(), q)
	want := map[int]time.Duration{1: 30 * ms, 2: 20 * ms}
	if took != 30*ms || !reflect.DeepEqual(got.Latency, want) || got.Public4 != me4 || got.MappingVaries != home.No {
		t.Errorf("%+v after %v, want %v after 30 ms", got.Report, took, want)
	}
}

// named is an address that is no *net.UDPAddr.
type named string

func (named) Network() string  { return "sim" }
func (n named) String() string { return string(n) }

func TestAnswersWithAnAddressOfTheOtherFamily(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, Have: both, Regions: []home.Region{n.add(1, 30*ms)}}
	n.place4(1).sees, n.place6(1).sees = me6, me4
	got, _ := measuring(t, n, n.config(), q)
	if !got.UDP || got.Public4.IsValid() || got.Public6.IsValid() || got.Latency4[1] != 30*ms || got.Latency6[1] != 30*ms {
		t.Errorf("%+v, want latencies and no addresses", got.Report)
	}
}

func TestSendersWithAnotherKindOfAddress(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, Have: v4, Regions: []home.Region{n.add(1, 30*ms)}}
	n.place4(1).latency = 50 * ms
	n.place4(1).before = func(request []byte) []datagram {
		return []datagram{{answerTo(t, request, me4), named("198.51.0.1:3478")}}
	}
	if got, _ := measuring(t, n, n.config(), q); got.Public4 != me4 || got.Latency[1] != 50*ms {
		t.Errorf("%+v", got.Report)
	}
}
