// Package admin answers what an operator, a load balancer or a supervisor asks a
// running relay over HTTP. It is for the relay's own machine: nothing here asks
// who is calling.
//
//	/healthz  200 "ok": the process runs
//	/readyz   200 "ready", or 503 and why not: whether to send peers here; more lines
//	          say what is wrong with those who decide who may come in
//	/status   all numbers as JSON, see [Status]
//	/check    200 "ok", or 500 and one contradiction a line (relay.Server.Check)
//	/history  minute figures of the last week as JSON, see history.Answer; from, to and
//	          step as in [history.ParseQuery]
//	/clients  who uses it, a page of it as JSON, see [control.Clients]
//	/top      a line of JSON every two seconds, with rates and who is busiest, see [control.Sample]
//
// and at /debug/clients/ the same as derper shows it.
package admin

import (
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/hitters"
	"github.com/detour-relay/detour/internal/quota"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/relay"
)

// Config is what a [Handler] is made from.
type Config struct {
	Version string         // of the program
	Relay   *relay.Server  // required
	Edge    *edge.Server   // required
	Health  *health.Health // required

	// STUN returns the numbers of the responder; nil, or the result nil: there is none.
	STUN func() *stun.Snapshot

	// Access returns who decides who may come in; nil, or the result nil: the program
	// that the relay is a part of.
	Access func() *admit.Snapshot

	// Certificate returns what is shown to peers; nil, or the result nil: there is no
	// TLS. Its end, and why it could not be renewed, is what operators look for.
	Certificate func() *certs.Description

	// Reload returns what became of the last reload; nil, or the result nil: there was
	// none.
	Reload func() *Reload

	// Quota returns what the month has cost; nil, or the result nil: there is no quota.
	Quota func() *quota.Snapshot

	// Limits returns what keys may use now, for people; nil: nobody knows.
	Limits func() any

	// Descriptors returns what the process may open; nil: nobody knows.
	Descriptors func() Descriptors

	// Control returns what commands have asked; nil, or the result nil: none can.
	Control func() *control.Snapshot

	// Hitters returns who uses most; nil, or the result nil: nobody knows.
	Hitters func() *hitters.Snapshot

	// History answers /history, and HistoryState tells how it is kept; nil, or the result
	// nil: no history is kept.
	History      control.AskHistory
	HistoryState func() *history.State

	// Scrapes returns how often metrics were asked for; nil, or the result nil: they cannot be.
	Scrapes func() *front.Scrapes

	// Mesh returns what /status shows of the siblings; nil: nothing.
	Mesh func() any
}

// A Handler answers the requests.
type Handler struct {
	config   Config
	started  time.Time
	watching *control.Watching
}

// Status is the answer to /status. Its JSON names are stable.
type Status struct {
	Version  string          `json:"version"`
	PID      int             `json:"pid"`
	Started  time.Time       `json:"started"`
	Now      time.Time       `json:"now"` // by the clock of this machine
	Draining bool            `json:"draining"`
	Health   health.Snapshot `json:"health"`
	Relay    relay.Survey    `json:"relay"`
	Edge     edge.Snapshot   `json:"edge"`
	STUN     *stun.Snapshot  `json:"stun"` // null if it is off
	Mesh     any             `json:"mesh"`

	Access      *admit.Snapshot    `json:"access"`      // null if a program decides itself
	Certificate *certs.Description `json:"certificate"` // null without TLS
	Quota       *quota.Snapshot    `json:"quota"`       // null if there is none
	Limits      any                `json:"limits"`      // in force; null: nobody knows
	Reload      *Reload            `json:"reload"`      // null if there was none
	Descriptors Descriptors        `json:"descriptors"`

	Control *control.Snapshot `json:"control"` // null where no command can reach it

	Hitters *hitters.Snapshot `json:"hitters"` // who uses most; null: nobody knows
	History *history.State    `json:"history"` // how it is kept; null: it is not
	Scrapes *front.Scrapes    `json:"scrapes"` // null where there are no metrics
}

