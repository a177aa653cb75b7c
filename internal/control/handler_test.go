package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func wantError(t *testing.T, err error, status int, text string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status != status || !strings.Contains(e.Text, text) {
		t.Errorf("%v, want %d and %q", err, status, text)
	}
}

func TestOrdersAreFollowed(t *testing.T) {
	keys, there := newKeys(3), &crowd{}
	there.all = []relay.PeerState{{Peer: keys[0]}, {Peer: keys[0]}, {Peer: keys[2]}}
	access := newList()
	var log bytes.Buffer
	c := at(t, New(Config{Version: "v1", Peers: there, Access: access, Logger: slog.New(slog.NewTextHandler(&log, nil))}))

	results, err := c.Order(t.Context(), Ban, Order{Keys: keys[:2], Why: "it scans", For: 3600})
	if err != nil || len(results) != 2 || results[0] != (Result{Key: keys[0], Conns: 2}) || results[1] != (Result{Key: keys[1]}) {
		t.Errorf("%+v, %v", results, err)
	}
	if until := access.lines[keys[0]].Until; until.Before(time.Now().Add(59*time.Minute)) || until.After(time.Now().Add(61*time.Minute)) {
		t.Errorf("banned until %v", until)
	}
	if want := fmt.Sprintf(`msg="a command has changed the relay" order=ban from=127.0.0.1 done=2 keys="[%s %s]"`, keys[0], keys[1]); !strings.Contains(log.String(), want) {
		t.Errorf("the log says %s, want %s", log.String(), want)
	}
	results, err = c.Order(t.Context(), Unban, Order{Keys: keys})
	if err != nil || results[0].Error != "" || !strings.Contains(results[2].Error, "is not there") {
		t.Errorf("%+v, %v", results, err)
	}
	if _, err = c.Order(t.Context(), Allow, Order{Keys: keys[1:], Label: "guests"}); err != nil {
		t.Error(err)
	}
	var lines []Line
	collect := func(l Line) error { lines = append(lines, l); return nil }
	if err := c.Lines(t.Context(), Filter{Label: "guests"}, collect); err != nil {
		t.Error(err)
	}
	slices.SortFunc(lines, func(a, b Line) int { return a.Key.Compare(b.Key) })
	want := []Line{{Key: keys[1], State: Allowed, Label: "guests", From: "allow"}, {Key: keys[2], State: Allowed, Label: "guests", From: "allow", Connected: true}}
	slices.SortFunc(want, func(a, b Line) int { return a.Key.Compare(b.Key) })
	if !slices.Equal(lines, want) {
		t.Errorf("%+v, want %+v", lines, want)
	}
	lines = nil
	if err := c.Lines(t.Context(), Filter{State: Allowed, Keys: keys[:2]}, collect); err != nil || len(lines) != 1 || lines[0].Key != keys[1] {
		t.Errorf("%+v, %v", lines, err)
	}
	if err := c.Lines(t.Context(), Filter{State: "odd"}, collect); err == nil {
		t.Error("a state that there is none of")
	} else {
		wantError(t, err, 400, "want allowed, expired or banned")
	}
	results, err = c.ClosePeers(t.Context(), keys)
	if err != nil || results[0].Conns != 2 || results[1].Error != "was not connected" || results[2].Conns != 1 || len(there.all) != 0 {
		t.Errorf("%+v, %v", results, err)
	}
	if !errors.Is(there.why, relay.ErrClosePeer) {
		t.Errorf("closed because of %v", there.why)
	}
}

// An order of any length is split, and nothing of it is lost.
func TestLongOrders(t *testing.T) {
	access := newList()
	c := at(t, New(Config{Peers: &crowd{}, Access: access}))
	keys := make([]key.Public, 2*keysAtOnce+1)
	for i := range keys {
		keys[i] = key.Public{1, byte(i), byte(i >> 8)}
	}
	results, err := c.Order(t.Context(), Allow, Order{Keys: keys})
	if err != nil || len(results) != len(keys) || len(access.lines) != len(keys) {
		t.Errorf("%d results, %d lines, %v", len(results), len(access.lines), err)
	}
}

