package coord

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// bearer is the token of a request.
func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return token
}

// who is the member that asks. A removal counts at once.
func (s *Service) who(r *http.Request) (session, error) {
	ses, err := s.openSession(bearer(r))
	if err != nil {
		return ses, err
	}
	if err := s.Ready(); err != nil {
		return ses, later(coordapi.CodeUnavailable, "the coordination server has only just started")
	}
	joined, ok := s.state.Counts(ses.tailnet, ses.key)
	if !ok {
		return ses, errNotMember()
	}
	if joined != ses.joined {
		return ses, errOldSession()
	}
	if !s.members.take(keyOf(ses.key)) {
		return ses, later(coordapi.CodeTooMany, "too many calls of this member: try again in a moment")
	}
	return ses, nil
}

func errOldSession() error {
	return refuse(coordapi.CodeUnauthorized, "the session is from before this member was removed: log in again")
}

// member guards what members call.
func (s *Service) member(f func(session, http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return s.answer(func(w http.ResponseWriter, r *http.Request) (any, error) {
		ses, err := s.who(r)
		if err != nil {
			return nil, err
		}
		return f(ses, w, r)
	})
}

func (s *Service) getPeer(ses session, _ http.ResponseWriter, r *http.Request) (any, error) {
	k, err := key.ParsePublic(r.PathValue("key"))
	if err != nil {
		return nil, refuse(coordapi.CodeBadRequest, "this is no node key: want nodekey: and 64 hex digits")
	}
	p, ok := s.state.Peer(ses.tailnet, k)
	if !ok {
		return nil, refuse(coordapi.CodeNotFound, "this node key is no member of the tailnet")
	}
	return p, nil
}

func (s *Service) getMap(ses session, w http.ResponseWriter, r *http.Request) (any, error) {
	m := s.state.Map()
	if m.Map == nil {
		return nil, refuse(coordapi.CodeNotFound, "the coordination server has no map yet")
	}
	tag := `"` + m.Version + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache")
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(coordstate.MapFor(m.Map, ses.tailnet))
	return nil, nil
}

func (s *Service) putSelf(ses session, w http.ResponseWriter, r *http.Request) (any, error) {
	rep, err := body[coordapi.Report](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	if err := checkReport(rep); err != nil {
		return nil, err
	}
	s.state.Heard(ses.tailnet, ses.key)
	ctx, cancel := context.WithTimeout(r.Context(), tryTime)
	defer cancel()
	return s.report(ctx, ses, rep, addressOf(r))
}

func checkReport(r coordapi.Report) error {
	switch {
	case r.Home < 0 || r.Home > math.MaxInt32:
		return refuse(coordapi.CodeBadRequest, "no region can be a home that has the ID %d", r.Home)
	case len(r.Version) > coordapi.MostVersion:
		return refuse(coordapi.CodeBadRequest, "the version has more than %d bytes", coordapi.MostVersion)
	}
	for _, c := range []byte(r.Version) {
		if c < ' ' || c > '~' {
			return refuse(coordapi.CodeBadRequest, "the version has more than printable ASCII")
		}
	}
	return nil
}

// report stores a report if it says something new.
func (s *Service) report(ctx context.Context, ses session, rep coordapi.Report, from netip.Addr) (coordapi.Stored, error) {
	bucket := coordstore.Soft(coordstore.SoftOf(ses.tailnet))
	for {
		before := s.state.Position(bucket)
		m, ok := s.state.Find(ses.tailnet, ses.key)
		if !ok || m.Disabled {
			return coordapi.Stored{}, errNotMember()
		}
		if m.Joined != ses.joined { // its later reports went with the removal, and would not be known as later
			return coordapi.Stored{}, errOldSession()
		}
		if older(rep, m.Soft) {
			return coordapi.Stored{}, s.stale(ctx, ses, m, rep, from)
		}
		next := nextReport(m.Soft, rep, from)
		if m.SoftKnown != 0 && sameReport(m.Soft, next) {
			return stored(m.Soft), nil
		}
		err := s.writeReport(ctx, bucket, coordstate.SoftKey(ses.tailnet, ses.key), next, m.SoftKnown)
		if err == nil {
			return stored(next), nil
		}
		if !errors.Is(err, coordstore.ErrConflict) {
			return coordapi.Stored{}, err
		}
		if err := s.state.Wait(ctx, bucket, before+1); err != nil {
			return coordapi.Stored{}, err
		}
	}
}

func older(rep coordapi.Report, than coordstate.SoftRecord) bool {
	return rep.Boot < than.Boot || rep.Boot == than.Boot && rep.Seq < than.Seq
}

// nextReport is what is to stand. Who has no home yet is where it was.
func nextReport(old coordstate.SoftRecord, rep coordapi.Report, from netip.Addr) coordstate.SoftRecord {
	next := coordstate.SoftRecord{Boot: rep.Boot, Seq: rep.Seq, Home: int32(rep.Home), Disco: rep.Disco, Version: rep.Version,
		Since: time.Now().Unix(), Rival: old.Rival, RivalAt: old.RivalAt}
	if from.IsValid() {
		next.From = from.String()
	}
	if next.Home == 0 || next.Home == old.Home {
		next.Home, next.Since = old.Home, old.Since
	}
	if next.Since == 0 {
		next.Since = time.Now().Unix()
	}
	if time.Now().Unix()-next.RivalAt > rivalTime {
		next.Rival, next.RivalAt = "", 0
	}
	return next
}

// sameReport: another seq alone, as after each reconnect, is not worth a write.
func sameReport(a, b coordstate.SoftRecord) bool {
	return a.Boot == b.Boot && a.Home == b.Home && a.Disco == b.Disco
}

func stored(r coordstate.SoftRecord) coordapi.Stored {
	return coordapi.Stored{Since: time.Unix(r.Since, 0).UTC(), Conflict: r.Rival != "" && time.Now().Unix()-r.RivalAt <= rivalTime}
}

func (s *Service) writeReport(ctx context.Context, bucket, k string, r coordstate.SoftRecord, expected uint64) error {
	rev, err := s.write(ctx, bucket, k, coordstate.Encode(r), expected)
	if err != nil {
		return err
	}
	s.state.Wait(ctx, bucket, rev) // it is stored, whether it has been seen or not
	return nil
}

// rivalTime is how long two machines with one key are a conflict after the one that
// does not count was last heard, in seconds.
const rivalTime = 600

// stale tells somebody that a later report counts. A boot that another one has
// followed should say nothing any more: if it does, and not only in the moment of the
// change, another machine has its key.
func (s *Service) stale(ctx context.Context, ses session, m coordstate.Member, rep coordapi.Report, from netip.Addr) error {
	e := refuse(coordapi.CodeStale, "a later report of this member counts: boot %d, seq %d", m.Soft.Boot, m.Soft.Seq).(*coordapi.Error)
	e.Boot, e.Seq = m.Soft.Boot, m.Soft.Seq
	if rep.Boot == m.Soft.Boot || !s.rivals.again(ses, from, m.Soft.From) || m.SoftKnown == 0 {
		return e
	}
	now := time.Now().Unix()
	e.Message = fmt.Sprintf("%s: another machine reports with the same node key; each needs its own", e.Message)
	if m.Soft.Rival == from.String() && now-m.Soft.RivalAt < rivalTime/2 {
		return e
	}
	marked := m.Soft
	marked.Rival, marked.RivalAt = from.String(), now
	bucket := coordstore.Soft(coordstore.SoftOf(ses.tailnet))
	if err := s.writeReport(ctx, bucket, coordstate.SoftKey(ses.tailnet, ses.key), marked, m.SoftKnown); err == nil {
		s.log.Warn("two machines have the same node key", "peer", ses.key.Short(), "tailnet", ses.tailnet)
	}
	return e
}
