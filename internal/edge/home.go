package edge

import (
	"io"
	"net/http"
)

// homeBlank chooses an empty home page.
const homeBlank = "blank"

const homePage = `<!DOCTYPE html>
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

// newHome returns what answers paths without a meaning, with status 200 unless
// it redirects (spec 1.13). The choice has been checked.
func newHome(choice string) http.Handler {
	switch choice {
	case "":
		return page(homePage)
	case homeBlank:
		return page("")
	}
	return http.RedirectHandler(choice, http.StatusFound)
}

type page string

func (p page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, string(p))
}
