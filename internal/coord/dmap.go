package coord

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

// mapFeed has the map that this coordinator is given from outside.
type mapFeed struct {
	mu    sync.Mutex
	given *derpmap.Map
	by    string
	again chan struct{}
	err   error
}

func (f *mapFeed) problem() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *mapFeed) wake() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.again == nil {
		f.again = make(chan struct{}, 1)
	}
	return f.again
}

// SetMap hands out another map from now on, which by has said: the name of a file or a
// URL. It is written if it differs from the one that stands, so several coordinators
// with one file do not fight; with two files that differ, the one that changed last
// counts. One that looks broken is refused, and the last good one stays. The map is not
// changed any more by the caller.
func (s *Service) SetMap(m *derpmap.Map, by string) error {
	if m == nil {
		return errors.New("there is no map")
	}
	s.maps.mu.Lock()
	s.maps.given, s.maps.by = m, by
	s.maps.mu.Unlock()
	select {
	case s.maps.wake() <- struct{}{}:
	default:
	}
	return lintMap(m)
}

// keepMap writes the map that was given, once: what operators set later stays.
func (s *Service) keepMap(ctx context.Context) {
	if s.state.Wait(ctx, coordstore.Hard, 0) != nil {
		return
	}
	var done *derpmap.Map
	for {
		s.maps.mu.Lock()
		given, by := s.maps.given, s.maps.by
		s.maps.mu.Unlock()
		if given != nil && given != done {
			err := s.putMap(ctx, given, by, false)
			if ctx.Err() != nil {
				return // the end came before the answer
			}
			s.noteMap(err)
			if err == nil || refusal(err).Code != coordapi.CodeUnavailable {
				done = given
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.maps.wake():
		case <-time.After(5 * time.Second):
		}
	}
}

func (s *Service) noteMap(err error) {
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	if err != nil && (s.maps.err == nil || s.maps.err.Error() != err.Error()) {
		s.log.Warn("the map from outside is not handed out, the last good one stays", "from", s.maps.by, "reason", err)
	}
	s.maps.err = err
}

// lintMap refuses what no client could use. Addresses of this machine are fine: then
// the members are on it, too.
func lintMap(m *derpmap.Map) error {
	text, err := m.Encode(derpmap.JSON)
	if err != nil {
		return refuse(coordapi.CodeBadRequest, "the map cannot be written down: %v", err)
	}
	return lintText(text)
}

func lintText(text []byte) error {
	errs := derpmap.Errors(derpmap.Lint(text, derpmap.LintConfig{Public: true, Local: true}))
	if len(errs) > 0 {
		return refuse(coordapi.CodeBadRequest, "the map has an error: %v", errs[0])
	}
	return nil
}

// halved says why a map looks as if a part of it was missing.
func halved(old, m *derpmap.Map) error {
	regions, nodes := len(m.IDs()), m.NodeCount()
	switch {
	case regions == 0 || nodes == 0:
		return refuse(coordapi.CodeBadRequest, "the map has no regions with nodes: members could not reach anybody")
	case old == nil:
		return nil
	case 2*regions < len(old.IDs())+1 && len(old.IDs()) > 1 || 2*nodes < old.NodeCount()+1 && old.NodeCount() > 1:
		return refuse(coordapi.CodeConflict, "the map has %d regions and %d nodes, the one that stands has %d and %d: half of it is missing; force it if that is meant",
			regions, nodes, len(old.IDs()), old.NodeCount())
	}
	return nil
}

// putMap lets a map stand, unless it does.
func (s *Service) putMap(ctx context.Context, m *derpmap.Map, by string, force bool) error {
	if err := lintMap(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	written := false
	err := s.persist(ctx, func() (uint64, error) {
		old := s.state.Map()
		if written = old.Revision == 0 || old.Version != coordstate.MapVersion(m); !written {
			return 0, nil
		}
		if err := halved(old.Map, m); err != nil && !(force && len(m.IDs()) > 0) {
			return 0, err
		}
		rec, err := coordstate.EncodeMap(m, time.Now().Unix(), by)
		if err != nil {
			return 0, refuse(coordapi.CodeTooLarge, "%v", err)
		}
		return s.write(ctx, coordstore.Hard, coordstate.KeyMap, coordstate.Encode(rec), old.Revision)
	})
	if err == nil && written {
		s.log.Info("another map is handed out", "from", by, "version", coordstate.MapVersion(m))
	}
	return err
}

func (s *Service) adminMap(http.ResponseWriter, *http.Request) (any, error) {
	m := s.state.Map()
	if m.Map == nil {
		return nil, refuse(coordapi.CodeNotFound, "there is no map yet: set one")
	}
	text, err := json.Marshal(m.Map)
	return coordapi.MapState{Version: m.Version, Since: time.Unix(m.Since, 0).UTC(), Regions: len(m.Map.IDs()), Nodes: m.Map.NodeCount(), Map: text}, err
}

func (s *Service) adminSetMap(w http.ResponseWriter, r *http.Request) (any, error) {
	text, err := bodyBytes(w, r, derpmap.MaxSize)
	if err != nil {
		return nil, err
	}
	if err := lintText(bytes.TrimSpace(text)); err != nil {
		return nil, err
	}
	m, err := derpmap.Load(text, "")
	if err != nil {
		return nil, refuse(coordapi.CodeBadRequest, "this is no map: %v", err)
	}
	force := r.URL.Query().Get("force")
	if err := s.putMap(r.Context(), m, "operator", force != "" && force != "0" && force != "false"); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	s.noteMap(nil) // an operator has decided
	return s.adminMap(w, r)
}
