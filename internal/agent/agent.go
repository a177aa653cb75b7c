package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/internal/netwatch"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
	"github.com/detour-relay/detour/wgbind"
)

const (
	// lookTime is how often the device and the network are compared with what they are
	// to be, also if nobody tells anything.
	lookTime = 30 * time.Second

	// overhead is what a packet has in the tunnel besides itself, padding included.
	overhead = device.MessageTransportHeaderSize + 16 + 16

	// usualPacket is for what the Bind has buffers anyway.
	usualPacket = 2048
)

// A Network is where the packets of the tunnel come from and go to.
type Network interface {
	// Device is what the packets pass. The agent closes it.
	Device() tun.Device

	// SetAddresses gives it these addresses and takes all others, and SetRoutes has packets
	// to these go into it, and to no others. Both do as much as they can, also if they
	// fail, and are called again and again.
	SetAddresses(own []netip.Addr) error
	SetRoutes(others []netip.Addr) error
}

// Config says who the agent is, and where its packets come from. Both are required: Member
// or Pair, and Network.
type Config struct {
	Member  tailnet.Config // its OnEvent is told, too
	Pair    *pair.Config   // instead of Member: there is no coordinator; nil: there is
	Network Network        // closed in the end, also if Open fails
	Base    client.Config  // how to reach relays, as HostConfig.Base
	Logger  *slog.Logger   // nil discards

	RelayOnly bool   // look for no direct paths, and tell peers of none
	Port      uint16 // of UDP, for direct paths; 0: any
}

// ErrDeviceGone: somebody has taken the interface away.
var ErrDeviceGone = errors.New("the interface of the tunnel is gone: somebody has removed it")

// An Agent keeps a device equal to what the coordinator says.
type Agent struct {
	// Set once, by Open.
	member  Source
	pair    *pair.Pair // that is member; nil: there is a coordinator
	trips   *trips
	bind    *wgbind.Bind
	device  *device.Device
	network Network
	log     *slog.Logger
	last    time.Time     // when the state file was written last, before this
	begun   chan struct{} // closed when all of these are set
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	look chan struct{} // something may have changed

	mu      sync.Mutex
	guests  map[key.Public]guest // guarded by mu
	problem string               // guarded by mu: what was wrong at the last look

	within atomic.Pointer[map[netip.Addr]bool] // addresses of the tunnel
}

// Open becomes a member, and has its device up. ctx is for joining. The errors are those
// of tailnet.Open or pair.Open, of the Network, and of what is beneath.
func Open(ctx context.Context, cfg Config) (*Agent, error) {
	a := &Agent{
		network: cfg.Network, log: cfg.Logger, begun: make(chan struct{}), look: make(chan struct{}, 1), guests: make(map[key.Public]guest),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	err := a.open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.running.Go(a.keepLooking)
	a.running.Go(func() { netwatch.Watch(a.ctx, a.isTunnel, a.networkChanged) })
	return a, nil
}

func (a *Agent) open(ctx context.Context, cfg Config) (err error) {
	mtu, err := a.network.Device().MTU()
	if err != nil {
		return fmt.Errorf("MTU of the tunnel: %w", err)
	}
	var byUDP *wgbind.Direct
	if !cfg.RelayOnly {
		byUDP = &wgbind.Direct{Disco: key.NewPrivate(), Port: cfg.Port, MTU: mtu, Refuse: a.isWithin}
		cfg.Member.Disco = byUDP.Disco.Public()
	}
	if err := a.openSource(ctx, cfg); err != nil {
		return err
	}
	if byUDP != nil {
		byUDP.Node, byUDP.Map = a.member.Self().Key, a.member.Map
	}
	a.noteWithin(a.member.Self().Addresses, nil) // the Bind looks for addresses of this machine
	a.bind, err = wgbind.New(client.HostConfig{Base: cfg.Base, Logger: cfg.Logger}, wgbind.Config{
		Ask: a.ask, Aside: a.aside, NewHost: a.member.Host, PacketSize: max(usualPacket, mtu+overhead), Direct: byUDP,
	})
	if err != nil {
		return err
	}
	a.trips = newTrips(a.bind, a.member.Self().Key, func(k key.Public) { beginAnew(a.device, k) })
	out, in := newWindow(), newWindow()
	a.device = device.NewDevice(gate{a.network.Device(), out, in}, gatedBind{a.trips, out, in}, a.deviceLog())
	close(a.begun)
	secret := strings.TrimPrefix(a.member.PrivateKey().Text(), "privkey:")
	if err := a.device.IpcSet("private_key=" + secret + "\n"); err != nil {
		return fmt.Errorf("the device does not take its key: %w", err)
	}
	if err := a.network.SetAddresses(a.member.Self().Addresses); err != nil {
		return fmt.Errorf("addresses of the tunnel: %w", err)
	}
	a.reconcile()
	return a.device.Up()
}

// deviceLog has the device say what goes wrong. Most of what it calls an error is a
// packet that somebody sent or lost.
func (a *Agent) deviceLog() *device.Logger {
	return &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(format string, args ...any) { a.log.Debug("device", "says", fmt.Sprintf(format, args...)) },
	}
}

