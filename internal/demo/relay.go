package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/mesh"
)

// drain is the time over which the relays of a demo send their peers away. Whoever
// ends a demo waits for it.
const drain = 500 * time.Millisecond

// A relay is one of a demo: prepared, and then opened.
type relay struct {
	name     string // of its node in the map
	config   config.Config
	log      *slog.Logger
	listener net.Listener
	stun     *net.UDPConn
	pin      string
	daemon   *daemon.Daemon // nil until open
}

// prepare binds the sockets of a relay and makes its certificate, so that its
// siblings can be told of it. With port 0 it takes any free ports.
func (d *Demo) prepare(name string, port int) (*relay, error) {
	host := d.config.Host.String()
	at := net.JoinHostPort(host, strconv.Itoa(port))
	r := &relay{name: name, log: d.log.With("node", name), config: config.Defaults()}
	c := &r.config
	c.Listen, c.STUN, c.Hostname, c.TLS.Mode, c.AdminSocket = at, at, host, config.TLSSelf, config.AdminSocketOff
	c.StateDir, c.Mesh.KeyFile, c.Drain, c.Log.Level = d.state.relayDir(name), d.meshKey, config.Duration(drain), d.config.LogLevel
	var err error
	if r.listener, err = daemon.Listen(at); err == nil {
		r.stun, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.config.Host, uint16(port))))
	}
	if err != nil {
		return nil, errors.Join(portError("relay "+name, err), r.abandon())
	}
	self, err := certs.OpenSelf(certs.SelfConfig{Host: host, StateDir: c.StateDir, Logger: r.log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("relay %s: %w", name, err), r.abandon())
	}
	r.pin, _ = self.Trust()
	return r, nil
}

// open makes the relay, a sibling of the others of its region.
func (r *relay) open(region []*relay) (err error) {
	for _, other := range region {
		if other != r {
			r.config.Mesh.With = append(r.config.Mesh.With, fmt.Sprintf("%s=%s", other.listener.Addr(), other.pin))
		}
	}
	r.daemon, err = daemon.Open(r.config, daemon.Options{Logger: r.log, Listener: r.listener, PacketConn: r.stun})
	if err != nil {
		return fmt.Errorf("relay %s: %w", r.name, err)
	}
	return nil
}

// abandon closes the sockets of a relay that does not run.
func (r *relay) abandon() error {
	if r.daemon != nil {
		return r.daemon.Stop()
	}
	var errs []error
	if r.listener != nil {
		errs = append(errs, r.listener.Close())
	}
	if r.stun != nil {
		errs = append(errs, r.stun.Close())
	}
	for i, err := range errs {
		if errors.Is(err, net.ErrClosed) { // a relay that could not be opened has closed them
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// unlinked returns a sibling to which there is no link yet; none: the relay has
// all its links.
func (r *relay) unlinked() (sibling mesh.State, some bool) {
	for _, s := range r.daemon.State().Siblings {
		if s.Status != mesh.Linked {
			return s, true
		}
	}
	return sibling, false
}

// node is the relay's entry in the map.
func (r *relay) node(region int) *derpmap.Node {
	bound := r.listener.Addr().(*net.TCPAddr)
	n := &derpmap.Node{
		Name: r.name, RegionID: region, HostName: r.config.Hostname, CertName: r.pin, IPv4: r.config.Hostname, IPv6: "none",
		DERPPort: bound.Port, STUNPort: r.stun.LocalAddr().(*net.UDPAddr).Port,
	}
	if bound.IP.To4() == nil {
		n.IPv4, n.IPv6 = n.IPv6, n.IPv4
	}
	return n
}
