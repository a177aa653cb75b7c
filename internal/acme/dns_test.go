package acme

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/detour-relay/detour/internal/acme/acmetest"
)

const (
	zoneKey    = "detour."
	zoneSecret = "bWFkZSBmb3IgYSB0ZXN0LCAzMiBieXRlcyBsb25nLi4="
	zoneKeyAs  = `key "detour" { algorithm hmac-sha256; secret "` + zoneSecret + `"; };`
)

// A zone is a DNS server that has example.com and takes updates of who has its key.
type zone struct {
	addr string

	mu   sync.Mutex
	txt  map[string][]string // guarded by mu
	lead map[string]string   // aliases, guarded by mu
	most int                 // records at once, guarded by mu
	all  []string            // names of records that were made, guarded by mu
}

func serveZone(t *testing.T) *zone {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		tcp.Close()
		t.Fatal(err)
	}
	z := &zone{addr: tcp.Addr().String(), txt: make(map[string][]string)}
	secrets := map[string]string{zoneKey: zoneSecret}
	var running sync.WaitGroup
	t.Cleanup(running.Wait) // the last of these
	for _, s := range []*dns.Server{{Listener: tcp}, {PacketConn: udp}} {
		s.TsigSecret, s.Handler = secrets, z
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		running.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return z
}

// ServeDNS implements dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg).SetReply(r)
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case r.Opcode == dns.OpcodeUpdate && (r.IsTsig() == nil || w.TsigStatus() != nil):
		m.Rcode = dns.RcodeNotAuth
	case r.Opcode == dns.OpcodeUpdate:
		z.updateLocked(r.Ns)
	case len(r.Question) == 1 && !dns.IsSubDomain("example.com.", r.Question[0].Name):
		m.Rcode = dns.RcodeRefused
	case len(r.Question) == 1:
		z.answerLocked(m, r.Question[0])
	}
	if tsig := r.IsTsig(); tsig != nil && w.TsigStatus() == nil {
		m.SetTsig(tsig.Hdr.Name, tsig.Algorithm, 300, int64(tsig.TimeSigned))
	}
	w.WriteMsg(m)
}

func (z *zone) updateLocked(changes []dns.RR) {
	for _, rr := range changes {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		if name := txt.Hdr.Name; txt.Hdr.Class == dns.ClassNONE {
			delete(z.txt, name)
		} else {
			z.txt[name] = append(z.txt[name], txt.Txt...)
			z.all = append(z.all, name)
		}
		z.most = max(z.most, len(z.txt))
	}
}

func (z *zone) answerLocked(m *dns.Msg, q dns.Question) {
	if target := z.lead[q.Name]; target != "" {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 1}, Target: target})
		q.Name = target
	}
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 1}
	switch q.Qtype {
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
	case dns.TypeCNAME:
	case dns.TypeTXT:
		for _, value := range z.txt[q.Name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header, Txt: []string{value}})
		}
	default:
		m.Ns = append(m.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1}, Ns: "ns.example.com.", Mbox: "ops.example.com."})
	}
}

func (z *zone) left() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.txt)
}

func TestChallengeInTheDNS(t *testing.T) {
	z := serveZone(t)
	key, err := parseTSIG(zoneKeyAs)
	if err != nil {
		t.Fatal(err)
	}
	_, c := authority(t, acmetest.Options{DNS: z.addr})
	c.Names, c.Challenge = []string{"relay.example.com", "derp.example.com"}, DNS
	c.Records = Records{Server: z.addr, key: key, resolvers: resolvers{z.addr}}
	r := start(t, nil, c)
	within(t, "a certificate", r.whole)
	within(t, "an end of the records", func() bool { return z.left() == 0 })
	if z.most == 0 {
		t.Error("there were none")
	}
}

