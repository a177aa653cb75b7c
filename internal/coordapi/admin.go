package coordapi

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/key"
)

// What operators ask, below PathAdmin:
//
//	GET    tailnets                        []Tailnet
//	POST   tailnets                        NewTailnet -> Tailnet
//	GET    tailnets/NAME                   Tailnet
//	PATCH  tailnets/NAME                   Rename -> Tailnet
//	DELETE tailnets/NAME                   with all that is in it
//	GET    tailnets/NAME/invites           []InviteState
//	POST   tailnets/NAME/invites           NewInvite -> Invited
//	DELETE tailnets/NAME/invites/ID
//	GET    tailnets/NAME/members           Member lines (application/x-ndjson)
//	PATCH  tailnets/NAME/members/MEMBER    ChangeMember -> Member
//	DELETE tailnets/NAME/members/MEMBER
//	GET    map                             MapState
//	PUT    map?force=                      a DERP map -> MapState
//	GET    relays                          []Relay
//	POST   relays                          NewRelay -> AddedRelay
//	DELETE relays/NAME
//	GET    export                          lines, for POST import
//	POST   import                          Imported
//	GET    status                          what the status page shows
//
// NAME is a tailnet's name, MEMBER a name or a node key.

// A Tailnet is one, as operators see it.
type Tailnet struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Members int       `json:"members"`
	Online  int       `json:"online"`
	Invites int       `json:"invites"` // that still count
	Prefix4 string    `json:"prefix4"` // its addresses
	Prefix6 string    `json:"prefix6"`
}

// NewTailnet asks for one.
type NewTailnet struct {
	Name string `json:"name"`
}

// Rename gives another name.
type Rename struct {
	Name string `json:"name"`
}

// NewInvite asks for an invite. Uses 0 is once; For 0 is ten minutes.
type NewInvite struct {
	Uses int           `json:"uses,omitempty"`
	For  time.Duration `json:"for,omitempty"` // ns
}

// Invited has the invite, which nobody can be told again.
type Invited struct {
	InviteState
	Text string `json:"invite"`
}

// InviteState is an invite without its secret.
type InviteState struct {
	ID      string    `json:"id"`
	Uses    int       `json:"uses_left"`
	Expires time.Time `json:"expires"`
}

// A Member is one, as operators see it.
type Member struct {
	Key       key.Public   `json:"key"`
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Joined    time.Time    `json:"joined"`
	Disabled  bool         `json:"disabled,omitempty"`
	Home      int          `json:"home,omitempty"`
	HomeSince time.Time    `json:"home_since,omitzero"`
	Online    bool         `json:"online"`
	Seen      time.Time    `json:"seen,omitzero"` // when it was last heard here; zero: not since the start
	Version   string       `json:"version,omitempty"`
	Disco     key.Public   `json:"disco,omitzero"`
	Conflict  []netip.Addr `json:"conflict,omitempty"` // where two machines with its key report from
}

// ChangeMember changes what is given.
type ChangeMember struct {
	Name     string `json:"name,omitempty"`
	Disabled *bool  `json:"disabled,omitempty"`
}

// MapState is the DERP map that is handed out.
type MapState struct {
	Version string          `json:"version"`
	Since   time.Time       `json:"since"`
	Regions int             `json:"regions"`
	Nodes   int             `json:"nodes"`
	Map     json.RawMessage `json:"map"`
}

// A Relay may ask who is a member of these tailnets; none: of all.
type Relay struct {
	Name     string    `json:"name"`
	Tailnets []string  `json:"tailnets,omitempty"`
	Created  time.Time `json:"created"`
}

// NewRelay asks for a relay's token.
type NewRelay struct {
	Name     string   `json:"name"`
	Tailnets []string `json:"tailnets,omitempty"`
}

// AddedRelay has the token, which nobody can be told again.
type AddedRelay struct {
	Relay
	Token string `json:"token"`
}

// Imported counts what an import has brought.
type Imported struct {
	Tailnets int `json:"tailnets"`
	Members  int `json:"members"`
	Invites  int `json:"invites"`
	Relays   int `json:"relays"`
	Kept     int `json:"kept"` // that were there already, and stay as they are
}