func TestPeersAreListed(t *testing.T) {
	keys := newKeys(2)
	since := time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC)
	c := at(t, New(Config{Peers: &crowd{all: []relay.PeerState{
		{Peer: keys[0], Since: since, Used: since, Group: "guests", AppName: "tailscaled", Home: true, Received: 7, Sent: 8}, {Peer: keys[1], Sibling: true},
	}}}))
	var peers []Peer
	err := c.Peers(t.Context(), func(p Peer) error { peers = append(peers, p); return nil })
	want := Peer{Key: keys[0], Since: since, Used: since, Label: "guests", App: "tailscaled", Home: true, Received: 7, Sent: 8}
	if err != nil || len(peers) != 2 || peers[0] != want || !peers[1].Sibling {
		t.Errorf("%+v, %v", peers, err)
	}
}

func TestReloadTellsWhatChanged(t *testing.T) {
	report, failure := Report{Changed: []Change{{"drain", "15s", "20s"}}, Restart: []Change{}}, error(nil)
	h := New(Config{Peers: &crowd{}, Reload: func() (Report, error) { return report, failure }})
	c := at(t, h)
	got, err := c.Reload(t.Context())
	if err != nil || !slices.Equal(got.Changed, report.Changed) || got.Error != "" {
		t.Errorf("%+v, %v", got, err)
	}
	failure = errors.New("relay.yaml:3:7: want a time")
	got, err = c.Reload(t.Context())
	wantError(t, err, 422, "relay.yaml:3:7: want a time")
	if !slices.Equal(got.Changed, report.Changed) {
		t.Errorf("%+v", got)
	}
	if s := h.Snapshot(); s.Requests != 2 || s.Failed != 1 {
		t.Errorf("%+v", s)
	}
}

