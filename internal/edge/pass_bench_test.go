//go:build unix

package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/sni"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// passedBytes are what is passed on in each round, either way.
const passedBytes = 1 << 30

// BenchmarkPassedOn measures what it costs to pass a GB on to another server, alone and
// beside relayed packets, and what a plain copy between two sockets of TCP costs in the
// same process, in turns. Both ends of the bytes are another process, so that only the
// way in between counts; what the relay takes by itself is measured before each, and taken
// off.
func BenchmarkPassedOn(b *testing.B) {
	ends := startEnds(b)
	s, plain := benchServer(b, ends.backend), benchCopy(b, ends.backend)
	turns := func(b *testing.B) {
		var passed, copied time.Duration
		for range b.N {
			passed += ends.cost(b, s.Addr())
			copied += ends.cost(b, plain)
		}
		perGB := func(d time.Duration) float64 { return d.Seconds() / float64(b.N) }
		b.ReportMetric(perGB(passed), "passed-cpu-s/GB")
		b.ReportMetric(perGB(copied), "copied-cpu-s/GB")
		b.ReportMetric(passed.Seconds()/copied.Seconds(), "ratio")
	}
	b.Run("alone", turns)
	b.Run("beside packets", func(b *testing.B) {
		relayPackets(b, s)
		turns(b)
	})
	if got := s.Snapshot().SNI.BytesIn; got < 2*passedBytes {
		b.Fatalf("%d bytes were passed on", got)
	}
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ends are the process that sends, and takes what has come through.
type ends struct {
	backend string
	ask     io.Writer
	answers *bufio.Reader
}

// cost is what passing on by an address takes.
func (e *ends) cost(b *testing.B, by net.Addr) time.Duration {
	const rest = time.Second
	before := cpu(b)
	time.Sleep(rest)
	idle := float64(cpu(b)-before) / float64(rest)
	before, began := cpu(b), time.Now()
	fmt.Fprintln(e.ask, by)
	if answer, err := e.answers.ReadString('\n'); answer != "done\n" {
		b.Fatalf("%q, %v", answer, err)
	}
	return cpu(b) - before - time.Duration(idle*float64(time.Since(began)))
}

const endsVariable = "PASS_BENCH_ENDS"

func startEnds(b *testing.B) *ends {
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkPassedOnEnds$", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), endsVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); io.Copy(io.Discard, out); cmd.Wait() })
	e := &ends{ask: in, answers: bufio.NewReader(out)}
	for !strings.HasPrefix(e.backend, "127.0.0.1:") {
		line, err := e.answers.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		e.backend = strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])
	}
	return e
}

// BenchmarkPassedOnEnds is the other process. By itself it measures nothing.
func BenchmarkPassedOnEnds(b *testing.B) {
	if os.Getenv(endsVariable) == "" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 1<<20))
				c.Close()
			}()
		}
	}()
	fmt.Fprintf(os.Stdout, "\nat %s\n", l.Addr())
	asked := bufio.NewScanner(os.Stdin)
	for asked.Scan() {
		c, err := net.Dial("tcp", asked.Text())
		if err != nil {
			b.Fatal(err)
		}
		tls.Client(&saysOnly{Conn: c}, &tls.Config{ServerName: "git.test"}).Handshake()
		piece := make([]byte, 1<<20)
		for range passedBytes / len(piece) {
			if _, err := c.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		fmt.Fprintln(os.Stdout, "done")
	}
	l.Close()
}

// saysOnly is a connection that sends its hello and hears nothing.
type saysOnly struct{ net.Conn }

func (saysOnly) Read([]byte) (int, error) { return 0, io.EOF }

func benchServer(b *testing.B, backend string) *Server {
	b.Helper()
	r := must(relay.New(relay.Config{Key: key.NewPrivate()}))(b)
	source := must(certs.OpenSelf(certs.SelfConfig{Host: "127.0.0.1", StateDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)}))(b)
	rules := must(sni.New(sni.Config{Names: must(sni.ParseNames(map[string]string{"git.test": backend}))(b)}))(b)
	s := must(listenOver(Config{Relay: r, Listen: "127.0.0.1:0", TLS: certs.TLSConfig(source, nil), SNI: rules}))(b)
	go s.Serve(context.Background())
	b.Cleanup(func() { r.Shutdown(context.Background()); s.Shutdown(context.Background()) })
	return s
}

// benchCopy is the plain way: a listener whose connections net copies to the backend.
func benchCopy(b *testing.B, backend string) net.Addr {
	b.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(b)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", backend)
			if err != nil {
				return
			}
			go func() {
				io.Copy(to, c)
				to.(*net.TCPConn).CloseWrite()
				io.Copy(c, to)
				c.Close()
				to.Close()
			}()
		}
	}()
	return l.Addr()
}

// relayPackets has a peer send packets of a KB to itself, some thousands a second, until
// the benchmark ends.
func relayPackets(b *testing.B, s *Server) {
	b.Helper()
	secret := key.NewPrivate()
	conn, _, err := client.Login(b.Context(), client.Config{URL: "https://" + s.Addr().String() + "/derp", Key: secret, InsecureSkipVerify: true})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for packet := make([]byte, 1000); ; time.Sleep(time.Millisecond) {
			for range 4 {
				if conn.Send(secret.Public(), packet) != nil {
					return
				}
			}
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for buf := make([]byte, 64<<10); ; {
			if _, err := conn.Recv(buf); err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() { conn.Close(); <-done; <-done })
}
