package coordstate

import (
	"bytes"
	"compress/flate"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// The keys of the hard bucket. Soft buckets have soft keys only, and those of
// presence and of who lives.
const (
	KeyMap    = "map"
	KeySecret = "secret"
	KeyNames  = "names"
	KeyTick   = "tick"

	prefixTailnet = "t."
	prefixMember  = "m."
	prefixRelay   = "r."
	prefixSoft    = "s."
	prefixHere    = "p." // presence
	prefixAlive   = "a."
)

// The bounds of what a tailnet's record carries.
const (
	MostGone    = 64
	MostClaims  = 64
	MostInvites = 128
)

// A TailnetRecord is all of a tailnet but its members. Whoever gives somebody a name
// or an address, or takes them away, writes it with compare-and-set: so whoever has
// seen it at a revision has seen all that was given before.
type TailnetRecord struct {
	Name    string   `json:"name"`
	Created int64    `json:"created"` // s
	ULA     string   `json:"ula"`     // the 10 digits of its prefix fdXX:XXXX:XXXX::/48
	Next    uint32   `json:"next"`    // the index that is given next
	Claims  []Claim  `json:"claims,omitempty"`
	Gone    []Gone   `json:"gone,omitempty"`  // the last ones who were removed, in order
	Floor   uint64   `json:"floor,omitempty"` // removals up to this revision are in Gone no more
	Invites []Invite `json:"invites,omitempty"`
}

// A Claim is for a member's record that is about to be written: it has the name and
// the address that are in it, so that nobody else gets them. It is over when the
// record is seen, and free again if that has not come a minute after. A change of a
// record has one, too: a watcher may not be told of the record that was changed.
type Claim struct {
	Key    key.Public `json:"key"`
	Name   string     `json:"name"`
	Index  uint32     `json:"index"`
	Joined int64      `json:"joined"` // s; what the member's record will say
	Off    bool       `json:"off,omitempty"`
	Invite string     `json:"invite,omitempty"` // whose use it took
}

// Gone is the removal of who had joined then: a record of the key that says so counts
// no more, in whatever order a watcher is told. Who joins again has joined later. After
// is the revision that the tailnet's record had before.
type Gone struct {
	Key    key.Public `json:"key"`
	Joined int64      `json:"joined"`
	After  uint64     `json:"after,omitempty"`
}

// An Invite knows its secret by the SHA-256.
type Invite struct {
	ID      string `json:"id"`   // 16 hex digits
	Hash    string `json:"hash"` // 64 hex digits
	Uses    int    `json:"uses"` // left
	Expires int64  `json:"expires"`
}

// A MemberRecord stands for a member.
type MemberRecord struct {
	Name     string `json:"n"`
	Index    uint32 `json:"i"`
	Joined   int64  `json:"j"` // s
	Disabled bool   `json:"d,omitempty"`
}

// A SoftRecord is a member's last report.
type SoftRecord struct {
	Boot    uint64     `json:"b"`
	Seq     uint64     `json:"q"`
	Home    int32      `json:"h,omitempty"`
	Disco   key.Public `json:"d,omitzero"`
	Version string     `json:"v,omitempty"`
	Since   int64      `json:"t"`           // s; when this home was first reported
	From    string     `json:"a,omitempty"` // address of who reported
	Rival   string     `json:"x,omitempty"` // address of another machine with the same key
	RivalAt int64      `json:"y,omitempty"` // s; when it was last heard
}

// A RelayRecord is a relay that may ask. Tailnets are IDs.
type RelayRecord struct {
	Hash     string   `json:"hash"` // SHA-256 of its token
	Tailnets []string `json:"tailnets,omitempty"`
	Created  int64    `json:"created"`
}

// A MapRecord has the DERP map as JSON, deflated.
type MapRecord struct {
	Since   int64  `json:"since"`
	By      string `json:"by,omitempty"`
	Deflate []byte `json:"deflate"`
}

// NamesRecord makes names of tailnets unique, as a TailnetRecord does those of its
// members: its claims are those that may not be visible yet.
type NamesRecord struct {
	Claims []NameClaim `json:"claims,omitempty"`
}

// NameClaim is a name for a tailnet.
type NameClaim struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// SecretRecord has what all coordinators of a cluster share.
type SecretRecord struct {
	Box  string `json:"box"`  // key.Private
	HMAC []byte `json:"hmac"` // 32 bytes
}

var keyText = base32.HexEncoding.WithPadding(base32.NoPadding)

func memberPart(tailnet string, k key.Public) string {
	return tailnet + "." + strings.ToLower(keyText.EncodeToString(k[:]))
}

// TailnetKey, MemberKey, SoftKey, RelayKey, HereKey and AliveKey are where records
// stand.
func TailnetKey(id string) string                        { return prefixTailnet + id }
func MemberKey(tailnet string, k key.Public) string      { return prefixMember + memberPart(tailnet, k) }
func SoftKey(tailnet string, k key.Public) string        { return prefixSoft + memberPart(tailnet, k) }
func RelayKey(name string) string                        { return prefixRelay + name }
func HereKey(coordinator string) string                  { return prefixHere + coordinator }
func AliveKey(coordinator string) string                 { return prefixAlive + coordinator }
func ParseMemberKey(k string) (string, key.Public, bool) { return parseMember(k, prefixMember) }

func parseMember(k, prefix string) (tailnet string, p key.Public, ok bool) {
	rest, ok := strings.CutPrefix(k, prefix)
	tailnet, coded, dot := strings.Cut(rest, ".")
	if !ok || !dot || len(coded) != keyText.EncodedLen(key.Len) || tailnet == "" {
		return "", p, false
	}
	n, err := keyText.Decode(p[:], []byte(strings.ToUpper(coded)))
	return tailnet, p, err == nil && n == key.Len
}

// Encode is a record as it is stored.
func Encode(record any) []byte {
	b, err := json.Marshal(record)
	if err != nil {
		panic("a record that is no JSON: " + err.Error()) // our own types, without any such
	}
	return b
}

func decode[R any](value []byte) (r R, ok bool) {
	return r, json.Unmarshal(value, &r) == nil
}

// mostDeflated leaves room beside it in a message of a megabyte.
const mostDeflated = 600 << 10

// EncodeMap makes a record of a map.
func EncodeMap(m *derpmap.Map, since int64, by string) (MapRecord, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return MapRecord{}, fmt.Errorf("the map cannot be written as JSON: %w", err)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // fails on other levels only
	w.Write(text)
	w.Close()
	if b.Len() > mostDeflated {
		return MapRecord{}, fmt.Errorf("the map is too large: %d bytes deflated, at most %d", b.Len(), mostDeflated)
	}
	return MapRecord{Since: since, By: by, Deflate: b.Bytes()}, nil
}

var errMap = errors.New("the map's record cannot be read")

// Map reads the map of a record.
func (r MapRecord) Map() (*derpmap.Map, error) {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(r.Deflate)), derpmap.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMap, err)
	}
	m, err := derpmap.Load(text, derpmap.JSON)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMap, err)
	}
	return m, nil
}

// ID8 reads an invite's ID.
func ID8(text string) (id [8]byte, ok bool) {
	n, err := hex.Decode(id[:], []byte(text[:min(len(text), 16)]))
	return id, err == nil && n == 8 && len(text) == 16
}
