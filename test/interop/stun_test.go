package interop

import (
	"net"
	"testing"
	"time"

	"tailscale.com/net/stun"

	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// Their code asks, at the port that the relay's own map node names, and reads the answer.
func TestTheirSTUNClientAsksOurRelay(t *testing.T) {
	node := mapnode.Of(programs.StartDetour(t))
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.ParseIP(node.IPv4), Port: node.STUNPort})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	id := stun.NewTxID()
	if _, err := conn.Write(stun.Request(id)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got, addr, err := stun.ParseResponse(buf[:n])
	if err != nil || got != id || addr.String() != conn.LocalAddr().String() {
		t.Errorf("transaction %x, address %v (%v); want %x, %v", got, addr, err, id, conn.LocalAddr())
	}
}
