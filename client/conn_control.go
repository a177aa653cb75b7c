package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/detour-relay/detour/derp"
)

const (
	pingTimeout = 5 * time.Second // of a Ping whose context has no deadline
	maxControls = 1 << 10         // bytes of control frames that wait to be written
)

// controls are the Pings and Pongs to write. The receiver must not wait for the
// sending side, which may be stuck, and a Ping must not wait longer than its
// context: so they are written by a goroutine that lives while there are any.
type controls struct {
	mu      sync.Mutex
	frames  []byte                                // to be written
	writing bool                                  // a writer is running
	pings   map[[derp.PingLen]byte]chan time.Time // Pings that wait for their Pong
	writers sync.WaitGroup                        // Close waits for it
}

// push has a frame written soon, or reports that too many are waiting.
func (c *Conn) push(frame []byte) bool {
	c.control.mu.Lock()
	defer c.control.mu.Unlock()
	if len(c.control.frames)+len(frame) > maxControls || c.ended() != nil {
		return false
	}
	c.control.frames = append(c.control.frames, frame...)
	if !c.control.writing {
		c.control.writing = true
		c.control.writers.Go(c.writeControls)
	}
	return true
}

func (c *Conn) writeControls() {
	for frames := c.takeControls(); frames != nil; frames = c.takeControls() {
		if c.sendFrame(frames) != nil {
			return // the connection has ended; nothing is pushed any more
		}
	}
}

// wait waits for the writer of a connection that has ended.
func (c *controls) wait() {
	c.mu.Lock() // whoever is in push either sees that the connection has ended or has started its writer by now
	writers := &c.writers
	c.mu.Unlock()
	writers.Wait()
}

func (c *Conn) takeControls() []byte {
	c.control.mu.Lock()
	defer c.control.mu.Unlock()
	frames := c.control.frames
	c.control.frames = nil
	c.control.writing = frames != nil
	return frames
}

// Ping measures the time to the relay and back. Somebody has to be in Recv. It
// waits until ctx ends, or 5 s if ctx has no deadline, which does not close the
// connection.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pingTimeout)
		defer cancel()
	}
	data, pong := c.expectPong()
	defer c.forgetPong(data)
	start := time.Now()
	if !c.push(derp.AppendPing(nil, data)) {
		if err := c.ended(); err != nil {
			return 0, err
		}
	}
	select {
	case end := <-pong:
		return end.Sub(start), nil
	case <-c.done:
		return 0, c.cause
	case <-ctx.Done():
		return 0, fmt.Errorf("relay %s: no Pong: %w", c.RemoteAddr(), context.Cause(ctx))
	}
}

func (c *Conn) expectPong() (data [derp.PingLen]byte, pong chan time.Time) {
	rand.Read(data[:])
	pong = make(chan time.Time, 1)
	c.control.mu.Lock()
	defer c.control.mu.Unlock()
	if c.control.pings == nil {
		c.control.pings = map[[derp.PingLen]byte]chan time.Time{}
	}
	c.control.pings[data] = pong
	return data, pong
}

func (c *Conn) forgetPong(data [derp.PingLen]byte) {
	c.control.mu.Lock()
	defer c.control.mu.Unlock()
	delete(c.control.pings, data)
}

// pongArrived tells the Ping that waits for it, if any.
func (c *Conn) pongArrived(data [derp.PingLen]byte) {
	c.control.mu.Lock()
	defer c.control.mu.Unlock()
	if pong, ok := c.control.pings[data]; ok {
		pong <- time.Now() // has room, and is used once
		delete(c.control.pings, data)
	}
}
