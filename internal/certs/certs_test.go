package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// handshake runs one handshake and returns what the peer saw.
func handshake(t *testing.T, server *tls.Config, peer *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	peer = peer.Clone()
	peer.InsecureSkipVerify = true
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	done := make(chan error, 1)
	go func() { done <- tls.Server(far, server).Handshake() }()
	conn := tls.Client(near, peer)
	err := conn.Handshake()
	if err != nil {
		near.Close()
	}
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return conn.ConnectionState(), err
}

func TestTLSConfig(t *testing.T) {
	server := key.NewPrivate().Public()
	meta, err := NewMeta(server)
	if err != nil {
		t.Fatal(err)
	}
	self := openSelf(t, t.TempDir(), "relay.example", new(logbook))
	config := TLSConfig(self, meta)

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range []string{"relay.example", "other.example", ""} {
			state, err := handshake(t, config, &tls.Config{ServerName: name, MinVersion: version, MaxVersion: version})
			if err != nil {
				t.Fatalf("version %x, server name %q: %v", version, name, err)
			}
			if state.Version != version || len(state.PeerCertificates) != 2 {
				t.Fatalf("version %x, %d certificates, want %x and 2", state.Version, len(state.PeerCertificates), version)
			}
			if got := state.PeerCertificates[0]; !bytes.Equal(got.Raw, pairOf(self).Certificate[0]) {
				t.Errorf("the leaf is %v", got.Subject)
			}
			last := state.PeerCertificates[1]
			if got, ok := derp.ParseMetaCertName(last.Subject.CommonName); !ok || got != server {
				t.Errorf("the last certificate is %v", last.Subject)
			}
		}
	}

	if _, err := handshake(t, config, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 accepted")
	}
	state, err := handshake(t, config, &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("protocol %q, %v: HTTP/2 must not be offered", state.NegotiatedProtocol, err)
	}
	if _, err := handshake(t, config, &tls.Config{NextProtos: []string{"h2"}}); err == nil {
		t.Error("a peer that insists on HTTP/2 was not refused")
	}
	if config.ClientAuth != tls.NoClientCert || !config.SessionTicketsDisabled || !config.DynamicRecordSizingDisabled {
		t.Errorf("client certificates %v, no tickets %v, whole records %v", config.ClientAuth, config.SessionTicketsDisabled, config.DynamicRecordSizingDisabled)
	}
}

// A chain with intermediates keeps them, the meta certificate stays last, and a
// pair replaced by its source shows at the next handshake.
func TestTLSConfigFollowsItsSource(t *testing.T) {
	dir := t.TempDir()
	putPair(t, dir, "relay.example", time.Now())
	intermediate, _ := pairText(t, "ca.example", time.Now())
	cert, key1 := pairText(t, "relay.example", time.Now())
	put(t, dir+"/c.pem", slices.Concat(cert, intermediate))
	put(t, dir+"/k.pem", key1)
	files, err := OpenFiles(filesIn(dir, new(logbook)))
	if err != nil {
		t.Fatal(err)
	}
	meta, err := NewMeta(key.NewPrivate().Public())
	if err != nil {
		t.Fatal(err)
	}
	config := TLSConfig(files, meta)
	chain := func() []*x509.Certificate {
		t.Helper()
		state, err := handshake(t, config, &tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates
	}

	first := chain()
	if len(first) != 3 || first[1].Subject.CommonName != "ca.example" || !bytes.Equal(first[2].Raw, meta.DER()) {
		t.Fatalf("chain of %d: want leaf, intermediate, meta certificate", len(first))
	}
	putPair(t, dir, "relay.example", time.Now())
	if err := reload(t, files); err != nil {
		t.Fatal(err)
	}
	second := chain()
	if len(second) != 2 || second[0].Equal(first[0]) || !bytes.Equal(second[1].Raw, meta.DER()) {
		t.Errorf("after the reload a chain of %d, same leaf %v", len(second), second[0].Equal(first[0]))
	}
	if n := len(pairOf(files).Certificate); n != 1 {
		t.Errorf("the source's own pair grew to %d certificates", n)
	}
}
