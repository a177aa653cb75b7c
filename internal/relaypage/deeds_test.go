package relaypage

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// A browser keeps a cookie for a path, and follows where it is led.
type browser struct {
	t      *testing.T
	to     http.Handler
	cookie *http.Cookie
	at     string // the path of the page
	body   string
}

func (b *browser) send(method, path string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	b.t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = b.at[:strings.LastIndex(b.at, "/")+1] + strings.TrimPrefix(path, "./")
	}
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != nil && strings.HasPrefix(path, b.cookie.Path) {
		r.AddCookie(b.cookie)
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	b.to.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	b.at, b.body = path, w.Body.String()
	if to := w.Header().Get("Location"); to != "" {
		return b.send("GET", to, nil, nil)
	}
	return w
}

var proofField = regexp.MustCompile(`name="proof" value="([^"]+)"`)

func (b *browser) proof() string {
	b.t.Helper()
	found := proofField.FindStringSubmatch(b.body)
	if found == nil {
		b.t.Fatalf("%s has no proof: %s", b.at, b.body)
	}
	return found[1]
}

// signedIn is a browser in which somebody has used a link.
func (s *stand) signedIn(t *testing.T) *browser {
	t.Helper()
	b := &browser{t: t, to: s.Handler}
	link, _ := s.desk.Link()
	b.send("GET", link, nil, nil)
	if w := b.send("POST", link, nil, nil); w.Code != http.StatusOK || !strings.HasPrefix(b.at, "/s/") {
		t.Fatalf("the link leads to %s, %d %s", b.at, w.Code, w.Body)
	}
	return b
}

// Ban, close, lift the ban, reload and drain do what they say, and say what they did.
func TestDeeds(t *testing.T) {
	s := newStand(t)
	s.peers = crowd(3)
	victim, other := s.peers[0].Peer, s.peers[1].Peer
	b := s.signedIn(t)
	for _, c := range []struct {
		path string
		form url.Values
		want string
	}{
		{"close", url.Values{"key": {other.String()}}, "Closed one connection of"},
		{"close", url.Values{"key": {other.String()}}, "was not connected"},
		{"ban", url.Values{"key": {victim.String()}, "for": {"3600"}, "why": {hostile}}, "the reason: it has a character that cannot be printed"},
		{"ban", url.Values{"key": {victim.String()}, "for": {"3600"}, "why": {"too <loud>"}}, "too &lt;loud&gt;"},
		{"unban", url.Values{"key": {victim.String()}}, "is not banned any more"},
		{"ban", url.Values{"key": {victim.String()}, "for": {"x"}}, "is no time: nothing was done"},
		{"ban", url.Values{"key": {"nodekey:<b>"}}, "nodekey"},
		{"reload", nil, "drain: 1s → &lt;/i&gt;"},
		{"drain", nil, "nothing was done"},
	} {
		form := url.Values{"proof": {b.proof()}}
		for name, value := range c.form {
			form[name] = value
		}
		if w := b.send("POST", c.path, form, nil); w.Code != http.StatusOK || !strings.Contains(b.body, c.want) {
			t.Errorf("%s %v: %d, and %q is not there: %s", c.path, c.form, w.Code, c.want, b.body)
		}
		if strings.Contains(b.body, "<script>") || strings.Contains(b.body, "\u202e") {
			t.Errorf("%s: what others have written is in the page as it is", c.path)
		}
	}
	if len(s.peers) != 2 || len(s.access.bans) != 0 || s.drained != 0 {
		t.Errorf("%d peers, %d bans, drained %d times", len(s.peers), len(s.access.bans), s.drained)
	}
	b.send("GET", "./", nil, nil)
	if b.send("POST", "drain", url.Values{"proof": {b.proof()}, "sure": {"yes"}}, nil); s.drained != 1 {
		t.Error("it does not drain")
	}
}

// Nothing is done that does not come from a page of the session, from this origin, by POST.
func TestNothingIsDoneForOthers(t *testing.T) {
	s := newStand(t)
	s.peers = crowd(2)
	form := url.Values{"key": {s.peers[0].Peer.String()}, "for": {"0"}, "sure": {"yes"}}
	b := s.signedIn(t)
	home, proof := b.at, b.proof()
	with := url.Values{"proof": {proof}, "key": form["key"], "for": {"0"}, "sure": {"yes"}}
	other := s.signedIn(t)
	for name, send := range map[string]func(path string) *httptest.ResponseRecorder{
		"nobody": func(path string) *httptest.ResponseRecorder {
			return (&browser{t: t, to: s.Handler}).send("POST", "/"+path, with, nil)
		},
		"no proof": func(path string) *httptest.ResponseRecorder { return b.send("POST", home+path, form, nil) },
		"another's proof": func(path string) *httptest.ResponseRecorder {
			return other.send("POST", other.at[:strings.LastIndex(other.at, "/")+1]+path, with, nil)
		},
		"another site": func(path string) *httptest.ResponseRecorder {
			return b.send("POST", home+path, with, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
		},
		"another port": func(path string) *httptest.ResponseRecorder {
			return b.send("POST", home+path, with, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") })
		},
		"an older browser": func(path string) *httptest.ResponseRecorder {
			return b.send("POST", home+path, with, func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "http://evil.example") })
		},
		"no cookie": func(path string) *httptest.ResponseRecorder {
			return b.send("POST", home+path, with, func(r *http.Request) { r.Header.Del("Cookie") })
		},
		"another cookie": func(path string) *httptest.ResponseRecorder {
			return b.send("POST", home+path, with, func(r *http.Request) {
				r.Header.Del("Cookie")
				r.AddCookie(other.cookie)
			})
		},
	} {
		for _, path := range []string{"ban", "close", "drain", "reload"} {
			if w := send(path); w.Code != http.StatusForbidden {
				t.Errorf("%s, %s: %d %s", name, path, w.Code, w.Body)
			}
		}
	}
	for _, path := range []string{"ban", "close", "drain", "reload"} {
		if w := b.send("GET", home+path+"?"+with.Encode(), nil, nil); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if len(s.peers) != 2 || len(s.access.bans) != 0 || s.drained != 0 {
		t.Error("something was done")
	}
}
