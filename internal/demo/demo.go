// Package demo runs a small DERP network in one process, to try things with and to
// write programs against: regions of relays that are linked to each other, each
// with a certificate of its own, pinned in the map, the server of their map, and a
// coordinator for tailnets that use it.
//
// The relays are those of package daemon. A demo binds all sockets and makes all
// certificates first, so that each relay's configuration can name its siblings from
// the start.
//
// Errors about a demo's own settings are [*config.Error], whose settings are "port",
// "map" and "state-dir".
package demo

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/mapfeed"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/smallfile"
)

// Most is how many regions a demo can have, and how many relays each: all of them
// are linked at the same moment, which is a lot for a small machine.
const Most = 5

// firstRegion is the first RegionID that is free for private use.
const firstRegion = 900

// codes are the codes of the regions.
var codes = [Most]string{"one", "two", "three", "four", "five"}

// Config is what a [Demo] is made from.
type Config struct {
	Regions  int        // 1 to Most
	Nodes    int        // in each region, 1 to Most
	Host     netip.Addr // loopback
	Port     int        // where the map is served, and the first of the ports that are taken; 0: any free ones
	MapFile  string     // written in the form of its name; empty: in the state directory
	StateDir string     // for keys and certificates; empty: a temporary one, which is removed at the end

	Version  string // of the program
	LogLevel string // of the relays
	Logger   *slog.Logger
}

// A Demo is the relays of some regions, the server of their map, and a coordinator.
type Demo struct {
	config  Config
	log     *slog.Logger
	state   state
	regions []region
	maps    net.Listener
	handler *mapfeed.Handler
	mapFile string
	meshKey string // file

	coordinator *coordserver.Server
	coordinates chan struct{} // closed when it answers
}

// A region is one of the map, and its relays in the order of its nodes.
type region struct {
	entry  *derpmap.Region
	relays []*relay
}

// Open binds all sockets, makes the relays, and writes the map. Nothing is answered
// before Run, which also removes what is temporary.
func Open(c Config) (d *Demo, err error) {
	d = &Demo{config: c, log: cmp.Or(c.Logger, slog.New(slog.DiscardHandler)), coordinates: make(chan struct{})}
	if d.state, err = openState(c.StateDir); err != nil {
		return nil, err
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.abandon())
	}
	return d, nil
}

func (d *Demo) open() (err error) {
	d.mapFile = cmp.Or(d.config.MapFile, d.state.mapFile())
	if d.meshKey, err = d.state.meshKeyFile(); err != nil {
		return err
	}
	if err := d.listenForMap(); err != nil {
		return err
	}
	for i := range d.config.Regions {
		if err := d.openRegion(i); err != nil {
			return err
		}
	}
	return d.publish()
}

// listenForMap comes first: the map's port is the first of the run.
func (d *Demo) listenForMap() (err error) {
	d.maps, err = net.Listen("tcp", net.JoinHostPort(d.config.Host.String(), strconv.Itoa(d.config.Port)))
	return portError("map server", err)
}

// openRegion makes the relays of a region. All have their sockets and certificates
// before any of them is opened.
func (d *Demo) openRegion(index int) error {
	id := firstRegion + index
	d.regions = append(d.regions, region{entry: &derpmap.Region{RegionID: id, RegionCode: codes[index], RegionName: "Demo " + codes[index]}})
	r := &d.regions[index]
	for i := range d.config.Nodes {
		port := 0
		if d.config.Port != 0 {
			port = d.config.Port + 1 + index*d.config.Nodes + i
		}
		prepared, err := d.prepare(fmt.Sprintf("%d%c", id, 'a'+i), port)
		if err != nil {
			return err
		}
		r.relays = append(r.relays, prepared)
		r.entry.Nodes = append(r.entry.Nodes, prepared.node(id))
	}
	for _, relay := range r.relays {
		if err := relay.open(r.relays); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the map of all regions, writes it into its file, and has it served, by
// the coordinator, too.
func (d *Demo) publish() error {
	m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
	for _, r := range d.regions {
		m.Regions[r.entry.RegionID] = r.entry
	}
	handler, err := mapfeed.Static(m)
	if err != nil {
		return err
	}
	d.handler = handler
	text, err := m.Encode(cmp.Or(mapfeed.FormOfName(d.mapFile), derpmap.JSON))
	if err != nil {
		return err
	}
	if err := d.openCoordinator(m); err != nil {
		return err
	}
	if err := writeMap(d.mapFile, text); err != nil {
		return &config.Error{Setting: "map", Err: err, Failed: true}
	}
	return nil
}

// writeMap replaces what a link leads to, not the link.
func writeMap(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, text, 0o666) // a pipe or a device
	}
	return smallfile.WriteOver(path, text, 0)
}

// relays are those of all regions.
func (d *Demo) relays() (all []*relay) {
	for _, r := range d.regions {
		all = append(all, r.relays...)
	}
	return all
}

// abandon closes what a demo has that has not begun to serve.
func (d *Demo) abandon() error {
	var errs []error
	if d.maps != nil {
		errs = append(errs, d.maps.Close())
	}
	errs = append(errs, d.stopCoordinator())
	for _, r := range d.relays() {
		errs = append(errs, r.abandon())
	}
	return errors.Join(append(errs, d.state.close())...)
}

// portError says what to do about an address that cannot be listened on.
func portError(who string, err error) error {
	if err == nil {
		return nil
	}
	return &config.Error{
		Err: fmt.Errorf("%s: %w", who, err), Failed: true, More: []string{"port"},
		Remedy: errno.BindRemedy(err, "stop what listens there, or choose other ports with {port} (0: any free ones)"),
	}
}
