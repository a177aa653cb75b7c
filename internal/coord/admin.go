package coord

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// AdminHandler is what operators call, below coordapi.PathAdmin. Whoever reaches it
// may do everything.
func (s *Service) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(http.ResponseWriter, *http.Request) (any, error){
		"GET tailnets":                           s.adminTailnets,
		"POST tailnets":                          s.adminCreate,
		"GET tailnets/{tailnet}":                 s.adminTailnet,
		"PATCH tailnets/{tailnet}":               s.adminRename,
		"DELETE tailnets/{tailnet}":              s.adminDelete,
		"GET tailnets/{tailnet}/invites":         s.adminInvites,
		"POST tailnets/{tailnet}/invites":        s.adminInvite,
		"DELETE tailnets/{tailnet}/invites/{id}": s.adminWithdraw,
		"GET tailnets/{tailnet}/members":         s.adminMembers,
		"PATCH tailnets/{tailnet}/members/{m}":   s.adminChange,
		"DELETE tailnets/{tailnet}/members/{m}":  s.adminRemove,
		"GET map":                                s.adminMap,
		"PUT map":                                s.adminSetMap,
		"GET relays":                             s.adminRelays,
		"POST relays":                            s.adminAddRelay,
		"DELETE relays/{relay}":                  s.adminRemoveRelay,
		"GET export":                             s.adminExport,
		"POST import":                            s.adminImport,
		"GET status":                             func(http.ResponseWriter, *http.Request) (any, error) { return s.Snapshot(), nil },
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+coordapi.PathAdmin+path, s.answer(s.whenReady(pattern, f)))
	}
	mux.HandleFunc("/", s.answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, refuse(coordapi.CodeNotFound, "there is no such call for operators, or not with this method")
	}))
	return mux
}

func (s *Service) whenReady(pattern string, f func(http.ResponseWriter, *http.Request) (any, error)) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if err := s.Ready(); err != nil && pattern != "GET status" {
			return nil, later(coordapi.CodeUnavailable, "the coordination server is not ready: %v", err)
		}
		return f(w, r)
	}
}

// tryFor bounds how long a call may try to write.
func tryFor(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), tryTime)
}

func (s *Service) named(r *http.Request) (coordstate.Tailnet, error) {
	t, ok := s.state.Tailnet(r.PathValue("tailnet"))
	if !ok {
		return t, refuse(coordapi.CodeNotFound, "there is no tailnet %q", r.PathValue("tailnet"))
	}
	return t, nil
}

func shown(t coordstate.Tailnet) coordapi.Tailnet {
	a := coordapi.Tailnet{ID: t.ID, Name: t.Record.Name, Created: time.Unix(t.Record.Created, 0).UTC(), Members: t.Members, Online: t.Online,
		Prefix4: coordstate.Prefix4.String(), Prefix6: t.Record.Prefix6().String()}
	for _, i := range t.Record.Invites {
		if i.Uses > 0 && i.Expires > time.Now().Unix() {
			a.Invites++
		}
	}
	return a
}

func (s *Service) adminTailnets(http.ResponseWriter, *http.Request) (any, error) {
	all := []coordapi.Tailnet{}
	for _, t := range s.state.Tailnets() {
		all = append(all, shown(t))
	}
	return all, nil
}

func (s *Service) adminTailnet(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	return shown(t), err
}

func (s *Service) adminCreate(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.NewTailnet](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return s.CreateTailnet(ctx, n.Name)
}

func label(what, name string) (string, error) {
	if l := coordstate.Label(name); l == "" || l != strings.ToLower(name) {
		return "", refuse(coordapi.CodeBadRequest, "a %s cannot be called %q: want up to %d letters, digits and single dashes", what, name, coordapi.MostName)
	}
	return strings.ToLower(name), nil
}

// CreateTailnet makes a tailnet that has no members.
func (s *Service) CreateTailnet(ctx context.Context, name string) (coordapi.Tailnet, error) {
	name, err := label("tailnet", name)
	if err != nil {
		return coordapi.Tailnet{}, err
	}
	id := strings.ToLower(rand.Text()[:13])
	if err := s.claimName(ctx, id, name); err != nil {
		return coordapi.Tailnet{}, err
	}
	var ula [5]byte
	rand.Read(ula[:])
	rec := coordstate.TailnetRecord{Name: name, Created: time.Now().Unix(), ULA: hex.EncodeToString(ula[:]), Next: 1}
	rev, err := s.create(ctx, coordstore.Hard, coordstate.TailnetKey(id), coordstate.Encode(rec))
	if err != nil {
		return coordapi.Tailnet{}, err
	}
	if err := s.state.Wait(ctx, coordstore.Hard, rev); err != nil {
		return coordapi.Tailnet{}, err
	}
	t, ok := s.state.Tailnet(id)
	if !ok {
		return coordapi.Tailnet{}, coordstate.ErrNoTailnet
	}
	return shown(t), nil
}

