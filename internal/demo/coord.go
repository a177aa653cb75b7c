package demo

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/daemon"
)

// coordinatorDir is the state directory of the coordinator, within that of the demo.
const coordinatorDir = "coord"

// openCoordinator makes the coordinator, which hands out the map and forgets its
// tailnets at the end. Its port is the last of the run.
func (d *Demo) openCoordinator(m *derpmap.Map) error {
	port := 0
	if d.config.Port != 0 {
		port = d.config.Port + 1 + d.config.Regions*d.config.Nodes
	}
	host := d.config.Host.String()
	listener, err := daemon.Listen(net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return portError("coordinator", err)
	}
	c := coordserver.Defaults()
	c.InMemory = true
	c.Front.Listen, c.Front.Hostname, c.Front.TLS.Mode = listener.Addr().String(), host, config.TLSSelf
	c.Front.StateDir, c.Front.Drain = filepath.Join(d.state.dir, coordinatorDir), config.Duration(drain)
	d.coordinator, err = coordserver.Open(c, coordserver.Options{Logger: d.log.With("part", "coordinator"), Listener: listener, Map: m, Version: d.config.Version})
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	return nil
}

// runCoordinator serves until the coordinator is stopped.
func (d *Demo) runCoordinator(ctx context.Context) error {
	return d.coordinator.Run(context.WithoutCancel(ctx), func() error { close(d.coordinates); return nil })
}

// awaitCoordinator returns when the coordinator answers, or ctx is done.
func (d *Demo) awaitCoordinator(ctx context.Context) {
	select {
	case <-d.coordinates:
	case <-ctx.Done():
	}
}

// stopCoordinator ends it, whatever it does.
func (d *Demo) stopCoordinator() error {
	if d.coordinator == nil {
		return nil
	}
	d.coordinator.Drain(context.Background())
	return d.coordinator.Stop()
}
