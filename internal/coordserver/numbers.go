package coordserver

import (
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/numbers"
)

// A Metric is one number of a coordinator, or one for each value of a label.
type Metric = numbers.Metric[State]

// Metrics lists every number of a State once. A part that is not there, such as the
// engine of a coordinator that waits for others, has no values.
var Metrics = slices.Concat(serverMetrics, tailnetMetrics, storeMetrics,
	front.CertificateNumbers(func(s *State) *certs.Description { return s.Certificate }),
	[]Metric{front.ControlRefusals(func(s *State) *control.Snapshot { return &s.Control })},
	front.ScrapeNumbers(func(s *State) *front.Scrapes { return s.Scrapes }))

var serverMetrics = []Metric{
	{Name: "coord_build_info", Kind: numbers.Gauge, Help: "the program that runs; always 1", Label: "version", Values: func(s *State, say func(string, float64)) { say(s.Version, 1) }},
	numbers.When(func(s *State) bool { return !s.Now.IsZero() }, numbers.Now("clock", "seconds", "what this machine's clock says, since 1970", func(s *State) float64 { return float64(s.Now.UnixMilli()) / 1e3 })),
	gauge("coord_ready", "1 if members are answered; else they should ask another coordinator", func(s *State) float64 { return numbers.Truth(s.NotReady == "") }),
	gauge("coord_draining", "1 if members are sent to other coordinators", func(s *State) float64 { return numbers.Truth(s.Phase == front.Draining) }),
	gauge("coord_conns", "connections of members, relays and strangers", func(s *State) float64 { return float64(s.Conns.Now) }),
	gauge("coord_conns_most", "connections that there may be; 0: any number", func(s *State) float64 { return float64(s.Conns.Most) }),
	numbers.Grows("coord_conns_turned_away", "connections closed at once for want of room", func(s *State) uint64 { return s.Conns.TurnedAway }),
	numbers.Grows("coord_commands", "requests of operators, over the admin socket and over the network", func(s *State) uint64 { return s.Asked }),
	gauge("coord_map_wrong", "1 if the map that is there cannot be handed out, so that the last good one stays", func(s *State) float64 { return numbers.Truth(s.MapError != "") }),
	gauge("coord_descriptors", "files and sockets that the process may have open; 0: nobody knows", func(s *State) float64 { return float64(s.Descriptors) }),
}

var tailnetMetrics = []Metric{
	ofService(level("coord_tailnets", "tailnets", func(s *coord.Snapshot) int { return s.Tailnets })),
	ofService(level("coord_members", "members of all tailnets, connected or not", func(s *coord.Snapshot) int { return s.Members })),
	ofService(level("coord_relays", "relays that may ask who is a member", func(s *coord.Snapshot) int { return s.Relays })),
	ofService(level("coord_streams", "streams to members and relays that are connected to this coordinator", func(s *coord.Snapshot) int { return s.Streams })),
	ofService(level("coord_member_streams", "of these, streams to members", func(s *coord.Snapshot) int { return s.MemberStream })),
	ofService(level("coord_coordinators", "coordinators that live, as far as the store tells, with this one", func(s *coord.Snapshot) int { return len(s.Coordinators) })),
	ofService(grows("coord_joins", "joins with an invite", func(s *coord.Snapshot) uint64 { return s.Joins })),
	ofService(grows("coord_logins", "sessions that members earned by a proof of their key", func(s *coord.Snapshot) uint64 { return s.Logins })),
	ofService(numbers.By("code", "coord_refused", "calls of members, relays and strangers that were refused, by code", func(s *State) map[string]uint64 { return service(s).Refused })),
	ofService(grows("coord_changes", "changes that members are told", func(s *coord.Snapshot) uint64 { return s.Changes })),
	ofService(grows("coord_told", "times that a stream was told something", func(s *coord.Snapshot) uint64 { return s.Sent })),
	ofService(grows("coord_snapshots", "streams that had to begin anew with all that is known", func(s *coord.Snapshot) uint64 { return s.Snapshots })),
	ofService(grows("coord_resumes", "streams that went on where they had been", func(s *coord.Snapshot) uint64 { return s.Resumes })),
}

