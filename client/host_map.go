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
func (h *Host) offerMap(m *derpmap.Map, err error) {
	u := mapUpdate{m.Clone(), err}
	select {
	case h.maps <- u:
	case <-h.ctx.Done():
	}
}

// takeMap goes over to another map, which is the driver's from now on. Regions that
// are open and whose definition has changed are replaced, those that are gone are
// closed, but not while others may believe that one of them is our home.
func (d *driver) takeMap(update *derpmap.Map) {
	m := derpmap.Update(d.given, update)
	d.given = m
	for _, id := range m.IDs() {
		r := m.Regions[id]
		r.Nodes = slices.DeleteFunc(r.Nodes, func(n *derpmap.Node) bool { return n == nil })
	}
	if d.host.cfg.Tailnet != "" {
		m = m.ForTailnet(d.host.cfg.Tailnet)
	}
	d.regions, d.scores = measure.Regions(m), scores(m)
	d.timeHTTPS = timeRegions(m, d.host.cfg.Base)
	for _, id := range d.host.redefine(m, d.host.reporter.Believed()) {
		d.chooser.Changed(id)
		delete(d.down, id)
		if m.Regions[id] == nil {
			d.forgetHome(id)
		}
	}
	d.wantOnly()
}

// redefine makes the regions of m those of the Host, and returns the IDs of those
// that have changed or gone. Of the latter, some stay open as they were.
func (h *Host) redefine(m *derpmap.Map, keep []int) (changed []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.defs
	h.defs = make(map[int]*derpmap.Region)
	for _, id := range m.IDs() {
		h.defs[id] = m.Regions[id]
	}
	for id := range before {
		if !reflect.DeepEqual(before[id], h.defs[id]) {
			changed = append(changed, id)
		}
	}
	for id, r := range h.regions {
		if kept := h.defs[id] == nil && slices.Contains(keep, id); !kept && !reflect.DeepEqual(r.def, h.defs[id]) {
			h.replaceLocked(r)
		}
	}
	return changed
}

// replaceLocked puts a region with the new definition into the place of one that is
// open.
func (h *Host) replaceLocked(old *hostRegion) {
	delete(h.regions, old.id)
	delete(h.ending, old.id) // the two may overlap, so that nothing is lost
	h.peers.ForgetRegion(old)
	successor := h.openLocked(old.id, old.home.Load())
	if successor == nil {
		old.close()
		return
	}
	h.running.Go(func() { old.retire(successor) })
}
