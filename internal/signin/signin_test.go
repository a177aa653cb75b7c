package signin

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/page"
)

// A stand is a door behind which a page says who looks.
type stand struct {
	Door
	tried []string
	none  bool // there is no token
}

func newStand(t *testing.T, private bool) *stand {
	t.Helper()
	set, err := page.New(Templates)
	if err != nil {
		t.Fatal(err)
	}
	s := new(stand)
	s.Door = Door{
		HasToken: func() bool { return !s.none },
		Desk:     new(Desk), Set: set, Who: "Test", Private: private,
		Try: func(_ http.ResponseWriter, _ *http.Request, token string) (int, string) {
			if s.tried = append(s.tried, token); token != "right" {
				return http.StatusTooManyRequests, "not this <one>"
			}
			return 0, ""
		},
		Next: func(w http.ResponseWriter, r *http.Request, s *Session) {
			if s == nil {
				w.Write([]byte("anybody at " + r.URL.Path))
				return
			}
			w.Write([]byte("operator at " + r.URL.Path))
		},
	}
	return s
}

func (s *stand) ask(method, path string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// enter signs somebody in, and returns his cookie and his address.
func (s *stand) enter(t *testing.T) (*http.Cookie, string) {
	t.Helper()
	link, _ := s.Desk.Link()
	w := s.ask("POST", link, nil, nil)
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0], w.Header().Get("Location")
}

func with(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }

// A link counts once and for a minute; to look at it costs nothing.
func TestLinkCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, false)
		link, until := s.Desk.Link()
		if left := time.Until(until); left != linkLasts {
			t.Errorf("it counts for %v", left)
		}
		for range 3 {
			if w := s.ask("GET", link, nil, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `<form method="post"`) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		if w := s.ask("POST", link, nil, nil); w.Code != http.StatusSeeOther {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := s.ask("POST", link, nil, nil); w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("once more: %d", w.Code)
		}
		late, _ := s.Desk.Link()
		time.Sleep(linkLasts)
		if w := s.ask("POST", late, nil, nil); w.Code != http.StatusForbidden {
			t.Errorf("a minute later: %d", w.Code)
		}
		first, _ := s.Desk.Link()
		for range mostLinks {
			s.Desk.Link()
		}
		if w := s.ask("POST", first, nil, nil); w.Code != http.StatusForbidden {
			t.Errorf("%d links count", mostLinks+1)
		}
		if w := s.ask("POST", linkPath, nil, nil); w.Code != http.StatusForbidden {
			t.Errorf("a link without a secret: %d", w.Code)
		}
	})
}