// _acme-challenge may be an alias, by which a zone that takes no updates leaves the
// record to one that does.
func TestRecordOfAnAlias(t *testing.T) {
	z := serveZone(t)
	z.lead = map[string]string{"_acme-challenge.relay.example.com.": "of-relay.acme.example.com.", "loop.example.com.": "loop.example.com."}
	key, err := parseTSIG(zoneKeyAs)
	if err != nil {
		t.Fatal(err)
	}
	_, c := authority(t, acmetest.Options{DNS: z.addr})
	c.Names, c.Challenge = []string{"relay.example.com"}, DNS
	c.Records = Records{Server: z.addr, key: key, resolvers: resolvers{z.addr}}
	within(t, "a certificate", start(t, nil, c).whole)
	z.mu.Lock()
	at := slices.Clone(z.all)
	z.mu.Unlock()
	if !slices.Equal(at, []string{"of-relay.acme.example.com."}) {
		t.Errorf("records were made at %q", at)
	}
	gone, _ := listen(t)
	gone.Close()
	for _, name := range []string{"plain.example.com.", "other.example.net.", "loop.example.com."} {
		if got := (resolvers{gone.Addr().String(), z.addr}).follow(t.Context(), name); got != name {
			t.Errorf("%s leads to %s", name, got)
		}
	}
}

func TestUpdatesThatAreRefused(t *testing.T) {
	z := serveZone(t)
	wrong, err := parseTSIG(strings.Replace(zoneKeyAs, "bWFk", "bWFj", 1))
	if err != nil {
		t.Fatal(err)
	}
	gone, _ := listen(t)
	gone.Close()
	for what, test := range map[string]struct {
		update update
		name   string
		want   string
	}{
		"no key":       {update{server: z.addr}, "_acme-challenge.relay.example.com.", "does not know the key"},
		"another key":  {update{server: z.addr, key: wrong}, "_acme-challenge.relay.example.com.", z.addr},
		"another zone": {update{server: z.addr}, "_acme-challenge.relay.example.net.", "does not have the zone"},
		"no server":    {update{server: gone.Addr().String()}, "_acme-challenge.relay.example.com.", "refused"},
	} {
		if err := test.update.make(t.Context(), test.name, "v"); !has(err, test.want) || has(err, zoneSecret) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
	if z.most != 0 {
		t.Error("something was changed")
	}
}

func TestHook(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("there are no such scripts")
		return
	}
	z := serveZone(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "hook")
	write := func(text string) {
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf("echo \"$*\" >> %s/said\n", dir))
	ctx := context.Background()
	if err := hook(program).make(ctx, "_acme-challenge.relay.example.com.", "a b$(c)"); err != nil {
		t.Fatal(err)
	}
	if err := hook(program).remove(ctx, "_acme-challenge.relay.example.com.", "a b$(c)"); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(dir + "/said")
	if want := "present _acme-challenge.relay.example.com. a b$(c)\ncleanup _acme-challenge.relay.example.com. a b$(c)\n"; err != nil || string(said) != want {
		t.Errorf("it was told %q, %v", said, err)
	}
	write("echo no such zone >&2; exit 3")
	if err := hook(program).make(ctx, "n.", "v"); !has(err, "exit status 3: no such zone") {
		t.Error(err)
	}
	if err := hook(dir+"/none").make(ctx, "n.", "v"); !has(err, "no such file") {
		t.Error(err)
	}

	// The whole way: what the hook says is what people are told.
	write("echo no such zone >&2; exit 3")
	a, c := authority(t, acmetest.Options{DNS: z.addr})
	c.Names, c.Challenge, c.Records = []string{"relay.example.com"}, DNS, Records{Hook: program, resolvers: resolvers{z.addr}}
	r := start(t, nil, c)
	within(t, "a failure", func() bool { return r.Describe().Failed != "" })
	if got := r.Missing(); !strings.Contains(got, "no such zone") {
		t.Errorf("after %d orders it says %q", a.Orders.Load(), got)
	}
}

func FuzzTSIG(f *testing.F) {
	f.Add(zoneKeyAs)
	f.Add("key \"a.b\" {\n\talgorithm hmac-sha512;\n\tsecret \"AAAA\";\n};\n")
	f.Add("key {}")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseTSIG(text)
		if err == nil && (key.name == "" || key.algorithm == "" || key.secret == "") {
			t.Errorf("%q: %+v", text, key)
		}
	})
}
