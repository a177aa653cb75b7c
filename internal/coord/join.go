package coord

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// How long a call may try to write, and one write may take.
const (
	tryTime   = 10 * time.Second
	writeTime = 5 * time.Second
)

func (s *Service) challenge(http.ResponseWriter, *http.Request) (any, error) {
	c, err := s.secrets()
	if err != nil {
		return nil, err
	}
	return coordapi.Challenge{Key: c.box.Public(), Challenge: c.challenge()}, nil
}

func (s *Service) login(w http.ResponseWriter, r *http.Request) (any, error) {
	l, err := body[coordapi.Login](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	if _, ok := s.state.Counts(l.Tailnet, l.Key); !ok && !s.total.take([16]byte{}) {
		return nil, errTooMany()
	}
	if err := s.proven(l.Key, l.Challenge, coordapi.ForLogin, l.Tailnet, l.Proof); err != nil {
		return nil, err
	}
	ses, err := s.newSession(l.Tailnet, l.Key)
	if err == nil {
		err = s.firstUse(l.Challenge)
	}
	if err == nil {
		s.counts.logins.Add(1)
	}
	return ses, err
}

// newSession is for somebody who has proved the key.
func (s *Service) newSession(tailnet string, k key.Public) (coordapi.Session, error) {
	if err := s.Ready(); err != nil {
		return coordapi.Session{}, later(coordapi.CodeUnavailable, "the coordination server has only just started")
	}
	joined, ok := s.state.Counts(tailnet, k)
	if !ok {
		return coordapi.Session{}, errNotMember()
	}
	c, err := s.secrets()
	if err != nil {
		return coordapi.Session{}, err
	}
	_, answer := c.renewed(session{tailnet: tailnet, key: k, joined: joined})
	return answer, nil
}

func errNotMember() error {
	return refuse(coordapi.CodeNotMember, "this node key is no member of the tailnet, or not any more: join with an invite")
}

func (s *Service) join(w http.ResponseWriter, r *http.Request) (any, error) {
	j, err := body[coordapi.Join](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.invite(j.Invite); err != nil && !s.total.take([16]byte{}) {
		return nil, errTooMany()
	}
	if err := s.proven(j.Key, j.Challenge, coordapi.ForJoin, j.Invite, j.Proof); err != nil {
		return nil, err
	}
	if err := s.Ready(); err != nil {
		return nil, later(coordapi.CodeUnavailable, "the coordination server has only just started")
	}
	tailnet, invite, err := s.invite(j.Invite)
	if err == nil {
		err = s.firstUse(j.Challenge)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), tryTime)
	defer cancel()
	m, err := s.becomeMember(ctx, tailnet, invite, j)
	if err != nil {
		return nil, err
	}
	if m.Disabled {
		return nil, refuse(coordapi.CodeNotMember, "this member is disabled: an operator can enable it again")
	}
	ses, err := s.newSession(tailnet, j.Key)
	if err == nil {
		s.counts.joins.Add(1)
	}
	return coordapi.Joined{Tailnet: tailnet, TailnetName: s.state.TailnetName(tailnet), Name: m.Name, Addresses: m.Addresses, Session: ses}, err
}

// invite finds what a credential is for, whether or not it can be used any more.
func (s *Service) invite(credential string) (tailnet, id string, err error) {
	unknown := refuse(coordapi.CodeInvite, "there is no such invite: it is damaged, withdrawn, long expired, or another coordination server's")
	id, hexSecret, _ := strings.Cut(credential, ".")
	id8, ok := coordstate.ID8(id)
	secret, err := hex.DecodeString(hexSecret)
	if !ok || err != nil || len(secret) != 16 {
		return "", "", unknown
	}
	tailnet, i, ok := s.state.InvitedTo(id8)
	if !ok || !sameSecret(secret, i.Hash) {
		return "", "", unknown
	}
	return tailnet, i.ID, nil
}

func sameSecret(secret []byte, hash string) bool {
	sum := sha256.Sum256(secret)
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(hash)) == 1
}

