package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mapfeed"
)

// A demo is all that "detour demo" runs: the relays of some regions, and the
// server of their map.
type demo struct {
	log     *slog.Logger
	regions []demoRegion
	maps    mapfeed.ServerConfig // its handler comes once all relays listen
	mapFile string
	meshKey string // file
}

// A demoRegion is a region of the map and its relays, in the order of its nodes.
type demoRegion struct {
	entry  *derpmap.Region
	relays []*demoRelay
}

// firstRegion is the first RegionID that is free for private use.
const firstRegion = 900

// demoCodes are the codes of the regions.
var demoCodes = [demoMost]string{"one", "two", "three", "four", "five"}

// startDemo binds all sockets, links the relays, and writes the map. Nothing is
// answered before run.
func startDemo(f *demoFlags, state demoState, log *slog.Logger) (d *demo, err error) {
	d = &demo{log: log, mapFile: cmp.Or(f.mapFile, state.mapFile())}
	if d.meshKey, err = state.meshKeyFile(); err != nil {
		return nil, err
	}
	err = d.listenForMap(f)
	for i := 0; i < f.regions && err == nil; i++ {
		err = d.startRegion(f, state, i)
	}
	if err == nil {
		err = d.publishMap()
	}
	if err != nil {
		return nil, errors.Join(err, d.abandon())
	}
	return d, nil
}

// listenForMap comes first: the map's port is the first of the run.
func (d *demo) listenForMap(f *demoFlags) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(f.host.String(), strconv.Itoa(f.port)))
	if err != nil {
		return fmt.Errorf("map server: %w", portRemedy(err))
	}
	d.maps = mapfeed.ServerConfig{Listener: listener, Logger: d.log, Timeout: demoDrain}
	return nil
}

// startRegion starts the relays of a region and links them.
func (d *demo) startRegion(f *demoFlags, state demoState, index int) error {
	id, code := firstRegion+index, demoCodes[index]
	region := demoRegion{entry: &derpmap.Region{RegionID: id, RegionCode: code, RegionName: "Demo " + code}}
	for i := range f.nodes {
		port := 0
		if f.port != 0 {
			port = f.port + 1 + index*f.nodes + i
		}
		r, err := startDemoRelay(fmt.Sprintf("%d%c", id, 'a'+i), f.host, port, state, d.meshKey, d.log)
		if err != nil {
			return errors.Join(err, region.stop())
		}
		region.relays = append(region.relays, r)
		region.entry.Nodes = append(region.entry.Nodes, r.node(id))
	}
	d.regions = append(d.regions, region)
	for _, r := range region.relays {
		if err := r.link(region.relays); err != nil {
			return err
		}
	}
	return nil
}

// publishMap makes the map of all regions, writes it into its file, and has it served.
func (d *demo) publishMap() error {
	m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
	for _, region := range d.regions {
		m.Regions[region.entry.RegionID] = region.entry
	}
	var err error
	if d.maps.Handler, err = mapfeed.Static(m); err != nil {
		return err
	}
	text, err := m.Encode(cmp.Or(mapfeed.FormOfName(d.mapFile), derpmap.JSON))
	if err != nil {
		return err
	}
	if err := replaceFile(d.mapFile, text); err != nil {
		return fmt.Errorf("--map: %w", err)
	}
	return nil
}

// mapAddr is where the map is served.
func (d *demo) mapAddr() netip.AddrPort { return boundAddr(d.maps.Listener.Addr()) }

// relays are those of all regions.
func (d *demo) relays() (all []*demoRelay) {
	for _, region := range d.regions {
		all = append(all, region.relays...)
	}
	return all
}

// abandon closes the sockets of a demo that has not begun to serve.
func (d *demo) abandon() (err error) {
	if d.maps.Listener != nil {
		err = d.maps.Listener.Close()
	}
	for _, region := range d.regions {
		err = errors.Join(err, region.stop())
	}
	return err
}

func (r demoRegion) stop() (err error) {
	for _, relay := range r.relays {
		err = errors.Join(err, relay.process.stop())
	}
	return err
}
