package behind

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pires/go-proxyproto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse1(t *testing.T, networks ...string) Proxies {
	t.Helper()
	p, err := Parse(networks)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBelieves(t *testing.T) {
	p := parse1(t, "10.1.2.3/8", "192.0.2.7", "2001:db8::/32", "::1", "::ffff:172.16.0.0/108")
	for addr, want := range map[string]bool{
		"10.255.0.1": true, "::ffff:10.0.0.1": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false,
		"2001:db8:ffff::1": true, "2001:db9::1": false, "::1": true, "::2": false, "172.16.3.4": true, "172.32.0.1": false,
	} {
		if got := p.Believes(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if (Proxies{}).Believes(netip.MustParseAddr("127.0.0.1")) || p.Believes(netip.Addr{}) {
		t.Error("somebody is believed whom nobody has named")
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "want networks or addresses",
		"proxy.example":     "want networks or addresses",
		"10.0.0.0/33":       "want networks or addresses",
		"10.0.0.1:80":       "want networks or addresses",
		"fe80::1%eth0":      "want networks or addresses",
		"0.0.0.0/0":         "is everybody",
		"::/0":              "is everybody",
		"::ffff:0.0.0.0/96": "is everybody",
		"::ffff:0.0.0.0/90": "write IPv4 as IPv4",
	} {
		if _, err := Parse([]string{"10.0.0.0/8", text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

var client4 = netip.MustParseAddrPort("192.0.2.1:56324")

// header is what a proxy writes for a peer.
func header(t testing.TB, version byte, from, to string) []byte {
	t.Helper()
	b, err := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to))).Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// v2 is a header of the second version with a body of our own.
func v2(command, family byte, body []byte) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

func TestReadHeader(t *testing.T) {
	long := append(header(t, 2, "192.0.2.1:56324", "198.51.100.1:443"), 0xE0, 0x0F, 0xA0)
	long = append(long, make([]byte, 4000)...)
	binary.BigEndian.PutUint16(long[14:], uint16(len(long)-16))
	mapped := netip.MustParseAddr("::ffff:192.0.2.1").As16()
	for name, c := range map[string]struct {
		header []byte
		from   netip.AddrPort
	}{
		"v1, IPv4":                 {header(t, 1, "192.0.2.1:56324", "198.51.100.1:443"), client4},
		"v1, IPv6":                 {header(t, 1, "[2001:db8::1]:4711", "[2001:db8::2]:443"), netip.MustParseAddrPort("[2001:db8::1]:4711")},
		"v1, unknown":              {[]byte("PROXY UNKNOWN\r\n"), netip.AddrPort{}},
		"v1, unknown, with more":   {[]byte("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), netip.AddrPort{}},
		"v2, IPv4":                 {header(t, 2, "192.0.2.1:56324", "198.51.100.1:443"), client4},
		"v2, IPv6":                 {header(t, 2, "[2001:db8::1]:4711", "[2001:db8::2]:443"), netip.MustParseAddrPort("[2001:db8::1]:4711")},
		"v2, IPv4 written as IPv6": {v2(0x21, 0x21, append(append(mapped[:], mapped[:]...), 0xdc, 0x04, 1, 187)), client4},
		"v2, with 4 KB of others":  {long, client4},
		"v2, local":                {[]byte(Local), netip.AddrPort{}},
	} {
		t.Run(name, func(t *testing.T) {
			const rest = "\x16\x03\x01 what follows"
			for kind, r := range map[string]io.Reader{
				"at once":        bytes.NewReader(append(bytes.Clone(c.header), rest...)),
				"byte by byte":   iotest.OneByteReader(bytes.NewReader(append(bytes.Clone(c.header), rest...))),
				"with an error":  iotest.DataErrReader(bytes.NewReader(append(bytes.Clone(c.header), rest...))),
				"and no follows": bytes.NewReader(c.header),
			} {
				from, ahead, err := ReadHeader(r)
				left, _ := io.ReadAll(r)
				if got := string(ahead) + string(left); err != nil || from != c.from || got != rest && kind != "and no follows" {
					t.Errorf("%s: from %v, then %q (%v)", kind, from, got, err)
				}
			}
		})
	}
}

func TestHeaderIsRead(t *testing.T) {
	to := netip.MustParseAddrPort("198.51.100.1:443")
	for _, c := range []struct{ from, want netip.AddrPort }{
		{client4, client4},
		{netip.MustParseAddrPort("[::ffff:192.0.2.1]:56324"), client4},
		{netip.MustParseAddrPort("[2001:db8::1]:4711"), netip.MustParseAddrPort("[2001:db8::1]:4711")},
		{netip.AddrPort{}, netip.AddrPort{}},
	} {
		if from, _, err := ReadHeader(bytes.NewReader(Header(c.from, to))); err != nil || from != c.want {
			t.Errorf("%v is read as %v (%v)", c.from, from, err)
		}
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":               {"", io.EOF},
		"half a line":           {"PROXY TCP4 192.0.2.1 ", io.EOF},
		"half a head":           {"\r\n\r\n\x00\r\nQUIT\n\x21\x11", io.EOF},
		"TLS":                   {"\x16\x03\x01\x02\x00", ErrNoHeader},
		"HTTP":                  {"GET /derp HTTP/1.1\r\n", ErrNoHeader},
		"PROPFIND":              {"PROPFIND / HTTP/1.1\r\n", ErrNoHeader},
		"PROXY of HTTP":         {"PROXYING / HTTP/1.1\r\n", ErrNoHeader},
		"no address":            {"PROXY TCP4\r\n", ErrMalformed},
		"no port":               {"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", ErrMalformed},
		"a name":                {"PROXY TCP4 peer.example 198.51.100.1 1 2\r\n", ErrMalformed},
		"the other family":      {"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", ErrMalformed},
		"a large port":          {"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n", ErrMalformed},
		"no CR":                 {"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n", ErrMalformed},
		"a line without an end": {"PROXY TCP4 " + strings.Repeat("1", 200), ErrMalformed},
		"v2 of UDP":             {string(v2(0x21, 0x12, make([]byte, 12))), ErrMalformed},
		"v2 of a unix socket":   {string(v2(0x21, 0x31, make([]byte, 216))), ErrMalformed},
		"v2 of nobody":          {string(v2(0x21, 0x00, nil)), ErrMalformed},
		"v2, short":             {string(v2(0x21, 0x11, make([]byte, 4))), ErrMalformed},
		"v2, no version":        {string(v2(0x01, 0x11, make([]byte, 12))), ErrMalformed},
		"v2, no command":        {string(v2(0x2f, 0x11, make([]byte, 12))), ErrMalformed},
		"v2, 64 KB":             {"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", ErrMalformed},
	} {
		from, ahead, err := ReadHeader(strings.NewReader(c.text))
		if !errors.Is(err, c.want) || from.IsValid() || c.want == ErrNoHeader && string(ahead) != c.text {
			t.Errorf("%s: from %v, then %q (%v), want %v", name, from, ahead, err, c.want)
		}
	}
}

func TestBegins(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "P": false, "PROXY": true, "PROXY ": true, "PROXI": false, "\r\n": false, "\r\n\r\n\x00": true, "\x16\x03\x01\x00\x05": false,
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff": true, "GET / HTTP/1.1": false,
	} {
		if got := Begins([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// What comes out of any bytes is a word that the library would say, too, and no byte is
// lost.
func FuzzReadHeader(f *testing.F) {
	f.Add(header(f, 1, "192.0.2.1:56324", "198.51.100.1:443"))
	f.Add(header(f, 2, "[2001:db8::1]:4711", "[2001:db8::2]:443"))
	f.Add([]byte(Local + "rest"))
	f.Add([]byte("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		from, ahead, err := ReadHeader(r)
		left, _ := io.ReadAll(r)
		if rest := append(bytes.Clone(ahead), left...); !bytes.HasSuffix(b, rest) {
			t.Fatalf("%q is left of %q", rest, b)
		} else if errors.Is(err, ErrNoHeader) && len(rest) != len(b) {
			t.Fatalf("%d of %d bytes are left", len(rest), len(b))
		}
		if err != nil && from.IsValid() || from.Addr().Is4In6() || from.Addr().Zone() != "" {
			t.Fatalf("from %v (%v)", from, err)
		}
	})
}

func TestFrom(t *testing.T) {
	p := parse1(t, "10.0.0.0/8", "fd00::/8")
	for name, c := range map[string]struct {
		headers string
		want    string // an address, or a part of the error
	}{
		"one":                        {"X-Forwarded-For: 192.0.2.1", "192.0.2.1:0"},
		"made up before it":          {"X-Forwarded-For: 198.51.100.9, 192.0.2.1", "192.0.2.1:0"},
		"nonsense before it":         {"X-Forwarded-For: <script>, 192.0.2.1", "192.0.2.1:0"},
		"through another proxy":      {"X-Forwarded-For: 192.0.2.1, 10.0.0.2, 10.0.0.3", "192.0.2.1:0"},
		"in several lines":           {"X-Forwarded-For: 198.51.100.9|X-Forwarded-For: 192.0.2.1|X-Forwarded-For: 10.0.0.2", "192.0.2.1:0"},
		"a neighbour":                {"X-Forwarded-For: 10.0.0.9", "10.0.0.9:0"},
		"only neighbours":            {"X-Forwarded-For: 10.0.0.9, 10.0.0.2", "10.0.0.9:0"},
		"with a port":                {"X-Forwarded-For: 192.0.2.1:4711", "192.0.2.1:4711"},
		"IPv6":                       {"X-Forwarded-For: 2001:db8::1", "[2001:db8::1]:0"},
		"IPv6 in brackets":           {"X-Forwarded-For: [2001:db8::1]", "[2001:db8::1]:0"},
		"IPv6 with a port":           {"X-Forwarded-For: [2001:db8::1]:4711", "[2001:db8::1]:4711"},
		"IPv4 as IPv6":               {"X-Forwarded-For: ::ffff:192.0.2.1", "192.0.2.1:0"},
		"a proxy as IPv6":            {"X-Forwarded-For: 192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1:0"},
		"white space":                {"X-Forwarded-For: \t 192.0.2.1 \t", "192.0.2.1:0"},
		"neither":                    {"X-Real-IP: 192.0.2.1", "does not say"},
		"an empty one":               {"X-Forwarded-For:", "no address"},
		"an end without one":         {"X-Forwarded-For: 192.0.2.1,", "no address"},
		"unknown":                    {"X-Forwarded-For: 192.0.2.1, unknown", "no address"},
		"a name":                     {"X-Forwarded-For: peer.example", "no address"},
		"a zone":                     {"X-Forwarded-For: fe80::1%eth0", "no address"},
		"half of brackets":           {"X-Forwarded-For: [2001:db8::1", "no address"},
		"Forwarded":                  {"Forwarded: for=192.0.2.1;proto=https;by=203.0.113.43", "192.0.2.1:0"},
		"Forwarded, quoted":          {`Forwarded: proto=https; For="[2001:db8::1]:4711"`, "[2001:db8::1]:4711"},
		"Forwarded, with escapes":    {`Forwarded: for="\[2001:db8::1\]"`, "[2001:db8::1]:0"},
		"Forwarded, several":         {`Forwarded: for=198.51.100.9, for=192.0.2.1|Forwarded: for="10.0.0.2:80";by=_x`, "192.0.2.1:0"},
		"Forwarded, separators":      {`Forwarded: for=192.0.2.1;host="a,b;for=198.51.100.9"`, "192.0.2.1:0"},
		"Forwarded, hidden":          {"Forwarded: for=_hidden", "no address"},
		"Forwarded, unknown":         {"Forwarded: for=unknown", "no address"},
		"Forwarded, nobody":          {"Forwarded: by=10.0.0.2", "no for="},
		"Forwarded, twice":           {"Forwarded: for=192.0.2.1;for=192.0.2.2", "two for="},
		"Forwarded, open quotes":     {`Forwarded: for="192.0.2.1`, "not closed"},
		"Forwarded, quotes and more": {`Forwarded: for="192.0.2.1"x`, "more behind"},
		"Forwarded, open before it":  {`Forwarded: for="|Forwarded: for=192.0.2.1`, "not closed"},
		"Forwarded, an escape last":  {`Forwarded: for="\`, "not closed"},
		"both":                       {"Forwarded: for=192.0.2.1|X-Forwarded-For: 192.0.2.1:4711", "192.0.2.1:4711"},
		"both, one made up":          {"Forwarded: for=198.51.100.9|X-Forwarded-For: 192.0.2.1", "different peers"},
		"both, one unreadable":       {"Forwarded: for=|X-Forwarded-For: 192.0.2.1", "no address"},
	} {
		h := make(http.Header)
		for line := range strings.SplitSeq(c.headers, "|") {
			name, value, _ := strings.Cut(line, ":")
			h.Add(name, strings.TrimPrefix(value, " "))
		}
		from, err := p.From(h)
		switch {
		case err == nil && from.String() != c.want:
			t.Errorf("%s: %v, want %s", name, from, c.want)
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// Whatever a peer sends: what the proxy adds counts.
func FuzzFrom(f *testing.F) {
	f.Add("198.51.100.9", "for=198.51.100.9")
	f.Add(`", "`, `for="`)
	f.Add("", `for="\`)
	f.Add(",", `for=a;x="b,c"`)
	f.Add(`10.0.0.1`, `for="10.0.0.1"`)
	p, err := Parse([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	truth := netip.MustParseAddr("2001:db8::1")
	f.Fuzz(func(t *testing.T, noted, forwarded string) {
		for _, h := range []http.Header{
			{"X-Forwarded-For": {noted, truth.String()}},
			{"X-Forwarded-For": {noted + ", " + truth.String()}},
			{"Forwarded": {forwarded, `for="[2001:db8::1]"`}},
			{"Forwarded": {forwarded + `, for="[2001:db8::1]:4711";by=10.0.0.1`}},
		} {
			if from, err := p.From(h); err == nil && from.Addr() != truth {
				t.Errorf("%q: %v", h, from)
			} else if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%q: %v", h, err)
			}
		}
	})
}
