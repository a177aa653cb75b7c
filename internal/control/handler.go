package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const (
	// mostOrder bounds what is read of an order: a megabyte has some ten thousand keys.
	mostOrder = 1 << 20

	// mostLong is how many answers may be under way that walk everything there is.
	mostLong = 4
)

// Access is who may come in.
type Access interface {
	// Lines ranges over what is allowed and banned, in no order and without holding a
	// lock: everything, or, if only is not nil, what there is of these keys, which does
	// not take longer where there are many others. Connected is not filled in.
	Lines(only []key.Public) iter.Seq[Line]

	// Do follows an order for all keys: Allow, Remove, Ban or Unban. Until is the end
	// that the order says; zero: none. The result has an error for each key.
	Do(order string, keys []key.Public, until time.Time, o Order) []error

	// Import replaces a set of keys.
	Import(order ImportOrder, entries []Entry) (Imported, error)
}

// Peers is who is connected.
type Peers interface {
	Peers(yield func(relay.PeerState) bool)
	Close(match func(relay.PeerState) bool, why error, atMost int) (closed int)
}

// Config says what answers. Peers is required.
type Config struct {
	Version  string
	Peers    Peers
	Access   Access                 // nil: the relay has no say in it
	Reload   func() (Report, error) // nil: it cannot
	Status   func() any             // nil: none
	Drain    func() error           // begins to; nil: it cannot
	SignIn   func() (SignIn, error) // nil: there is no page
	Settings func() any             // those in effect, secrets masked; nil: none
	Watching *Watching              // what samples are made from; nil: none
	History  AskHistory             // nil: none is kept
	Logger   *slog.Logger           // gets a line for each order; nil discards
}

// A Handler answers those who may do everything. Its methods may be called by any
// goroutine.
type Handler struct {
	config    Config
	mux       http.ServeMux
	long      chan struct{} // holds one for each long answer under way
	importing sync.Mutex    // held over an import

	requests, failed atomic.Uint64
}

// A Snapshot is what has been asked. Its JSON names are stable.
type Snapshot struct {
	Requests uint64 `json:"requests"` // answered
	Failed   uint64 `json:"failed"`   // of these, with why not

	// Of those who came over the network, turned away before they could ask:
	WrongTokens uint64 `json:"wrong_tokens"`
	Limited     uint64 `json:"limited"` // for too many wrong tokens
	Strange     uint64 `json:"strange"` // from a web page, or to a name that is not ours
}

// New returns what answers.
func New(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{config: c, long: make(chan struct{}, mostLong)}
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET " + PathVersion:                h.version,
		"GET " + PathStatus:                 h.status,
		"GET " + pathSettings:               h.settings,
		"POST " + pathReload:                h.reload,
		"GET " + pathAccess:                 h.list,
		"POST " + pathAccess + "/" + Allow:  h.order(Allow),
		"POST " + pathAccess + "/" + Remove: h.order(Remove),
		"POST " + pathAccess + "/" + Ban:    h.order(Ban),
		"POST " + pathAccess + "/" + Unban:  h.order(Unban),
		"POST " + pathImport:                h.imports,
		"GET " + pathPeers:                  h.peers,
		"GET " + pathClients:                h.clients,
		"GET " + pathHistory:                h.history,
		"POST " + pathClose:                 h.ordered(h.Disconnect),
		"POST " + pathDrain:                 h.drain,
		"POST " + pathSignIn:                h.signIn,
		"/":                                 h.unknown,
	} {
		h.mux.Handle(pattern, h.answer(answer))
	}
	if c.Watching != nil {
		h.mux.HandleFunc("GET "+pathTop, h.watch)
	}
	return h
}

