package mesh

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A member is what is configured, and works on its own while the mesh runs: the keeper
// of an entry, the discovery of a name, the rebalancer.
type member struct {
	// Set once.
	identity
	run       func(context.Context)
	keeper    *keeper    // nil: it is none
	discovery *discovery // likewise

	cancel context.CancelFunc // guarded by Mesh.mu; nil: it has not begun
}

// owns reports whether a keeper is the member's.
func (x *member) owns(k *keeper) bool {
	return k == x.keeper || x.discovery != nil && k.found == x.discovery
}

// An identity is what a member is made from: one with the same need not be made anew.
type identity struct {
	entry Entry  // of a keeper
	name  string // of a discovery, with its kind; or all that is rebalanced
}

// String is for logs.
func (i identity) String() string { return cmp.Or(i.entry.Name, i.name) }

// Prepare checks other Entries, DNS, SRV, RootCAs and Rebalance, and returns what has
// them take effect; all else stays as it was. Links to siblings that stay are not
// touched, those to others end, and who is new is dialled.
func (m *Mesh) Prepare(next Config) (apply func(), err error) {
	members, err := m.plan(next)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	return func() { m.adopt(members, next.RootCAs) }, nil
}

// plan makes the members of a configuration, none of which runs yet.
func (m *Mesh) plan(c Config) (members []*member, err error) {
	if err := checkDuplicates(c.Entries); err != nil {
		return nil, err
	}
	names := make(map[string]bool) // that siblings can be called in Rebalance
	for _, e := range c.Entries {
		names[e.Name] = true
		k := m.newKeeper(target{Entry: e}, nil)
		members = append(members, &member{identity: identity{entry: e}, run: k.run, keeper: k})
	}
	for _, kind := range []struct {
		name  string
		names []string
		make  func(string) (*discovery, error)
	}{{"DNS", c.DNS, m.newDNS}, {"SRV", c.SRV, m.newSRV}} {
		for i, name := range kind.names {
			d, err := kind.make(name)
			if err != nil {
				return nil, fmt.Errorf("%s name %d, %q: %w", kind.name, i+1, name, err)
			}
			names[d.name] = true
			id := identity{name: kind.name + " name " + d.name}
			members = append(members, &member{identity: id, run: d.run, discovery: d})
		}
	}
	if err := checkRebalance(c, names); err != nil || len(c.Rebalance) == 0 {
		return members, err
	}
	return append(members, m.newRebalancer(c.Rebalance)), nil
}

func (m *Mesh) newRebalancer(nodes map[string]string) *member {
	nodes = maps.Clone(nodes)
	var pairs []string
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		pairs = append(pairs, fmt.Sprintf("%q=%q", node, nodes[node]))
	}
	id := identity{name: "rebalancing of " + strings.Join(pairs, ",")}
	return &member{identity: id, run: func(ctx context.Context) {
		r := rebalancer{nodes: nodes, linkedSince: m.linkedSince, closeNotIdeal: m.closeNotIdeal, logger: m.config.Logger}
		r.run(ctx)
	}}
}

// checkRebalance wants every entry of Config.Rebalance to be one that there can be.
// What SRV records lead to is not known beforehand.
func checkRebalance(c Config, names map[string]bool) error {
	for node, entry := range c.Rebalance {
		switch {
		case node == "":
			return fmt.Errorf("rebalancing to %q: want the name of a node in front of it", entry)
		case !names[entry] && len(c.SRV) == 0:
			return fmt.Errorf("rebalancing to node %s: %q is not a sibling: write the entry as in the list of siblings", node, entry)
		}
	}
	return nil
}

// adopt has these members be those of the mesh. One that is there already stays.
func (m *Mesh) adopt(members []*member, roots *x509.CertPool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roots.Store(roots)
	gone := make(map[identity]*member)
	for _, x := range m.members {
		gone[x.identity] = x
	}
	m.members = nil
	for _, x := range members {
		if m.memberLocked(x.identity) != nil {
			continue // named twice
		}
		if known := gone[x.identity]; known != nil {
			delete(gone, x.identity)
			x = known
		}
		m.members = append(m.members, x)
	}
	for _, x := range gone {
		m.endLocked(x)
	}
	for _, x := range m.members {
		m.beginLocked(x)
	}
}

func (m *Mesh) memberLocked(id identity) *member {
	for _, x := range m.members {
		if x.identity == id {
			return x
		}
	}
	return nil
}

// endLocked ends a member that is not configured any more.
func (m *Mesh) endLocked(x *member) {
	m.keepers = slices.DeleteFunc(m.keepers, x.owns)
	if x.cancel != nil {
		x.cancel()
		m.config.Logger.Info("the configuration does not have it any more", "sibling", x.String())
	}
}

// beginLocked runs a member, if the mesh runs and it does not.
func (m *Mesh) beginLocked(x *member) {
	if x.keeper != nil && !slices.Contains(m.keepers, x.keeper) {
		m.keepers = append(m.keepers, x.keeper)
	}
	if m.running == nil || x.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(m.running)
	x.cancel = cancel
	m.all.Go(func() {
		x.run(ctx)
		m.ended(x)
	})
}

// ended takes what a member has found until its end off the list, if it is not
// configured any more.
func (m *Mesh) ended(x *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.memberLocked(x.identity) != x {
		m.keepers = slices.DeleteFunc(m.keepers, x.owns)
	}
}

// Run keeps the links until ctx is done, and waits for their end. It is called
// once, and blocks also when there is nobody to link to.
func (m *Mesh) Run(ctx context.Context) {
	defer m.all.Wait()
	m.begin(ctx)
	<-ctx.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = nil // nobody begins any more
}

func (m *Mesh) begin(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = ctx
	for _, x := range m.members {
		m.beginLocked(x)
	}
}