func TestImportIsWhole(t *testing.T) {
	access, keys := newList(), newKeys(3)
	c := at(t, New(Config{Peers: &crowd{}, Access: access}))
	entries := []Entry{{Key: keys[0], Label: "a", Name: "laptop of <b>"}, {Key: keys[1], Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, {Key: keys[2]}}
	done, err := c.Import(t.Context(), ImportOrder{Set: "tailnet"}, entries)
	if err != nil || done.Set != "tailnet" || done.Keys != 3 || done.CameTotal != 3 || done.Came[0].Name != "laptop of <b>" || done.DryRun {
		t.Errorf("%+v, %v", done, err)
	}
	if !slices.Equal(access.sets["tailnet"], entries) {
		t.Errorf("%+v", access.sets)
	}
	_, err = c.Import(t.Context(), ImportOrder{Set: "tailnet"}, nil)
	wantError(t, err, 422, "would be empty")
	if done, err := c.Import(t.Context(), ImportOrder{Set: "other", Force: true, DryRun: true}, nil); err != nil || !done.DryRun || len(access.sets) != 1 {
		t.Errorf("%+v, %v", done, err)
	}

	// One row that is wrong is the end of it, also if much follows.
	many := make([]Entry, 100_000)
	for i := range many {
		many[i].Key = key.Public{1, byte(i), byte(i >> 8), byte(i >> 16)}
	}
	many[1].Key = key.Public{}
	_, err = c.Import(t.Context(), ImportOrder{Set: "tailnet"}, many)
	wantError(t, err, 400, "row 2: it has no key")
	if len(access.sets["tailnet"]) != 3 {
		t.Errorf("it is %d keys now", len(access.sets["tailnet"]))
	}
	many[1].Key = key.Public{2}
	if done, err := c.Import(t.Context(), ImportOrder{Set: "all"}, many); err != nil || done.Keys != len(many) || done.CameTotal != len(many) || len(done.Came) != MostTold {
		t.Errorf("%d, %d, %d: %v", done.Keys, done.CameTotal, len(done.Came), err)
	}
}

// An import that breaks off changes nothing.
func TestImportThatBreaksOff(t *testing.T) {
	access := newList()
	h := New(Config{Peers: &crowd{}, Access: access})
	row, _ := json.Marshal(Entry{Key: newKeys(1)[0]})
	for _, test := range []struct {
		body io.Reader
		want string
	}{
		{io.MultiReader(bytes.NewReader(append(row, '\n')), brokenReader{}), "broke off in row 2"},
		{strings.NewReader(string(row[:20])), "row 1: "},
		{strings.NewReader(strings.Repeat(" ", mostRow+1)), "row 1 is longer than"},
		{strings.NewReader(`{"key":"privkey:00"}`), "row 1: "},
		{strings.NewReader(string(row) + ` {}`), "there is more behind it"},
		{strings.NewReader(strings.Replace(string(row), "{", `{"odd":1,`, 1)), "odd"},
		{strings.NewReader(strings.Replace(string(row), "{", `{"until":"9999-12-31T23:00:00-20:00",`, 1)), "it ends outside"},
		{strings.NewReader(strings.Replace(string(row), "{", `{"label":"a\nb",`, 1)), "the label: it has a character that cannot be printed"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", pathImport+"?set=x", test.body))
		if w.Code != 400 || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%d %s, want %q", w.Code, w.Body, test.want)
		}
	}
	if len(access.sets) > 0 {
		t.Errorf("%+v", access.sets)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever is not understood is answered with JSON that says why.
func TestWrongRequests(t *testing.T) {
	k := newKeys(1)[0].String()
	h := New(Config{Version: "v1.2", Peers: &crowd{}, Access: newList()})
	none := New(Config{Peers: &crowd{}})
	for _, test := range []struct {
		h                  *Handler
		method, path, body string
		status             int
		want               string
	}{
		{h, "GET", "/", "", 404, "this relay (version v1.2) knows no GET"},
		{h, "GET", pathReload, "", 404, "knows no GET"},
		{h, "POST", pathReload, "", 501, "cannot be reloaded"},
		{h, "GET", PathStatus, "", 501, "no status"},
		{h, "GET", pathSettings, "", 501, "does not show"},
		{h, "POST", "/v1/access/ban", "", 400, "EOF"},
		{h, "POST", "/v1/access/ban", "{}", 400, "names no key"},
		{h, "POST", "/v1/access/ban", `{"keys":["nodekey:12"]}`, 400, "want 64 hex digits"},
		{h, "POST", "/v1/access/ban", `{"keys":["nodekey:` + strings.Repeat("0", 64) + `"]}`, 400, "all zeros"},
		{h, "POST", "/v1/access/ban", `{"keys":["` + k + `"],"for_seconds":-1}`, 400, "want 1 second to 100 years"},
		{h, "POST", "/v1/access/ban", `{"keys":["` + k + `"],"for_seconds":9e18}`, 400, "order"},
		{h, "POST", "/v1/access/ban", `{"keys":["` + k + `"],"why":"a\u001b[31m"}`, 400, "cannot be printed"},
		{h, "POST", "/v1/access/ban", `{"keys":["` + k + `"],"label":"` + strings.Repeat("x", 257) + `"}`, 400, "257 bytes"},
		{h, "POST", "/v1/access/ban", `{"keys":["` + k + `"],"oops":1}`, 400, "oops"},
		{h, "POST", "/v1/access/ban", `{"keys":["` + k + `"]}]`, 400, "more behind it"},
		{h, "POST", "/v1/access/ban", strings.Repeat(" ", mostOrder+1), 413, "split it"},
		{h, "POST", "/v1/peers/close", `{}`, 400, "names no key"},
		{h, "GET", pathAccess + "?key=nodekey:12", "", 400, "want 64 hex digits"},
		{h, "POST", pathImport + "?force=perhaps", "", 400, "want true or false"},
		{h, "POST", pathImport + "?set=a%00b", "", 400, "cannot be printed"},
		{none, "GET", pathAccess, "", 501, "does not decide who may come in"},
		{none, "POST", pathImport, "", 501, "does not decide who may come in"},
		{none, "POST", "/v1/access/allow", "", 501, "does not decide who may come in"},
	} {
		w := httptest.NewRecorder()
		test.h.ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		var f Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); w.Code != test.status || err != nil || !strings.Contains(f.Error, test.want) {
			t.Errorf("%s %s %.60s: %d %s, want %d %q", test.method, test.path, test.body, w.Code, w.Body, test.status, test.want)
		}
	}
}

// Long answers are so many at once.
func TestLongAnswersAreBounded(t *testing.T) {
	h := New(Config{Peers: &crowd{}, Access: newList()})
	var ends []func()
	for range mostLong {
		end, err := h.begin()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	c := at(t, h)
	err := c.Peers(t.Context(), func(Peer) error { return nil })
	wantError(t, err, 503, "try again")
	ends[0]()
	if err := c.Peers(t.Context(), func(Peer) error { return nil }); err != nil {
		t.Error(err)
	}
}

// A list that ends early is no list.
func TestBrokenListIsNoticed(t *testing.T) {
	h := New(Config{Peers: crowdOf(func(yield func(relay.PeerState) bool) {
		for i := range 100_000 {
			if !yield(relay.PeerState{Peer: key.Public{byte(i)}}) {
				return
			}
			if i == 50_000 {
				panic(http.ErrAbortHandler)
			}
		}
	})})
	c := at(t, h)
	told := 0
	err := c.Peers(t.Context(), func(Peer) error { told++; return nil })
	if !errors.Is(err, ErrUnanswered) || told != 0 {
		t.Errorf("%d peers, then %v", told, err)
	}
}

type crowdOf func(yield func(relay.PeerState) bool)

func (c crowdOf) Peers(yield func(relay.PeerState) bool)                  { c(yield) }
func (crowdOf) Close(func(relay.PeerState) bool, error, int) (closed int) { return 0 }

// Who is not ours says something that is not JSON, or nothing, or too much.
func TestClientAndStrangers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"HTML":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"empty":    func(http.ResponseWriter, *http.Request) {},
		"404":      func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"nothing":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			c := newClient(new(http.Transport), s.URL, "")
			defer c.Close()
			if v, err := c.Version(t.Context()); !errors.Is(err, ErrUnanswered) {
				t.Errorf("%+v, %v", v, err)
			}
			if err := c.Lines(t.Context(), Filter{}, func(Line) error { return nil }); !errors.Is(err, ErrUnanswered) {
				t.Error(err)
			}
		})
	}
	c := OverSocket("/nowhere/at.all")
	defer c.Close()
	if _, err := c.Version(t.Context()); !errors.Is(err, ErrUnanswered) || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	c := at(t, New(Config{Version: "v1.2.3", Peers: &crowd{}, Status: func() any { return map[string]int{"a": 1} }}))
	if v, err := c.Version(t.Context()); err != nil || v != (Version{"v1.2.3", os.Getpid()}) {
		t.Errorf("%+v, %v", v, err)
	}
	if s, err := c.Status(t.Context()); err != nil || string(s) != `{"a":1}` {
		t.Errorf("%s, %v", s, err)
	}
}

