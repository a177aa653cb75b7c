package stun

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The socket of dial hears only the address that it asked; left to itself,
// the system would answer from 127.0.0.1.
func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	request := []byte(loadVectors(t).Request)
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		if !canListen(t, listen) {
			continue
		}
		t.Run(listen, func(t *testing.T) {
			r := start(t, Config{Addr: listen})
			for _, host := range []string{"127.0.0.2", "127.1.2.3", "127.0.0.1"} {
				c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(at(r, host)))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if addr, err := parseAnswer(exchange(t, c, request)); err != nil || addr.String() != c.LocalAddr().String() {
					t.Errorf("%s: %v, %v", host, addr, err)
				}
			}
			if s := r.Snapshot(); s.NoLocalAddr != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// An answer that cannot be sent costs only itself.
func TestOneBadAnswerDoesNotStopTheOthers(t *testing.T) {
	r, err := Listen(t.Context(), Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	request := []byte(loadVectors(t).Request)
	c := dial(t, r.Addr())
	const burst = 5
	for range burst {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	r.socket.use(func(fd int) {
		b := newBatch(r, fd, -1)
		b.wait(unix.POLLIN)
		if errno := b.receive(); errno != 0 || b.received != burst {
			t.Errorf("%d of %d requests received: %v", b.received, burst, errno)
		}
		for _, i := range []int{0, 3} {
			b.names[i].Port = 0
		}
		b.answerAll()
		b.send()
	})
	answer := make([]byte, maxRequest)
	for range burst - 2 {
		if _, err := c.Read(answer); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Snapshot(); s.SendErrors != 2 || s.AnsweredIPv4 != burst-2 {
		t.Errorf("%+v", s)
	} else {
		checkSums(t, s)
	}
}

func TestControlMessagesThatAreNoneAreLeftOut(t *testing.T) {
	var c control
	for n := range int(unsafe.Sizeof(c)) + 1 {
		for _, kind := range [][2]int32{{unix.SOL_SOCKET, unix.IP_PKTINFO}, {unix.IPPROTO_IP, unix.IP_PKTINFO}, {unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}} {
			h := (*unix.Cmsghdr)(unsafe.Pointer(&c))
			h.Level, h.Type = kind[0], kind[1]
			if got := returnControl(&c, n); got != 0 && (kind[0] == unix.SOL_SOCKET || n < unix.CmsgLen(unix.SizeofInet4Pktinfo)) {
				t.Errorf("%d bytes of %v return %d", n, kind, got)
			}
		}
	}
}

func TestReturnedControlKeepsTheInterfaceOfALinkOnly(t *testing.T) {
	for addr, want := range map[string]uint32{"2001:db8::1": 0, "::ffff:192.0.2.1": 0, "fe80::1": 7} {
		var c control
		h := (*unix.Cmsghdr)(unsafe.Pointer(&c))
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		info := (*unix.Inet6Pktinfo)(unsafe.Add(unsafe.Pointer(&c), unix.CmsgLen(0)))
		info.Addr, info.Ifindex = netip.MustParseAddr(addr).As16(), 7
		before := info.Addr
		if n := returnControl(&c, unix.CmsgLen(unix.SizeofInet6Pktinfo)); n != unix.CmsgSpace(unix.SizeofInet6Pktinfo) {
			t.Errorf("%s: %d bytes", addr, n)
		}
		if info.Ifindex != want || !bytes.Equal(info.Addr[:], before[:]) {
			t.Errorf("%s: %+v", addr, *info)
		}
	}
}