// The cookie is for scripts and other sites out of reach, and for no other path.
func TestCookie(t *testing.T) {
	s := newStand(t, false)
	c, home := s.enter(t)
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != home || c.Secure || c.Domain != "" {
		t.Errorf("%+v at %s", c, home)
	}
	link, _ := s.Desk.Link()
	w := s.ask("POST", link, nil, func(r *http.Request) { r.TLS = new(tls.ConnectionState) })
	if c := w.Result().Cookies()[0]; !c.Secure {
		t.Error("over TLS the cookie may go without")
	}
	for path, want := range map[string]string{"": "operator at /", "clients?x=1": "operator at /clients", "a//b": "operator at /a//b"} {
		if got := s.ask("GET", home+path, nil, with(c)).Body.String(); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	if w := s.ask("GET", home, nil, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("without the cookie: %d %s", w.Code, w.Body)
	}
	if got := s.ask("GET", "/", nil, with(c)).Body.String(); got != "anybody at /" {
		t.Errorf("beside its path the cookie counts: %q", got)
	}
}

var proof = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// A session ends when it is not used, when it is old, when its owner says so, when there
// are newer ones, and with the token.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, false)
		lives := func(c *http.Cookie, home string, navigates bool) bool {
			return s.ask("GET", home, nil, func(r *http.Request) {
				r.AddCookie(c)
				if navigates {
					r.Header.Set("Sec-Fetch-Mode", "navigate")
				}
			}).Code == http.StatusOK
		}
		c, home := s.enter(t)
		for range 6 { // a page that is left open is no use
			time.Sleep(restLasts / 6)
			lives(c, home, false)
		}
		if lives(c, home, false) {
			t.Error("it lives although nobody did anything")
		}
		c, home = s.enter(t)
		for range 2 * sessionLasts / restLasts {
			time.Sleep(restLasts/2 - time.Second)
			if !lives(c, home, true) {
				t.Fatal("it ends although it is used")
			}
		}
		time.Sleep(time.Minute)
		if lives(c, home, true) {
			t.Error("it never ends")
		}

		c, home = s.enter(t)
		session := s.Desk.sessions[len(s.Desk.sessions)-1]
		if !proof.MatchString(session.Proof) {
			t.Errorf("the proof is %q", session.Proof)
		}
		if w := s.ask("POST", home+"signout", url.Values{"proof": {"x"}}, with(c)); w.Code != http.StatusForbidden || !lives(c, home, true) {
			t.Error("somebody else signs him out")
		}
		if w := s.ask("POST", home+"signout", url.Values{"proof": {session.Proof}}, with(c)); w.Code != http.StatusSeeOther || lives(c, home, true) {
			t.Error("he cannot sign out")
		}

		c, home = s.enter(t)
		for range mostSessions {
			s.enter(t)
		}
		if lives(c, home, true) || len(s.Desk.sessions) != mostSessions {
			t.Errorf("%d sessions", len(s.Desk.sessions))
		}
		c, home = s.enter(t)
		if s.Desk.EndAll(); lives(c, home, true) {
			t.Error("it outlives its token")
		}
	})
}

// The token is asked for by a form, and tried by who limits that.
func TestToken(t *testing.T) {
	s := newStand(t, false)
	if w := s.ask("GET", signInPath, nil, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `type="password"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := s.ask("POST", signInPath, url.Values{"token": {" wrong\n"}}, nil)
	if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "not this &lt;one&gt;") || s.tried[0] != "wrong" {
		t.Errorf("%d %s, tried %q", w.Code, w.Body, s.tried)
	}
	if w := s.ask("POST", signInPath, url.Values{"token": {"right"}}, nil); w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), within) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.none = true
	if w := s.ask("POST", signInPath, url.Values{"token": {""}}, nil); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "password") {
		t.Errorf("without a token: %d %s", w.Code, w.Body)
	}
	if w := s.ask("POST", signInPath, url.Values{"token": {strings.Repeat("x", mostForm)}}, nil); w.Code != http.StatusForbidden {
		t.Errorf("a form that does not end: %d", w.Code)
	}
}

// Over the network nobody sees anything before he is signed in; and no other site's page
// signs anybody in.
func TestPrivate(t *testing.T) {
	s := newStand(t, true)
	for _, path := range []string{"/", "/clients", "/status", "/s/x/y", "/s/", "/s"} {
		if w := s.ask("GET", path, nil, nil); w.Code != http.StatusSeeOther || strings.Contains(w.Body.String(), " at ") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := s.ask("GET", "/page.css", nil, nil); w.Code != http.StatusOK {
		t.Errorf("the form has no look: %d", w.Code)
	}
	link, _ := s.Desk.Link()
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		for _, path := range []string{link, signInPath} {
			w := s.ask("POST", path, url.Values{"token": {"right"}}, func(r *http.Request) { r.Header.Set(header[0], header[1]) })
			if w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s with %s: %d", path, header, w.Code)
			}
		}
	}
	if len(s.tried) != 0 {
		t.Error("a token of another site was tried")
	}
	c, home := s.enter(t)
	if got := s.ask("GET", home, nil, with(c)).Body.String(); got != "operator at /" {
		t.Error(got)
	}
}
