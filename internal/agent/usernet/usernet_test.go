package usernet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 2 * time.Minute

var (
	annas = []netip.Addr{netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd00::1")}
	bens  = []netip.Addr{netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("fd00::2")}
)

// pair is two networks with a wire between them.
func pair(t testing.TB) (anna, ben *Network) {
	t.Helper()
	all := make([]*Network, 2)
	for i, own := range [][]netip.Addr{annas, bens} {
		n, err := New(1280)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.SetAddresses(own); err != nil {
			t.Fatal(err)
		}
		all[i] = n
	}
	var running sync.WaitGroup
	running.Go(func() { wire(all[0], all[1]) })
	running.Go(func() { wire(all[1], all[0]) })
	t.Cleanup(func() { all[0].Device().Close(); all[1].Device().Close(); running.Wait() })
	return all[0], all[1]
}

func wire(from, to *Network) {
	const offset = 16
	bufs, sizes := make([][]byte, 8), make([]int, 8)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	for {
		n, err := from.Device().Read(bufs, sizes, offset)
		if err != nil {
			return
		}
		out := make([][]byte, n)
		for i := range n {
			out[i] = bufs[i][:offset+sizes[i]]
		}
		to.Device().Write(out, offset)
	}
}

// echo sends back what it hears.
func echo(t testing.TB, l net.Listener) {
	t.Helper()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
}

func echoesAt(t testing.TB, n *Network, port uint16) {
	t.Helper()
	l, err := n.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
}

// says sends a text, says that this is all, and wants it back with the end.
func says(t testing.TB, c net.Conn, text string) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != text {
		t.Errorf("%.40q came back, %v", got, err)
	}
}

func openPorts(t testing.TB, n *Network, cfg PortsConfig) *Ports {
	t.Helper()
	cfg.Resolve = func(name string) ([]netip.Addr, bool) { return bens, name == "ben" }
	p, err := n.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Programs come to members by name and by address, and get all that is said.
func TestSOCKS(t *testing.T) {
	anna, ben := pair(t)
	echoesAt(t, ben, 7)
	p := openPorts(t, anna, PortsConfig{SOCKS: "127.0.0.1:0"})
	via, err := proxy.SOCKS5("tcp", p.SOCKSAddr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"ben:7", "100.64.0.2:7", "[fd00::2]:7"} {
		c, err := via.Dial("tcp", to)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		says(t, c, strings.Repeat(to, 20000))
	}
	if c, err := via.Dial("tcp", "nobody:7"); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("%v, %v", c, err)
	}
}

func TestSOCKSIsRefused(t *testing.T) {
	const greeting = "\x05\x01\x00"
	for name, test := range map[string]struct{ says, want string }{
		"another version":   {"\x04\x01\x00\x07\x64\x40\x00\x02\x00", ""},
		"only with secrets": {"\x05\x01\x02", "\x05\xff"},
		"bind":              {greeting + "\x05\x02\x00\x01\x64\x40\x00\x02\x00\x07", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		"unknown type":      {greeting + "\x05\x01\x00\x09", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"},
		"no name":           {greeting + "\x05\x01\x00\x03\x00\x00\x07", "\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		"cut off":           {greeting + "\x05\x01\x00\x03\x05be", "\x05\x00"},
	} {
		near, far := net.Pipe()
		var p Ports
		var running sync.WaitGroup
		running.Go(func() { p.serveSOCKS(t.Context(), far) })
		running.Go(func() {
			io.WriteString(near, test.says)
			if name == "cut off" {
				time.AfterFunc(0, func() { near.Close() })
			}
		})
		got, _ := io.ReadAll(near)
		if name != "cut off" && string(got) != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		near.Close()
		running.Wait()
	}
}

// A port of this machine leads to one of a member, and one that is exposed from there to
// here.
func TestForwardAndExpose(t *testing.T) {
	anna, ben := pair(t)
	here, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, here)
	port := uint16(here.Addr().(*net.TCPAddr).Port)
	openPorts(t, ben, PortsConfig{Expose: []uint16{port}})
	p := openPorts(t, anna, PortsConfig{Forwards: []Forward{
		{"127.0.0.1:0", "ben", port}, {"127.0.0.1:0", "fd00::2", port}, {"127.0.0.1:0", "nobody", port},
	}})
	for i, l := range p.all {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			says(t, c, fmt.Sprintf("hello %d", i))
			continue
		}
		c.SetDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes from nobody", n)
		}
		c.Close()
	}
}

// What cannot be had is said, and nothing stays behind.
func TestPortsThatAreTaken(t *testing.T) {
	anna, _ := pair(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	for name, cfg := range map[string]PortsConfig{
		"SOCKS proxy":      {SOCKS: at},
		"forward to ben":   {SOCKS: "127.0.0.1:0", Forwards: []Forward{{at, "ben", 7}}},
		"port 7 of the tu": {Expose: []uint16{7, 7}},
	} {
		if _, err := anna.Open(cfg); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Addresses come and go while it runs.
func TestAddressesChange(t *testing.T) {
	anna, ben := pair(t)
	echoesAt(t, ben, 7)
	other := netip.MustParseAddr("100.64.0.9")
	if err := ben.SetAddresses([]netip.Addr{other, bens[1]}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{other, bens[1]} {
		c, err := anna.DialTCP(t.Context(), netip.AddrPortFrom(a, 7))
		if err != nil {
			t.Fatal(err)
		}
		says(t, c, a.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if c, err := anna.DialTCP(ctx, netip.AddrPortFrom(bens[0], 7)); err == nil {
		c.Close()
		t.Error("the address before still answers")
	}
}

// A device that is closed says so, and packets that are none do no harm.
func TestDevice(t *testing.T) {
	n, err := New(1280)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Device().Write([][]byte{{}, {0}, {0x45}, {0x60, 1, 2}, bytes.Repeat([]byte{0xff}, 99)}, 0); err != nil {
		t.Error(err)
	}
	n.Device().Close()
	n.Device().Close()
	if _, err := n.Device().Read(make([][]byte, 1), make([]int, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x03ben\x00\x16"))
	f.Add([]byte("\x05\x02\x02\x00\x05\x01\x00\x01\x64\x40\x00\x02\x00\x16"))
	f.Add([]byte("\x05\x00"))
	f.Fuzz(func(t *testing.T, said []byte) {
		rw := &half{Reader: bytes.NewReader(said)}
		to, err := readSOCKS(rw)
		if err == nil && to.name == "" && !to.addr.IsValid() {
			t.Errorf("%q leads nowhere", said)
		}
		if rw.Len() > 2 {
			t.Errorf("%d bytes of a greeting", rw.Len())
		}
	})
}

type half struct {
	io.Reader
	bytes.Buffer
}

func (h *half) Read(p []byte) (int, error) { return h.Reader.Read(p) }
