package stun

import (
	"bufio"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The benchmarks run the responder in a process of its own, this test binary,
// so that its CPU time is not mixed up with that of those who ask.

// BenchmarkAnswers reports answers per second and the responder's CPU time
// per answer, under load (many requests wait) and when one client asks for
// one thing after the other.
func BenchmarkAnswers(b *testing.B) {
	for _, load := range []struct {
		name            string
		clients, window int
	}{{"loaded", 16, 8}, {"one-by-one", 1, 1}} {
		for _, variant := range slices.Sorted(maps.Keys(variants)) {
			b.Run(load.name+"/"+variant, func(b *testing.B) {
				addr, stop := startChild(b, variant)
				b.ResetTimer()
				generate(b, addr, load.clients, load.window)
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
				b.ReportMetric(float64(stop().Microseconds())*1000/float64(b.N), "cpu-ns/answer")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// startChild starts a responder. The function stops it, and returns the CPU
// time that it took.
func startChild(b *testing.B, variant string) (netip.AddrPort, func() time.Duration) {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), variantKey+"="+variant)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return netip.MustParseAddrPort(strings.TrimSpace(line)), func() time.Duration {
		in.Close()
		if err := c.Wait(); err != nil {
			b.Fatal(err)
		}
		return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
}

// generate gets b.N answers from addr: each client has a socket and up to
// window requests under way. It asks in batches and spins, so that it is not
// the one who waits.
func generate(b *testing.B, addr netip.AddrPort, clients, window int) {
	_, request, err := newRequest()
	if err != nil {
		b.Fatal(err)
	}
	sockets := make([]int, clients)
	for i := range sockets {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
			b.Fatal(err)
		}
		sockets[i] = fd
	}
	var in, out [batchSize]message
	answers := make([]byte, maxAnswer)
	inVector, outVector := unix.Iovec{Base: &answers[0]}, unix.Iovec{Base: &request[0]}
	inVector.SetLen(len(answers))
	outVector.SetLen(len(request))
	for i := range in {
		in[i].header.Iov, out[i].header.Iov = &inVector, &outVector
		in[i].header.SetIovlen(1)
		out[i].header.SetIovlen(1)
	}
	exchange := func(call uintptr, fd int, messages *message, n int) int {
		got, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(messages)), uintptr(n), 0, 0, 0)
		if errno != 0 && errno != unix.EAGAIN {
			b.Fatal(errno)
		}
		if errno != 0 {
			return 0
		}
		return int(got)
	}
	ask := func(n int) {
		for _, fd := range sockets {
			exchange(unix.SYS_SENDMMSG, fd, &out[0], n)
		}
	}
	ask(window)
	for got, progress := 0, time.Now(); got < b.N; {
		before := got
		for _, fd := range sockets {
			if n := exchange(unix.SYS_RECVMMSG, fd, &in[0], window); n > 0 {
				got += n
				exchange(unix.SYS_SENDMMSG, fd, &out[0], n)
			}
		}
		if got > before {
			progress = time.Now()
		} else if time.Since(progress) > time.Second { // lost
			ask(window)
			progress = time.Now()
		}
	}
}
