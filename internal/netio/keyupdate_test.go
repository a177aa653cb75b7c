package netio_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/detour-relay/detour/internal/netio"
)

// A sealer makes records of TLS 1.3 in the place of the peer's own TLS conn,
// which cannot be asked to send a KeyUpdate (RFC 8446, 4.6.3, 5.2 and 7).
type sealer struct {
	t      *testing.T
	suite  uint16
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// newSealer takes over from a peer that has sent nothing since the handshake.
func newSealer(t *testing.T, peer *tls.Conn, keyLog string) *sealer {
	t.Helper()
	_, line, _ := strings.Cut(keyLog, "CLIENT_TRAFFIC_SECRET_0 ")
	fields := strings.Fields(line)
	if len(fields) < 2 {
		t.Fatalf("no traffic secret in the key log %q", keyLog)
	}
	secret, err := hex.DecodeString(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	s := &sealer{t: t, suite: peer.ConnectionState().CipherSuite}
	s.use(secret)
	return s
}

func (s *sealer) expand(label string, n int) []byte {
	s.t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *sealer) use(secret []byte) {
	s.t.Helper()
	s.secret, s.seq = secret, 0
	var err error
	switch s.suite {
	case tls.TLS_AES_128_GCM_SHA256:
		var block cipher.Block
		if block, err = aes.NewCipher(s.expand("key", 16)); err == nil {
			s.aead, err = cipher.NewGCM(block)
		}
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		s.aead, err = chacha20poly1305.New(s.expand("key", chacha20poly1305.KeySize))
	default:
		s.t.Fatalf("suite %s was chosen", tls.CipherSuiteName(s.suite))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.iv = s.expand("iv", s.aead.NonceSize())
}

func (s *sealer) record(contentType byte, content []byte) []byte {
	n := len(content) + 1 + s.aead.Overhead()
	header := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	nonce := bytes.Clone(s.iv)
	binary.BigEndian.PutUint64(nonce[len(nonce)-8:], s.seq^binary.BigEndian.Uint64(nonce[len(nonce)-8:]))
	s.seq++
	inner := append(bytes.Clone(content), contentType)
	return s.aead.Seal(header, nonce, inner, header)
}

func (s *sealer) data(content []byte) []byte { return s.record(23, content) }

// keyUpdate announces new keys, asks the other side for new ones, and changes.
func (s *sealer) keyUpdate() []byte { return s.update(1) }

func (s *sealer) update(request byte) []byte {
	r := s.record(22, []byte{24, 0, 0, 1, request})
	s.use(s.expand("traffic upd", sha256.Size))
	return r
}

// watched tells when something arrives.
type watched struct {
	net.Conn
	came chan error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	select {
	case w.came <- nil:
	default: // nobody has looked at the last one yet
	}
	return n, err
}

// keyed makes a TLS 1.3 link, and a sealer to speak in the peer's place.
func keyed(t *testing.T) (link, *sealer, *watched) { return keyedThrough(t, netio.TLS) }

func keyedThrough(t *testing.T, stream func(*tls.Conn, *netio.Wire, []byte) (netio.Stream, error)) (link, *sealer, *watched) {
	var keyLog strings.Builder
	var w *watched
	l := overTLSThrough(t, nil, &tls.Config{MinVersion: tls.VersionTLS13, KeyLogWriter: &keyLog}, stream,
		func(far net.Conn) net.Conn {
			w = &watched{Conn: far, came: make(chan error, 1)}
			return w
		})
	return l, newSealer(t, l.peer.(*tls.Conn), keyLog.String()), w
}

// The answer to a KeyUpdate leaves at once, not with the next packet.
func TestKeyUpdateIsAnswered(t *testing.T) {
	l, sealer, wire := keyed(t)
	var got bytes.Buffer
	arrived := make(chan error, 10)
	go l.stream.ReadBursts(func(burst []byte) (int, error) {
		got.Write(burst)
		arrived <- nil
		return len(burst), nil
	})
	if err := send(l.stream, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(l.peer, make([]byte, 5)); err != nil { // and the tickets in front
		t.Fatal(err)
	}
	wait(t, wire.came)
	answer := run(func() error { _, err := io.ReadFull(l.peer, make([]byte, 3)); return err })
	if _, err := l.wire.Write(append(sealer.keyUpdate(), sealer.data([]byte("with new keys"))...)); err != nil {
		t.Fatal(err)
	}
	wait(t, arrived)
	wantSame(t, "input", got.Bytes(), []byte("with new keys"))
	wait(t, wire.came) // nothing else is sent meanwhile
	if err := send(l.stream, []byte("bye")); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, answer); err != nil {
		t.Errorf("after the answer: %v", err)
	}
}

// Key updates do not disturb what is sent at the same time.
func TestKeyUpdatesWhileSending(t *testing.T) {
	l, sealer, _ := keyed(t)
	sent := noise(4 << 20)
	sending := run(func() error {
		for p := range slices.Chunk(sent, 5000) {
			if err := send(l.stream, p); err != nil {
				return err
			}
		}
		return nil
	})
	const updates = 10 // with many more in a row, the peer would give up
	var in bytes.Buffer
	reading := run(func() error {
		data, err := collect(l.stream, updates)
		in.Write(data)
		return err
	})
	updating := run(func() error {
		for n := range updates {
			if _, err := l.wire.Write(append(sealer.keyUpdate(), sealer.data([]byte{byte(n)})...)); err != nil {
				return err
			}
		}
		return nil
	})
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(l.peer, got); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "output", got, sent)
	for _, done := range []<-chan error{sending, updating, reading} {
		if err := wait(t, done); err != nil {
			t.Error(err)
		}
	}
	if in.Len() != updates {
		t.Errorf("%d bytes came between the updates, want %d", in.Len(), updates)
	}
}