// Snapshot returns what has been asked so far.
func (h *Handler) Snapshot() Snapshot {
	return Snapshot{Requests: h.requests.Load(), Failed: h.failed.Load()}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// An Error is an answer that says why not.
type Error struct {
	Status int // of HTTP
	Text   string
}

func (e *Error) Error() string { return e.Text }

func refusef(status int, format string, args ...any) error {
	return &Error{status, fmt.Sprintf(format, args...)}
}

// answer turns an error into what the client reads. An error behind the first row
// breaks the answer off, which the client notices.
func (h *Handler) answer(how func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		h.requests.Add(1)
		p := newPatient(w, r)
		err := how(p, r)
		if err == nil {
			return
		}
		h.failed.Add(1)
		if p.begun {
			panic(http.ErrAbortHandler)
		}
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{http.StatusUnprocessableEntity, err.Error()}
		}
		fail(p, e)
	})
}

// fail answers with why not.
func fail(w http.ResponseWriter, e *Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	writeJSON(w, Failure{e.Text}) // who has left misses nothing
}

// say answers with a value.
func say(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return writeJSON(w, value)
}

func writeJSON(w http.ResponseWriter, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// watch is counted when it begins.
func (h *Handler) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	h.requests.Add(1)
	h.config.Watching.Serve(w, r)
}

func (h *Handler) unknown(_ http.ResponseWriter, r *http.Request) error {
	return refusef(http.StatusNotFound, "this relay (version %s) knows no %s %.100q", h.config.Version, r.Method, r.URL.Path)
}

func (h *Handler) version(w http.ResponseWriter, _ *http.Request) error {
	return say(w, Version{h.config.Version, os.Getpid()})
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) error {
	if h.config.Status == nil {
		return refusef(http.StatusNotImplemented, "this relay has no status")
	}
	return say(w, h.config.Status())
}

func (h *Handler) settings(w http.ResponseWriter, _ *http.Request) error {
	if h.config.Settings == nil {
		return refusef(http.StatusNotImplemented, "this relay does not show its settings")
	}
	return say(w, h.config.Settings())
}

// reload answers with what has changed also if not everything could be taken over.
func (h *Handler) reload(w http.ResponseWriter, r *http.Request) error {
	report, err := h.Reload(fromOf(r))
	if err == errNoReload {
		return err
	}
	if err != nil {
		h.failed.Add(1)
		report.Error = err.Error()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	return say(w, report)
}

var errNoReload error = &Error{http.StatusNotImplemented, "this relay cannot be reloaded"}

// Reload has the settings taken over as they are now. The report says what has changed,
// also beside an error.
func (h *Handler) Reload(from string) (Report, error) {
	if h.config.Reload == nil {
		return Report{}, errNoReload
	}
	h.note(from, "reload")
	return h.config.Reload()
}

func (h *Handler) drain(w http.ResponseWriter, r *http.Request) error {
	if err := h.Drain(fromOf(r)); err != nil {
		return err
	}
	return say(w, struct{}{})
}

// Drain has the relay send its peers elsewhere and end, as the signal that ends it does.
func (h *Handler) Drain(from string) error {
	if h.config.Drain == nil {
		return refusef(http.StatusNotImplemented, "this relay cannot be told to drain")
	}
	h.note(from, "drain")
	return h.config.Drain()
}

// signIn answers with a link to the page, for who has come to here.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) error {
	if h.config.SignIn == nil {
		return refusef(http.StatusNotImplemented, "this relay has no page")
	}
	link, err := h.config.SignIn()
	if err != nil {
		return err
	}
	h.note(fromOf(r), "sign-in")
	return say(w, link)
}

// note logs an order, and who gave it.
func (h *Handler) note(from, order string, about ...any) {
	h.config.Logger.Info("a command has changed the relay", append([]any{"order", order, "from", from}, about...)...)
}

// fromOf is who gives an order: an address, or somebody of this machine.
func fromOf(r *http.Request) string {
	if remote := remoteOf(r); remote.IsValid() {
		return remote.String()
	}
	return "socket"
}

// begin takes one of the places for long answers; the result gives it back.
func (h *Handler) begin() (end func(), err error) {
	select {
	case h.long <- struct{}{}:
		return func() { <-h.long }, nil
	default:
		return nil, refusef(http.StatusServiceUnavailable, "%d long answers are under way: try again", mostLong)
	}
}
