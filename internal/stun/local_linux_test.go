package stun

import (
	"encoding/binary"
	"math/rand/v2"
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
			b.names[i][2], b.names[i][3] = 0, 0 // no port
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

// controlMessage is what the kernel sends along, as its structures have it.
func controlMessage(level, kind int32, info func(data unsafe.Pointer)) (c *control) {
	aligned := new([len(control{}) / 8]uint64)
	h := (*unix.Cmsghdr)(unsafe.Pointer(aligned))
	h.Level, h.Type = level, kind
	if info != nil {
		info(unsafe.Add(unsafe.Pointer(aligned), unix.CmsgLen(0)))
	}
	return (*control)(unsafe.Pointer(aligned))
}

func TestControlMessagesThatAreNoneAreLeftOut(t *testing.T) {
	for n := range len(control{}) + 2 {
		for _, kind := range [][2]int32{{unix.SOL_SOCKET, unix.IP_PKTINFO}, {unix.IPPROTO_IP, unix.IP_PKTINFO}, {unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}} {
			got := returnControl(controlMessage(kind[0], kind[1], nil), n)
			if got != 0 && (kind[0] == unix.SOL_SOCKET || n < unix.CmsgLen(unix.SizeofInet4Pktinfo) || n > len(control{})) {
				t.Errorf("%d bytes of %v return %d", n, kind, got)
			}
		}
	}
}

func TestReturnedControlKeepsTheInterfaceOfALinkOnly(t *testing.T) {
	for addr, want := range map[string]uint32{
		"2001:db8::1": 0, "::ffff:192.0.2.1": 0, "::ffff:169.254.1.1": 0, "fe80::1": 7, "febf:ffff::1": 7, "fec0::1": 0, "ff02::1": 0,
	} {
		sent := netip.MustParseAddr(addr).As16()
		var info *unix.Inet6Pktinfo
		c := controlMessage(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, func(data unsafe.Pointer) {
			info = (*unix.Inet6Pktinfo)(data)
			info.Addr, info.Ifindex = sent, 7
		})
		if n := returnControl(c, unix.CmsgLen(unix.SizeofInet6Pktinfo)); n != unix.CmsgSpace(unix.SizeofInet6Pktinfo) {
			t.Errorf("%s: %d bytes", addr, n)
		}
		if info.Ifindex != want || info.Addr != sent {
			t.Errorf("%s: %+v", addr, *info)
		}
	}
	var info *unix.Inet4Pktinfo
	c := controlMessage(unix.IPPROTO_IP, unix.IP_PKTINFO, func(data unsafe.Pointer) {
		info = (*unix.Inet4Pktinfo)(data)
		*info = unix.Inet4Pktinfo{Ifindex: 7, Spec_dst: [4]byte{192, 0, 2, 1}, Addr: [4]byte{192, 0, 2, 2}}
	})
	n := returnControl(c, unix.CmsgLen(unix.SizeofInet4Pktinfo))
	want := unix.Inet4Pktinfo{Spec_dst: [4]byte{192, 0, 2, 1}, Addr: [4]byte{192, 0, 2, 2}}
	if n != unix.CmsgSpace(unix.SizeofInet4Pktinfo) || *info != want {
		t.Errorf("IPv4: %d bytes, %+v", n, *info)
	}
}

// The bytes of a name are read as the kernel's structures have them.
func TestNamesAreTheKernels(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		port := uint16(random.Uint32())
		network := binary.BigEndian.AppendUint16(nil, port)
		six := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: binary.NativeEndian.Uint16(network), Flowinfo: random.Uint32(), Scope_id: random.Uint32()}
		for i := range six.Addr {
			six.Addr[i] = byte(random.Uint32())
		}
		n := *(*name)(unsafe.Pointer(&six))
		if got, want := n.addr(), netip.AddrPortFrom(netip.AddrFrom16(six.Addr), port); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
		four := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: six.Port, Addr: [4]byte(six.Addr[:])}
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&n)) = four
		if got, want := n.addr(), netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
