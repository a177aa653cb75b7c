package sni

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"
)

// bytesConn is a connection that says some bytes, and notes what is written to it.
type bytesConn struct {
	net.Conn
	io.Reader
	wrote bytes.Buffer
}

func (c *bytesConn) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error)      { return c.wrote.Write(p) }
func (c *bytesConn) Close() error                     { return nil }
func (c *bytesConn) SetDeadline(time.Time) error      { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }
func (c *bytesConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *bytesConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// helloBytes are what a client says first.
func helloBytes(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	c := &bytesConn{Reader: bytes.NewReader(nil)}
	tls.Client(c, config).Handshake() // fails: nobody answers
	if c.wrote.Len() == 0 {
		t.Fatal("no hello")
	}
	return c.wrote.Bytes()
}

// cut makes records of so many bytes each of one record.
func cut(record []byte, size int) (all []byte) {
	for body := record[5:]; len(body) > 0; {
		n := min(size, len(body))
		all = append(all, record[0], record[1], record[2], byte(n>>8), byte(n))
		all = append(all, body[:n]...)
		body = body[n:]
	}
	return all
}

var errForeign = errors.New("foreign")

// hear has a server read a hello and take it for foreign. It returns the name; heard is
// false if the server did not get that far.
func hear(c net.Conn) (name string, ahead []byte, heard bool) {
	h := Listen(c)
	server := tls.Server(h, Reading(&tls.Config{}, func(hello *tls.ClientHelloInfo) error {
		name, heard = hello.ServerName, true
		h.Divert()
		return errForeign
	}))
	server.Handshake()
	return name, h.Ahead(), heard
}

// Whatever pieces a hello comes in, its name is found, all that was read is kept, and
// nothing is answered.
func TestAHelloInPieces(t *testing.T) {
	whole := helloBytes(t, &tls.Config{ServerName: "git.example.org", NextProtos: []string{"h2"}})
	huge := &tls.Config{ServerName: "git.example.org"}
	for range 3000 {
		huge.NextProtos = append(huge.NextProtos, "a-protocol-x")
	}
	for name, said := range map[string][]byte{
		"one record": whole, "records of a byte": cut(whole, 1), "of 7": cut(whole, 7), "with more behind": append(bytes.Clone(whole), "early data"...), "huge": helloBytes(t, huge),
	} {
		for way, r := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
			c := &bytesConn{Reader: r(bytes.NewReader(said))}
			got, ahead, heard := hear(c)
			rest, _ := io.ReadAll(c.Reader)
			if !heard || got != "git.example.org" {
				t.Errorf("%s, %s: name %q, %v", name, way, got, heard)
			}
			if !bytes.Equal(append(bytes.Clone(ahead), rest...), said) {
				t.Errorf("%s, %s: %d bytes kept and %d left of %d", name, way, len(ahead), len(rest), len(said))
			}
			if c.wrote.Len() > 0 {
				t.Errorf("%s, %s: %x was written", name, way, c.wrote.Bytes())
			}
		}
	}
}

// rename puts other bytes of the same length in place of the name.
func rename(hello []byte, name string) []byte {
	return bytes.Replace(hello, []byte("git.example.org"), []byte(name), 1)
}

// What is no hello names nobody, and what is none of a name is passed on as it is: the
// rules know what to do with it.
func TestHellosThatAreStrange(t *testing.T) {
	whole := helloBytes(t, &tls.Config{ServerName: "git.example.org"})
	for name, c := range map[string]struct {
		said  []byte
		want  string
		heard bool
	}{
		"no name":          {helloBytes(t, &tls.Config{InsecureSkipVerify: true}), "", true},
		"a dot at its end": {rename(whole, "git.example.or."), "", false}, // RFC 6066 3
		"a port":           {rename(whole, "git.example:443"), "git.example:443", true},
		"an address":       {rename(whole, "203.0.113.7.255"), "203.0.113.7.255", true},
		"letters":          {rename(whole, "GIT.example.ORG"), "GIT.example.ORG", true},
		"no letters":       {rename(whole, "\x00\n\x1b[31m\xff......"), "\x00\n\x1b[31m\xff......", false},
		"half":             {whole[:len(whole)/2], "", false},
		"SSLv2":            {[]byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"), "", false},
		"HTTP":             {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "", false},
		"nothing":          {nil, "", false},
		"empty records":    {bytes.Repeat([]byte{22, 3, 1, 0, 0}, 1000), "", false},
	} {
		got, _, heard := hear(&bytesConn{Reader: bytes.NewReader(c.said)})
		if heard != c.heard && name != "no letters" || heard && got != c.want {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, heard, c.want, c.heard)
		}
	}
}

// Two names are refused by crypto/tls, as RFC 6066 has it.
func TestAHelloWithTwoNames(t *testing.T) {
	list := func(names ...string) (b []byte) {
		for _, n := range names {
			b = append(b, 0, byte(len(n)>>8), byte(len(n)))
			b = append(b, n...)
		}
		return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
	}
	with := func(names []byte) []byte {
		ext := append([]byte{0, 0, byte(len(names) >> 8), byte(len(names))}, names...)
		body := append([]byte{3, 3}, make([]byte, 32)...)
		body = append(body, 0, 0, 2, 0x13, 0x01, 1, 0, byte(len(ext)>>8), byte(len(ext)))
		body = append(body, ext...)
		msg := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
		return append([]byte{22, 3, 1, byte(len(msg) >> 8), byte(len(msg))}, msg...)
	}
	if got, _, heard := hear(&bytesConn{Reader: bytes.NewReader(with(list("a.test")))}); !heard || got != "a.test" {
		t.Fatalf("one name: %q, %v", got, heard)
	}
	if got, _, heard := hear(&bytesConn{Reader: bytes.NewReader(with(list("a.test", "b.test")))}); heard {
		t.Errorf("two names: %q", got)
	}
}

// What does not end is not kept for ever.
func TestAHelloThatDoesNotEnd(t *testing.T) {
	h := Listen(&bytesConn{Reader: endless{}})
	n, err := io.Copy(io.Discard, h)
	if !errors.Is(err, errLong) || n > MostAhead || len(h.Ahead()) > MostAhead {
		t.Errorf("%d bytes, %d kept: %v", n, len(h.Ahead()), err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Whatever comes, nothing is lost of it and nothing answered to what is foreign.
func FuzzHello(f *testing.F) {
	whole := helloBytes(f, &tls.Config{ServerName: "git.example.org", NextProtos: []string{"h2", "acme-tls/1"}})
	f.Add(whole, 0)
	f.Add(cut(whole, 3), 1)
	f.Add(helloBytes(f, &tls.Config{InsecureSkipVerify: true}), 2)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 5)
	f.Add([]byte("\x80\x2e\x01\x03\x01\x00\x15"), 1)
	r, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said []byte, size int) {
		var reader io.Reader = bytes.NewReader(said)
		if size%2 == 1 {
			reader = iotest.OneByteReader(reader)
		}
		c := &bytesConn{Reader: reader}
		name, ahead, heard := hear(c)
		rest, _ := io.ReadAll(c.Reader)
		if len(said) <= MostAhead && !bytes.Equal(append(bytes.Clone(ahead), rest...), said) {
			t.Fatalf("%d bytes kept and %d left of %d", len(ahead), len(rest), len(said))
		}
		if heard && c.wrote.Len() > 0 {
			t.Fatalf("%x was written to what is foreign", c.wrote.Bytes())
		}
		r.Judge(name, nil)
	})
}
