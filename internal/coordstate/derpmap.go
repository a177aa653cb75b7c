package coordstate

import (
	"encoding/json"
	"fmt"

	"github.com/detour-relay/detour/derpmap"
)

// MapVersion names a map by what it says.
func MapVersion(m *derpmap.Map) string {
	text, err := json.Marshal(m)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%016x", hash64(string(text)))
}

func newMap(m *derpmap.Map, rev uint64, rec MapRecord) mapState {
	version := MapVersion(m)
	return mapState{m, rev, version, hash64(version), rec.Since, rec.By}
}

// Map is the map that stands; nil: none.
type Map struct {
	Map      *derpmap.Map // shared
	Version  string
	Since    int64 // s
	By       string
	Revision uint64 // of the record; 0: none stands
}

// Map returns the map.
func (s *State) Map() Map {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Map{s.dmap.m, s.dmap.version, s.dmap.since, s.dmap.by, s.single[KeyMap].rev}
}

// MapFor is the map in the order for a tailnet, as JSON. Nil: there is none.
func MapFor(m *derpmap.Map, tailnet string) []byte {
	if m == nil {
		return nil
	}
	text, err := json.Marshal(m.ForTailnet(tailnet))
	if err != nil {
		return nil // it was JSON when it came
	}
	return text
}
