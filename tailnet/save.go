package tailnet

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/key"
)

const (
	// saveTime is how long the state file rests between two writes for something that
	// was told; cursorTime how long for nothing but a newer cursor: an older one only has
	// more told again.
	saveTime   = 5 * time.Second
	cursorTime = 5 * time.Minute
)

// saving is what is to be written to the state file. It is guarded by Member.mu.
type saving struct {
	base  saved // what does not change, and what was written last
	dirty bool  // more than the cursor has changed
	aged  bool  // the cursor has
}

// changedLocked notes that the state file does not have what the view has.
func (m *Member) changedLocked() {
	m.save.dirty = true
	wake(m.dirty)
}

// keepSaving writes the state file from time to time.
func (m *Member) keepSaving() {
	for {
		select {
		case <-m.dirty:
		case <-time.After(cursorTime):
		case <-m.ctx.Done():
			return
		}
		before := m.State().SaveErr
		err := m.saveNow()
		if err != nil {
			wake(m.dirty) // the disk may have room again
		}
		if err != nil && before == nil {
			m.tell(Event{Type: NotSaved, Err: err})
		}
		if !retry.Rest(m.ctx, m.saveRest(), nil) {
			return
		}
	}
}

// saveRest is longer in a large tailnet, where something changes all the time and each
// write is of all that is known: at most some 300 KB/s.
func (m *Member) saveRest() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return saveTime + time.Duration(len(m.view.peers))*time.Millisecond
}

// saveNow writes the state file if it is not up to date.
func (m *Member) saveNow() error {
	m.mu.Lock()
	if !m.save.dirty && !m.save.aged {
		m.mu.Unlock()
		return nil
	}
	m.save.dirty, m.save.aged = false, false
	s, peers := m.save.base, maps.Clone(m.view.peers)
	s.TailnetName, s.Name, s.Addresses = m.view.self.TailnetName, m.view.self.Name, m.view.self.Addresses
	s.Cursor, s.CursorTime, s.Map, s.Boot = m.view.cursor, m.currentLocked(), m.view.mapText, m.reports.boot
	s.Home = m.state.Home
	m.mu.Unlock()

	s.setPeers(peers)
	err := s.write(m.cfg.StateFile)

	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.save.dirty = true
		if m.state.SaveErr == nil {
			m.log.Error("the state file cannot be written: after a restart the member knows less", "error", err)
		}
	}
	m.state.SaveErr = err
	return err
}

func (s *saved) setPeers(peers map[key.Public]Peer) {
	v := view{peers: peers}
	s.Peers = nil
	for _, p := range v.sorted() {
		s.Peers = append(s.Peers, savedPeer{p.Key, p.Name, p.Addresses, p.Home, p.Disco})
	}
}

// compact undoes the indentation of the state file, and returns a copy in any case.
func compact(text json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return bytes.Clone(text)
	}
	return b.Bytes()
}
