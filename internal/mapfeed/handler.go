package mapfeed

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

// A servedMap is a map that is ready to be handed out.
type servedMap struct {
	m     *derpmap.Map
	texts map[derpmap.Form][]byte // of m
	since time.Time               // when it took the place of the one before
}

func newServedMap(m *derpmap.Map) (*servedMap, error) {
	s := &servedMap{m: m, texts: make(map[derpmap.Form][]byte), since: time.Now()}
	for _, form := range Forms {
		text, err := m.Encode(form)
		if err != nil {
			return nil, err
		}
		s.texts[form] = text
	}
	return s, nil
}

// text is the map in a form, ordered for the tailnet if there is one. Orders are
// not kept: who asks chooses the names, so there is no bound to how many there
// would be.
func (s *servedMap) text(form derpmap.Form, tailnet string) ([]byte, error) {
	if tailnet == "" {
		return s.texts[form], nil
	}
	return s.m.ForTailnet(tailnet).Encode(form)
}

// Forms are those in which a map is served, the usual one first.
var Forms = []derpmap.Form{derpmap.JSON, derpmap.HuJSON, derpmap.YAML}

// A Handler answers with the current map. Before it has one it answers 503. Any
// number of goroutines may use it.
type Handler struct {
	current atomic.Pointer[servedMap]
}

// Static returns a handler of a map that never changes.
func Static(m *derpmap.Map) (*Handler, error) {
	h := new(Handler)
	return h, h.Serve(m)
}

// Serve makes a map the current one. It must not be written to any more.
func (h *Handler) Serve(m *derpmap.Map) error {
	served, err := newServedMap(m)
	if err == nil {
		h.current.Store(served)
	}
	return err
}

// Map is the current map; nil before there is one.
func (h *Handler) Map() *derpmap.Map {
	if served := h.current.Load(); served != nil {
		return served.m
	}
	return nil
}

const mapPaths = "there are only /derpmap.json, /derpmap.hujson, /derpmap.yaml and, in the form that you accept, /derpmap and /"

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fixed, known := formOfPath(r.URL.Path)
	switch {
	case !known:
		http.Error(w, mapPaths, http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a map can only be read: use GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	form, tailnet, err := askedFor(r, fixed)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.answer(w, r, form, tailnet)
}

// answer leaves 304 and HEAD to net/http, which goes by the headers that are set.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, form derpmap.Form, tailnet string) {
	served := h.current.Load()
	if served == nil {
		http.Error(w, "there is no map yet", http.StatusServiceUnavailable)
		return
	}
	text, err := served.text(form, tailnet)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", contentType(form))
	header.Set("ETag", etag(text))
	header.Set("Cache-Control", "no-cache") // caches may keep it, but ask each time
	header.Set("Vary", "Accept")
	http.ServeContent(w, r, "", served.since, bytes.NewReader(text))
}

// etag changes whenever the text does, and only then: not with a restart, and it is
// the same on several servers.
func etag(text []byte) string {
	sum := sha256.Sum256(text)
	return fmt.Sprintf(`"%x"`, sum[:16])
}

// formOfPath tells which form a path stands for; empty: any. Others are not known.
func formOfPath(path string) (form derpmap.Form, known bool) {
	switch path {
	case "/", "/derpmap":
		return "", true
	}
	suffix, ok := strings.CutPrefix(path, "/derpmap.")
	form = derpmap.Form(suffix)
	return form, ok && contentType(form) != ""
}

// askedFor tells what a request is for: the form in its query, else that of its
// path, else what it accepts.
func askedFor(r *http.Request, fixed derpmap.Form) (form derpmap.Form, tailnet string, err error) {
	query := r.URL.Query()
	form, tailnet = derpmap.Form(query.Get("form")), query.Get("tailnet")
	switch {
	case query.Has("tailnet") && tailnet == "":
		return "", "", errors.New("tailnet is empty: name the tailnet to order the nodes for, or leave it out")
	case query.Has("form") && contentType(form) == "":
		return "", "", fmt.Errorf("form %q: choose json, hujson or yaml", string(form))
	case query.Has("form"):
		return form, tailnet, nil
	case fixed != "":
		return fixed, tailnet, nil
	}
	return accepted(r.Header.Get("Accept")), tailnet, nil
}

// contentType is the media type of a form; "" if there is no such form.
func contentType(form derpmap.Form) string {
	switch form {
	case derpmap.JSON:
		return "application/json"
	case derpmap.HuJSON:
		return "application/hujson"
	case derpmap.YAML:
		return "application/yaml"
	}
	return ""
}

// accepted returns the form that an Accept header likes best, of several the first,
// and JSON if it likes none.
func accepted(accept string) derpmap.Form {
	best, most := derpmap.JSON, 0.0
	for one := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(one)
		form := formOfType(kind)
		if err != nil || form == "" {
			continue
		}
		weight := 1.0
		if q, ok := params["q"]; ok {
			weight, _ = strconv.ParseFloat(q, 64)
		}
		if weight > most {
			best, most = form, weight
		}
	}
	return best
}

func formOfType(mediaType string) derpmap.Form {
	switch mediaType {
	case "application/json", "application/*", "*/*":
		return derpmap.JSON
	case "application/hujson":
		return derpmap.HuJSON
	case "application/yaml", "application/x-yaml", "text/yaml":
		return derpmap.YAML
	}
	return ""
}
