package coord

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// An export is lines of JSON: a header, and then everything hard. It has the secrets
// of the cluster, so that sessions go on, and so it is as secret as a key file; of
// invites and relays' tokens it has hashes. Reports are not in it: members say again.

const exportFormat = 1

type exportHeader struct {
	Format int       `json:"detour_export"`
	Made   time.Time `json:"made"`
}

type exportLine struct {
	Secret  *coordstate.SecretRecord `json:"secret,omitempty"`
	Map     *coordstate.MapRecord    `json:"map,omitempty"`
	Relay   *exportRelay             `json:"relay,omitempty"`
	Tailnet *exportTailnet           `json:"tailnet,omitempty"`
	Member  *exportMember            `json:"member,omitempty"`
	End     *exportEnd               `json:"end,omitempty"`
}

// exportEnd is the last line: an export without it broke off.
type exportEnd struct {
	Tailnets int `json:"tailnets"`
	Members  int `json:"members"`
}

type exportRelay struct {
	Name string `json:"name"`
	coordstate.RelayRecord
}

type exportTailnet struct {
	ID string `json:"id"`
	coordstate.TailnetRecord
}

type exportMember struct {
	Tailnet string     `json:"tailnet"`
	Key     key.Public `json:"key"`
	coordstate.MemberRecord
}

func (s *Service) adminExport(w http.ResponseWriter, _ *http.Request) (any, error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	to := json.NewEncoder(w)
	to.Encode(exportHeader{exportFormat, time.Now().UTC()})
	if rec, ok := one[coordstate.SecretRecord](s, coordstate.KeySecret); ok {
		to.Encode(exportLine{Secret: &rec})
	}
	if rec, ok := one[coordstate.MapRecord](s, coordstate.KeyMap); ok {
		to.Encode(exportLine{Map: &rec})
	}
	all, members := s.state.Tailnets(), 0
	for _, r := range s.state.Relays() {
		to.Encode(exportLine{Relay: &exportRelay{r.Name, r.Record}})
	}
	for _, t := range all {
		t.Record.Claims, t.Record.Floor = nil, 0 // of the store that it comes from
		to.Encode(exportLine{Tailnet: &exportTailnet{t.ID, t.Record}})
		for _, m := range s.state.Members(t.ID) {
			rec := coordstate.MemberRecord{Name: m.Name, Index: m.Index, Joined: m.Joined, Disabled: m.Disabled}
			if to.Encode(exportLine{Member: &exportMember{t.ID, m.Key, rec}}) != nil {
				return nil, nil // who asked has gone
			}
			members++
		}
	}
	to.Encode(exportLine{End: &exportEnd{len(all), members}})
	return nil, nil
}

func one[R any](s *Service, k string) (r R, ok bool) {
	value, _ := s.state.Single(k)
	return r, value != nil && json.Unmarshal(value, &r) == nil
}

// The bounds of an import.
const (
	mostImport     = 4 << 30
	mostImportLine = 4 << 20
	importLineTime = time.Minute
)

func (s *Service) adminImport(w http.ResponseWriter, r *http.Request) (any, error) {
	rc := http.NewResponseController(w)
	lines := bufio.NewScanner(http.MaxBytesReader(w, r.Body, mostImport))
	lines.Buffer(nil, mostImportLine)
	next := func() bool {
		rc.SetReadDeadline(time.Now().Add(importLineTime))
		return lines.Scan()
	}
	var header exportHeader
	if !next() || json.Unmarshal(lines.Bytes(), &header) != nil || header.Format != exportFormat {
		return nil, refuse(coordapi.CodeBadRequest, "this does not begin as an export of a coordination server does")
	}
	i, whole := &importing{s: s, empty: s.state.Totals().Tailnets == 0}, false
	for n := 2; next(); n++ {
		var l exportLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, refuse(coordapi.CodeBadRequest, "line %d of the export cannot be read; some of what stands before it has been imported: %v", n, err)
		}
		whole = l.End != nil
		if err := i.take(r.Context(), l); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, refuse(coordapi.CodeBadRequest, "the export did not come whole; some of it has been imported: do it again: %v", err)
	}
	if err := i.flush(r.Context()); err != nil {
		return nil, err
	}
	if !whole {
		return nil, refuse(coordapi.CodeBadRequest, "the export breaks off before its end; what there is of it has been imported: look for a whole one, and import that, too")
	}
	return i.done, nil
}

