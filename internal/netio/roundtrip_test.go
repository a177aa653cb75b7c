package netio_test

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// Every stream can be asked for its round trip, at any time. Only Linux knows it, of what
// lies on a socket of TCP.
func TestRoundTrip(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		asked, ok := l.stream.(interface{ RoundTrip() time.Duration })
		if !ok {
			t.Fatal("it cannot be asked")
		}
		over := strings.HasPrefix(k.name, "TLS") || strings.HasSuffix(k.name, "TCP")
		if got := asked.RoundTrip(); got < 0 || got > time.Minute || (got > 0) != (over && runtime.GOOS == "linux") {
			t.Errorf("%v", got)
		}
		l.stream.Close()
		if got := asked.RoundTrip(); got < 0 || got > time.Minute {
			t.Errorf("%v, closed", got)
		}
	})
}

func TestRoundTripOfNoSocket(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if got := netio.RoundTrip(near); got != 0 {
		t.Errorf("%v", got)
	}
}

func TestRoundTripOfAMeteredConn(t *testing.T) {
	server, _ := loopback(t)
	if got := netio.RoundTrip(&netio.Metered{Conn: server}); (got > 0) != (runtime.GOOS == "linux") {
		t.Errorf("%v", got)
	}
}
