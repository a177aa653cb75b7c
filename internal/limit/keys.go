package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Rules say what limits whom.
type Rules struct {
	Each   Limits            // all keys
	Groups map[string]Limits // instead of that, those of these groups
	Total  int64             // bytes a second from all keys; 0: no limit
}

// Keys are all that something limits. The zero value limits nobody.
type Keys struct {
	total total
	on    atomic.Bool // there is a rule, or a key

	mu      sync.Mutex
	each    *rule            // guarded by mu, as all below
	groups  map[string]*rule // nil rules limit nothing
	byID    map[[32]byte]*Key
	leaving []*Key // without members, until they are forgotten
}

// A Member is one connection of a key. Its zero value is not limited. Own is set
// before Tell, and nothing else.
type Member struct {
	// Own are limits instead of all that the rules say; nil: none.
	Own *Limits

	key  atomic.Pointer[Key] // nil: nothing limits it
	told *rule               // guarded by Keys.mu: what the peer has been told
	left bool                // guarded by Keys.mu
}

// Key returns what is charged; nil if there is nothing that limits it.
func (m *Member) Key() *Key { return m.key.Load() }

// On reports whether anybody is limited.
func (ks *Keys) On() bool { return ks.on.Load() }

// Set makes r the rules from now on. All members follow them once Apply has been
// called for each.
func (ks *Keys) Set(r Rules, now int64) {
	ks.total.set(r.Total, now)
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.each = newRule(r.Each)
	ks.groups = make(map[string]*rule, len(r.Groups))
	for name, l := range r.Groups {
		ks.groups[name] = newRule(l)
	}
	ks.notedLocked()
}

// Tell returns what the peer of a new member is told.
func (ks *Keys) Tell(m *Member, group string) Limits {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	m.told = ks.ruleLocked(m, group)
	return m.told.limits()
}

// Apply has a member of the key id follow the rules as they are now. Changed says
// that the peer has been told something else, and is to be told of limits.
func (ks *Keys) Apply(m *Member, id [32]byte, group string, now int64) (limits Limits, changed bool) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if m.left {
		return Limits{}, false
	}
	r := ks.ruleLocked(m, group)
	changed = told(r) != told(m.told)
	m.told = r
	if k := m.Key(); k != nil {
		k.follow(r) // also if it is left: somebody may rest for what it owes
	}
	switch limited := r != nil || ks.total.rate.Load() > 0; {
	case limited && m.Key() == nil:
		m.key.Store(ks.joinLocked(id, r))
	case !limited && m.Key() != nil:
		ks.leaveLocked(m, now)
	}
	ks.notedLocked()
	return r.limits(), changed
}

// Leave takes a member out whose connection has ended.
func (ks *Keys) Leave(m *Member, now int64) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	m.left = true
	ks.leaveLocked(m, now)
	ks.notedLocked()
}

// remembered is how long a key is remembered at most after its last member has left.
const remembered = time.Minute

// atOnce is how many keys that have left are looked at in one call of Forget.
const atOnce = 1000

// Forget forgets keys whose members have left and whose buckets are full again.
func (ks *Keys) Forget(now int64) {
	if !ks.On() {
		return
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for range min(len(ks.leaving), atOnce) {
		k := ks.leaving[0]
		ks.leaving = ks.leaving[1:]
		switch {
		case k.members > 0:
			k.leaving = false
		case now < k.until && k.owesAnything(now):
			ks.leaving = append(ks.leaving, k)
		case ks.byID[k.id] == k:
			delete(ks.byID, k.id)
		}
	}
	ks.notedLocked()
}

// Len returns how many keys are known.
func (ks *Keys) Len() int {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	return len(ks.byID)
}

// ruleLocked returns what applies to a member; nil: nothing.
func (ks *Keys) ruleLocked(m *Member, group string) *rule {
	if m.Own != nil {
		return newRule(*m.Own)
	}
	if r, ok := ks.groups[group]; ok {
		return r
	}
	return ks.each
}

func told(r *rule) [2]int64 {
	perSecond, burst := r.limits().Told()
	return [2]int64{perSecond, burst}
}

func (ks *Keys) joinLocked(id [32]byte, r *rule) *Key {
	k := ks.byID[id]
	if k == nil {
		if ks.byID == nil {
			ks.byID = make(map[[32]byte]*Key)
		}
		k = &Key{keys: ks, id: id}
		ks.byID[id] = k
	}
	k.follow(r)
	k.members++
	return k
}

func (ks *Keys) leaveLocked(m *Member, now int64) {
	k := m.key.Swap(nil)
	if k == nil {
		return
	}
	if k.members--; k.members > 0 {
		return
	}
	if !k.owesAnything(now) {
		delete(ks.byID, k.id)
		return
	}
	k.until = now + int64(remembered)
	if !k.leaving {
		k.leaving = true
		ks.leaving = append(ks.leaving, k)
	}
}

// notedLocked notes whether anything limits anybody.
func (ks *Keys) notedLocked() {
	on := ks.each != nil || ks.total.rate.Load() > 0 || len(ks.byID) > 0
	for _, r := range ks.groups {
		on = on || r != nil
	}
	ks.on.Store(on)
}
