package clients

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func ask(t *testing.T, d Debug, query string) (status int, kind, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, PathDebug+query, nil))
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

func someDebug() Debug {
	all := crowd(rand.New(rand.NewPCG(9, 9)), 30)
	all[3].AppName = `"><script>alert(1)</script>`
	return Debug{Peers: slices.Values(all), Counts: func() (int64, int64) { return 30, 12 }}
}

// Its own links lead to every connection once.
func TestDebugLeadsToTheNextPage(t *testing.T) {
	d := someDebug()
	for _, sort := range []string{"key", "-ip", "conn", "-connected", "-rx", "tx", "rxpkts", "-txpkts"} {
		seen := make(map[int64]bool)
		for query := "?all=1&format=json&limit=7&sort=" + sort; query != ""; {
			status, kind, body := ask(t, d, query)
			var page ShownPage
			if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK || kind != "application/json" {
				t.Fatalf("%s: %d %s %v", query, status, kind, err)
			}
			for _, c := range page.Clients {
				if seen[c.ConnNum] {
					t.Errorf("%s: connection %d is there twice", query, c.ConnNum)
				}
				seen[c.ConnNum] = true
			}
			if query = page.Next; (query == "") != (len(seen) == 30) || query != "" && len(page.Clients) != 7 {
				t.Fatalf("%d seen, and next is %q", len(seen), query)
			}
		}
	}
}

func TestDebugPageIsHarmless(t *testing.T) {
	d := someDebug()
	status, kind, body := ask(t, d, "?all&limit=30")
	if status != http.StatusOK || kind != "text/html; charset=utf-8" || !strings.Contains(body, "30 of 30 connections") {
		t.Fatalf("%d %s\n%s", status, kind, body)
	}
	if strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;") {
		t.Error("the name of a program is markup")
	}
	_, _, body = ask(t, d, "?app="+url.QueryEscape("</title><script>"))
	if strings.Contains(body, "<script") || !strings.Contains(body, "0 of 0 connections") {
		t.Errorf("what is asked for is markup:\n%s", body)
	}
	if _, _, body = ask(t, d, "?all&sort=-rx&limit=2"); !strings.Contains(body, "▼") || !strings.Contains(body, `sort=rx"`) || !strings.Contains(body, "next page") {
		t.Errorf("no way to another order or page:\n%s", body)
	}
}

func TestDebugWithoutAQueryCounts(t *testing.T) {
	d := someDebug()
	if _, _, body := ask(t, d, "?format=json"); body != `{"conns":30,"keys":12}`+"\n" {
		t.Errorf("said %q", body)
	}
	if _, _, body := ask(t, d, ""); !strings.Contains(body, "30 connections of 12 keys") || !strings.Contains(body, `name="cidr"`) {
		t.Errorf("said %q", body)
	}
}
