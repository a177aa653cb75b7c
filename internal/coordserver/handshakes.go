package coordserver

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// All members come at once when a coordinator is back. If all of their handshakes
// began at once, each would take as long as all together, and end in the timeout, so
// that nobody came in: so many begin at a time, and the others wait for their turn.
const (
	handshakeTurns = 512
	turnTime       = time.Second      // after which the next one's turn comes, whoever is slow
	waitTime       = 30 * time.Second // for a turn; members do not wait longer either
)

// handshakes is a listener whose connections have had their TLS handshake.
type handshakes struct {
	net.Listener
	secure *tls.Config
	turns  chan struct{}
	done   chan net.Conn
	failed chan error    // what accepting ended with; has room
	over   chan struct{} // closed when whoever accepts has got all who had come, and been told so
	told   sync.Once     // over is closed once

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // all
	conns   sync.WaitGroup // of running, the connections
}

func newHandshakes(l net.Listener, secure *tls.Config, turns int) *handshakes {
	h := &handshakes{
		Listener: l, secure: secure, turns: make(chan struct{}, turns),
		done: make(chan net.Conn), failed: make(chan error, 1), over: make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.running.Go(h.accept)
	return h
}

func (h *handshakes) accept() {
	for {
		conn, err := h.Listener.Accept()
		if err != nil {
			h.conns.Wait() // those that have come are still served
			h.failed <- err
			return
		}
		h.conns.Add(1)
		h.running.Go(func() {
			defer h.conns.Done()
			h.secureOne(conn)
		})
	}
}

// secureOne hands a connection on, or closes it.
func (h *handshakes) secureOne(conn net.Conn) {
	secure := tls.Server(conn, h.secure)
	if !h.shake(secure) {
		conn.Close()
		return
	}
	select {
	case h.done <- secure:
	case <-h.ctx.Done():
		conn.Close()
	}
}

func (h *handshakes) shake(conn *tls.Conn) bool {
	wait := time.NewTimer(waitTime)
	defer wait.Stop()
	select {
	case h.turns <- struct{}{}:
	case <-wait.C:
		return false
	case <-h.ctx.Done():
		return false
	}
	over := sync.OnceFunc(func() { <-h.turns })
	defer over()
	defer time.AfterFunc(turnTime, over).Stop()
	ctx, cancel := context.WithTimeout(h.ctx, headTime)
	defer cancel()
	return conn.HandshakeContext(ctx) == nil
}

// Accept returns the next connection whose handshake is over. Who calls it again knows
// the one before: net/http, which shuts down what it knows.
func (h *handshakes) Accept() (net.Conn, error) {
	select {
	case conn := <-h.done:
		return conn, nil
	case err := <-h.failed:
		h.told.Do(func() { close(h.over) })
		h.failed <- err
		return nil, err
	}
}

// Finish ends accepting, and returns when those who had come before have failed or are
// known to whoever accepts, or ctx ends.
func (h *handshakes) Finish(ctx context.Context) {
	h.Listener.Close()
	select {
	case <-h.over:
	case <-ctx.Done():
	}
}

// Close ends accepting, and what is under way. It returns when nothing is left.
func (h *handshakes) Close() error {
	err := h.Listener.Close()
	h.cancel()
	h.running.Wait()
	return err
}
