package control

import (
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// The paths. Lists are rows; everything else is one JSON value each way. An answer
// with another status than 200 is a Failure. Those with a capital letter are answered by
// every server of ours.
const (
	PathVersion  = "/v1/version"
	PathStatus   = "/v1/status"
	pathSettings = "/v1/config"
	pathReload   = "/v1/reload"
	pathDrain    = "/v1/drain"
	pathSignIn   = "/v1/signin"
	pathAccess   = "/v1/access" // its orders are below it
	pathImport   = "/v1/access/import"
	pathPeers    = "/v1/peers"
	pathClients  = "/v1/clients"
	pathHistory  = "/v1/history"
	pathClose    = "/v1/peers/close"
)

// The orders about who may come in, which are paths, too.
const (
	Allow  = "allow"
	Remove = "remove"
	Ban    = "ban"
	Unban  = "unban"
)

// A Version is what answers. Like all types here, its JSON names are stable.
type Version struct {
	Version string `json:"version"` // of the program
	PID     int    `json:"pid"`
}

// A Failure is why something was not done.
type Failure struct {
	Error string `json:"error"`
}

// A Change is a setting that is another one now. What is secret is masked.
type Change struct {
	Setting string `json:"setting"`
	Old     string `json:"old"`
	New     string `json:"new"`
}

// A Report is what a reload has done.
type Report struct {
	Changed []Change `json:"changed"`         // and in effect
	Restart []Change `json:"restart"`         // takes a new process
	Error   string   `json:"error,omitempty"` // what could not be taken over
}

// A SignIn leads to the page, once.
type SignIn struct {
	URLs  []string  `json:"urls"` // the same link, wherever the page is; the first is of this machine
	Until time.Time `json:"until"`
}

// A Line is one key of the access list.
type Line struct {
	Key       key.Public `json:"key"`
	State     string     `json:"state"`
	Label     string     `json:"label,omitempty"`
	Name      string     `json:"name,omitempty"` // of the machine, as far as an import knew
	From      string     `json:"from,omitempty"` // the file or set that has the key
	Since     time.Time  `json:"since,omitzero"` // of a ban
	Until     time.Time  `json:"until,omitzero"` // zero: without end
	Why       string     `json:"why,omitempty"`  // of a ban
	Connected bool       `json:"connected"`
}

// The states of a Line.
const (
	Allowed = "allowed"
	Expired = "expired" // was allowed until its end
	Banned  = "banned"  // whatever allows it
)

// A Filter picks lines; empty fields pick all.
type Filter struct {
	State string
	Label string
	Keys  []key.Public
}

// An Order is what is to be done with keys.
type Order struct {
	Keys  []key.Public `json:"keys"`
	Label string       `json:"label,omitempty"`       // Allow
	Why   string       `json:"why,omitempty"`         // Ban
	For   int64        `json:"for_seconds,omitempty"` // Allow, Ban: how long, by the relay's clock; 0: without end
}

// A Result is what became of one key of an order.
type Result struct {
	Key   key.Public `json:"key"`
	Conns int        `json:"conns"`           // that it had
	Error string     `json:"error,omitempty"` // why it was not done
	Still string     `json:"still,omitempty"` // what lets the key in all the same, of one that was removed
}

// Results are the answer to an order, in its order.
type Results struct {
	Results []Result `json:"results"`
}

// An Entry is a key that is imported.
type Entry struct {
	Key   key.Public `json:"key"`
	Label string     `json:"label,omitempty"`
	Name  string     `json:"name,omitempty"` // of the machine
	Until time.Time  `json:"until,omitzero"`
}

// An ImportOrder says what an import does. The entries follow as rows.
type ImportOrder struct {
	Set    string // whose keys these are, all of them
	Force  bool   // also if most of the set would go
	DryRun bool   // only say what would come and go
}

// Imported is what an import did, or would do.
type Imported struct {
	Set  string `json:"set"`
	Keys int    `json:"keys"` // that came in, one that is there twice counts as often

	// At most MostTold each, the others are counted.
	Came    []Came `json:"came"`
	Went    []Came `json:"went"`
	Changed []Came `json:"changed"` // have another label, name or end

	CameTotal    int  `json:"came_total"`
	WentTotal    int  `json:"went_total"`
	ChangedTotal int  `json:"changed_total"`
	Same         int  `json:"same"`
	DryRun       bool `json:"dry_run"`
}

// Came is a key that an import brought or took.
type Came struct {
	Key   key.Public `json:"key"`
	Label string     `json:"label,omitempty"`
	Name  string     `json:"name,omitempty"`
}

// Clients is a page of connections. Its counts are about all that the query takes.
type Clients struct {
	At        time.Time `json:"at"` // by the relay's clock
	Conns     int       `json:"conns"`
	Keys      int       `json:"keys"`
	Remaining int       `json:"remaining"`      // behind this page
	Next      string    `json:"next,omitempty"` // the query of the page behind this one; empty: it is the last
	Clients   []Peer    `json:"clients"`
}

// A Peer is one connection.
type Peer struct {
	ID        uint64     `json:"id"` // its number, in the order of logins
	Key       key.Public `json:"key"`
	Addr      string     `json:"addr,omitempty"`
	Since     time.Time  `json:"since"`
	Used      time.Time  `json:"used"` // when it last had packets
	Label     string     `json:"label,omitempty"`
	App       string     `json:"app,omitempty"`
	IdealNode string     `json:"ideal_node,omitempty"` // where it would rather be
	Until     time.Time  `json:"until,omitzero"`       // of its admission
	Home      bool       `json:"home"`
	Sibling   bool       `json:"sibling"`
	Prober    bool       `json:"prober"`
	Duplicate bool       `json:"duplicate"`
	Active    bool       `json:"active"`   // packets for its key go to it
	Version   int        `json:"version"`  // of the protocol, as the peer says
	Queued    int        `json:"queued"`   // packets that wait for it
	Received  uint64     `json:"received"` // bytes from it
	Sent      uint64     `json:"sent"`     // bytes to it

	ReceivedPackets uint64        `json:"received_packets"`
	SentPackets     uint64        `json:"sent_packets"`
	Dropped         relay.Traffic `json:"dropped"`       // for it, and given up
	RoundTrip       time.Duration `json:"round_trip_ns"` // of TCP; 0: unknown
	Waited          time.Duration `json:"waited_ns"`     // how long all that was sent to it has waited before, added up
	Senders         int           `json:"senders"`       // about so many peers have sent to it

	Limits    relay.Limits `json:"limits"`     // bytes a second, and at once, that its key may use; 0: no limit
	Resting   bool         `json:"resting"`    // it is not read now, for its key has used too much
	LimitedMS int64        `json:"limited_ms"` // how long connections of its key were not read for that
}
