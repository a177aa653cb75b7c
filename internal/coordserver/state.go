package coordserver

import (
	"os"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/text"
)

// A State is a coordinator at one moment. Its JSON names are stable.
type State struct {
	Version     string             `json:"version"`
	PID         int                `json:"pid"`
	Started     time.Time          `json:"started"`
	Now         time.Time          `json:"now"` // by the clock of this machine
	Phase       front.Phase        `json:"phase"`
	NotReady    string             `json:"not_ready,omitempty"` // why not; empty: it is ready
	Listen      string             `json:"listen"`              // the address that it got
	URL         string             `json:"url"`                 // where members find it, as far as it can know
	Pin         string             `json:"pin"`                 // what they trust it by; empty: an authority, or there is no TLS
	Contacts    []Contact          `json:"contacts"`            // what invites name
	Name        string             `json:"name,omitempty"`      // in its cluster
	StateDir    string             `json:"state_dir,omitempty"` // empty: the state is elsewhere, or in memory
	Admin       string             `json:"admin"`               // address; empty: off
	Socket      string             `json:"admin_socket"`        // path; empty: none
	Remote      string             `json:"admin_https"`         // as Admin
	Certificate *certs.Description `json:"certificate"`         // null without TLS
	Map         string             `json:"map,omitempty"`       // where it comes from; empty: operators set it
	MapError    string             `json:"map_error,omitempty"` // why what is there is not handed out
	Conns       Conns              `json:"conns"`
	Descriptors uint64             `json:"descriptors"` // that the process may have; 0: nobody knows
	Asked       uint64             `json:"asked"`       // by operators
	Control     control.Snapshot   `json:"control"`     // whom the door has turned away
	Metrics     string             `json:"metrics"`     // the URL for Prometheus; empty: off
	Scrapes     *front.Scrapes     `json:"scrapes"`     // null where there are no metrics

	Engine  *coordstore.State `json:"engine"`  // null: it is not open yet
	Service any               `json:"service"` // as Engine
}

// A Contact is one that invites name.
type Contact struct {
	URL string `json:"url"`
	Pin string `json:"pin,omitempty"`
}

// Conns are the connections of members, relays and strangers.
type Conns struct {
	Now        int64  `json:"now"`
	Most       int    `json:"most"`        // 0: any number
	TurnedAway uint64 `json:"turned_away"` // for want of room
}

// State returns the state now.
func (s *Server) State() State {
	now := State{
		Version: s.options.Version, PID: os.Getpid(), Started: s.began.UTC(), Now: time.Now().UTC(), Phase: s.Phase(),
		Listen: s.listener.Addr().String(), URL: s.url(), Pin: s.pin().String(), Contacts: shown(s.contacts()), Name: s.config.Name,
		Admin: s.status.Addr(), Certificate: s.certificate(), Map: s.config.Map,
		Conns:       Conns{s.listener.conns.Load(), s.listener.most, s.listener.turnedAway.Load()},
		Descriptors: front.DescriptorLimit(), Asked: s.asked.Load(), Metrics: s.metrics.URL(), Scrapes: s.metrics.Scrapes(),
	}
	if why := s.whyNotReady(); why != nil {
		now.NotReady = why.Error()
	}
	if s.config.exclusive() || s.config.Front.TLS.Mode == "self" {
		now.StateDir, _ = front.StateDir(s.config.Front.StateDir, StateSub)
	}
	now.Socket, now.Remote = s.commands.Addrs()
	s.commands.Count(&now.Control)
	e := s.opened()
	now.MapError = text.RedactURLs(s.mapProblem(e))
	if e != nil {
		engine := e.store.State()
		service := e.service.Snapshot()
		now.Engine, now.Service = &engine, &service
	}
	return now
}

func shown(contacts []coordapi.Contact) (all []Contact) {
	for _, c := range contacts {
		all = append(all, Contact{c.URL, pin.OfSum(c.Pin).String()})
	}
	return all
}
