package programs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startBudget is how long a relay may take from exec to its first TLS handshake. It covers a loaded two-core machine.
const startBudget = 30 * time.Second

// Relay is a running relay program.
type Relay struct {
	Name string         // "detour" or "derper"
	Addr netip.AddrPort // where it listens, on 127.0.0.1
	URL  string         // of its DERP endpoint
	PID  int

	Certificate *x509.Certificate // its leaf; nil without TLS
	Pin         string            // "sha256-raw:..." of it, as DERP maps carry it
	Node        Node              // what a DERP map says of it; with TLS only. Our program's own words.

	MeshKey string // of a relay of a region
	Admin   string // base URL of the admin listener; ours in a region only

	program string
	args    []string
	env     []string // besides this process's
	cmd     *exec.Cmd
	log     *tail         // of all its lives
	dead    chan struct{} // closed when the process has ended
}

// Usage is what a relay has used of the machine so far.
type Usage struct {
	CPU     time.Duration // user and system time
	Read    int64         // bytes that read calls returned, from sockets too
	Written int64         // bytes that write calls took, to sockets too
}

// StartDetour starts our relay with a self-signed certificate for 127.0.0.1 and more arguments. It ends with the test.
func StartDetour(t testing.TB, args ...string) *Relay {
	t.Helper()
	r := startDetour(t, append([]string{"--tls", "self"}, args...)...)
	r.URL = "https://" + r.Addr.String() + "/derp"
	node, err := r.log.await("map node", r.dead)
	if err == nil {
		err = json.Unmarshal([]byte(node), &r.Node)
	}
	if err != nil {
		t.Fatalf("the DERP map node that %s prints: %v", r.Name, err)
	}
	r.awaitTLS(t)
	return r
}

// StartPlainDetour starts our relay without TLS.
func StartPlainDetour(t testing.TB) *Relay {
	t.Helper()
	r := startDetour(t, "--tls", "off")
	r.URL = "http://" + r.Addr.String() + "/derp"
	return r
}

// startDetour starts our relay on a port that it chooses, and learns the port from its log.
// It does not check itself: the two peers of that would be among those of the test.
func startDetour(t testing.TB, args ...string) *Relay {
	t.Helper()
	program, err := Detour()
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, "detour", program, append([]string{
		"relay", "--listen", "127.0.0.1:0", "--stun", "127.0.0.1:0", "--hostname", "127.0.0.1", "--state-dir", t.TempDir(),
		"--log-format", "json", "--drain", "0", "--self-check", "off",
	}, args...))
	rest, err := r.log.await(`"msg":"relay started"`, r.dead)
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	var started struct{ Listen netip.AddrPort }
	if err := json.Unmarshal([]byte("{"+strings.TrimPrefix(rest, ",")), &started); err != nil {
		t.Fatalf("%s logged its start as %q: %v", r.Name, rest, err)
	}
	r.Addr = started.Listen
	return r
}

// StartDerper starts the reference relay with a self-signed certificate for 127.0.0.1, as it makes one itself for an IP
// address, and more arguments. It ends with the test.
func StartDerper(t testing.TB, args ...string) *Relay {
	t.Helper()
	return startDerper(t, "derper", Derper, args)
}

// StartReference starts the real derper, also where DERPER_PROGRAM has another in its place.
func StartReference(t testing.TB, args ...string) *Relay {
	t.Helper()
	return startDerper(t, "derper", Reference, args)
}

// StartPlace starts our program in its place, with the same command line.
func StartPlace(t testing.TB, args ...string) *Relay {
	t.Helper()
	return startDerper(t, "detour as derper", Place, args)
}

func startDerper(t testing.TB, name string, build func() (string, error), args []string) *Relay {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	addr := FreeAddr(t)
	r := start(t, name, program, append([]string{
		"-a", addr.String(), "-http-port=-1", "-stun=false", "-c", filepath.Join(dir, "derper.key"),
		"-certmode=manual", "-certdir", dir, "-hostname=127.0.0.1",
	}, args...))
	r.Addr, r.URL = addr, "https://"+addr.String()+"/derp"
	r.awaitTLS(t)
	r.Node = Node{
		Name: "900a", RegionID: 900, HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none",
		DERPPort: int(addr.Port()), STUNPort: -1, CertName: r.Pin,
	}
	return r
}

