package derpmap

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	oneRegion  = `{"Regions":{"900":{"RegionID":900,"Nodes":[]}}}`
	twoRegions = `{"Regions":{"900":{"RegionID":900,"Nodes":[]},"901":{"RegionID":901,"Nodes":[]}}}`
)

// server is a transport that answers by itself.
type server func(*http.Request) (status int, etag, body string, err error)

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	status, etag, body, err := s(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Etag": {etag}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func newFetcher(t *testing.T, s server) *Fetcher {
	t.Helper()
	f, err := NewFetcher(FetchConfig{URL: "https://maps.example.com/derp", Client: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFetchOverTheWire(t *testing.T) {
	var asked []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("If-None-Match"))
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "map.json", time.Time{}, strings.NewReader(oneRegion))
	}))
	defer web.Close()
	f, err := NewFetcher(FetchConfig{URL: web.URL, Client: web.Client()})
	if err != nil {
		t.Fatal(err)
	}
	first, changed, err := f.Fetch(t.Context())
	if err != nil || !changed || len(first.IDs()) != 1 {
		t.Fatalf("%v, %v, %v", first, changed, err)
	}
	second, changed, err := f.Fetch(t.Context())
	if err != nil || changed || second != first {
		t.Fatalf("%v, %v, %v", second, changed, err)
	}
	if len(asked) != 2 || asked[0] != "" || asked[1] != `"1"` {
		t.Errorf("asked with the tags %q", asked)
	}
}

func TestLastGoodMapStays(t *testing.T) {
	var status int
	var etag, body string
	var failure error
	f := newFetcher(t, func(*http.Request) (int, string, string, error) { return status, etag, body, failure })
	for _, step := range []struct {
		name    string
		status  int
		body    string
		failure error
		regions int // of the map that Fetch returns; -1: nil
		changed bool
		want    string // in the error
	}{
		{"first is broken", 200, "{", nil, -1, false, "[syntax]"},
		{"not modified, without a map", 304, "", nil, -1, false, "Not Modified"},
		{"good", 200, oneRegion, nil, 1, true, ""},
		{"same", 200, oneRegion, nil, 1, false, ""},
		{"same in another way", 200, oneRegion + " ", nil, 1, false, ""},
		{"gone", 404, twoRegions, nil, 1, false, "Not Found"},
		{"unreachable", 0, "", io.ErrUnexpectedEOF, 1, false, "unexpected EOF"},
		{"broken", 200, `{"Regions":[]}`, nil, 1, false, "[type]"},
		{"too large", 200, oneRegion + strings.Repeat(" ", MaxSize), nil, 1, false, "more than 1048576"},
		{"without regions", 200, `{"Regions":{"900":null}}`, nil, 1, false, "no regions"},
		{"other", 200, twoRegions, nil, 2, true, ""},
	} {
		status, body, failure = step.status, step.body, step.failure
		m, changed, err := f.Fetch(t.Context())
		regions := -1
		if m != nil {
			regions = len(m.IDs())
		}
		if regions != step.regions || changed != step.changed || (err == nil) != (step.want == "") {
			t.Errorf("%s: %d regions, %v, %v", step.name, regions, changed, err)
		}
		if err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
}

// What is wrong with an answer decides what there is to do about it, not that there
// was none.
func TestAnswersWithoutAMapComeWithARemedy(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
	})
	mux.Handle("/circle", http.RedirectHandler("/circle", http.StatusFound))
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "900")
		io.WriteString(w, oneRegion)
	})
	web := httptest.NewServer(mux)
	defer web.Close()
	for _, test := range []struct{ path, want, not string }{
		{"/status/404", "404 Not Found: is this the URL of a map?", ""},
		{"/status/204", "204 No Content: is this the URL of a map?", ""},
		{"/status/401", "401 Unauthorized: its server wants to know who asks", "URL of a map?"},
		{"/status/403", "403 Forbidden: its server wants to know who asks", "URL of a map?"},
		{"/status/429", "429 Too Many Requests: its server is asked too often", "URL of a map?"},
		{"/status/500", "500 Internal Server Error: its server has a fault", "URL of a map?"},
		{"/status/503", "503 Service Unavailable: its server has a fault", "URL of a map?"},
		{"/status/304", "304 Not Modified: nothing was asked that has this answer", "URL of a map?"},
		{"/circle", web.URL + "/circle: it redirects again and again: give the URL of the map itself", "Get"},
		{"/short", "/short: the answer broke off after 47 bytes: ask again", "unexpected EOF"},
	} {
		f, err := NewFetcher(FetchConfig{URL: web.URL + test.path, Client: web.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = f.Fetch(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || test.not != "" && strings.Contains(err.Error(), test.not) {
			t.Errorf("%s: %v; want %q, not %q", test.path, err, test.want, test.not)
		}
	}
}

func TestFetchTakesNoLongerThanItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetcher(t, func(r *http.Request) (int, string, string, error) {
			<-r.Context().Done()
			return 0, "", "", r.Context().Err()
		})
		start := time.Now()
		if _, _, err := f.Fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWatchTellsOfChangesAndFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := newFetcher(t, func(r *http.Request) (int, string, string, error) {
			switch at := time.Since(start); {
			case at < time.Hour:
				if r.Header.Get("If-None-Match") == "1" {
					return 304, "1", "", nil
				}
				return 200, "1", oneRegion, nil
			case at < 2*time.Hour:
				return 0, "", "", io.ErrUnexpectedEOF
			}
			return 200, "2", twoRegions, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var good, failures int
		var waits []time.Duration
		failed := start
		f.Watch(ctx, func(m *Map, err error) {
			if err != nil {
				failures++
				waits = append(waits, time.Since(failed))
				failed = time.Now()
				if len(m.IDs()) != 1 {
					t.Errorf("the last good map is gone: %v", m)
				}
				return
			}
			good++
			if good != len(m.IDs()) {
				t.Errorf("map %d has %d regions", good, len(m.IDs()))
			}
			if good == 2 {
				cancel()
			}
		})
		if good != 2 || failures < 10 || failures > 30 {
			t.Errorf("%d maps, %d failures", good, failures)
		}
		for i, wait := range waits[1:] {
			mean := min(firstRetry<<i, 5*time.Minute)
			if wait < mean*3/4 || wait > mean*5/4 {
				t.Errorf("try %d came after %v, not about %v", i, wait, mean)
			}
		}
	})
}

func TestWatchEndsWhileItFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetcher(t, func(r *http.Request) (int, string, string, error) {
			<-r.Context().Done()
			return 0, "", "", r.Context().Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		f.Watch(ctx, func(m *Map, err error) { t.Errorf("told of %v, %v", m, err) })
	})
}

