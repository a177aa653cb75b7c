package coordserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// testTurns are few: a machine with other work has to come to the end of as many
// handshakes at once, before they time out.
const testTurns = 16

// secured is a listener with handshakes, and its address.
func secured(t *testing.T) (*handshakes, string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, own.Public(), own)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHandshakes(l, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: own}}}, testTurns)
	t.Cleanup(func() { h.Close() })
	return h, l.Addr().String()
}

// Those who say nothing hold their turns, and others still come in.
func TestSilentOnesDoNotHoldUpOthers(t *testing.T) {
	h, addr := secured(t)
	for range testTurns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	go func() {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			h.Close()
			return
		}
		io.WriteString(conn, "here")
		conn.CloseWrite()
		io.Copy(io.Discard, conn) // what is not read when it closes could take "here" with it
		conn.Close()
	}()
	conn, err := h.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if said, err := io.ReadAll(conn); err != nil || string(said) != "here" {
		t.Errorf("%q, %v", said, err)
	}
}

// More than there are turns for come at once, and all come in, also those who came
// just before the address was handed to another process.
func TestAllComeInAtOnce(t *testing.T) {
	h, addr := secured(t)
	const all = 4 * testTurns
	var came sync.WaitGroup
	for range all {
		came.Go(func() {
			conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
			if err == nil {
				_, err = io.ReadAll(conn) // who goes at once may be gone before the other end has seen the handshake's end
				conn.Close()
			}
			if err != nil {
				t.Error(err)
				h.Close()
			}
		})
	}
	for n := range all {
		conn, err := h.Accept()
		if err != nil {
			t.Fatal(n, err)
		}
		conn.Close()
	}
	came.Wait()
	h.Listener.Close()
	if _, err := h.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// Who came before the address was handed to another process comes in, however slowly,
// and is waited for until whoever accepts knows of it; who says nothing is not waited for
// for ever.
func TestFinishWaitsForThoseWhoHaveCome(t *testing.T) {
	h, addr := secured(t)
	slow, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	for len(h.turns) == 0 {
		time.Sleep(time.Millisecond)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		h.Finish(t.Context())
	}()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	h.Finish(cancelled) // returns
	select {
	case <-finished:
		t.Error("it did not wait")
	default:
	}
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Client(slow, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	conn, err := h.Accept()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	select {
	case <-finished: // a shutdown could begin before the server knows the connection
		t.Error("it did not wait for whoever accepts to come again")
	default:
	}
	if _, err := h.Accept(); err == nil {
		t.Error("somebody came after the end")
	}
	conn.Close()
	<-finished
	<-shaken
}