// The ports that FreeAddr gives away lie below those that systems take for outgoing connections, so that nobody else gets one
// between the moment it is found free and the start of the program that it is for.
const (
	firstPort = 20000
	lastPort  = 32000
)

// given counts the ports given away, from a random start.
var given = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(rand.Uint32N(lastPort - firstPort))
	return n
}()

// FreeAddr returns an address of the loopback interface whose TCP and UDP port nobody has right now, and never the same one twice.
// derper cannot say which port the system gave it, so it has to be told one.
func FreeAddr(t testing.TB) netip.AddrPort {
	t.Helper()
	for range lastPort - firstPort {
		port := firstPort + given.Add(1)%(lastPort-firstPort)
		addr := netip.AddrPortFrom(netip.MustParseAddr(Host), uint16(port))
		if isFree(addr) {
			return addr
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

func isFree(addr netip.AddrPort) bool {
	tcp, err := net.Listen("tcp4", addr.String())
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", addr.String())
	if err != nil {
		return false
	}
	udp.Close()
	return true
}

// start runs a program whose log lines are kept, and ends it with the test. It gets env besides what this process has.
func start(t testing.TB, name, program string, args []string, env ...string) *Relay {
	t.Helper()
	r := &Relay{Name: name, program: program, args: args, env: env, log: newTail()}
	r.launch(t)
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		<-r.dead
		if t.Failed() {
			t.Logf("%s %s logged:\n%s", name, strings.Join(args, " "), r.log)
		}
	})
	return r
}

// launch starts the process.
func (r *Relay) launch(t testing.TB) {
	t.Helper()
	cmd, dead := exec.Command(r.program, r.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.Env = append(os.Environ(), r.env...)
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.cmd, r.dead, r.PID = cmd, dead, cmd.Process.Pid
	go func() {
		cmd.Wait()
		close(dead)
	}()
}

// Kill ends the relay without warning and waits until it has.
func (r *Relay) Kill() {
	r.cmd.Process.Kill()
	<-r.dead
}

// StartAgain starts a relay of a region that has ended, as it was: same address, same keys.
func (r *Relay) StartAgain(t testing.TB) {
	t.Helper()
	<-r.dead
	r.launch(t)
	r.awaitTLS(t)
}

// AwaitLog waits until the relay has logged a line with the mark, and returns what follows it.
func (r *Relay) AwaitLog(t testing.TB, mark string) string {
	t.Helper()
	rest, err := r.log.await(mark, r.dead)
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	return rest
}

// Stop asks the relay to end as an operator does and waits until it has. It returns the exit status.
func (r *Relay) Stop(t testing.TB) int {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	select {
	case <-r.dead:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(startBudget):
		t.Fatalf("%s did not end within %v of SIGTERM", r.Name, startBudget)
		return -1
	}
}

// awaitTLS waits until the relay completes a TLS handshake, and notes the pin of the certificate that it showed.
func (r *Relay) awaitTLS(t testing.TB) {
	t.Helper()
	dialer := &tls.Dialer{
		NetDialer: &net.Dialer{Timeout: time.Second},
		Config:    &tls.Config{InsecureSkipVerify: true}, // the pin is what this call finds out
	}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	late := time.After(startBudget)
	for {
		conn, err := dialer.DialContext(t.Context(), "tcp", r.Addr.String())
		if err == nil {
			r.Certificate = conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
			r.Pin = pinOf(r.Certificate)
			conn.Close()
			return
		}
		select {
		case <-retry.C:
		case <-r.dead:
			t.Fatalf("%s ended before it served: %v", r.Name, r.cmd.ProcessState)
		case <-late:
			t.Fatalf("%s at %v did not serve within %v: %v", r.Name, r.Addr, startBudget, err)
		}
	}
}

// VerifyPin is a tls.Config.VerifyConnection that accepts this relay only.
func (r *Relay) VerifyPin(state tls.ConnectionState) error {
	if pin := pinOf(state.PeerCertificates[0]); pin != r.Pin {
		return fmt.Errorf("%s shows certificate %s, want %s", r.Name, pin, r.Pin)
	}
	return nil
}

// pinOf returns the pin of a certificate: the lowercase hex SHA-256 of its DER form.
func pinOf(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return "sha256-raw:" + hex.EncodeToString(sum[:])
}

// Roots has the relay's certificate as a root.
func (r *Relay) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate)
	return roots
}
