package client

import (
	"reflect"
	"slices"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/measure"
)

// mapUpdate is what WatchMap said.
type mapUpdate struct {
	m   *derpmap.Map
	err error
}

// offerMap hands an update to the driver.
func (n *Node) offerMap(m *derpmap.Map, err error) {
	u := mapUpdate{m.Clone(), err}
	select {
	case n.maps <- u:
	case <-n.ctx.Done():
	}
}

// updated returns the map that an update makes of the one before (spec section 8.1).
func updated(before, update *derpmap.Map) *derpmap.Map {
	if before == nil {
		before = new(derpmap.Map)
	}
	m := *update
	if m.Regions == nil {
		m.Regions, m.OmitDefaultRegions = before.Regions, before.OmitDefaultRegions
	}
	if m.HomeParams == nil {
		m.HomeParams = before.HomeParams
	} else if m.HomeParams.RegionScore == nil {
		m.HomeParams = before.HomeParams
	}
	return &m
}

// takeMap goes over to another map, which is the driver's from now on. Regions that are open and whose definition has changed are
// replaced, those that are gone are closed.
func (d *driver) takeMap(update *derpmap.Map) {
	m := updated(d.given, update)
	d.given = m
	for _, id := range m.IDs() {
		r := m.Regions[id]
		r.Nodes = slices.DeleteFunc(r.Nodes, func(n *derpmap.Node) bool { return n == nil })
	}
	if d.node.cfg.Tailnet != "" {
		m = m.ForTailnet(d.node.cfg.Tailnet)
	}
	d.regions, d.scores = measure.Regions(m), scores(m)
	d.timeHTTPS = timeRegions(m, d.node.cfg.Base)
	for _, id := range d.node.redefine(m) {
		d.chooser.Changed(id)
		delete(d.down, id)
		if m.Regions[id] == nil {
			d.forgetHome(id)
		}
	}
	d.wantOnly()
}

// redefine makes the regions of m those of the Node, and returns the IDs of those that have changed or gone.
func (n *Node) redefine(m *derpmap.Map) (changed []int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.defs
	n.defs = make(map[int]*derpmap.Region)
	for _, id := range m.IDs() {
		n.defs[id] = m.Regions[id]
	}
	for id := range before {
		if !reflect.DeepEqual(before[id], n.defs[id]) {
			changed = append(changed, id)
		}
	}
	for id, r := range n.regions {
		if !reflect.DeepEqual(r.def, n.defs[id]) {
			n.replaceLocked(r)
		}
	}
	return changed
}

// replaceLocked puts a region with the new definition into the place of one that is open.
func (n *Node) replaceLocked(old *nodeRegion) {
	delete(n.regions, old.id)
	delete(n.ending, old.id) // the two may overlap, so that nothing is lost
	n.peers.forgetRegion(old)
	successor := n.openLocked(old.id, old.home.Load())
	if successor == nil {
		old.close()
		return
	}
	n.running.Go(func() { old.retire(successor) })
}
