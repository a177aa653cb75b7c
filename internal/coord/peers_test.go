package coord

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// The peers of a measurement are another process, so that what they cost is theirs.
// It is told on its standard input, a word a line: tokens, then go, resume.

type farPeer struct {
	token, cursor string
	conn          net.Conn
}

type peersProcess struct {
	addr               string
	peers              []*farPeer
	snapshots, resumed atomic.Int64
	mu                 sync.Mutex
	homes              map[int]int // how many have been told of a home
	readers            sync.WaitGroup
	told               *json.Encoder
}

func runPeers(addr string) {
	p := &peersProcess{addr: addr, homes: map[int]int{}, told: json.NewEncoder(os.Stdout)}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch word := in.Text(); word {
		case "go":
			p.connectAll()
		case "resume":
			for _, f := range p.peers {
				f.conn.Close()
			}
			p.readers.Wait()
			p.connectAll()
		default:
			p.peers = append(p.peers, &farPeer{token: word})
		}
	}
}

// connectAll connects all and returns when each has been told that it is complete.
func (p *peersProcess) connectAll() {
	p.snapshots.Store(0)
	p.resumed.Store(0)
	start := time.Now()
	var all sync.WaitGroup
	gate := make(chan struct{}, 256)
	for _, f := range p.peers {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			p.connect(f)
		})
	}
	all.Wait()
	p.told.Encode(map[string]any{"took": time.Since(start), "snapshots": p.snapshots.Load(), "resumed": p.resumed.Load()})
}

func (p *peersProcess) connect(f *farPeer) {
	conn, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true}) // the measurement's own server
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	f.conn = conn
	fmt.Fprintf(conn, "GET %s?since=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", coordapi.PathWatch, f.cursor, f.token)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		fmt.Fprintln(os.Stderr, resp, err)
		return
	}
	ready := make(chan struct{})
	p.readers.Go(func() { p.read(f, resp.Body, ready) })
	<-ready
}

func (p *peersProcess) read(f *farPeer, body io.Reader, ready chan struct{}) {
	once := sync.OnceFunc(func() { close(ready) })
	defer once()
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 4096), coordapi.MostLine)
	for in.Scan() {
		var e coordapi.Event
		if bytes.HasPrefix(in.Bytes(), []byte(`{"type":"beat"`)) || json.Unmarshal(in.Bytes(), &e) != nil {
			continue
		}
		switch e.Type {
		case coordapi.EventSnapshot:
			p.snapshots.Add(1)
		case coordapi.EventResumed:
			p.resumed.Add(1)
		case coordapi.EventPeer, coordapi.EventSelf:
			p.home(e.Peer.Home)
		case coordapi.EventAt:
			f.cursor = e.Cursor
			once()
		}
	}
}

// home counts who has been told of a home; above 1000 each is told of once.
func (p *peersProcess) home(home int) {
	if home <= 1000 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.homes[home]++; p.homes[home] == len(p.peers) {
		p.told.Encode(map[string]any{"home": home, "at": time.Now().UnixNano()})
	}
}

// far starts a coordinator on loopback with TLS, and peers of it.
type far struct {
	s     *Service
	in    io.WriteCloser
	out   *json.Decoder
	ses   []session
	close func()
}

func startFar(b *testing.B, tailnets, members int) *far {
	b.Helper()
	s, err := New(Config{Store: coordstore.NewMemory(), Limits: Limits{Source: none, Total: none, Member: none}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	for s.Ready() != nil {
		time.Sleep(10 * time.Millisecond)
	}
	f := &far{s: s, ses: populate(b, s, tailnets, members)}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(b)}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: s.Handler()}
	wg.Go(func() { srv.Serve(l) })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DETOUR_STREAM_PEERS="+l.Addr().String())
	cmd.Stderr = os.Stderr
	f.in, _ = cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	f.out = json.NewDecoder(out)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	f.close = func() {
		f.in.Close()
		cmd.Wait()
		srv.Close()
		cancel()
		wg.Wait()
	}
	return f
}

func populate(b *testing.B, s *Service, tailnets, members int) (all []session) {
	b.Helper()
	var last uint64
	put := func(k string, rec any) {
		rev, err := s.store.Create(b.Context(), coordstore.Hard, k, coordstate.Encode(rec))
		if err != nil {
			b.Fatal(err)
		}
		last = rev
	}
	for n := range tailnets {
		id := fmt.Sprintf("t%d", n)
		put(coordstate.TailnetKey(id), coordstate.TailnetRecord{Name: id, ULA: "0123456789", Next: 1})
		for m := range members {
			var k key.Public
			rand.Read(k[:])
			put(coordstate.MemberKey(id, k), coordstate.MemberRecord{Name: fmt.Sprintf("host-%d", m), Index: uint32(m + 1), Joined: 1})
			all = append(all, session{tailnet: id, key: k, joined: 1})
		}
	}
	if err := s.state.Wait(b.Context(), coordstore.Hard, last); err != nil {
		b.Fatal(err)
	}
	return all
}

func certificate(b *testing.B) tls.Certificate {
	b.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

func (f *far) say(words ...string) {
	for _, word := range words {
		io.WriteString(f.in, word+"\n")
	}
}

type said struct {
	Took               time.Duration
	Snapshots, Resumed int
	Home               int
	At                 int64
}

func (f *far) hear(b *testing.B) (s said) {
	b.Helper()
	if err := f.out.Decode(&s); err != nil {
		b.Fatal(err)
	}
	return s
}

func (f *far) tokens(b *testing.B) {
	b.Helper()
	c, err := f.s.secrets()
	if err != nil {
		b.Fatal(err)
	}
	for _, ses := range f.ses {
		ses.expires = time.Now().Add(coordapi.SessionTime).Unix()
		f.say(c.token(ses))
	}
}

func used64() (heap, stacks uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.StackInuse
}

// BenchmarkStreams: what an idle stream over TLS costs here, and how long it takes
// until all have resumed.
func BenchmarkStreams(b *testing.B) {
	f := startFar(b, 900, 10)
	defer f.close()
	for b.Loop() {
		heap, stacks := used64()
		f.tokens(b)
		f.say("go")
		first := f.hear(b)
		time.Sleep(time.Second)
		heap2, stacks2 := used64()
		n := float64(len(f.ses))
		b.ReportMetric(float64(heap2-heap)/n, "heap-B/stream")
		b.ReportMetric(float64(stacks2-stacks)/n, "stack-B/stream")
		b.ReportMetric(first.Took.Seconds(), "first-s")
		f.say("resume")
		again := f.hear(b)
		b.ReportMetric(again.Took.Seconds(), "resume-s")
		b.ReportMetric(float64(again.Snapshots), "resume-snapshots")
		b.ReportMetric(float64(again.Resumed), "resumed")
	}
}

// BenchmarkFanOut: from a report until all of a tailnet of 1,000 have it.
func BenchmarkFanOut(b *testing.B) {
	f := startFar(b, 1, 1000)
	defer f.close()
	f.tokens(b)
	f.say("go")
	f.hear(b)
	var took []time.Duration
	home := 1000
	for b.Loop() {
		home++
		start := time.Now()
		if _, err := f.s.report(b.Context(), f.ses[home%1000], coordapi.Report{Boot: 1, Seq: uint64(home), Home: home}, netip.Addr{}); err != nil {
			b.Fatal(err)
		}
		s := f.hear(b)
		if s.Home != home {
			b.Fatal(s)
		}
		took = append(took, time.Unix(0, s.At).Sub(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