// joining is what a join has come to.
type joining struct {
	member   *coordstate.Member // it is one already
	claim    coordstate.Claim
	lingers  uint64 // revision of what has to be deleted before
	whole    coordapi.Join
	inviteID string
}

var (
	errKnown   = errors.New("nothing is to be written")
	errLingers = errors.New("an old record has to go before")
)

func (s *Service) becomeMember(ctx context.Context, tailnet, invite string, j coordapi.Join) (coordstate.Member, error) {
	for {
		p := joining{whole: j, inviteID: invite}
		err := s.edit(ctx, tailnet, p.edit)
		switch {
		case errors.Is(err, errLingers):
			err = s.drop(ctx, coordstate.Leftover{Bucket: coordstore.Hard, Key: coordstate.MemberKey(tailnet, j.Key), Revision: p.lingers})
			if err != nil {
				return coordstate.Member{}, err
			}
			continue
		case err != nil && !errors.Is(err, errKnown):
			return coordstate.Member{}, err
		case p.member != nil:
			return *p.member, nil
		}
		m, err := s.createMember(ctx, tailnet, j.Key, p.claim)
		if errors.Is(err, coordstore.ErrConflict) {
			continue // somebody was faster with the same, or an old record stands
		}
		return m, err
	}
}

// edit takes a use of the invite and claims, in one write.
func (p *joining) edit(e *coordstate.Edit) error {
	k := p.whole.Key
	if m, ok := e.Member(k); ok {
		p.member = &m
		return errKnown
	}
	if rev, ok := e.Lingers(k); ok {
		p.lingers = rev
		return errLingers
	}
	wanted, index := coordstate.Label(p.whole.Name), uint32(0)
	if c := e.Claimed(k); c != nil {
		if p.claim = *c; !e.Late(*c) {
			return errKnown // somebody has begun: go on
		}
		wanted, index = c.Name, c.Index
		e.Drop(k)
	} else if err := useInvite(e.Invite(p.inviteID)); err != nil {
		return err
	}
	if wanted == "" {
		wanted = "node-" + hex.EncodeToString(k[:3])
	}
	c, err := e.Claim(coordstate.Claim{Key: k, Index: index, Joined: time.Now().Unix(), Invite: p.inviteID}, wanted)
	p.claim = c
	return err
}

func useInvite(i *coordstate.Invite) error {
	switch {
	case i == nil:
		return refuse(coordapi.CodeInvite, "the invite has been withdrawn")
	case time.Now().Unix() >= i.Expires:
		return refuse(coordapi.CodeInviteExpired, "the invite has expired at %s: ask for another", time.Unix(i.Expires, 0).UTC().Format(time.RFC3339))
	case i.Uses <= 0:
		return refuse(coordapi.CodeInviteUsed, "the invite has been used as often as it may: ask for another")
	}
	i.Uses--
	return nil
}

// createMember writes the record that was claimed for. A conflict is returned when
// what has made it may have been seen.
func (s *Service) createMember(ctx context.Context, tailnet string, k key.Public, c coordstate.Claim) (coordstate.Member, error) {
	ctx, cancel := begun(ctx)
	defer cancel()
	rec := coordstate.MemberRecord{Name: c.Name, Index: c.Index, Joined: c.Joined, Disabled: c.Off}
	before := s.state.Position(coordstore.Hard)
	rev, err := s.create(ctx, coordstore.Hard, coordstate.MemberKey(tailnet, k), coordstate.Encode(rec))
	if errors.Is(err, coordstore.ErrConflict) {
		if _, ok := s.state.Find(tailnet, k); !ok {
			err = errors.Join(err, s.state.Wait(ctx, coordstore.Hard, before+1))
		}
		if ctx.Err() != nil {
			return coordstate.Member{}, ctx.Err()
		}
		return coordstate.Member{}, err
	}
	if err == nil {
		err = s.state.Wait(ctx, coordstore.Hard, rev)
	}
	if err != nil {
		return coordstate.Member{}, err
	}
	m, ok := s.state.Find(tailnet, k)
	if !ok {
		return m, errNotMember() // removed at once
	}
	return m, nil
}
