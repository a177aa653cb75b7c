package signin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/detour-relay/detour/internal/page"
)

const (
	signInPath  = "/signin"
	signOutPath = "/signout"
	linkPath    = "/link/"
	within      = "/s/" // before the path of a session

	cookieName = "detour"
	mostForm   = 8 << 10
)

// A Door is what stands before pages where somebody can sign in.
type Door struct {
	Desk *Desk
	Set  *page.Set // has the templates of this package, see Templates
	Who  string    // whose pages these are

	// Try says why a token does not count, as an answer of HTTP; zero status: it counts.
	// HasToken reports whether any does.
	Try      func(w http.ResponseWriter, r *http.Request, token string) (status int, why string)
	HasToken func() bool

	// Private pages are for those who are signed in; others are for all who can ask, who
	// may only look.
	Private bool

	// Next answers, for a session; nil: for anybody.
	Next func(http.ResponseWriter, *http.Request, *Session)
}

// ServeHTTP implements http.Handler. A request that changes something comes from a page of
// ours, or it is turned away; so does one that signs somebody in.
func (d Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if err := new(http.CrossOriginProtection).Check(r); err != nil {
			d.say(w, http.StatusForbidden, "This came from another site, and was not done.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, within):
		d.session(w, r, strings.TrimPrefix(path, within))
	case path == signInPath:
		d.signIn(w, r)
	case strings.HasPrefix(path, linkPath):
		d.link(w, r, strings.TrimPrefix(path, linkPath))
	case d.Private && d.Set.ServeAsset(w, r):
	case d.Private:
		http.Redirect(w, r, signInPath, http.StatusSeeOther)
	default:
		d.Next(w, r, nil)
	}
}

// session answers at the address of one.
func (d Door) session(w http.ResponseWriter, r *http.Request, at string) {
	path, rest, _ := strings.Cut(at, "/")
	var s *Session
	if c, err := r.Cookie(cookieName); err == nil {
		s = d.Desk.find(path, c.Value)
	}
	look := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case s == nil && look && d.Set.ServeAsset(w, inside(r, rest)):
		return
	case s == nil && look:
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	case s == nil:
		d.say(w, http.StatusForbidden, "You are not signed in any more, and nothing was done.")
		return
	case !look && !s.proves(r.PostFormValue("proof")):
		d.say(w, http.StatusForbidden, "The form was not one of this session, and nothing was done.")
		return
	}
	if !look || r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		s.Use()
	}
	if r = inside(r, rest); r.URL.Path == signOutPath && !look {
		d.Desk.endOf(s)
		d.setCookie(w, r, s, "")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	d.Next(w, r, s)
}

// inside is the request as it is without the session's path.
func inside(r *http.Request, rest string) *http.Request {
	other := new(http.Request)
	*other = *r
	other.URL = new(url.URL)
	*other.URL = *r.URL
	other.URL.Path, other.URL.RawPath = "/"+rest, ""
	return other
}

// signIn lets somebody in who has the token.
func (d Door) signIn(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		d.form(w, http.StatusOK, "")
		return
	}
	if !d.HasToken() {
		d.form(w, http.StatusForbidden, "")
		return
	}
	if status, why := d.Try(w, r, strings.TrimSpace(r.PostFormValue("token"))); status != 0 {
		d.form(w, status, why)
		return
	}
	d.let(w, r)
}

// link lets somebody in who has a link. The page that it leads to only asks for the
// order: whatever looks at links beforehand uses none up.
func (d Door) link(w http.ResponseWriter, r *http.Request, given string) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		d.show(w, http.StatusOK, "link", page.Frame{Title: "Sign in", Base: "../"})
		return
	}
	if !d.Desk.useLink(given) {
		f := d.frame("")
		f.Note, f.Wrong, f.Base = "This link has been used, or is older than a minute. Make another one with “detour page”.", true, "../"
		d.show(w, http.StatusForbidden, "signin", f)
		return
	}
	d.let(w, r)
}

// let begins a session and leads to its pages.
func (d Door) let(w http.ResponseWriter, r *http.Request) {
	s, cookie := d.Desk.begin()
	d.setCookie(w, r, s, cookie)
	page.Protect(w.Header())
	http.Redirect(w, r, within+s.path+"/", http.StatusSeeOther)
}

// setCookie gives the cookie to the browser, for this session's address alone; empty:
// takes it back.
func (d Door) setCookie(w http.ResponseWriter, r *http.Request, s *Session, value string) {
	c := &http.Cookie{Name: cookieName, Value: value, Path: within + s.path + "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// form asks for the token.
func (d Door) form(w http.ResponseWriter, status int, wrong string) {
	d.show(w, status, "signin", d.frame(wrong))
}

func (d Door) frame(wrong string) page.Frame {
	return page.Frame{Title: "Sign in", Note: wrong, Wrong: wrong != "", Body: signInBody{d.HasToken(), d.Private}}
}

// signInBody is what the template "signin" shows.
type signInBody struct {
	Token   bool // there is one
	Private bool
}

func (d Door) say(w http.ResponseWriter, status int, why string) {
	d.show(w, status, "signin", page.Frame{Title: "Not done", Note: why, Wrong: true, Body: signInBody{d.HasToken(), d.Private}, Base: "/"})
}

func (d Door) show(w http.ResponseWriter, status int, name string, f page.Frame) {
	f.Who = d.Who
	d.Set.Show(w, status, name, f)
}
