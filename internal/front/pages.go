package front

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Pages answer operators who look, at paths of the same server: plain text, unless a
// page says otherwise, and nothing that is kept.
type Pages []Page

// A Page is one of them.
type Page struct {
	Path  string
	Serve func(http.ResponseWriter)
	Ask   func(http.ResponseWriter, *http.Request) // instead of Serve, if it depends on the request
}

// ServeHTTP implements http.Handler.
func (p Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		Say(w, http.StatusMethodNotAllowed, "use GET or HEAD")
		return
	}
	var paths []string
	for _, page := range p {
		if page.Path == r.URL.Path {
			page.answer(w, r)
			return
		}
		paths = append(paths, page.Path)
	}
	Say(w, http.StatusNotFound, "there are only "+strings.Join(paths, ", "))
}

func (p Page) answer(w http.ResponseWriter, r *http.Request) {
	if p.Ask != nil {
		p.Ask(w, r)
		return
	}
	p.Serve(w)
}

// Healthy is what /healthz says: the process runs.
func Healthy(w http.ResponseWriter) { Say(w, http.StatusOK, "ok") }

// Say answers with a line, or several.
func Say(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	io.WriteString(w, text+"\n") // who has left misses nothing
}

// SayJSON answers with a value; indent is for people, and without it all is one line.
func SayJSON(w http.ResponseWriter, value any, indent string) {
	text, err := json.Marshal(value)
	if indent != "" {
		text, err = json.MarshalIndent(value, "", indent)
	}
	if err != nil {
		Say(w, http.StatusInternalServerError, fmt.Sprintf("the status cannot be written: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	Say(w, http.StatusOK, string(text))
}