// importing is an import that goes on. What is there stays; who does it again goes on
// where it was.
type importing struct {
	s     *Service
	empty bool // nothing was there
	bulk  bulk

	mu   sync.Mutex // while a bulk is written
	done coordapi.Imported
	last uint64 // revision that was written
}

func (i *importing) take(ctx context.Context, l exportLine) error {
	if l.Tailnet != nil {
		return i.tailnet(ctx, *l.Tailnet)
	}
	if l.Member != nil && i.bulk.nets[l.Member.Tailnet] != nil {
		return i.bulk.member(i.bulk.nets[l.Member.Tailnet], *l.Member)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	switch {
	case l.Secret != nil:
		return i.secret(ctx, *l.Secret)
	case l.Map != nil:
		return i.put(ctx, coordstate.KeyMap, *l.Map, new(int))
	case l.Relay != nil:
		return i.put(ctx, coordstate.RelayKey(l.Relay.Name), l.Relay.RelayRecord, &i.done.Relays)
	case l.Member != nil:
		return i.member(ctx, *l.Member)
	}
	return nil // of a later version
}

func (i *importing) put(ctx context.Context, k string, rec any, count *int) error {
	rev, err := i.s.create(ctx, coordstore.Hard, k, coordstate.Encode(rec))
	if errors.Is(err, coordstore.ErrConflict) {
		i.done.Kept++
		return nil
	}
	if err == nil {
		*count++
		i.last = rev
	}
	return err
}

// secret takes the secrets of the cluster into one that has nothing yet. Otherwise
// they stay, and the members of the import log in again.
func (i *importing) secret(ctx context.Context, rec coordstate.SecretRecord) error {
	value := coordstate.Encode(rec)
	if _, ok := parseSecrets(value); !ok {
		return refuse(coordapi.CodeBadRequest, "the secrets in the export cannot be read")
	}
	_, rev := i.s.state.Single(coordstate.KeySecret)
	if !i.empty {
		i.done.Kept++
		return nil
	}
	rev, err := i.s.write(ctx, coordstore.Hard, coordstate.KeySecret, value, rev)
	if err != nil {
		return err
	}
	return i.s.state.Wait(ctx, coordstore.Hard, rev)
}

// tailnet puts one that is not here into the bulk, which is written first if it has
// no room.
func (i *importing) tailnet(ctx context.Context, t exportTailnet) error {
	if !coordstate.IsLabel(t.ID) || !coordstate.IsLabel(t.Name) {
		return refuse(coordapi.CodeBadRequest, "a tailnet in the export has no name, or one that cannot be: %q", t.Name)
	}
	if _, there := i.s.state.Tailnet(t.ID); there {
		i.done.Kept++
		return nil
	}
	if i.bulk.nets[t.ID] != nil {
		return refuse(coordapi.CodeBadRequest, "tailnet %q is in the export twice", t.Name)
	}
	if i.bulk.full() {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	t.Claims, t.Floor = nil, 0
	for n := range t.Gone {
		t.Gone[n].After = 0
	}
	i.bulk.add(t)
	return nil
}

// member is one of a tailnet that was here already. It goes through the tailnet's
// record, as joins do: others may join meanwhile.
func (i *importing) member(ctx context.Context, m exportMember) error {
	var claim coordstate.Claim
	err := i.s.edit(ctx, m.Tailnet, func(e *coordstate.Edit) (err error) {
		if _, ok := e.Member(m.Key); ok || e.WasRemoved(m.Key) || m.Key.IsZero() || !coordstate.IsLabel(m.Name) {
			return errKnown
		}
		e.Drop(m.Key)
		claim, err = e.Claim(coordstate.Claim{Key: m.Key, Index: m.Index, Joined: m.Joined, Off: m.Disabled}, m.Name)
		return err
	})
	if errors.Is(err, errKnown) || errors.Is(err, coordstate.ErrNoTailnet) {
		i.done.Kept++
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := i.s.createMember(ctx, m.Tailnet, m.Key, claim); err != nil {
		return err
	}
	i.done.Members++
	return nil
}
