package usernet

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// dialTime is how long a connection to a member, or to this machine, may take.
	dialTime = 30 * time.Second

	// mostConns bounds the connections through all ports; those beyond are closed.
	mostConns = 1024
)

// A Forward leads from a port of this machine to one of a member.
type Forward struct {
	Listen string // address and port of this machine
	Name   string // of the member, or its address
	Port   uint16
}

// PortsConfig says which ports there are. All addresses of this machine are to be such
// that only those may use them who may use the tunnel.
type PortsConfig struct {
	SOCKS    string // address and port of a SOCKS5 proxy; empty: none
	Forwards []Forward
	Expose   []uint16 // ports of 127.0.0.1 that members come to

	// Resolve finds a member; addresses are tried in their order.
	Resolve func(name string) (addresses []netip.Addr, known bool)
	Logger  *slog.Logger // nil discards
}

// Ports are where programs of this machine and members of the tailnet meet.
type Ports struct {
	network *Network
	cfg     PortsConfig
	socks   net.Addr
	cancel  context.CancelFunc
	all     []net.Listener
	running sync.WaitGroup
	room    chan struct{}
}

// Open listens at all ports, or at none. The errors say which could not be had.
func (n *Network) Open(cfg PortsConfig) (*Ports, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Ports{network: n, cfg: cfg, cancel: cancel, room: make(chan struct{}, mostConns)}
	if err := p.open(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Ports) open(ctx context.Context) error {
	if p.cfg.SOCKS != "" {
		l, err := net.Listen("tcp", p.cfg.SOCKS)
		if err != nil {
			return fmt.Errorf("SOCKS proxy: %w", err)
		}
		p.socks = l.Addr()
		p.serve(ctx, l, func(c net.Conn) { p.serveSOCKS(ctx, c) })
	}
	for _, f := range p.cfg.Forwards {
		l, err := net.Listen("tcp", f.Listen)
		if err != nil {
			return fmt.Errorf("forward to %s: %w", f.Name, err)
		}
		p.serve(ctx, l, func(c net.Conn) { p.forward(ctx, c, f) })
	}
	for _, port := range p.cfg.Expose {
		l, err := p.network.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
		if err != nil {
			return err
		}
		p.serve(ctx, l, func(c net.Conn) { p.expose(ctx, c, port) })
	}
	return nil
}

// SOCKSAddr is where the proxy listens; nil: there is none.
func (p *Ports) SOCKSAddr() net.Addr { return p.socks }

// Close ends all ports and connections. It may be called more than once.
func (p *Ports) Close() {
	p.cancel()
	for _, l := range p.all {
		l.Close()
	}
	p.running.Wait()
}

func (p *Ports) serve(ctx context.Context, l net.Listener, each func(net.Conn)) {
	p.all = append(p.all, l)
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if ctx.Err() == nil {
					p.cfg.Logger.Warn("a port does not take connections any more", "at", l.Addr().String(), "reason", err)
				}
				return
			}
			select {
			case p.room <- struct{}{}:
				p.running.Go(func() { defer func() { <-p.room }(); each(c) })
			default:
				c.Close()
			}
		}
	})
}

// dial connects to a member.
func (p *Ports) dial(ctx context.Context, t target) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addresses := []netip.Addr{t.addr}
	if t.name != "" {
		var known bool
		if addresses, known = p.cfg.Resolve(t.name); !known {
			return nil, fmt.Errorf("the tailnet has no member %q", t.name)
		}
	}
	err = fmt.Errorf("%s has no address", t)
	for _, a := range addresses {
		if c, err = p.network.DialTCP(ctx, netip.AddrPortFrom(a, t.port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (p *Ports) forward(ctx context.Context, c net.Conn, f Forward) {
	defer c.Close()
	t := target{name: f.Name, port: f.Port}
	if a, err := netip.ParseAddr(f.Name); err == nil {
		t = target{addr: a, port: f.Port}
	}
	far, err := p.dial(ctx, t)
	if err != nil {
		p.cfg.Logger.Warn("a forward leads nowhere", "to", t.String(), "reason", err)
		return
	}
	join(ctx, c, far)
}

func (p *Ports) expose(ctx context.Context, c net.Conn, port uint16) {
	defer c.Close()
	d := net.Dialer{Timeout: dialTime}
	near, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		p.cfg.Logger.Warn("an exposed port leads nowhere", "port", port, "reason", err)
		return
	}
	join(ctx, c, near)
}

// join carries bytes both ways until both sides have said all, or ctx ends. It closes
// both.
func join(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var other sync.WaitGroup
	other.Go(func() { carry(a, b) })
	carry(b, a)
	other.Wait()
	a.Close()
	b.Close()
}

// carry ends the writing of to when from has said all, and both if one cannot go on.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}
