package coordserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/front"
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
	if err := s.whyNotLoaded(); err != nil {
		return err
	}
	if shown := s.certificate(); shown != nil && shown.Missing != "" {
		return errors.New("no certificate: " + shown.Missing)
	}
	return nil
}

// whyNotLoaded says why there is nothing to answer members with; nil: there is.
func (s *Server) whyNotLoaded() error {
	e := s.opened()
	switch phase := s.Phase(); {
	case phase == front.Draining, phase == front.Stopped:
		return errDraining
	case e == nil && len(s.config.Cluster) > 0:
		return errGather
	case e == nil:
		return errWaiting
	}
	return e.service.Ready()
}

// Phase is what the coordinator is doing.
func (s *Server) Phase() front.Phase { return s.life.Phase() }

// serveReady says what is not as it should be also of one that is ready: without a
// quorum it still answers what it knows.
func (s *Server) serveReady(w http.ResponseWriter) {
	if why := s.whyNotReady(); why != nil {
		front.Say(w, http.StatusServiceUnavailable, why.Error())
		return
	}
	said := "ready"
	if engine := s.opened().store.State(); !engine.Writable {
		said += "\nengine: nothing can be written, so that nobody can join or report: " + engine.Reason
	}
	if why := s.mapProblem(s.opened()); why != "" {
		said += "\nmap: what is there is not handed out, the last good one stays: " + text.RedactURLs(why)
	}
	front.Say(w, http.StatusOK, said)
}

func (s *Server) serveStatus(w http.ResponseWriter) { front.SayJSON(w, s.State(), "  ") }

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
		front.SayJSON(w, s.State(), "")
		return
	}
	e := s.opened()
	if e == nil {
		unavailable(w, s.whyNotReady().Error())
		return
	}
	control.Patient(e.admin).ServeHTTP(w, r)
}