// New returns a handler for a relay that is ready.
func New(config Config) *Handler {
	return &Handler{config: config, started: time.Now(), watching: control.NewWatching(control.Watching{
		Version: config.Version, PID: os.Getpid(), Peers: config.Relay.Peers, Counters: config.Relay.Counters,
	})}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	front.Pages{
		{Path: "/healthz", Serve: front.Healthy}, {Path: "/readyz", Serve: h.serveReady},
		{Path: "/status", Serve: h.serveStatus}, {Path: "/check", Serve: h.serveCheck},
		{Path: control.PathAdminHistory, Ask: h.serveHistory},
		{Path: control.PathAdminClients, Ask: h.serveClients}, {Path: control.PathAdminTop, Ask: h.watching.Serve}, {Path: clients.PathDebug, Ask: h.debugClients().ServeHTTP},
	}.ServeHTTP(w, r)
}

func (h *Handler) serveReady(w http.ResponseWriter) {
	if why := h.config.Health.Explain(); why != "" {
		front.Say(w, http.StatusServiceUnavailable, why)
		return
	}
	lines := []string{"ready"}
	if access := h.access(); access != nil { // who is known still comes in, so this relay is of use
		for _, away := range access.Away() {
			lines = append(lines, "access: "+away)
		}
	}
	front.Say(w, http.StatusOK, strings.Join(lines, "\n"))
}

func (h *Handler) access() *admit.Snapshot {
	if h.config.Access == nil {
		return nil
	}
	return h.config.Access()
}

func (h *Handler) serveCheck(w http.ResponseWriter) {
	if problems := h.config.Relay.Check(); len(problems) > 0 {
		front.Say(w, http.StatusInternalServerError, strings.Join(problems, "\n"))
		return
	}
	front.Say(w, http.StatusOK, "ok")
}

func (h *Handler) serveClients(w http.ResponseWriter, r *http.Request) {
	control.ServeClients(w, r, h.config.Relay.Peers)
}

func (h *Handler) debugClients() clients.Debug {
	return clients.Debug{Peers: h.config.Relay.Peers, Counts: func() (conns, keys int64) {
		c := h.config.Relay.Counters()
		return c.Conns, c.Peers
	}}
}

func (h *Handler) serveStatus(w http.ResponseWriter) { front.SayJSON(w, h.Status(), "  ") }

// Status returns what /status answers.
func (h *Handler) Status() Status {
	s := h.Numbers()
	if h.config.Hitters != nil {
		s.Hitters = h.config.Hitters()
	}
	return s
}

// Numbers returns what scrapes are made of: a status without what is of single peers, which
// takes longer.
func (h *Handler) Numbers() Status {
	state := h.config.Health.Snapshot()
	s := Status{
		Version:  h.config.Version,
		PID:      os.Getpid(),
		Started:  h.started.UTC(),
		Now:      time.Now().UTC(),
		Draining: state.Reason == health.Draining,
		Health:   state,
		Relay:    h.config.Relay.Survey(),
		Edge:     h.config.Edge.Snapshot(),
	}
	if h.config.STUN != nil {
		s.STUN = h.config.STUN()
	}
	s.Access = h.access()
	if h.config.Certificate != nil {
		s.Certificate = h.config.Certificate()
	}
	if h.config.Reload != nil {
		s.Reload = h.config.Reload()
	}
	if h.config.Quota != nil {
		s.Quota = h.config.Quota()
	}
	if h.config.Limits != nil {
		s.Limits = h.config.Limits()
	}
	if h.config.Descriptors != nil {
		s.Descriptors = h.config.Descriptors()
	}
	if h.config.Control != nil {
		s.Control = h.config.Control()
	}
	if h.config.HistoryState != nil {
		s.History = h.config.HistoryState()
	}
	if h.config.Scrapes != nil {
		s.Scrapes = h.config.Scrapes()
	}
	if h.config.Mesh != nil {
		s.Mesh = h.config.Mesh()
	}
	return s
}