var storeMetrics = []Metric{
	ofService(grows("coord_writes", "writes to the store", func(s *coord.Snapshot) uint64 { return s.Writes })),
	ofService(grows("coord_writes_failed", "writes that failed, also because somebody else was faster", func(s *coord.Snapshot) uint64 { return s.FailedWrites })),
	ofService(level("coord_unheard", "parts of the store whose changes cannot be heard", func(s *coord.Snapshot) int { return len(s.Unheard) })),
	ofService(level("coord_bad_records", "records of the store that cannot be read", func(s *coord.Snapshot) int { return s.BadRecords })),
	ofService(level("coord_unclaimed", "reports of who is no member", func(s *coord.Snapshot) int { return s.Unclaimed })),
	ofService(level("coord_revision", "revision of the store up to which all is known", func(s *coord.Snapshot) int { return int(s.HardRevision) })),
	ofEngine("coord_store_writable", "", "1 if something can be written: else nobody joins or moves", func(e *coordstore.State) float64 { return numbers.Truth(e.Writable) }),
	ofEngine("coord_store_unwritable", "seconds", "for how long nothing can be written", func(e *coordstore.State) float64 {
		if e.Writable || e.Since.IsZero() {
			return 0
		}
		return max(0, time.Since(e.Since).Seconds())
	}),
	ofEngine("coord_store_replicas", "", "replicas of the engine", func(e *coordstore.State) float64 { return float64(len(e.Replicas)) }),
	ofEngine("coord_store_replicas_behind", "", "replicas that do not have all that the leader has", func(e *coordstore.State) float64 { return float64(behind(e)) }),
	ofEngine("coord_store_lag", "", "changes that the slowest replica lacks", func(e *coordstore.State) float64 { return float64(lag(e)) }),
	ofEngine("coord_store_watchers", "", "watchers that the engine has for all coordinators together, as far as is known", func(e *coordstore.State) float64 { return float64(e.Watchers) }),
}

// Sums are what holds between the numbers at any time.
var Sums = []numbers.Sum[State]{
	{Text: "coord_member_streams <= coord_streams", Holds: func(s *State) bool { return service(s) == nil || service(s).MemberStream <= service(s).Streams }},
	{Text: "coord_store_replicas_behind <= coord_store_replicas", Holds: func(s *State) bool { return s.Engine == nil || behind(s.Engine) <= len(s.Engine.Replicas) }},
	{Text: "coord_conns <= coord_conns_most, unless that is 0", Holds: func(s *State) bool { return s.Conns.Most == 0 || s.Conns.Now <= int64(s.Conns.Most) }},
}

func behind(e *coordstore.State) (n int) {
	for _, r := range e.Replicas {
		if !r.Current {
			n++
		}
	}
	return n
}

func lag(e *coordstore.State) (most uint64) {
	for _, r := range e.Replicas {
		most = max(most, r.Lag)
	}
	return most
}

// What follows writes rows of the table.

// service is that of a state; nil: it is not open yet.
func service(s *State) *coord.Snapshot {
	snap, _ := s.Service.(*coord.Snapshot)
	return snap
}

func ofService(m Metric) Metric {
	return numbers.When(func(s *State) bool { return service(s) != nil }, m)
}

func ofEngine(name, unit, help string, value func(*coordstore.State) float64) Metric {
	return numbers.When(func(s *State) bool { return s.Engine != nil }, numbers.Now(name, unit, help, func(s *State) float64 { return value(s.Engine) }))
}

func gauge(name, help string, value func(*State) float64) Metric {
	return numbers.Now(name, "", help, value)
}

func level(name, help string, value func(*coord.Snapshot) int) Metric {
	return gauge(name, help, func(s *State) float64 { return float64(value(service(s))) })
}

func grows(name, help string, value func(*coord.Snapshot) uint64) Metric {
	return numbers.Grows(name, help, func(s *State) uint64 { return value(service(s)) })
}
