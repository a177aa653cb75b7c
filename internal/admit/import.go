package admit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/key"
)

// MostImport bounds what ParseImport takes.
const MostImport = 256 << 20

const importForms = `want a list of keys, or the output of "tailscale status --json", "headscale nodes list -o json" or Tailscale's device-list API`

// ParseImport reads whom to let in from what other programs know: a list of keys, and
// the JSON of
//
//   - tailscale status --json: the machine itself and its peers
//   - headscale nodes list -o json, and Headscale's API
//   - the device-list API of Tailscale
//   - detour access list --json
//
// Machines that are not authorized, or have no key, are left out; the end of a node key
// is the end of its entry.
func ParseImport(data []byte) ([]Entry, error) {
	if len(data) > MostImport {
		return nil, fmt.Errorf("the import has more than %d MiB", MostImport>>20)
	}
	data, err := text.Decode(data)
	if err != nil {
		return nil, err
	}
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrEmptyImport)
	case trimmed[0] == '{' || trimmed[0] == '[':
		return parseMachines(data)
	}
	list, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("line %w", err)
	}
	entries := make([]Entry, 0, len(list.set.entries))
	for e := range list.set.all("") {
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: it has comments only", ErrEmptyImport)
	}
	return entries, nil
}

// A machine is one as any of the programs writes it. Names of fields match whatever the
// case of their letters, but not across an underscore.
type machine struct {
	PublicKey string // tailscale status
	NodeKey   string // the API of Tailscale, Headscale's JSON of its protocol
	Node_Key  string `json:"node_key"` // Headscale's command
	Key       string // our own list

	Name       string
	HostName   string
	Given_Name string `json:"given_name"`
	GivenName  string

	KeyExpiry         instant // tailscale status
	Expires           instant // the API of Tailscale
	Expiry            instant // Headscale
	Until             instant // our own list
	Expired           bool
	KeyExpiryDisabled bool
	Authorized        *bool

	Label string
}

// instant is a time as RFC 3339 has it, or as Go writes a message of protobuf. The
// year 1 stands for none.
type instant struct{ time.Time }

func (i *instant) UnmarshalJSON(data []byte) error {
	if string(data) == "null" || string(data) == `""` {
		return nil
	}
	if data[0] == '{' {
		var parts struct{ Seconds, Nanos int64 }
		if err := json.Unmarshal(data, &parts); err != nil {
			return fmt.Errorf("%.60s is no time", data)
		}
		i.Time = time.Unix(parts.Seconds, 0).UTC()
	} else {
		var said string
		if err := json.Unmarshal(data, &said); err != nil {
			return fmt.Errorf("%.60s is no time", data)
		}
		at, err := time.Parse(time.RFC3339, said)
		if err != nil {
			return fmt.Errorf("%.60q is no time", said)
		}
		i.Time = at.UTC().Truncate(time.Second)
	}
	if i.Year() <= 1 || i.Year() > 9999 {
		i.Time = time.Time{}
	}
	return nil
}

// machines are all forms that are an object.
type machines struct {
	Self    *machine
	Peer    map[string]*machine
	Devices *[]machine
	Nodes   *[]machine
	Entries *[]machine

	BackendState string
}

func parseMachines(data []byte) ([]Entry, error) {
	var all []machine
	if bytes.TrimSpace(data)[0] == '[' {
		if err := decodeLoosely(data, &all); err != nil {
			return nil, err
		}
	} else {
		var m machines
		if err := decodeLoosely(data, &m); err != nil {
			return nil, err
		}
		var known bool
		if all, known = m.list(); !known {
			return nil, fmt.Errorf("this JSON has no machines: %s", importForms)
		}
		if m.BackendState != "" && m.BackendState != "Running" {
			return nil, fmt.Errorf("tailscale is in the state %.40q, and does not know its tailnet: run \"tailscale up\"", m.BackendState)
		}
	}
	return entriesOf(all)
}

