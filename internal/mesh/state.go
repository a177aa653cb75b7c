package mesh

import (
	"net/netip"
	"time"
)

// A Status is where a sibling stands.
type Status string

// The statuses.
const (
	Linked   Status = "linked"
	Dialling Status = "dialling"  // a try is under way
	Waiting  Status = "waiting"   // for the next try
	Self     Status = "self"      // it is this relay, or has a copy of its key: not tried any more
	Known    Status = "known"     // it has a link already, by another entry or address
	Stopped  Status = "shut down" // the relay links to nobody any more
)

// A State is a sibling as it is at one moment.
type State struct {
	Name      string         `json:"name"`            // of the entry, or what the records of a DNS name lead to
	From      string         `json:"from,omitempty"`  // the DNS name that led to it; empty for an entry
	Addr      netip.AddrPort `json:"addr"`            // dialled last; empty if none was yet
	Status    Status         `json:"status"`          //
	Since     time.Time      `json:"since,omitzero"`  // if linked: since when
	LastError string         `json:"error,omitempty"` // why the last try or link ended, also if another has come since
	NextTry   time.Time      `json:"next_try,omitzero"`
}
