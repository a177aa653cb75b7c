package edge

import (
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/detour-relay/detour/internal/reach"
)

// route answers one request (spec 1.3). Paths are compared as they are: there
// is no cleaning and no redirect to a cleaner one.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, reach.WordStopping, http.StatusServiceUnavailable)
		return
	}
	defer s.inside.Done()
	if r.ProtoMajor != 1 { // the preface of HTTP/2 gets here as a request
		http.Error(w, "this server speaks HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	if r.Method == http.MethodConnect {
		http.Error(w, "this server is no proxy", http.StatusForbidden)
		return
	}
	path, now := r.URL.Path, s.now.Load()
	if now.Discreet && !s.asksForDERP(r) {
		path = ""
	}
	switch path {
	case "/derp":
		s.serveDERP(w, r)
	case "/derp/probe", "/derp/latency-check":
		s.serveProbe(w, r)
	case Path204:
		Serve204(w, r)
	case "/bootstrap-dns":
		s.serveBootstrapDNS(w, r)
	case "/robots.txt":
		setBrowserHeaders(w, r)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "User-agent: *\nDisallow: /\n")
	default:
		if now.home.Site() {
			s.serveSite(w, r, now.home)
			return
		}
		setBrowserHeaders(w, r)
		now.home.ServeHTTP(w, r)
	}
}

// asksForDERP reports whether a request to one of the relay's paths is like those that
// DERP clients make. They upgrade; measure without saying what they accept, unless they are
// pages of a browser, which say from where they are; and bring a challenge.
func (s *Server) asksForDERP(r *http.Request) bool {
	h := r.Header
	switch r.URL.Path {
	case "/derp":
		upgrade := strings.ToLower(h.Get("Upgrade"))
		return !s.config.NoDERP && (upgrade == "derp" || upgrade == "websocket" && (wantsWebSocket(r) || h.Get("Sec-WebSocket-Key") == ""))
	case "/derp/probe", "/derp/latency-check":
		return (r.Method == http.MethodGet || r.Method == http.MethodHead) && (h.Get("Accept") == "" || h.Get("Origin") != "")
	case Path204:
		return isChallenge(h.Get("X-Tailscale-Challenge"))
	case "/bootstrap-dns":
		return s.config.Bootstrap != nil && h.Get("Accept") == ""
	}
	return false
}

// serveProbe answers what browsers and probers measure their latency with, and
// load balancers choose relays by.
func (s *Server) serveProbe(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*") // a page has to be able to read also that it is refused
	if !s.config.Healthy() {
		http.Error(w, "this relay is not accepting peers now; try another node of the region", http.StatusServiceUnavailable)
	}
}

// Path204 is where Serve204 is asked, over TLS and on port 80.
const Path204 = "/generate_204"

// Serve204 lets clients find out whether a captive portal is in the way: only
// the relay itself can echo the challenge (spec 1.9).
func Serve204(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate, no-transform, max-age=0")
	if challenge := r.Header.Get("X-Tailscale-Challenge"); isChallenge(challenge) {
		w.Header().Set("X-Tailscale-Response", "response "+challenge)
	}
	w.WriteHeader(http.StatusNoContent)
}

// isChallenge reports whether a challenge may be echoed: 1 to 64 harmless bytes.
func isChallenge(challenge string) bool {
	if challenge == "" || len(challenge) > 64 {
		return false
	}
	for _, c := range []byte(challenge) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune(".-_:", rune(c)) {
			return false
		}
	}
	return true
}

// serveBootstrapDNS tells the addresses of some names (spec 1.10). Who asks once does
// not ask again soon.
func (s *Server) serveBootstrapDNS(w http.ResponseWriter, r *http.Request) {
	setBrowserHeaders(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close")
	if names := s.config.Bootstrap; names != nil {
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		w.Write(names(r.URL.Query().Get("q"), from.Addr()))
	}
}

// setBrowserHeaders adds what protects people who open the relay in a browser.
// The DERP, probe and 204 answers go without (spec 1.3). HSTS is for this name only
// and only where TLS is spoken: the domain is the operator's, who may have other
// hosts beneath it that are not ours to decide for.
func setBrowserHeaders(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=63072000")
	}
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'; block-all-mixed-content; object-src 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
}
