package stun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
)

// DefaultAddr is where clients expect STUN: port 3478 of all addresses.
const DefaultAddr = ":3478"

// Config is how a Responder is to be.
type Config struct {
	// Addr is where Listen listens, as host:port or :port; empty means
	// DefaultAddr. Without a host, or with [::], that is all addresses of
	// both families; 0.0.0.0 is those of IPv4.
	Addr string

	// Healthy says whether to answer: a relay that drains, or cannot be
	// reached, stays silent, so that clients choose another home. It is
	// called once for each batch of datagrams, so it must be quick. Nil means
	// always.
	Healthy func() bool

	Logger *slog.Logger // nil discards
}

// A Responder answers requests on one UDP socket.
type Responder struct {
	socket *socket
	addr   netip.AddrPort
	config Config
	count  counters

	// everywhere: the socket is bound to all addresses, so each request has
	// to tell which of them was asked.
	everywhere bool

	close  sync.Once
	closed chan struct{}
}

// New returns a responder for a socket that is open already, as a process has
// it that takes over from another; until the other closes its copy, both
// answer. The responder owns it from now on, also if New fails. Config.Addr is
// not used.
func New(conn *net.UDPConn, config Config) (*Responder, error) {
	if config.Healthy == nil {
		config.Healthy = func() bool { return true }
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		conn.Close()
		return nil, errors.New("STUN: the socket is closed")
	}
	r := &Responder{config: config, everywhere: local.IP.IsUnspecified(), closed: make(chan struct{})}
	r.addr = netip.AddrPortFrom(local.AddrPort().Addr().Unmap(), local.AddrPort().Port())
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		config.Logger.Debug("STUN receive buffer stays as it is", "error", err)
	}
	if r.everywhere {
		if err := askForLocalAddr(conn); err != nil {
			conn.Close()
			return nil, err
		}
	}
	var err error
	if r.socket, err = takeSocket(conn); err != nil {
		return nil, err
	}
	return r, nil
}

// Addr returns the address that the responder listens on.
func (r *Responder) Addr() netip.AddrPort { return r.addr }

// File returns a copy of the socket, to hand it to a process that takes over. It
// is the caller's to close.
func (r *Responder) File() (*os.File, error) {
	file, err := r.socket.file()
	if err != nil {
		return nil, fmt.Errorf("STUN: copying the socket: %w", err)
	}
	return file, nil
}

// Serve answers requests until ctx is done or Close is called, and then
// returns nil. It closes the socket.
func (r *Responder) Serve(ctx context.Context) error {
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	return r.serve()
}

// Close closes the socket, which ends Serve.
func (r *Responder) Close() error {
	var err error
	r.close.Do(func() {
		close(r.closed)
		err = r.socket.Close()
	})
	return err
}

func (r *Responder) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// wanted counts a datagram and reports whether it is to be answered.
func (r *Responder) wanted(datagram []byte, healthy bool) bool {
	r.count.received.Add(1)
	if why := classify(datagram); why != none {
		r.count.ignored[why].Add(1)
		return false
	}
	r.count.requests.Add(1)
	if !healthy {
		r.count.unhealthy.Add(1)
	}
	return healthy
}

// answered counts an answer of so many bytes that the system took.
func (r *Responder) answered(size int) {
	if size == answerIPv4 {
		r.count.answeredIPv4.Add(1)
	} else {
		r.count.answeredIPv6.Add(1)
	}
}

// failed counts a failure to receive and waits a while. It reports whether to go
// on.
func (r *Responder) failed(err error, in *failures) bool {
	if r.isClosed() {
		return false
	}
	in.add()
	r.count.receiveErrors.Add(1)
	if in.row == 1 {
		r.config.Logger.Warn("STUN cannot receive: trying again", "error", err)
	}
	in.wait(r.closed)
	return !r.isClosed()
}
