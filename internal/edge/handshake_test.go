package edge

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/key"
)

// Each way a handshake can fail has its own count, and the sum of the Snapshot
// holds over all of them.
func TestHandshakeFailures(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t), HandshakeTimeout: time.Second, MaxPending: 10})
	handshake := func(config *tls.Config) {
		t.Helper()
		c := tls.Client(dial(t, s), config)
		if err := c.Handshake(); err == nil {
			t.Fatalf("a handshake with %+v succeeded", config)
		}
		c.NetConn().Close()
	}
	reason := func(want func(HandshakeFailures) uint64, provoke func()) {
		t.Helper()
		provoke()
		eventually(t, "one failure counted", func() bool { return want(s.Snapshot().HandshakeFailures) == 1 })
	}

	reason(func(h HandshakeFailures) uint64 { return h.Alert }, func() {
		handshake(&tls.Config{ServerName: "127.0.0.1", RootCAs: x509.NewCertPool()}) // trusts nobody
	})
	reason(func(h HandshakeFailures) uint64 { return h.Mismatch }, func() {
		handshake(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	})
	reason(func(h HandshakeFailures) uint64 { return h.Left }, func() { dial(t, s).Close() })
	reason(func(h HandshakeFailures) uint64 { return h.NotTLS }, func() {
		c := dial(t, s)
		send(t, c, []byte("\x00\x01\x02\x03\x04\x05\x06\x07"))
		io.ReadAll(c)
	})
	reason(func(h HandshakeFailures) uint64 { return h.Timeout }, func() { io.ReadAll(dial(t, s)) })
	reason(func(h HandshakeFailures) uint64 { return h.Cut }, func() { stall(t, s, 11, "") })
	dialTLS(t, s, tls.VersionTLS12)
	dialTLS(t, s, tls.VersionTLS13)

	eventually(t, "the sum of the Snapshot", func() bool {
		got := s.Snapshot()
		h := got.HandshakeFailures
		var timed uint64
		for _, n := range got.Handshakes.Counts {
			timed += n
		}
		return got.TLS12 == 1 && got.TLS13 == 1 && timed == 2 && got.Handshakes.Sum > 0 && got.Accepted == 18 &&
			got.Accepted == got.TLS12+got.TLS13+h.Alert+h.Cut+h.Left+h.Mismatch+h.NotTLS+h.Timeout
	})
}

func TestPlainHTTPOnTLSPortIsTold(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	response, body := ask(t, s, "GET", "/derp")
	if response.StatusCode != 400 || !strings.Contains(body, "https://") {
		t.Errorf("status %d %q", response.StatusCode, body)
	}
}

// The chain ends with the meta certificate in every version, whatever server
// name is asked for.
func TestMetaCertificateIsLast(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range []string{"", "127.0.0.1", "anything.example"} {
			c := tls.Client(dial(t, s), &tls.Config{InsecureSkipVerify: true, ServerName: name, MinVersion: version, MaxVersion: version})
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			chain := c.ConnectionState().PeerCertificates
			last := chain[len(chain)-1]
			got, ok := derp.ParseMetaCertName(last.Subject.CommonName)
			if !ok || got != s.config.Relay.PublicKey() || len(chain) != 2 {
				t.Errorf("version %x name %q: %d certificates, the last for %q", version, name, len(chain), last.Subject.CommonName)
			}
		}
	}
}

// writePair makes a self-signed pair for 127.0.0.1 into c.pem and k.pem of dir
// and returns the certificate.
func writePair(t *testing.T, dir string) []byte {
	t.Helper()
	state := t.TempDir()
	self := must(certs.OpenSelf(certs.SelfConfig{Host: "127.0.0.1", StateDir: state, Logger: slog.New(slog.DiscardHandler)}))(t)
	text := must(os.ReadFile(filepath.Join(state, "self-127.0.0.1.pem")))(t)
	block, rest := pem.Decode(text)
	writeFile(t, filepath.Join(dir, "c.pem"), pem.EncodeToMemory(block))
	writeFile(t, filepath.Join(dir, "k.pem"), rest)
	return self.Describe().Leaf.Raw
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload takes over what the files hold now.
func reload(t *testing.T, files *certs.Files) error {
	use, err := files.Prepare(t.Context())
	if err == nil {
		use()
	}
	return err
}

// A new pair shows at the next handshake, a broken one never, and conns that
// are up do not notice either.
func TestCertificateReload(t *testing.T) {
	v := testVectors(t).HTTP
	dir := t.TempDir()
	first := writePair(t, dir)
	files := must(certs.OpenFiles(certs.FilesConfig{
		CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem"), Logger: slog.New(slog.DiscardHandler),
	}))(t)
	s := start(t, Config{TLS: certs.TLSConfig(files, must(certs.NewMeta(vectorKey(t, "server").Public()))(t))})
	shown := func() []byte {
		return dialTLS(t, s, tls.VersionTLS13).ConnectionState().PeerCertificates[0].Raw
	}

	p := newPeer(vectorKey(t, "server").Public())
	c := dialTLS(t, s, tls.VersionTLS13)
	send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)

	writeFile(t, filepath.Join(dir, "k.pem"), []byte("broken"))
	if err := reload(t, files); err == nil || !strings.Contains(err.Error(), "k.pem") {
		t.Errorf("reload of a broken pair: %v", err)
	}
	if got := shown(); !slices.Equal(got, first) {
		t.Error("a broken pair changed what is shown")
	}
	second := writePair(t, dir)
	if err := reload(t, files); err != nil {
		t.Fatal(err)
	}
	if got := shown(); !slices.Equal(got, second) {
		t.Error("the new pair is not shown")
	}
	p.wantServed(t, c)
}

// A login that cannot be opened ends the conn and nobody else's.
func TestGarbageBehindTheUpgrade(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{TLS: selfTLS(t)})
	for _, garbage := range []string{"\x04\x00\x00\x00\x00", "\x02\x00\x00\x00\x38" + strings.Repeat("g", 56), "GET / HTTP/1.1\r\n\r\n"} {
		c := dialTLS(t, s, tls.VersionTLS13)
		send(t, c, []byte(v.FastStart.Request+garbage))
		wantBytes(t, c, v.ReplyFastStart)
		wantEnd(t, c)
	}
	stranger := newPeer(key.NewPrivate().Public()) // took another relay's key for ours
	c := dialTLS(t, s, tls.VersionTLS13)
	send(t, c, slices.Concat([]byte(v.FastStart.Request), stranger.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)
	wantEnd(t, c)
	eventually(t, "nobody left", func() bool { return s.Snapshot().Serving == 0 })
}

// A peer that resets the connection in the middle of anything leaves nothing.
func TestResets(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{})
	for cut := 0; cut <= len(v.Plain.Request); cut += 16 {
		c := dial(t, s)
		send(t, c, []byte(v.Plain.Request[:cut]))
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	eventually(t, "nothing left", func() bool {
		got := s.Snapshot()
		return got.Accepted > 0 && got.Pending == 0 && got.Serving == 0
	})
}
