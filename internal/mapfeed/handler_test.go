package mapfeed

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"testing"

	"github.com/detour-relay/detour/derpmap"
)

const (
	oneRegion = `{"Regions": {"900": {"RegionID": 900, "RegionCode": "fra", "RegionName": "Frankfurt", "Nodes": [
		{"Name": "900a", "RegionID": 900, "HostName": "a.example.com"}, {"Name": "900b", "RegionID": 900, "HostName": "b.example.com"}]}}}`
	otherRegion = `{"Regions": {"901": {"RegionID": 901, "RegionCode": "vie", "RegionName": "Vienna", "Nodes": [
		{"Name": "901a", "RegionID": 901, "HostName": "c.example.com"}]}}}`
)

// handMap makes a handler serve a map.
func handMap(t *testing.T, h *Handler, text string) *derpmap.Map {
	t.Helper()
	m, err := derpmap.Load([]byte(text), derpmap.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Serve(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMapRequests(t *testing.T) {
	var h Handler
	handMap(t, &h, oneRegion)
	for _, test := range []struct {
		method, target, accept string
		status                 int
		contentType, body      string
	}{
		{"GET", "/derpmap.json", "", 200, "application/json", `^\{\n  "Regions"`},
		{"GET", "/derpmap.hujson", "", 200, "application/hujson", `^\{"derpMap"`},
		{"GET", "/derpmap.yaml", "", 200, "application/yaml", `^regions:`},
		{"HEAD", "/derpmap.yaml", "", 200, "application/yaml", `^$`},
		{"GET", "/", "", 200, "application/json", `"900"`},
		{"GET", "/derpmap", "", 200, "application/json", `"900"`},

		// The query says more than the path, and that more than what is accepted.
		{"GET", "/derpmap.json?form=yaml", "application/hujson", 200, "application/yaml", `^regions:`},
		{"GET", "/derpmap.json", "application/yaml", 200, "application/json", `^\{`},
		{"GET", "/?form=hujson", "application/yaml", 200, "application/hujson", `^\{"derpMap"`},
		{"GET", "/", "application/yaml", 200, "application/yaml", `^regions:`},
		{"GET", "/", "text/html,application/xml;q=0.9,*/*;q=0.8", 200, "application/json", `^\{`},
		{"GET", "/", "application/json;q=0.5, application/x-yaml", 200, "application/yaml", `^regions:`},
		{"GET", "/", "application/hujson;q=1, text/yaml;q=1", 200, "application/hujson", `^\{`},
		{"GET", "/", "application/yaml;q=0", 200, "application/json", `^\{`},
		{"GET", "/", "application/yaml;q=x", 200, "application/json", `^\{`},
		{"GET", "/", "image/png, ;;", 200, "application/json", `^\{`},

		{"GET", "/derpmap.json?tailnet=example.com", "", 200, "application/json", `(?s)"900b".*"900a"`},
		{"GET", "/derpmap.yaml?tailnet=tailnet.example", "", 200, "application/yaml", `(?s) 900a.* 900b`},
		{"GET", "/?tailnet=", "", 400, "text/plain; charset=utf-8", `^tailnet is empty: name the tailnet`},
		{"GET", "/?form=xml", "", 400, "text/plain; charset=utf-8", `^form "xml": choose json, hujson or yaml`},
		{"GET", "/?form=", "", 400, "text/plain; charset=utf-8", `^form "": choose`},

		{"GET", "/derpmap.xml", "", 404, "text/plain; charset=utf-8", `^there are only /derpmap\.json`},
		{"GET", "/derpmap.", "", 404, "text/plain; charset=utf-8", `^there are only`},
		{"POST", "/nowhere", "", 404, "text/plain; charset=utf-8", `^there are only`},
		{"POST", "/derpmap.json", "", 405, "text/plain; charset=utf-8", `^a map can only be read`},
		{"DELETE", "/", "", 405, "text/plain; charset=utf-8", `^a map can only be read`},
	} {
		t.Run(test.method+" "+test.target+" "+test.accept, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.target, nil)
			r.Header.Set("Accept", test.accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status || w.Header().Get("Content-Type") != test.contentType {
				t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
			}
			if !regexp.MustCompile(test.body).MatchString(w.Body.String()) {
				t.Errorf("the body is %s", w.Body)
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (test.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
}

func TestMapValidators(t *testing.T) {
	var h Handler
	handMap(t, &h, oneRegion)
	ask := func(target string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", target, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := ask("/derpmap.json")
	tag, since := first.Header().Get("ETag"), first.Header().Get("Last-Modified")
	if !regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(tag) || since == "" {
		t.Fatalf("ETag %s, Last-Modified %s", tag, since)
	}
	for _, same := range [][]string{{"If-None-Match", tag}, {"If-None-Match", `"x", W/` + tag}, {"If-Modified-Since", since}} {
		if w := ask("/derpmap.json", same...); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s: %d, %d bytes", same, w.Code, w.Body.Len())
		}
	}
	for _, other := range []string{"/derpmap.yaml", "/derpmap.hujson", "/derpmap.json?tailnet=example.com"} {
		if w := ask(other, "If-None-Match", tag); w.Code != http.StatusOK {
			t.Errorf("%s: %d, but it is another text", other, w.Code)
		}
	}
	handMap(t, &h, otherRegion)
	if w := ask("/derpmap.json", "If-None-Match", tag); w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
		t.Errorf("%d, %s after the map has changed", w.Code, w.Header().Get("ETag"))
	}
	handMap(t, &h, oneRegion)
	if w := ask("/derpmap.json", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("%d after the map has changed back", w.Code)
	}
}

// Our own fetcher gets the map once, and is then told only that it has not changed.
func TestFetcherOfServedMap(t *testing.T) {
	var h Handler
	want := handMap(t, &h, oneRegion)
	var statuses []int
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		statuses = append(statuses, answer.Code)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}))
	defer web.Close()
	fetcher, err := derpmap.NewFetcher(derpmap.FetchConfig{URL: web.URL, Client: web.Client()})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(want *derpmap.Map, wantChanged bool) {
		t.Helper()
		m, changed, err := fetcher.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if changes, err := derpmap.Diff(want, m); changed != wantChanged || len(changes) > 0 || err != nil {
			t.Errorf("changed %v, different %v, %v", changed, changes, err)
		}
	}
	fetch(want, true)
	fetch(want, false)
	fetch(handMap(t, &h, otherRegion), true)
	if !slices.Equal(statuses, []int{200, 304, 200}) {
		t.Errorf("the answers were %d", statuses)
	}
}