func TestNewFetcherRefuses(t *testing.T) {
	for _, cfg := range []FetchConfig{
		{}, {URL: "maps.example.com"}, {URL: "file:///etc/map.json"}, {URL: "https://"}, {URL: "https://a b"},
		{URL: "https://maps.example.com", Timeout: -1}, {URL: "https://maps.example.com", Interval: -1},
	} {
		if _, err := NewFetcher(cfg); err == nil {
			t.Errorf("%+v", cfg)
		}
	}
}

// A refused URL is not repeated with its password.
func TestNewFetcherKeepsPasswordsOutOfErrors(t *testing.T) {
	for _, cfg := range []FetchConfig{
		{}, {URL: "http://u:hunter%zz2@h/x"}, {URL: "ftp://u:hunter2@h/x"}, {URL: "http://u:hunter2@"}, {URL: "derp.json"},
		{URL: "https://h", Client: http.DefaultClient, RootCAs: x509.NewCertPool()}, {URL: "https://h", Timeout: -1},
	} {
		if f, err := NewFetcher(cfg); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%+v: %v, %v", cfg, f, err)
		}
	}
}

func TestFetcherTrustsTheAuthoritiesOfItsConfig(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"Regions":{"1":{"RegionID":1,"RegionCode":"a","RegionName":"","Nodes":null}}}`))
	}))
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	for _, test := range []struct {
		roots *x509.CertPool
		good  bool
	}{{nil, false}, {x509.NewCertPool(), false}, {roots, true}} {
		f, err := NewFetcher(FetchConfig{URL: web.URL, RootCAs: test.roots})
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := f.Fetch(t.Context())
		if good := err == nil && len(m.IDs()) == 1; good != test.good {
			t.Errorf("%v: %v, %v", test, m, err)
		}
		if err != nil && !errors.As(err, new(x509.UnknownAuthorityError)) {
			t.Error(err)
		}
	}
}
