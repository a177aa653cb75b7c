// Package decoy is what a relay shows to those who do not come to relay: a page, a
// redirect, the files of a directory, or another server.
//
// # Words
//
//   - home: all paths that are not the relay's.
//   - site: a home that is somebody's own, a directory or another server.
//   - upstream: the other server, which is asked for each request.
//
// # Limits
//
// A site's answers may take long: how many there are at once, and how long a peer may
// take no byte, is for whoever serves them. The upstream has [headTime] to begin its
// answer.
package decoy

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// Blank chooses an empty page.
const Blank = "blank"

// ProxyPrefix stands before the URL of an upstream.
const ProxyPrefix = "proxy:"

const explanation = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>DERP relay</title></head>
<body>
<h1>DERP relay</h1>
<p>This server relays packets between devices of a Tailscale or Headscale network
that cannot reach each other directly. The packets are encrypted from end to end:
the relay cannot read them.</p>
<p>It runs <a href="https://github.com/detour-relay/detour">Detour</a>.</p>
</body>
</html>
`

// Config is what a [Home] is made from.
type Config struct {
	// Home is nothing for a short explanation, Blank, a URL to redirect to, a directory, or
	// ProxyPrefix and the URL of an upstream.
	Home string

	// Believes reports whether a request comes from a proxy that is believed when it says
	// whom it brings; nil: from none.
	Believes func(r *http.Request) bool

	Log  *slog.Logger // required
	Down func()       // called for each request that an upstream does not answer; nil: nothing
}

// A Home answers all that is not the relay's.
type Home struct {
	http.Handler
	close func()

	is string
}

// Check says what is wrong with the choice of a home.
func Check(home string) error {
	switch {
	case home == "" || home == Blank || filepath.IsAbs(home):
		return nil
	case strings.HasPrefix(home, ProxyPrefix):
		_, err := parseUpstream(home)
		return err
	case strings.HasPrefix(home, "http://"), strings.HasPrefix(home, "https://"):
		if u, err := url.Parse(home); err == nil && u.Host != "" {
			return nil
		}
	case strings.HasPrefix(home, ".") || strings.ContainsAny(home, `/\`) && !strings.Contains(home, ":"):
		return fmt.Errorf("%q: write the whole path of the directory, such as /var/www/html", home)
	}
	return fmt.Errorf(`%q: want nothing for the default page, "blank", a URL that begins with http:// or https:// to redirect to, the whole path of a directory, or proxy: and the URL of a server`, home)
}

// New makes a home. A directory need not be there yet.
func New(config Config) (*Home, error) {
	if err := Check(config.Home); err != nil {
		return nil, err
	}
	h := &Home{is: config.Home, close: func() {}}
	switch home := config.Home; {
	case home == "":
		h.Handler = page(explanation)
	case home == Blank:
		h.Handler = page("")
	case filepath.IsAbs(home):
		h.Handler = directory(home)
	case strings.HasPrefix(home, ProxyPrefix):
		h.upstream(config)
	default:
		h.Handler = http.RedirectHandler(home, http.StatusFound)
	}
	return h, nil
}

// Is reports whether it is what these words make.
func (h *Home) Is(home string) bool { return h.is == home }

// Site reports whether it is somebody's own, and not a word of the relay's.
func (h *Home) Site() bool { return IsSite(h.is) }

// IsSite is Site of a home that is yet to be made.
func IsSite(home string) bool { return strings.HasPrefix(home, ProxyPrefix) || filepath.IsAbs(home) }

// Close gives up what is kept for requests to come. Those that are there go on.
func (h *Home) Close() { h.close() }

type page string

func (p page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, string(p))
}
