package tailnet

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"tailscale.com/ipn/store/mem"
	"tailscale.com/tsnet"

	"github.com/detour-relay/detour/test/interop/programs"
)

// A role is what this binary does instead of testing, so that each end of a tunnel is a process of its own, as
// `detour up` is: it carries connections from one place to another. It says where it can be reached on its first line.
type role struct {
	Control string // of a tsnet node; empty: it is an end of a tunnel of TLS
	Name    string
	Dir     string         // for its state
	To      netip.AddrPort // where connections are carried to
	Far     bool           // they come out of the tunnel here; else they come in at a port of this machine
	Cert    string         // directory with a certificate
}

// roleEnv has a role, as JSON.
const roleEnv = "DETOUR_TAILNET_ROLE"

// tunnelPort is where nodes listen within their tailnet.
const tunnelPort = 7

// playRole ends the process, if it has a role.
func playRole() {
	text := os.Getenv(roleEnv)
	if text == "" {
		return
	}
	var r role
	err := json.Unmarshal([]byte(text), &r)
	if err == nil {
		err = r.play()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (r role) play() error {
	l, dial, err := r.ends()
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			far, err := dial()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			defer far.Close()
			carryBoth(c, far)
		}()
	}
}

// ends are where connections come from and go to.
func (r role) ends() (l net.Listener, dial func() (net.Conn, error), err error) {
	near := func() (net.Conn, error) { return net.Dial("tcp", r.To.String()) }
	if r.Control == "" {
		return r.tlsEnds(near)
	}
	s := &tsnet.Server{
		Dir: r.Dir, ControlURL: r.Control, Hostname: r.Name, Store: new(mem.Store), Ephemeral: true,
		Logf: func(string, ...any) {}, UserLogf: func(string, ...any) {},
	}
	status, err := s.Up(context.Background())
	if err != nil {
		return nil, nil, err
	}
	if r.Far {
		l, err = s.Listen("tcp", fmt.Sprintf(":%d", tunnelPort))
		fmt.Println(netip.AddrPortFrom(status.TailscaleIPs[0], tunnelPort))
		return l, near, err
	}
	l, err = listenNear()
	return l, func() (net.Conn, error) { return s.Dial(context.Background(), "tcp", r.To.String()) }, err
}

func (r role) tlsEnds(near func() (net.Conn, error)) (net.Listener, func() (net.Conn, error), error) {
	l, err := listenNear()
	if err != nil || !r.Far {
		return l, func() (net.Conn, error) { return tls.Dial("tcp", r.To.String(), &tls.Config{InsecureSkipVerify: true}) }, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(r.Cert, programs.CertFile), filepath.Join(r.Cert, programs.KeyFile))
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}), near, err
}

func listenNear() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(l.Addr())
	}
	return l, err
}

// carryBoth ends when both sides have said all.
func carryBoth(a, b net.Conn) {
	var other sync.WaitGroup
	other.Go(func() { carry(a, b) })
	carry(b, a)
	other.Wait()
}

func carry(to, from net.Conn) {
	io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// start plays the role in a process that ends with the test, and returns where that can be reached.
func (r role) start(t *testing.T) netip.AddrPort {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+string(text))
	return startAndRead(t, cmd)
}

func startAndRead(t *testing.T, cmd *exec.Cmd) netip.AddrPort {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	startUntilEnd(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s says nothing: %v", cmd, err)
	}
	at, err := netip.ParseAddrPort(line[:len(line)-1])
	if err != nil {
		t.Fatalf("%s says %q: %v", cmd, line, err)
	}
	return at
}

// startUntilEnd starts a program, and kills it when the test ends.
func startUntilEnd(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}
