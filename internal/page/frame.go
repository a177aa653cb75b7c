package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
)

//go:embed frame.html page.css page.js page.svg
var files embed.FS

// assets are what a page loads, by name.
var assets = map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.svg": "image/svg+xml"}

// A Set is the pages of one server: their templates, in the common frame.
type Set struct {
	templates *template.Template
	stamp     string // of everything that a page is made of
	busy      chan struct{}
}

// mostAtOnce bounds the pages that are made at one time. Who comes meanwhile is told to
// come again, which the script does by itself.
const mostAtOnce = 4

// New returns the pages whose templates are in the files, all *.html of them. A template
// defines what stands in the frame, under its own name.
func New(own ...fs.FS) (*Set, error) {
	t, err := template.New("").Funcs(functions).ParseFS(files, "frame.html")
	for _, more := range own {
		if err == nil {
			t, err = t.ParseFS(more, "*.html")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	stamp, err := stampOf(append([]fs.FS{files}, own...)...)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &Set{templates: t, stamp: stamp, busy: make(chan struct{}, mostAtOnce)}, nil
}

// stampOf is another one whenever a file is.
func stampOf(all ...fs.FS) (string, error) {
	sum := sha256.New()
	for _, from := range all {
		err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(from, name)
			sum.Write(text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// A Frame is what stands around a page.
type Frame struct {
	Title string // of the window, and of the page
	Who   string // whose page it is, in a word or two
	Name  string // what it is called; empty: nothing
	Links []Link // to the other pages
	Base  string // of the links in the frame: "", or "../" for a page one level below
	Every int    // seconds after which the script fetches it again; 0: never
	Note  string // what an order has done; empty: nothing
	Wrong bool   // Note says that it was not done

	Signed *Signed // who is signed in; nil: nobody
	SignIn bool    // one can

	Body any // for the page's own template
}

// A Link leads to another page.
type Link struct {
	To, Text string
	Here     bool // this one
}

// Signed is somebody who may give orders.
type Signed struct {
	Proof string // that an order comes from a page of ours
}

// shown is a Frame as its template has it.
type shown struct {
	Frame
	Stamp string
	Slow  int // seconds between refreshes without the script
	Inner template.HTML
}

// patiently is how often a page without the script comes anew.
const patiently = 15

// Show answers with a page: the template of that name within the frame.
func (s *Set) Show(w http.ResponseWriter, status int, name string, f Frame) {
	var inner, out bytes.Buffer
	err := s.templates.ExecuteTemplate(&inner, name, f)
	if err == nil {
		page := shown{Frame: f, Stamp: s.stamp, Inner: template.HTML(inner.String())}
		if f.Every > 0 {
			page.Slow = max(f.Every, patiently)
		}
		err = s.templates.ExecuteTemplate(&out, "frame", page)
	}
	if err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	Protect(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	w.Write(out.Bytes()) // who has left misses nothing
}

// Begin takes one of the places for pages that cost something; false: all are taken, and
// the answer is given.
func (s *Set) Begin(w http.ResponseWriter) (end func(), ok bool) {
	select {
	case s.busy <- struct{}{}:
		return func() { <-s.busy }, true
	default:
		Protect(w.Header())
		w.Header().Set("Retry-After", "2")
		http.Error(w, "too many look at once: try again", http.StatusServiceUnavailable)
		return nil, false
	}
}

// Protect has a browser take nothing from elsewhere for a page, show it in no frame, hand
// it to no other site, and keep no copy.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// ServeAsset answers for what pages load, and reports whether it was asked for that. A
// page names it with the stamp, so that it can be kept.
func (s *Set) ServeAsset(w http.ResponseWriter, r *http.Request) bool {
	name := path.Base(r.URL.Path)
	kind, ok := assets[name]
	if !ok || path.Dir(r.URL.Path) != "/" {
		return false
	}
	text, err := files.ReadFile(name)
	if err != nil {
		return false
	}
	Protect(w.Header())
	w.Header().Set("Content-Type", kind)
	if r.URL.RawQuery == s.stamp {
		w.Header().Set("Cache-Control", "max-age=86400, immutable")
	}
	w.Write(text)
	return true
}
