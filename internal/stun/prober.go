package stun

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Timeout is how long Probe waits for an answer if it is not told otherwise:
// the STUN phase of a client that measures regions.
const Timeout = 3 * time.Second

// ErrSilent is returned by Probe if no answer came.
var ErrSilent = errors.New("STUN: no answer")

// A Socket is what a Prober sends and receives by: a *net.UDPConn, or a
// network in memory.
type Socket interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

// A Prober asks responders over one socket, many at a time. Its methods may
// be called by any goroutine.
type Prober struct {
	socket Socket
	closed chan struct{} // by Close
	ended  chan struct{} // by the reader

	mu    sync.Mutex
	tries map[transactionID]try // guarded by mu; that are not answered
}

// An AnswerError is among the errors of Probe, besides ErrSilent, if what came does not
// tell who we are: a refusal, or no address.
type AnswerError struct{ err error }

func (e *AnswerError) Error() string { return e.err.Error() }
func (e *AnswerError) Unwrap() error { return e.err }

// A try is a request that was sent.
type try struct {
	to      netip.AddrPort
	sent    time.Time
	result  chan<- Result // has room for one; shared by the tries of a Probe
	useless chan<- error  // likewise
}

// A Result is what an answer tells.
type Result struct {
	RoundTrip time.Duration
	Public    netip.AddrPort // the address that the responder saw us under
}

// Dial returns a prober with a socket of its own. Network is "udp4" or "udp6";
// "udp" asks responders of both families by one socket, if the system can.
func Dial(network string) (*Prober, error) {
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, fmt.Errorf("STUN: opening a socket to ask with: %w", err)
	}
	return NewProber(conn), nil
}

// NewProber returns a prober that owns socket. It reads all that arrives
// there, until Close.
func NewProber(socket Socket) *Prober {
	p := &Prober{
		socket: socket,
		closed: make(chan struct{}),
		ended:  make(chan struct{}),
		tries:  make(map[transactionID]try),
	}
	go p.read()
	return p
}

// Close ends the probes under way with net.ErrClosed, and closes the socket.
func (p *Prober) Close() error {
	p.mu.Lock()
	select {
	case <-p.closed:
		p.mu.Unlock()
		<-p.ended
		return nil
	default:
	}
	close(p.closed)
	p.mu.Unlock()
	err := p.socket.Close()
	<-p.ended
	return err
}

// Probe asks the responder at to. It sends one request for each of waits,
// and after each it waits so long before it sends the next or gives up; without
// waits it is one request and Timeout. The answer to any of them counts, and
// RoundTrip is the time since that one was sent.
//
// An answer counts only if it comes from the address that was asked and has
// the transaction ID of a request to it; all others are ignored, so forging
// one takes guessing 12 random bytes.
//
// The error is ErrSilent if no answer came that counts, that of ctx, net.ErrClosed after
// Close, or that of a request that could not be sent.
func (p *Prober) Probe(ctx context.Context, to netip.AddrPort, waits ...time.Duration) (Result, error) {
	if len(waits) == 0 {
		waits = []time.Duration{Timeout}
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	results, useless := make(chan Result, 1), make(chan error, 1)
	var ids []transactionID
	defer func() { p.forget(ids) }()
	for _, wait := range waits {
		if err := ctx.Err(); err != nil {
			return Result{}, probeError(to, err)
		}
		id, err := p.ask(to, results, useless)
		ids = append(ids, id)
		if err != nil {
			return Result{}, probeError(to, err)
		}
		timer := time.NewTimer(wait)
		select {
		case r := <-results:
			timer.Stop()
			return r, nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Result{}, probeError(to, ctx.Err())
		case <-p.closed:
			timer.Stop()
			return Result{}, probeError(to, net.ErrClosed)
		}
	}
	select {
	case err := <-useless:
		return Result{}, probeError(to, fmt.Errorf("%w that counts: %w", ErrSilent, &AnswerError{err}))
	default:
		return Result{}, probeError(to, ErrSilent)
	}
}

func probeError(to netip.AddrPort, err error) error { return fmt.Errorf("asking %v: %w", to, err) }

// ask sends a request. The caller forgets it, also after an error.
func (p *Prober) ask(to netip.AddrPort, results chan<- Result, useless chan<- error) (transactionID, error) {
	id, request, err := newRequest()
	if err != nil {
		return id, err
	}
	p.mu.Lock()
	p.tries[id] = try{to, time.Now(), results, useless}
	p.mu.Unlock()
	_, err = p.socket.WriteToUDPAddrPort(request, to)
	return id, err
}

func (p *Prober) forget(ids []transactionID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		delete(p.tries, id)
	}
}

// read hands answers to those who wait for them, until Close.
func (p *Prober) read() {
	defer close(p.ended)
	b := make([]byte, maxRequest)
	var failures failures
	for {
		n, from, err := p.socket.ReadFromUDPAddrPort(b)
		arrived := time.Now()
		if err == nil {
			failures.end()
			p.take(b[:n], from, arrived)
			continue
		}
		failures.add()
		failures.wait(p.closed)
		if p.isClosed() {
			return
		}
	}
}

func (p *Prober) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// take ends the Probe that b answers, if it answers any.
func (p *Prober) take(b []byte, from netip.AddrPort, arrived time.Time) {
	id, ok := answeredTransaction(b)
	if !ok {
		return
	}
	p.mu.Lock()
	asked, ok := p.tries[id]
	p.mu.Unlock()
	if !ok || !sameHost(asked.to, from) {
		return
	}
	public, err := parseAnswer(b)
	if err != nil {
		select { // a good one may follow
		case asked.useless <- err:
		default: // another was, too
		}
		return
	}
	select {
	case asked.result <- Result{arrived.Sub(asked.sent), public}:
	default: // another try was answered first
	}
}

// sameHost compares addresses as they are on the wire: zones are names that
// the system makes up.
func sameHost(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Unmap().WithZone("") == b.Addr().Unmap().WithZone("")
}