// Who says nothing, or takes nothing, is cut off; connections above the bound are
// closed, and those before them go on.
func TestSlowClientsAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Peers: crowdOf(func(yield func(relay.PeerState) bool) {
			for yield(relay.PeerState{AppName: strings.Repeat("x", 1000)}) {
			}
		})})
		listener := &pipes{conns: make(chan net.Conn), gone: make(chan struct{})}
		s := NewServer(listener, nil, h, nil)
		serving := make(chan error, 1)
		go func() { serving <- s.Serve() }()
		began := time.Now()
		silent, greedy, halfway := listener.dial(), listener.dial(), listener.dial()
		go io.WriteString(greedy, "GET "+pathPeers+" HTTP/1.1\r\nHost: relay\r\n\r\n") // and reads nothing
		go io.WriteString(halfway, "POST /v1/access/ban HTTP/1.1\r\nHost: relay\r\nContent-Length: 100\r\n\r\n{")
		if _, err := silent.Read(make([]byte, 1)); err == nil || time.Since(began) > patience {
			t.Errorf("after %v, %v", time.Since(began), err)
		}
		io.Copy(io.Discard, halfway)
		time.Sleep(2 * patience)
		synctest.Wait()
		if n := len(h.long); n != 0 {
			t.Errorf("%d long answers are under way", n)
		}
		if _, err := io.Copy(io.Discard, greedy); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-serving; err != nil {
			t.Error(err)
		}
	})
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns chan net.Conn
	gone  chan struct{}
}

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.gone:
		return net.ErrClosed
	default:
		close(p.gone)
		return nil
	}
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func TestConnectionsAreBounded(t *testing.T) {
	p := &pipes{conns: make(chan net.Conn, mostConns+1), gone: make(chan struct{})}
	b := newBounded(p)
	var taken []net.Conn
	for range mostConns {
		_, there := net.Pipe()
		p.conns <- there
		c, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, c)
	}
	here, there := net.Pipe()
	p.conns <- there
	go func() {
		here.Read(make([]byte, 1)) // until it is closed
		taken[0].Close()
		taken[0].Close() // counts once
		_, there := net.Pipe()
		p.conns <- there
	}()
	if _, err := b.Accept(); err != nil {
		t.Error(err)
	}
	if b.all != mostConns {
		t.Errorf("%d are counted", b.all)
	}
}

