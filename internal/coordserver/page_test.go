package coordserver

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/key"
)

// withMembers has a coordinator import a tailnet with so many members.
func withMembers(t *testing.T, s *Server, name string, n int) {
	t.Helper()
	var lines strings.Builder
	fmt.Fprintf(&lines, `{"detour_export":1,"made":"2026-01-02T03:04:05Z"}`+"\n"+`{"tailnet":{"id":"abcdefghijklm","name":%q,"created":1,"ula":%q,"next":%d}}`+"\n", name, hex.EncodeToString([]byte("12345")), n+1)
	for i := range n {
		fmt.Fprintf(&lines, `{"member":{"tailnet":"abcdefghijklm","key":%q,"n":"m%03d","i":%d,"j":1}}`+"\n", key.Public{byte(i), 5}, i, i+1)
	}
	fmt.Fprintf(&lines, `{"end":{"tailnets":1,"members":%d}}`+"\n", n)
	client := control.OverSocket(s.State().Socket)
	defer client.Close()
	answer, err := client.Ask(t.Context(), "POST", coordapi.PathAdmin+"import", nil, strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	answer.Close()
}

func look(t *testing.T, s *Server, method, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.State().Admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

var nextPage = regexp.MustCompile(`<a href="([^"]+)">Next page`)

// Whoever is on this machine sees the tailnets, and each member of one on one of its pages.
func TestPage(t *testing.T) {
	c := kept(t)
	c.Front.Admin = "127.0.0.1:0"
	s, _ := run(t, c, Options{Version: "v1.2.3"})
	withMembers(t, s, "home", 120)
	deadline := time.Now().Add(time.Minute)
	for body := ""; !strings.Contains(body, ">home</bdi>"); time.Sleep(10 * time.Millisecond) {
		if _, body = look(t, s, "GET", "/"); time.Now().After(deadline) {
			t.Fatal(body)
		}
	}
	status, body := look(t, s, "GET", "/")
	for _, want := range []string{"All is well", "v1.2.3", `href="tailnet?id=abcdefghijklm"`, "can be written"} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, and %q is not there: %s", status, want, body)
		}
	}
	for query, want := range map[string]int{"": 120, "&find=m00": 10, "&find=M119": 1, "&find=nodekey:0005": 1, "&find=" + url.QueryEscape("<script>\u202e"): 0, "&from=-5": 120, "&from=x": 120, "&from=100": 20, "&from=9999999999999999999": 120} {
		seen, path := map[string]bool{}, "/tailnet?id=abcdefghijklm"+query
		for path != "" {
			_, body := look(t, s, "GET", path)
			if strings.Contains(body, "<script>") {
				t.Fatalf("%s: what was asked for is in the page as it is", path)
			}
			for _, name := range regexp.MustCompile(`<bdi>m\d{3}</bdi>`).FindAllString(body, -1) {
				seen[name] = true
			}
			path = ""
			if next := nextPage.FindStringSubmatch(body); next != nil {
				path = "/" + strings.ReplaceAll(next[1], "&amp;", "&")
			}
		}
		if len(seen) != want {
			t.Errorf("%q: %d members, want %d", query, len(seen), want)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/tailnet?id=x", 404}, {"GET", "/tailnet", 404}, {"POST", "/", 405}, {"GET", "/page.css", 200}, {"GET", "/status", 200}, {"GET", "/coordpage.html", 404}} {
		if status, body := look(t, s, c.method, c.path); status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
}

// What is wrong is told with what to do, and in a word.
func TestPageJudges(t *testing.T) {
	for name, c := range map[string]struct {
		is    coordBody
		class string
		what  string
	}{
		"well":      {coordBody{}, "good", ""},
		"not ready": {coordBody{State: State{NotReady: "waits"}}, "bad", "It is not ready"},
		"read-only": {coordBody{State: State{Engine: &coordstore.State{Reason: "no quorum"}}}, "bad", "Nothing can be written"},
		"behind":    {coordBody{State: State{Engine: &coordstore.State{Writable: true, Replicas: []coordstore.ReplicaState{{Name: "b", Lag: 7}, {Name: "a", Leader: true}, {Name: "c", Current: true}}}}}, "odd", "Replica b is behind"},
		"map":       {coordBody{State: State{MapError: "line 1"}}, "odd", "The DERP map is not taken"},
		"draining":  {coordBody{State: State{Phase: front.Draining, NotReady: "it drains"}}, "odd", "It is not ready"},
	} {
		b := c.is
		b.judge()
		if b.Class != c.class || len(b.Problems) > 1 || c.what == "" && len(b.Problems) > 0 || c.what != "" && (len(b.Problems) != 1 || b.Problems[0].What != c.what || b.Problems[0].Do == "") {
			t.Errorf("%s: %s %q %+v", name, b.Class, b.Word, b.Problems)
		}
	}
}
