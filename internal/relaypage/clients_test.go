package relaypage

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// crowd are so many connections, one a key.
func crowd(n int) (all []relay.PeerState) {
	for i := range n {
		all = append(all, relay.PeerState{
			ID: uint64(i + 1), Peer: key.Public{byte(i >> 8), byte(i), 7}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 1000),
			Since: time.Now().Add(-time.Hour), AppName: "magicsock", Group: []string{"staff", "guests"}[i%2], Received: uint64(n - i), Active: true,
		})
	}
	return all
}

var (
	keyLinks = regexp.MustCompile(`<a class="mono" href="client\?key=([^"]+)"`)
	nextLink = regexp.MustCompile(`<a href="([^"]+)">Next page`)
)

// All clients are on the pages, 50 on each, each once and the heaviest first; also when
// they are looked for.
func TestClientsPageByPage(t *testing.T) {
	s := newStand(t)
	s.peers = crowd(230)
	for i, addr := range []string{"[fe80::1%enP2]:1000", "[fe80::1%enP3]:1000", "[2001:db8::7]:1000"} {
		s.peers[i].Addr = netip.MustParseAddrPort(addr)
	}
	for query, want := range map[string]int{
		"": 230, "find=staff": 115, "find=STAFF": 115, "label=guests": 115, "find=192.0.0.0/25": 125, "find=192.0.0.77": 1, "find=magic": 230, "find=nothing": 0, "find=192.0.0.77&label=staff": 0, "app=magicsock&sort=-ip": 230,
		"find=nodekey:004d07": 1, "find=fe80::1": 2, "find=fe80::1%25enP2": 1, "find=2001:db8:": 1, "find=[2001:db8::7]:1000": 1,
	} {
		seen, pages, path := map[string]bool{}, 0, "/clients?"+query
		for path != "" {
			body := s.get(t, path)
			rows := keyLinks.FindAllStringSubmatch(body, -1)
			if len(rows) > pageOf {
				t.Fatalf("%s: %d rows", path, len(rows))
			}
			for _, r := range rows {
				seen[r[1]] = true
			}
			if pages++; pages > 10 {
				t.Fatalf("%s: it does not end", query)
			}
			path = ""
			if next := nextLink.FindStringSubmatch(body); next != nil {
				path = "/" + strings.ReplaceAll(next[1], "&amp;", "&")
			}
		}
		if len(seen) != want || pages != max(1, (want+pageOf-1)/pageOf) {
			t.Errorf("%q: %d keys on %d pages, want %d", query, len(seen), pages, want)
		}
	}
	first := keyLinks.FindStringSubmatch(s.get(t, "/clients"))
	if first == nil || !strings.HasPrefix(first[1], "nodekey%3a0000") && !strings.HasPrefix(first[1], "nodekey%3A0000") {
		t.Errorf("the heaviest is not the first: %v", first)
	}
}

// Whatever clients call themselves, and whatever is asked for, is text.
func TestClientsAreHarmless(t *testing.T) {
	s := newStand(t)
	s.peers = crowd(1)
	p := &s.peers[0]
	p.AppName, p.Group, p.IdealNode = hostile, hostile, hostile
	long := strings.Repeat("W", 100_000)
	s.peers = append(s.peers, relay.PeerState{Peer: key.Public{9}, AppName: long, Group: long})
	hostileQuery := url.QueryEscape(hostile)
	for _, path := range []string{"/clients", "/clients?find=" + hostileQuery, "/clients?label=" + hostileQuery, "/clients?sort=" + hostileQuery, "/clients?key=" + hostileQuery, "/client?key=" + hostileQuery, "/client?key=" + p.Peer.String()} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		body := w.Body.String()
		for _, never := range []string{"<script>", "</i", "\u202e", "\x1b"} {
			if strings.Contains(body, never) && !strings.Contains(path, "find=") && !strings.Contains(path, "label=") { // there it is in a field, as it was asked
				t.Errorf("%s: %q is on the page", path, never)
			}
		}
		if strings.Contains(body, "<script>") || len(body) > 20_000 {
			t.Errorf("%s: %d bytes", path, len(body))
		}
	}
}

// With 20,000 connections a page is as large as with fifty.
func TestPagesStaySmall(t *testing.T) {
	s := newStand(t)
	s.is = everything()
	s.peers = crowd(20_000)
	for i := range s.peers {
		s.peers[i].AppName, s.peers[i].Group = strings.Repeat("<&\"", 500), strings.Repeat("\u202e", 500)
	}
	assets := 0
	for _, name := range []string{"/page.css", "/page.js", "/page.svg"} {
		assets += len(s.get(t, name))
	}
	for _, path := range []string{"/", "/clients"} {
		if whole := len(s.get(t, path)) + assets; whole > 150_000 {
			t.Errorf("%s: %d bytes with all that it loads", path, whole)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	t := new(testing.T)
	s := newStand(t)
	s.is = everything()
	s.peers = crowd(20_000)
	for _, path := range []string{"/", "/clients", "/clients?find=nothing", "/client?key=" + s.peers[0].Peer.String()} {
		b.Run(fmt.Sprintf("%.20s", path), func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}
