package coordserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/text"
)

// Why a coordinator is not ready.
var (
	errDraining = errors.New("it drains: members are sent to other coordinators")
	errWaiting  = errors.New("the process before still has the state directory")
	errGather   = errors.New("it waits for the others of its cluster: most of them have to be there, with the same secret")
)

// whyNotReady says why members should ask another coordinator; nil: they need not.
func (s *Server) whyNotReady() error {
	e := s.opened()
	switch phase := s.Phase(); {
	case phase == Draining, phase == Stopped:
		return errDraining
	case e == nil && len(s.config.Cluster) > 0:
		return errGather
	case e == nil:
		return errWaiting
	}
	return e.service.Ready()
}

// Phase is what the coordinator is doing.
func (s *Server) Phase() Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phaseLocked()
}

// opsPaths are listed for those who ask for another one.
const opsPaths = "there are only /healthz, /readyz, /status"

// serveOps answers operators of this machine, who look.
func (s *Server) serveOps(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		say(w, http.StatusMethodNotAllowed, "use GET or HEAD")
		return
	}
	switch r.URL.Path {
	case "/healthz":
		say(w, http.StatusOK, "ok")
	case "/readyz":
		s.serveReady(w)
	case "/status":
		s.serveStatus(w, "  ")
	default:
		say(w, http.StatusNotFound, opsPaths)
	}
}

// serveReady says what is not as it should be also of one that is ready: without a
// quorum it still answers what it knows.
func (s *Server) serveReady(w http.ResponseWriter) {
	if why := s.whyNotReady(); why != nil {
		say(w, http.StatusServiceUnavailable, why.Error())
		return
	}
	said := "ready"
	if engine := s.opened().store.State(); !engine.Writable {
		said += "\nengine: nothing can be written, so that nobody can join or report: " + engine.Reason
	}
	if why := s.mapProblem(s.opened()); why != "" {
		said += "\nmap: what is there is not handed out, the last good one stays: " + text.RedactURLs(why)
	}
	say(w, http.StatusOK, said)
}

func (s *Server) serveStatus(w http.ResponseWriter, indent string) {
	text, err := json.MarshalIndent(s.State(), "", indent)
	if err != nil {
		say(w, http.StatusInternalServerError, fmt.Sprintf("the status cannot be written: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	say(w, http.StatusOK, string(text))
}

func say(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	io.WriteString(w, text+"\n") // who has left misses nothing
}

// statusPath is where operators get the status over the admin socket.
const statusPath = coordapi.PathAdmin + "status"

// serveCommands answers operators, who change things.
func (s *Server) serveCommands(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	s.asked.Add(1)
	switch path := r.Method + " " + r.URL.Path; path {
	case "GET " + control.PathVersion:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(control.Version{Version: s.options.Version, PID: os.Getpid()})
		return
	case "GET " + control.PathStatus, "GET " + statusPath:
		s.serveStatus(w, "")
		return
	}
	e := s.opened()
	if e == nil {
		unavailable(w, s.whyNotReady().Error())
		return
	}
	control.Patient(e.admin).ServeHTTP(w, r)
}