// Close ends the agent, its network included. It may be called more than once; when it
// returns no goroutine is left. The error is that of closing its Source.
func (a *Agent) Close() error {
	a.cancel()
	a.running.Wait()
	switch {
	case a.device != nil:
		a.device.Close()
	default:
		a.network.Device().Close()
	}
	if a.bind != nil {
		if a.trips != nil {
			a.trips.end()
		}
		a.bind.Shutdown()
	}
	if a.member == nil {
		return nil
	}
	return a.member.Close()
}

// Member is who the agent is. It is the agent's to close.
func (a *Agent) Member() Source { return a.member }

// Pair is who it is if there is no coordinator; nil: there is.
func (a *Agent) Pair() *pair.Pair { return a.pair }

// Host is what sends and receives its packets. It is the agent's to close.
func (a *Agent) Host() *client.Host { return a.bind.Host() }

// Gone is closed when the device has ended without Close: ErrDeviceGone.
func (a *Agent) Gone() <-chan struct{} { return a.device.Wait() }

// lookSoon has the device looked at. It does not wait.
func (a *Agent) lookSoon() {
	select {
	case a.look <- struct{}{}:
	default:
	}
}

func (a *Agent) keepLooking() {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for {
		select {
		case <-a.look:
		case <-tick.C:
		case k := <-a.trips.foreign:
			a.greet(k)
			continue
		case <-a.device.Wait():
			return
		case <-a.ctx.Done():
			return
		}
		a.reconcile()
	}
}

// networkChanged has everybody find new ways: this machine is connected to another network.
func (a *Agent) networkChanged() {
	a.log.Info("this machine is connected to another network")
	a.member.NetworkChanged()
	a.bind.NetworkChanged()
}

// isTunnel reports whether an interface is ours.
func (a *Agent) isTunnel(name string) bool {
	own, err := a.network.Device().Name()
	return err == nil && name == own
}

// reconcile sets what is wanted and not found. What is wrong is logged when it changes:
// the rest of the tunnel works.
func (a *Agent) reconcile() {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.reconcileLocked()
	text := ""
	if err != nil {
		text = strings.Join(strings.Split(err.Error(), "\n"), "; ")
	}
	if text != a.problem && text != "" {
		a.log.Warn("the tunnel is not as it should be", "reason", text)
	}
	a.problem = text
}

func (a *Agent) reconcileLocked() error {
	config, err := a.device.IpcGet()
	if err != nil {
		return fmt.Errorf("the device does not say what it has: %w", err)
	}
	found, err := readDevice(config)
	if err != nil {
		return err
	}
	own, members, guests := a.member.Self().Addresses, a.member.Peers(), a.guestsLocked(time.Now())
	wanted := wantedOf(own, members, guests)
	a.noteWithin(own, wanted)
	change, gone := difference(wanted, found, a.preshared)
	if change != "" {
		if err := a.device.IpcSet(change); err != nil {
			return fmt.Errorf("the device does not take its peers: %w", err)
		}
	}
	for _, k := range gone {
		a.bind.Forget(k)
		a.trips.forget(k)
	}
	for _, p := range slices.Concat(members, guests) {
		a.bind.SetPeerDisco(p.Key, p.Disco)
	}
	return errors.Join(a.network.SetAddresses(own), a.network.SetRoutes(addressesOf(wanted)))
}

// noteWithin has isWithin know the addresses of all members.
func (a *Agent) noteWithin(own []netip.Addr, wanted map[key.Public][]netip.Addr) {
	within := make(map[netip.Addr]bool)
	for _, addr := range append(addressesOf(wanted), own...) {
		within[addr] = true
	}
	a.within.Store(&within)
}

// isWithin reports addresses that lead into the tunnel: a path there would be a path
// within itself.
func (a *Agent) isWithin(addr netip.Addr) bool {
	within := a.within.Load()
	return within != nil && (*within)[addr]
}

// addressesOf are those of all that are wanted, in order.
func addressesOf(wanted map[key.Public][]netip.Addr) (all []netip.Addr) {
	for _, addresses := range wanted {
		all = append(all, addresses...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}