// Over the network, an address may come so often and be there so many times.
func TestArrivalsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(nil)
		one, other := netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 2})
		for n := range int(arrivalsOfOne.Burst) {
			if !b.take(one) {
				t.Fatalf("connection %d is refused", n)
			}
			b.give(one)
		}
		if b.take(one) {
			t.Error("one more is taken")
		}
		if !b.take(other) || !b.take(netip.Addr{}) {
			t.Error("another address, or the socket, pays for it")
		}
		time.Sleep(time.Minute)
		for range mostOfOne {
			if !b.take(one) {
				t.Fatal("it is refused for good")
			}
		}
		if b.take(one) {
			t.Error("more are there than may be")
		}
	})
}

// Close waits for an answer that an order has begun, so that who asks for the end of
// the relay hears of it.
func TestCloseLetsAnswersEnd(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	h := New(Config{Peers: &crowd{}, Reload: func() (Report, error) {
		close(begun)
		<-goOn
		return Report{}, nil
	}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(listener, nil, h, nil)
	go s.Serve()
	c := newClient(new(http.Transport), "http://"+listener.Addr().String(), "")
	defer c.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := c.Reload(context.Background())
		answered <- err
	}()
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for {
		if conn, err := net.Dial("tcp", listener.Addr().String()); err != nil {
			break
		} else {
			conn.Close()
		}
	}
	close(goOn)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func FuzzOrder(f *testing.F) {
	k := newKeys(1)[0].String()
	for _, seed := range []string{
		`{}`, `{"keys":["` + k + `"],"label":"a","why":"b","for_seconds":5}`, `{"keys":[null]}`, `[]`, `{"keys":["nodekey:"]}`, "\x00", `{"keys":[""],"keys":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseOrder(body)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Status != 400 {
				t.Fatalf("%v", err)
			}
			return
		}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseOrder(text)
		if err != nil || !slices.Equal(again.Keys, o.Keys) || again.Label != o.Label || again.Why != o.Why || again.For != o.For {
			t.Fatalf("%s: %+v, %v", text, again, err)
		}
	})
}

func FuzzImport(f *testing.F) {
	k := newKeys(1)[0].String()
	for _, seed := range []string{
		"", "\n\n", `{"key":"` + k + `"}`, `{"key":"` + k + `","label":"a","name":"b","until":"2030-01-01T00:00:00Z"}` + "\n" + `{"key":"` + k + `"}` + "\n", "{}\n", `{"key":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		entries, err := readEntries(bytes.NewReader(body))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := writeEntries(&out, entries); err != nil {
			t.Fatal(err)
		}
		again, err := readEntries(&out)
		same := func(a, b Entry) bool {
			return a.Key == b.Key && a.Label == b.Label && a.Name == b.Name && a.Until.Equal(b.Until)
		}
		if err != nil || !slices.EqualFunc(again, entries, same) {
			t.Fatalf("%+v, %v, want %+v", again, err, entries)
		}
	})
}