// mostNameClaims is how many names that nobody has come for are remembered.
const mostNameClaims = 256

// claimName makes sure that no other tailnet gets the name: as for members, whoever
// has seen the record of the names has seen all that were given before.
func (s *Service) claimName(ctx context.Context, id, name string) error {
	return s.claimNames(ctx, []coordstate.NameClaim{{ID: id, Name: name}})
}

func (s *Service) claimNames(ctx context.Context, wanted []coordstate.NameClaim) error {
	done, err := s.turn(ctx, coordstate.KeyNames)
	if err != nil {
		return err
	}
	defer done()
	for {
		before := s.state.Position(coordstore.Hard)
		value, rev, err := s.namesWith(wanted)
		if err != nil {
			return err
		}
		got, err := s.write(ctx, coordstate.KeyNames, value, rev)
		if err == nil {
			return s.state.Wait(ctx, coordstore.Hard, got)
		}
		if !errors.Is(err, coordstore.ErrConflict) {
			return err
		}
		if err := s.state.Wait(ctx, coordstore.Hard, before+1); err != nil {
			return err
		}
	}
}

// namesWith is the record of the names with more claims, and without those that have
// come to pass. Its revision is that which stands.
func (s *Service) namesWith(wanted []coordstate.NameClaim) (value []byte, rev uint64, err error) {
	stands, rev := s.state.Single(coordstate.KeyNames)
	var rec coordstate.NamesRecord
	if stands != nil && json.Unmarshal(stands, &rec) != nil {
		return nil, 0, errors.New("the record of the tailnets' names cannot be read")
	}
	rec.Claims = slices.DeleteFunc(rec.Claims, func(c coordstate.NameClaim) bool {
		t, ok := s.state.Tailnet(c.ID)
		return ok && t.Record.Name == c.Name
	})
	for _, w := range wanted {
		if s.state.NameTaken(w.Name) {
			return nil, 0, refuse(coordapi.CodeConflict, "there is a tailnet called %q already", w.Name)
		}
		for _, c := range rec.Claims {
			if c.Name == w.Name && !s.nameClaims.late(c) {
				return nil, 0, later(coordapi.CodeUnavailable, "another tailnet is about to be called %q: try again in a minute", w.Name)
			}
		}
	}
	rec.Claims = append(rec.Claims, wanted...)
	if n := len(rec.Claims) - mostNameClaims; n > 0 {
		rec.Claims = rec.Claims[n:]
	}
	return coordstate.Encode(rec), rev, nil
}

