package wgproxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/detour-relay/detour/key"
)

// sized are packets of these sizes, each of which is known by its bytes.
func sized(sizes ...int) (packets [][]byte) {
	for i, size := range sizes {
		packets = append(packets, bytes.Repeat([]byte{byte(i)}, size))
	}
	return packets
}

func TestJoinable(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		want  int
	}{
		{[]int{1}, 1}, {[]int{5, 5, 5}, 3}, {[]int{5, 5, 4, 5}, 3}, {[]int{5, 6}, 1}, {[]int{0, 0}, 1}, {[]int{5, 0, 5}, 1},
		{[]int{60000, 60000}, 1}, {[]int{30000, 30000, 30000}, 2}, {make([]int, 0), 0},
	} {
		if len(c.sizes) == 0 {
			continue
		}
		if got := joinable(sized(c.sizes...)); got != c.want {
			t.Errorf("%v: %d, want %d", c.sizes, got, c.want)
		}
	}
	many := make([]int, 200)
	for i := range many {
		many[i] = 10
	}
	if got := joinable(sized(many...)); got != mostJoined {
		t.Errorf("%d as one", got)
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ length, size, want, last int }{{10, 0, 1, 10}, {10, 10, 1, 10}, {10, 3, 4, 1}, {9, 3, 3, 3}, {0, 3, 1, 0}, {5, 9, 1, 5}} {
		got := split(nil, make([]byte, c.length), c.size)
		if len(got) != c.want || len(got[len(got)-1]) != c.last {
			t.Errorf("%d by %d: %d packets, the last with %d", c.length, c.size, len(got), len(got[len(got)-1]))
		}
	}
}

func TestControlMessages(t *testing.T) {
	var place [controlLen]byte
	message := sizeMessage(place[:], 1280)
	header, data, rest, err := unix.ParseOneSocketControlMessage(message)
	if err != nil || header.Level != unix.SOL_UDP || header.Type != unix.UDP_SEGMENT || len(data) != 2 || len(rest) != 0 {
		t.Errorf("%+v, %v, %v (%v)", header, data, rest, err)
	}
	message[12] = unix.UDP_GRO // which says the same the other way
	if got := joinedSize(message); got != 1280 {
		t.Errorf("%d, want 1280", got)
	}
	for _, control := range [][]byte{nil, make([]byte, controlLen), bytes.Repeat([]byte{0xff}, controlLen)} {
		if got := joinedSize(control); got != 0 {
			t.Errorf("%x: %d", control, got)
		}
	}
}

// What is sent comes out, packet by packet and in order, whether the other end takes
// joined ones or not; both ways.
func TestStandIn(t *testing.T) {
	for _, joins := range []bool{true, false} {
		t.Run(fmt.Sprint("joins ", joins), func(t *testing.T) {
			device, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer device.Close()
			enlarge(device)
			forwarded := make(chan []byte, 10000)
			s, room, err := newStandIn(numbered(1), device.LocalAddr().(*net.UDPAddr).AddrPort().Port(), func(k key.Public, packets [][]byte) {
				for _, p := range packets {
					forwarded <- bytes.Clone(p)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if room < 64<<10 {
				t.Errorf("the buffers have %d bytes", room)
			}
			if !joins {
				s.wire.joins = false
			}
			random := rand.New(rand.NewPCG(1, 1))
			for range 50 {
				var sizes []int
				for range 1 + random.IntN(100) {
					size := []int{1, 100, 1280, 1280, 1280, 1420}[random.IntN(6)]
					sizes = append(sizes, size)
				}
				packets := sized(sizes...)
				if lost := s.send(packets); lost != 0 {
					t.Fatalf("%d are lost", lost)
				}
				checkReceived(t, device, packets)
				for _, p := range packets {
					if _, err := device.WriteToUDPAddrPort(p, s.own); err != nil {
						t.Fatal(err)
					}
				}
				for i, p := range packets {
					if got := <-forwarded; !bytes.Equal(got, p) {
						t.Fatalf("packet %d comes as one of %d bytes, want %d", i, len(got), len(p))
					}
				}
			}
			largest := sized(65507)
			if lost := s.send(largest); lost != 0 {
				t.Error("the largest is lost")
			}
			checkReceived(t, device, largest)
			if lost := s.send(sized(10, 65508, 10)); lost != 1 {
				t.Errorf("%d are lost, want the one that is too large", lost)
			}
		})
	}
}

func checkReceived(t *testing.T, device *net.UDPConn, packets [][]byte) {
	t.Helper()
	buf := make([]byte, 1<<16)
	device.SetReadDeadline(time.Now().Add(patience))
	for i, p := range packets {
		n, err := device.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], p) {
			t.Fatalf("packet %d has %d bytes, want %d (%v)", i, n, len(p), err)
		}
	}
}

// Another process cannot send to a stand-in, and a device that does not listen costs
// packets and nothing else.
func TestStandInIsTheDevices(t *testing.T) {
	device, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := device.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	forwarded := make(chan string, 10)
	s, _, err := newStandIn(numbered(1), port, func(k key.Public, packets [][]byte) {
		for _, p := range packets {
			forwarded <- string(p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	foreign, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.own))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	foreign.Write([]byte("foreign"))
	device.WriteToUDPAddrPort([]byte("own"), s.own)
	if got := <-forwarded; got != "own" {
		t.Errorf("%q comes through", got)
	}
	device.Close()
	// Who asks first is told of the refusal: this loop, or the stand-in's reader.
	for begun := time.Now(); s.send(sized(10)) == 0; {
		if time.Since(begun) > time.Minute {
			t.Fatal("nothing is lost, and nobody listens")
		}
	}
	again, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(own(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	s.send(sized(10)) // may be told of the refusal before
	if lost := s.send(sized(11)); lost != 0 {
		t.Error("the device listens again, and gets nothing")
	}
	again.WriteToUDPAddrPort([]byte("again"), s.own)
	if got := <-forwarded; got != "again" {
		t.Errorf("%q comes through", got)
	}
}
