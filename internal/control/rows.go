package control

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/detour-relay/detour/key"
)

// patience is how long a client may take or send no bytes.
const patience = 30 * time.Second

// patient is an answer, and the request that it answers, whose client has patience
// for each step anew: a long answer may take its time, one that stands still may not.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Patient has a handler answer with such patience, for handlers of others at a [Server].
func Patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(newPatient(w, r), r) })
}

func newPatient(w http.ResponseWriter, r *http.Request) *patient {
	p := &patient{ResponseWriter: w, control: http.NewResponseController(w)}
	r.Body = &patientBody{r.Body, p.control}
	return p
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patient) WriteHeader(status int) {
	p.begun = true
	p.ResponseWriter.WriteHeader(status)
}

func (p *patient) Write(text []byte) (int, error) {
	p.begun = true
	p.control.SetWriteDeadline(time.Now().Add(patience)) // in tests there may be none
	return p.ResponseWriter.Write(text)
}

type patientBody struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	control *http.ResponseController
}

func (b *patientBody) Read(into []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(patience))
	return b.body.Read(into)
}

func (b *patientBody) Close() error { return b.body.Close() }

// rows answers with one value a line.
type rows struct {
	out *bufio.Writer
	to  *json.Encoder
}

func newRows(w http.ResponseWriter) *rows {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	return &rows{out, to}
}

// list answers with the lines of the access list that a filter picks.
func (h *Handler) list(w http.ResponseWriter, r *http.Request) error {
	if h.config.Access == nil {
		return errNoAccess
	}
	f, err := filterOf(r)
	if err != nil {
		return err
	}
	end, err := h.begin()
	if err != nil {
		return err
	}
	defer end()
	connected := make(map[key.Public]struct{})
	for p := range h.config.Peers.Peers {
		connected[p.Peer] = struct{}{}
	}
	out := newRows(w)
	for line := range h.config.Access.Lines(f.Keys) {
		if !f.picks(line) {
			continue
		}
		_, line.Connected = connected[line.Key]
		if err := out.to.Encode(line); err != nil {
			return err
		}
	}
	return out.out.Flush()
}

func filterOf(r *http.Request) (f Filter, err error) {
	q := r.URL.Query()
	f.State, f.Label = q.Get("state"), q.Get("label")
	if f.State != "" && !slices.Contains([]string{Allowed, Expired, Banned}, f.State) {
		return f, refusef(http.StatusBadRequest, "state %.50q: want %s, %s or %s", f.State, Allowed, Expired, Banned)
	}
	for _, text := range q["key"] {
		k, err := key.ParsePublic(text)
		if err != nil {
			return f, refusef(http.StatusBadRequest, "%v", err)
		}
		if !slices.Contains(f.Keys, k) {
			f.Keys = append(f.Keys, k)
		}
	}
	return f, nil
}

// picks is about all but the keys, which are looked up.
func (f *Filter) picks(l Line) bool {
	return (f.State == "" || l.State == f.State) && (f.Label == "" || l.Label == f.Label)
}

// peers answers with the connections there are.
func (h *Handler) peers(w http.ResponseWriter, _ *http.Request) error {
	end, err := h.begin()
	if err != nil {
		return err
	}
	defer end()
	out := newRows(w)
	for p := range h.config.Peers.Peers {
		if err := out.to.Encode(PeerOf(&p)); err != nil {
			return err
		}
	}
	return out.out.Flush()
}