// list returns the machines of the form that it is.
func (m *machines) list() (all []machine, known bool) {
	for _, list := range []*[]machine{m.Devices, m.Nodes, m.Entries} {
		if list != nil {
			all, known = append(all, *list...), true
		}
	}
	if m.Self != nil {
		all, known = append(all, *m.Self), true
	}
	for _, peer := range m.Peer {
		if known = true; peer != nil {
			all = append(all, *peer)
		}
	}
	return all, known
}

func entriesOf(all []machine) ([]Entry, error) {
	byKey := map[key.Public]Entry{}
	left := 0
	for i := range all {
		m := &all[i]
		said, err := m.nodeKey()
		if err != nil {
			return nil, fmt.Errorf("machine %d (%.60q): %w", i+1, m.name(), err)
		}
		if said.IsZero() || m.Authorized != nil && !*m.Authorized || m.Expired && m.end().IsZero() {
			left++
			continue
		}
		e := Entry{Key: said, Name: m.name(), Label: m.Label, Until: m.end()}
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("machine %d (%.60q): %w", i+1, m.name(), err)
		}
		byKey[said] = e
	}
	if len(byKey) == 0 {
		return nil, fmt.Errorf("%w: it has %d machines, none of which is authorized and has a key (%s)", ErrEmptyImport, left, importForms)
	}
	return sortedEntries(byKey), nil
}

// nodeKey is zero for a machine that has none.
func (m *machine) nodeKey() (key.Public, error) {
	for _, said := range []string{m.NodeKey, m.Node_Key, m.PublicKey, m.Key} {
		if said == "" {
			continue
		}
		if !strings.Contains(said, ":") {
			return key.ParsePublicHex(said)
		}
		return key.ParsePublic(said)
	}
	return key.Public{}, nil
}

func (m *machine) name() string {
	for _, said := range []string{m.GivenName, m.Given_Name, m.HostName, m.Name} {
		if said = plainWords(said); said != "" {
			return said
		}
	}
	return ""
}

// plainWords makes a line of what another program calls a machine.
func plainWords(said string) string {
	said = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, said)
	for len(said) > mostWords {
		said = said[:mostWords]
		said = strings.ToValidUTF8(said, "")
	}
	return said
}

func (m *machine) end() time.Time {
	if m.KeyExpiryDisabled {
		return time.Time{}
	}
	for _, at := range []instant{m.KeyExpiry, m.Expires, m.Expiry, m.Until} {
		if !at.IsZero() {
			return at.Time
		}
	}
	return time.Time{}
}

// decodeLoosely reads one JSON value, whatever else is in it. Its errors have the place.
func decodeLoosely(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	err := d.Decode(into)
	if err == nil {
		if _, err := d.Token(); err != io.EOF {
			return placed(data, d.InputOffset(), "more behind the JSON: give one document at a time")
		}
		return nil
	}
	return jsonError(data, d, err)
}

// jsonError says where JSON is wrong.
func jsonError(data []byte, d *json.Decoder, err error) error {
	at := d.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	what := strings.TrimPrefix(err.Error(), "json: ")
	switch {
	case errors.As(err, &syntax):
		at, what = syntax.Offset-1, "not JSON: "+what
	case errors.As(err, &kind):
		at, what = kind.Offset-1, fmt.Sprintf("%s is of the kind %s, where %s belongs", kind.Field, kind.Value, kindOf(kind.Type.Kind()))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		at, what = int64(len(data)), "the JSON ends too early: was it cut off?"
	}
	return placed(data, at, what)
}

func placed(data []byte, at int64, what string) error {
	line, column := text.Place(data, int(max(0, at)))
	return fmt.Errorf("line %d, column %d: %s", line, column, what)
}

// kindOf is how JSON calls a kind.
func kindOf(k reflect.Kind) string {
	switch k {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	case reflect.String, reflect.Array: // a key
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}
