package coord

import (
	"context"
	"errors"
	"sync"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// The bounds of a bulk: what is held in memory, and how many writes are under way.
const (
	mostBulkNets    = mostNameClaims
	mostBulkMembers = 20_000
	bulkWriters     = 256
)

// A bulk is tailnets of an import that are not here yet, with their members. The
// members are written first: they count for nobody until the tailnet's record stands.
// So they need no claims, and many are written at a time.
type bulk struct {
	nets    map[string]*newNet
	members int
}

type newNet struct {
	exportTailnet
	members []exportMember
	names   map[string]bool
	indexes map[uint32]bool
}

// full reports whether there is no room for one more tailnet.
func (b *bulk) full() bool { return len(b.nets) >= mostBulkNets || b.members >= mostBulkMembers }

func (b *bulk) add(t exportTailnet) {
	if b.nets == nil {
		b.nets = map[string]*newNet{}
	}
	b.nets[t.ID] = &newNet{exportTailnet: t, names: map[string]bool{}, indexes: map[uint32]bool{}}
}

// member adds one to its tailnet. It may be none that another is already.
func (b *bulk) member(t *newNet, m exportMember) error {
	switch {
	case m.Key.IsZero() || !coordstate.IsLabel(m.Name) || !coordstate.Usable(m.Index):
		return refuse(coordapi.CodeBadRequest, "a member of tailnet %q has no key, no name or no address", t.Name)
	case t.names[m.Name] || t.indexes[m.Index]:
		return refuse(coordapi.CodeBadRequest, "two members of tailnet %q have the name %q, or its address", t.Name, m.Name)
	case len(t.members) >= coordapi.MostMembers:
		return refuse(coordapi.CodeTooLarge, "tailnet %q has more than %d members", t.Name, coordapi.MostMembers)
	}
	t.names[m.Name], t.indexes[m.Index] = true, true
	t.Next = max(t.Next, m.Index+1)
	t.members = append(t.members, m)
	b.members++
	return nil
}

// flush writes the bulk.
func (i *importing) flush(ctx context.Context) error {
	nets := i.bulk.nets
	i.bulk = bulk{}
	if len(nets) == 0 {
		return nil
	}
	if err := i.nameAll(ctx, nets); err != nil {
		return err
	}
	w := newWriters(ctx)
	for id, t := range nets {
		for _, m := range t.members {
			w.run(func(ctx context.Context) error { return i.s.putMember(ctx, id, m.Key, m.MemberRecord) })
		}
	}
	if err := w.wait(); err != nil {
		return err
	}
	w = newWriters(ctx)
	for _, t := range nets {
		w.run(func(ctx context.Context) error { return i.putNet(ctx, t) })
	}
	if err := w.wait(); err != nil {
		return err
	}
	return i.s.state.Wait(ctx, coordstore.Hard, i.last)
}

// nameAll gives all of the tailnets names that nobody has.
func (i *importing) nameAll(ctx context.Context, nets map[string]*newNet) error {
	claims, taken := make([]coordstate.NameClaim, 0, len(nets)), map[string]bool{}
	for id, t := range nets {
		t.Name = coordstate.Numbered(t.Name, func(name string) bool { return taken[name] || i.s.state.NameTaken(name) })
		taken[t.Name] = true
		claims = append(claims, coordstate.NameClaim{ID: id, Name: t.Name})
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	return i.s.claimNames(ctx, claims)
}

func (i *importing) putNet(ctx context.Context, t *newNet) error {
	rev, err := i.s.create(ctx, coordstore.Hard, coordstate.TailnetKey(t.ID), coordstate.Encode(t.TailnetRecord))
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case errors.Is(err, coordstore.ErrConflict):
		i.done.Kept++
		return nil
	case err != nil:
		return err
	}
	i.done.Tailnets++
	i.done.Invites += len(t.Invites)
	i.done.Members += len(t.members)
	i.last = max(i.last, rev)
	return nil
}

// putMember writes a record that counts for nobody yet. One that stands there is of an
// import that was cut off, and is replaced.
func (s *Service) putMember(ctx context.Context, tailnet string, k key.Public, rec coordstate.MemberRecord) error {
	return s.persist(ctx, func() (uint64, error) {
		return s.write(ctx, coordstore.Hard, coordstate.MemberKey(tailnet, k), coordstate.Encode(rec), s.state.MemberRevision(tailnet, k))
	})
}

// writers do so many things at a time, until one fails.
type writers struct {
	ctx  context.Context
	fail context.CancelCauseFunc
	gate chan struct{}
	all  sync.WaitGroup
}

func newWriters(ctx context.Context) *writers {
	w := &writers{gate: make(chan struct{}, bulkWriters)}
	w.ctx, w.fail = context.WithCancelCause(ctx)
	return w
}

func (w *writers) run(f func(context.Context) error) {
	w.gate <- struct{}{}
	w.all.Go(func() {
		defer func() { <-w.gate }()
		if w.ctx.Err() != nil {
			return
		}
		if err := f(w.ctx); err != nil {
			w.fail(err)
		}
	})
}

func (w *writers) wait() error {
	w.all.Wait()
	err := context.Cause(w.ctx)
	w.fail(nil)
	return err
}
