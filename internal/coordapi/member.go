package coordapi

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/key"
)

// The paths of the calls.
const (
	PathChallenge  = "/v1/challenge"
	PathJoin       = "/v1/join"
	PathLogin      = "/v1/login"
	PathWatch      = "/v1/watch"
	PathSelf       = "/v1/self"
	PathPeer       = "/v1/peer/" // and a node key
	PathMap        = "/v1/map"
	PathVerify     = "/verify"
	PathRelayWatch = "/v1/relay/watch"
	PathAdmin      = "/v1/admin/"
)

// The bounds of what is sent.
const (
	MostBody    = 16 << 10 // bytes of a request by a stranger or a member
	MostLine    = 8 << 20  // bytes of a line of a stream: a map may be large
	MostName    = 63       // bytes of a name of a member or tailnet: a label of DNS
	MostVersion = 64       // bytes of a member's version
	MostMembers = 50_000   // members of a tailnet
)

// BeatTime is how often a stream says something, and SilenceTime how long a reader
// waits before it takes the stream for dead.
const (
	BeatTime    = 25 * time.Second
	SilenceTime = 60 * time.Second
)

// SessionTime is how long a session counts. A stream that is open renews it.
const SessionTime = time.Hour

// A Challenge is what a member proves its node key with: see [Prove].
type Challenge struct {
	Key       key.Public `json:"key"`       // of the coordination server, for the box
	Challenge string     `json:"challenge"` // counts for a minute or so, once
}

// Join makes the holder of an invite a member. Somebody who is one already gets the
// same answer again, and the invite is not used.
type Join struct {
	Invite    string     `json:"invite"` // Invite.Credential
	Key       key.Public `json:"key"`
	Name      string     `json:"name"` // wanted; a number is added to one that is taken
	Challenge string     `json:"challenge"`
	Proof     []byte     `json:"proof"`
}

// Joined tells a member who it is.
type Joined struct {
	Tailnet     string       `json:"tailnet"` // the ID, which does not change
	TailnetName string       `json:"tailnet_name"`
	Name        string       `json:"name"`
	Addresses   []netip.Addr `json:"addresses"`
	Session     Session      `json:"session"`
}

// Login is how a member gets a session.
type Login struct {
	Tailnet   string     `json:"tailnet"`
	Key       key.Public `json:"key"`
	Challenge string     `json:"challenge"`
	Proof     []byte     `json:"proof"`
}

// A Session is a bearer token.
type Session struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// A Report says where a member is. Boot and Seq order the reports of a member: Boot
// grows with each start of it, Seq with each report. An older one is refused with
// CodeStale. One that says the same as the last one is not stored again, so a report
// that was under way for long may still come after it: a member that is told by
// EventSelf of a home that is not its own reports again, with a higher Seq. Home 0
// leaves the last known one as it is.
type Report struct {
	Boot    uint64     `json:"boot"`
	Seq     uint64     `json:"seq"`
	Home    int        `json:"home"`              // region; 0: none yet
	Disco   key.Public `json:"disco,omitzero"`    // without discovery: zero
	Version string     `json:"version,omitempty"` // of the program
}

// Stored says that a report counts, and is what a home report waits for.
type Stored struct {
	Since    time.Time `json:"since"`              // when the home was first reported
	Conflict bool      `json:"conflict,omitempty"` // another machine reports with the same key
}

// A Peer is a member as the others of its tailnet see it.
type Peer struct {
	Key       key.Public   `json:"key"`
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Home      int          `json:"home,omitempty"` // region; 0: not known
	Disco     key.Public   `json:"disco,omitzero"`
	Online    *bool        `json:"online,omitempty"` // only in the answer about one peer: never fanned out
}

// The types of an Event.
const (
	// EventSnapshot begins everything anew: who is not told of until EventAt is no
	// member any more. EventResumed goes on after the cursor that was given.
	EventSnapshot = "snapshot"
	EventResumed  = "resumed"

	EventSelf    = "self"    // Peer: what the tailnet has of the member itself; it may not be what it has said last
	EventPeer    = "peer"    // Peer: one who has come, or changed
	EventGone    = "gone"    // Key: one who is no member any more
	EventMap     = "map"     // Map: the DERP map, in the order for the tailnet
	EventAt      = "at"      // Cursor: all before this line is complete
	EventBeat    = "beat"    // nothing is new; Cursor may be given
	EventSession = "session" // Session: instead of the one before
	EventMove    = "move"    // use another coordinator: this one ends
	EventRemoved = "removed" // the member itself is none any more; the last line
)

// An Event is a line of GET /v1/watch.
type Event struct {
	Type    string          `json:"type"`
	Peer    *Peer           `json:"peer,omitempty"`
	Key     key.Public      `json:"key,omitzero"`
	Map     json.RawMessage `json:"map,omitempty"`
	Cursor  string          `json:"cursor,omitempty"`
	Session *Session        `json:"session,omitempty"`
	Stale   bool            `json:"stale,omitempty"` // with snapshot, resumed, beat: the engine cannot be heard, so there may be news
}

// RelayEvent is a line of GET /v1/relay/watch, with the types snapshot (what was
// missed cannot be told: ask again about everybody who is connected), resumed, gone,
// at, beat and move.
type RelayEvent struct {
	Type   string     `json:"type"`
	Key    key.Public `json:"key,omitzero"` // of gone: may not come in any more
	Cursor string     `json:"cursor,omitempty"`
	Stale  bool       `json:"stale,omitempty"`
}

// The codes of an Error, with the HTTP status that each has.
const (
	CodeBadRequest    = "bad-request"    // 400: it will not get better
	CodeUnauthorized  = "unauthorized"   // 401: log in again
	CodeNotMember     = "not-a-member"   // 403: of this tailnet, not any more
	CodeForbidden     = "forbidden"      // 403: a token that is none
	CodeInvite        = "invite-unknown" // 403: damaged, withdrawn, or another server's
	CodeInviteUsed    = "invite-used"    // 403
	CodeInviteExpired = "invite-expired" // 403
	CodeProof         = "proof"          // 403: the box is not the key's, or the challenge too old or used
	CodeNotFound      = "not-found"      // 404
	CodeStale         = "stale"          // 409: Boot and Seq are what counts
	CodeConflict      = "conflict"       // 409: it exists, or has changed meanwhile
	CodeTooLarge      = "too-large"      // 413
	CodeTooMany       = "too-many"       // 429: Retry-After
	CodeUnavailable   = "unavailable"    // 503: the engine cannot write now; Retry-After; or ask another coordinator
)

// Error is why something was refused.
type Error struct {
	Code    string `json:"error"`
	Message string `json:"message"` // for people
	Boot    uint64 `json:"boot,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`

	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"` // 0: not said
}

func (e *Error) Error() string { return e.Message }