func (s *Service) adminRename(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.Rename](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	name, err := label("tailnet", n.Name)
	if err != nil || name == t.Record.Name {
		return shown(t), err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	if err := s.claimName(ctx, t.ID, name); err != nil {
		return nil, err
	}
	if err := s.edit(ctx, t.ID, func(e *coordstate.Edit) error { e.Record.Name = name; return nil }); err != nil {
		return nil, err
	}
	t, _ = s.state.Tailnet(t.ID)
	return shown(t), nil
}

// adminDelete deletes the tailnet's record: with it nobody is a member. What else
// there was goes after it, here or when somebody tidies up.
func (s *Service) adminDelete(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	done, err := s.turn(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	for {
		t, ok := s.state.Tailnet(t.ID)
		if !ok {
			return struct{}{}, nil
		}
		before := s.state.Position(coordstore.Hard)
		rev, err := s.counted(s.store.Delete(ctx, coordstore.Hard, coordstate.TailnetKey(t.ID), t.Revision))
		if err == nil {
			return struct{}{}, s.state.Wait(ctx, coordstore.Hard, rev)
		}
		if !errors.Is(err, coordstore.ErrConflict) {
			return nil, err
		}
		if err := s.state.Wait(ctx, coordstore.Hard, before+1); err != nil {
			return nil, err
		}
	}
}

func (s *Service) adminInvites(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	all := []coordapi.InviteState{}
	for _, i := range t.Record.Invites {
		if i.Uses == 0 || time.Now().Unix() > i.Expires { // kept, to say so to who comes with it
			continue
		}
		all = append(all, coordapi.InviteState{ID: i.ID, Uses: i.Uses, Expires: time.Unix(i.Expires, 0).UTC()})
	}
	return all, nil
}

func (s *Service) adminInvite(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.NewInvite](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return s.Invite(ctx, t.ID, n)
}

const (
	usualInvite = 10 * time.Minute
	mostInvite  = 366 * 24 * time.Hour
	mostUses    = coordapi.MostMembers
)

// Invite makes an invite to a tailnet, by its ID.
func (s *Service) Invite(ctx context.Context, tailnet string, n coordapi.NewInvite) (coordapi.Invited, error) {
	if n.Uses == 0 {
		n.Uses = 1
	}
	if n.For == 0 {
		n.For = usualInvite
	}
	if n.Uses < 0 || n.Uses > mostUses || n.For < time.Second || n.For > mostInvite {
		return coordapi.Invited{}, refuse(coordapi.CodeBadRequest, "an invite counts 1 to %d times, for a second to a year", mostUses)
	}
	i := coordapi.Invite{Tailnet: tailnet}
	if s.cfg.Contacts != nil {
		i.Contacts = s.cfg.Contacts()
	}
	rand.Read(i.ID[:])
	rand.Read(i.Secret[:])
	text, err := i.Text()
	if err != nil {
		return coordapi.Invited{}, refuse(coordapi.CodeBadRequest, "this coordinator does not know how it is reached from elsewhere: %v", err)
	}
	sum := sha256.Sum256(i.Secret[:])
	rec := coordstate.Invite{ID: hex.EncodeToString(i.ID[:]), Hash: hex.EncodeToString(sum[:]), Uses: n.Uses, Expires: time.Now().Add(n.For).Unix()}
	if err := s.edit(ctx, tailnet, func(e *coordstate.Edit) error { return e.AddInvite(rec) }); err != nil {
		return coordapi.Invited{}, err
	}
	return coordapi.Invited{InviteState: coordapi.InviteState{ID: rec.ID, Uses: rec.Uses, Expires: time.Unix(rec.Expires, 0).UTC()}, Text: text}, nil
}

func (s *Service) adminWithdraw(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return struct{}{}, s.edit(ctx, t.ID, func(e *coordstate.Edit) error {
		if e.Invite(r.PathValue("id")) == nil {
			return refuse(coordapi.CodeNotFound, "there is no invite %q", r.PathValue("id"))
		}
		e.Withdraw(r.PathValue("id"))
		return nil
	})
}

// adminMembers streams, as there may be many.
func (s *Service) adminMembers(w http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	to := json.NewEncoder(w)
	for _, m := range s.state.Members(t.ID) {
		if to.Encode(shownMember(m)) != nil {
			break
		}
	}
	return nil, nil
}

func shownMember(m coordstate.Member) coordapi.Member {
	a := coordapi.Member{Key: m.Key, Name: m.Name, Addresses: m.Addresses, Joined: time.Unix(m.Joined, 0).UTC(), Disabled: m.Disabled,
		Home: int(m.Soft.Home), Online: m.Online, Version: m.Soft.Version, Disco: m.Soft.Disco}
	if m.Soft.Home != 0 {
		a.HomeSince = time.Unix(m.Soft.Since, 0).UTC()
	}
	if m.Heard != 0 {
		a.Seen = time.Unix(m.Heard, 0).UTC()
	}
	if stored(m.Soft).Conflict {
		for _, text := range []string{m.Soft.From, m.Soft.Rival} {
			if addr, err := netip.ParseAddr(text); err == nil {
				a.Conflict = append(a.Conflict, addr)
			}
		}
	}
	return a
}

// find is a member by name or key.
func (s *Service) find(t coordstate.Tailnet, nameOrKey string) (coordstate.Member, error) {
	if k, err := key.ParsePublic(nameOrKey); err == nil {
		if m, ok := s.state.Find(t.ID, k); ok {
			return m, nil
		}
	}
	for _, m := range s.state.Members(t.ID) {
		if m.Name == strings.ToLower(nameOrKey) {
			return m, nil
		}
	}
	return coordstate.Member{}, refuse(coordapi.CodeNotFound, "tailnet %s has no member %q", t.Record.Name, nameOrKey)
}

func (s *Service) adminChange(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := body[coordapi.ChangeMember](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	t, m, err := s.namedMember(r)
	if err != nil {
		return nil, err
	}
	name, off := m.Name, m.Disabled
	if c.Name != "" {
		if name, err = label("member", c.Name); err != nil {
			return nil, err
		}
	}
	if c.Disabled != nil {
		off = *c.Disabled
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	m, err = s.change(ctx, t.ID, m.Key, name, off)
	return shownMember(m), err
}

func (s *Service) namedMember(r *http.Request) (coordstate.Tailnet, coordstate.Member, error) {
	t, err := s.named(r)
	if err != nil {
		return t, coordstate.Member{}, err
	}
	m, err := s.find(t, r.PathValue("m"))
	return t, m, err
}

// change claims, and then writes the member's record.
func (s *Service) change(ctx context.Context, tailnet string, k key.Public, name string, off bool) (coordstate.Member, error) {
	var m coordstate.Member
	err := s.edit(ctx, tailnet, func(e *coordstate.Edit) error {
		var ok bool
		if m, ok = e.Member(k); !ok {
			return refuse(coordapi.CodeNotFound, "it is no member any more")
		}
		if m.Name == name && m.Disabled == off {
			return errKnown
		}
		return e.Change(m, name, off)
	})
	switch {
	case errors.Is(err, errKnown):
		return m, nil
	case coordstate.IsTaken(err):
		return m, refuse(coordapi.CodeConflict, "another member is called %q", name)
	case err != nil:
		return m, err
	}
	rec := coordstate.MemberRecord{Name: name, Index: m.Index, Joined: m.Joined, Disabled: off}
	rev, err := s.update(ctx, coordstore.Hard, coordstate.MemberKey(tailnet, k), coordstate.Encode(rec), m.Revision)
	if err != nil {
		return m, err
	}
	if err := s.state.Wait(ctx, coordstore.Hard, rev); err != nil {
		return m, err
	}
	if now, ok := s.state.Find(tailnet, k); ok {
		m = now
	}
	return m, nil
}

func (s *Service) adminRemove(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, m, err := s.namedMember(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return struct{}{}, s.remove(ctx, t.ID, m.Key)
}

// remove lists a member among the gone: that counts. Its records go after it, here or
// when somebody tidies up.
func (s *Service) remove(ctx context.Context, tailnet string, k key.Public) error {
	for {
		var before *coordstate.Leftover
		err := s.edit(ctx, tailnet, func(e *coordstate.Edit) error {
			m, ok := e.Member(k)
			if !ok {
				return refuse(coordapi.CodeNotFound, "it is no member any more")
			}
			if before = e.Remove(m); before != nil {
				return errLingers
			}
			return nil
		})
		switch {
		case errors.Is(err, errLingers):
			if err := s.drop(ctx, *before); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		for _, l := range s.state.LeftBy(tailnet, k) {
			if s.drop(ctx, l) != nil {
				break
			}
		}
		return nil
	}
}

func (s *Service) adminRelays(http.ResponseWriter, *http.Request) (any, error) {
	all := []coordapi.Relay{}
	for _, r := range s.state.Relays() {
		all = append(all, s.shownRelay(r.Name, r.Record))
	}
	return all, nil
}

func (s *Service) shownRelay(name string, rec coordstate.RelayRecord) coordapi.Relay {
	a := coordapi.Relay{Name: name, Created: time.Unix(rec.Created, 0).UTC()}
	for _, id := range rec.Tailnets {
		if called := s.state.TailnetName(id); called != "" {
			id = called
		}
		a.Tailnets = append(a.Tailnets, id)
	}
	return a
}

func (s *Service) adminAddRelay(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.NewRelay](w, r, derpmap.MaxSize)
	if err != nil {
		return nil, err
	}
	name, err := label("relay", n.Name)
	if err != nil {
		return nil, err
	}
	rec := coordstate.RelayRecord{Created: time.Now().Unix()}
	for _, called := range n.Tailnets {
		t, ok := s.state.Tailnet(called)
		if !ok {
			return nil, refuse(coordapi.CodeNotFound, "there is no tailnet %q", called)
		}
		rec.Tailnets = append(rec.Tailnets, t.ID)
	}
	token := "detour-relay-" + strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(token))
	rec.Hash = hex.EncodeToString(sum[:])
	ctx, cancel := tryFor(r)
	defer cancel()
	rev, err := s.create(ctx, coordstore.Hard, coordstate.RelayKey(name), coordstate.Encode(rec))
	if errors.Is(err, coordstore.ErrConflict) {
		return nil, refuse(coordapi.CodeConflict, "there is a relay called %q already", name)
	}
	if err != nil {
		return nil, err
	}
	return coordapi.AddedRelay{Relay: s.shownRelay(name, rec), Token: token}, s.state.Wait(ctx, coordstore.Hard, rev)
}

func (s *Service) adminRemoveRelay(_ http.ResponseWriter, r *http.Request) (any, error) {
	for _, have := range s.state.Relays() {
		if have.Name != r.PathValue("relay") {
			continue
		}
		ctx, cancel := tryFor(r)
		defer cancel()
		rev, err := s.counted(s.store.Delete(ctx, coordstore.Hard, coordstate.RelayKey(have.Name), have.Revision))
		if err != nil {
			return nil, err
		}
		return struct{}{}, s.state.Wait(ctx, coordstore.Hard, rev)
	}
	return nil, refuse(coordapi.CodeNotFound, "there is no relay %q", r.PathValue("relay"))
}
