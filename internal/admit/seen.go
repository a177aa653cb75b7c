package admit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

const (
	seenName    = "access-seen"
	seenVersion = "detour access-seen 1"

	// mostSeen bounds the keys that are remembered. Only those get in that a source has
	// confirmed; of too many the longest unconfirmed goes. Those have to be many more
	// than are ever connected, for who is forgotten is cut off.
	mostSeen     = 300_000
	mostSeenFile = 32 << 20

	// The file is written soon after a new key, so that a power cut forgets few, and
	// otherwise rarely: a later confirmation changes little.
	soon   = 3 * time.Second
	rarely = time.Minute
)

// A confirmation is what a source has said of a key.
type confirmation struct {
	at    time.Time // when it said yes last
	by    uint64    // which source; see source.id
	asked time.Time // when it was asked last, by this process
}

// A memory keeps which keys a source has confirmed, for the time when none can be
// asked.
type memory struct {
	path string // empty: it is not kept
	most int

	mu      sync.Mutex
	known   map[key.Public]confirmation // guarded by mu
	changed time.Time                   // guarded by mu: since when something is not written; zero: all is
	fresh   bool                        // guarded by mu: a new key, or one that left, is among that

	// Owned by who saves.
	saved time.Time
}

// newMemory reads what the process before has kept. What cannot be read is forgotten,
// which the error says: it matters only while no source can be asked.
func newMemory(stateDir string, now time.Time) (*memory, error) {
	m := &memory{most: mostSeen, known: map[key.Public]confirmation{}}
	if stateDir == "" {
		return m, nil
	}
	m.path = filepath.Join(stateDir, seenName)
	data, err := smallfile.Read(m.path, mostSeenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	known, err := decodeSeen(data, now)
	if err != nil {
		return m, fmt.Errorf("%s: %w", m.path, err)
	}
	m.known = known
	return m, nil
}

// decodeSeen reads lines of a key, the second of its confirmation and the source. A
// time to come is a clock that has been put back: it counts as now.
func decodeSeen(data []byte, now time.Time) (map[key.Public]confirmation, error) {
	known := map[key.Public]confirmation{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	if !lines.Scan() || lines.Text() != seenVersion {
		return nil, fmt.Errorf("line 1: want %q", seenVersion)
	}
	for n := 2; lines.Scan(); n++ {
		word, rest := cut(lines.Bytes())
		second, rest := cut(rest)
		source, _ := cut(rest)
		var k key.Public
		at, err := strconv.ParseInt(string(second), 10, 64)
		by, err2 := strconv.ParseUint(string(source), 16, 64)
		if !decodeKey(&k, word) || err != nil || err2 != nil || at < 0 {
			return nil, fmt.Errorf("line %d is no confirmation of a key", n)
		}
		when := time.Unix(at, 0)
		if when.After(now) {
			when = now
		}
		known[k] = confirmation{at: when, by: by}
	}
	return known, lines.Err()
}

func encodeSeen(known map[key.Public]confirmation) []byte {
	out := append(make([]byte, 0, 100*len(known)+64), seenVersion...)
	out = append(out, '\n')
	for k, c := range known {
		out, _ = k.AppendText(out)
		out = append(out, ' ')
		out = strconv.AppendInt(out, c.at.Unix(), 10)
		out = append(out, ' ')
		out = strconv.AppendUint(out, c.by, 16)
		out = append(out, '\n')
	}
	return out
}

// of returns what is known of a key.
func (m *memory) of(k key.Public) (confirmation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.known[k]
	return c, ok
}

// confirm notes that a source has said yes.
func (m *memory) confirm(k key.Public, by uint64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, here := m.known[k]; !here {
		m.makeRoomLocked()
		m.fresh = true
	}
	m.known[k] = confirmation{at: now, by: by, asked: now}
	m.touchLocked(now)
}

// asking notes that a question about a known key is under way.
func (m *memory) asking(k key.Public, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, here := m.known[k]; here {
		c.asked = now
		m.known[k] = c
	}
}

// forget is for a key that a source has refused.
func (m *memory) forget(k key.Public, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, here := m.known[k]; here {
		delete(m.known, k)
		m.fresh = true
		m.touchLocked(now)
	}
}

func (m *memory) touchLocked(now time.Time) {
	if m.changed.IsZero() {
		m.changed = now
	}
}

// makeRoomLocked forgets a tenth, those that were confirmed longest ago, if there are
// too many.
func (m *memory) makeRoomLocked() {
	if len(m.known) < m.most {
		return
	}
	type aged struct {
		k  key.Public
		at time.Time
	}
	all := make([]aged, 0, len(m.known))
	for k, c := range m.known {
		all = append(all, aged{k, c.at})
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Or(a.at.Compare(b.at), a.k.Compare(b.k)) })
	for _, a := range all[:max(1, m.most/10)] {
		delete(m.known, a.k)
	}
}

// prune forgets what has not been confirmed for so long.
func (m *memory) prune(now time.Time, after time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, c := range m.known {
		if now.Sub(c.at) > after {
			delete(m.known, k)
			m.touchLocked(now)
		}
	}
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known)
}

// due reports whether what has changed is to be written now.
func (m *memory) due(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" || m.changed.IsZero() {
		return false
	}
	wait := rarely
	if m.fresh {
		wait = soon
	}
	return now.Sub(m.changed) >= wait && now.Sub(m.saved) >= soon
}

// save writes what has changed.
func (m *memory) save(now time.Time) error {
	m.mu.Lock()
	if m.path == "" || m.changed.IsZero() {
		m.mu.Unlock()
		return nil
	}
	data := encodeSeen(m.known)
	m.changed, m.fresh = time.Time{}, false
	m.mu.Unlock()
	m.saved = now
	err := smallfile.MakeDir(filepath.Dir(m.path))
	if err == nil {
		err = smallfile.WriteOver(m.path, data, smallfile.ModeSecret)
	}
	if err != nil {
		m.mu.Lock()
		m.touchLocked(now)
		m.mu.Unlock()
	}
	return err
}

// any is some key, the next time perhaps another.
func (m *memory) any() (key.Public, confirmation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, c := range m.known {
		return k, c, true
	}
	return key.Public{}, confirmation{}, false
}
