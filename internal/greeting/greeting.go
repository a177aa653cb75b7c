// Package greeting exchanges the first words of a relay and who connects to it, a peer or
// a sibling: the relay's key, and who the other one is, in a box that proves his key.
// Whoever is there has proven nothing until then, so time and memory are bounded.
package greeting

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// A Stream is that of the relay.
type Stream interface {
	ReadBursts(handle func(burst []byte) (used int, err error)) error
	Write(p []byte) (int, error)
	Flush(wait bool) (done bool, err error)
	Close() error
}

// ErrBad: what came is malformed, or its box did not open.
var ErrBad = errors.New("relay: bad login")

// A Client is who connects, with his key proven.
type Client struct {
	Key  key.Public
	Box  key.Box // between him and us
	Info derp.ClientInfo
}

// SendServer says which key the relay has.
func SendServer(stream Stream, own key.Public) error {
	return send(stream, derp.AppendServerKey(nil, own))
}

// ReadClient reads who answers that. large is what all such answers under way have that
// are larger than real ones.
func ReadClient(stream Stream, own key.Private, large *atomic.Int64) (c Client, err error) {
	answer := Frame{Want: derp.FrameClientInfo, Min: derp.MinClientInfo, Max: derp.MaxClientInfo, Large: large}
	payload, err := answer.From(stream)
	answer.Release()
	if err != nil {
		return c, err
	}
	var sealed []byte
	if c.Key, sealed, err = derp.ParseClientInfo(payload); err == nil {
		c.Box = own.Box(c.Key)
		c.Info, err = derp.OpenClientInfo(sealed, &c.Box)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrBad, err)
	}
	return c, err
}

// ReadServer reads which key the relay at the other end has.
func ReadServer(stream Stream) (k key.Public, err error) {
	greeting := Frame{Want: derp.FrameServerKey, Min: 1, Max: derp.MaxGreeting}
	payload, err := greeting.From(stream)
	if err != nil {
		return k, err
	}
	if k, err = derp.ParseServerKey(payload); err != nil {
		err = fmt.Errorf("%w: %w", ErrBad, err)
	}
	return k, err
}

// SendSibling answers that as a sibling that wants to be told of peers.
func SendSibling(stream Stream, own key.Public, box *key.Box, meshKey key.Mesh) error {
	info := derp.ClientInfo{MeshKey: meshKey, Version: derp.ProtocolVersion}
	return send(stream, derp.AppendWatchConns(derp.AppendClientInfo(nil, own, box, info)))
}

func send(stream Stream, frames []byte) error {
	_, err := stream.Write(frames)
	for done := false; err == nil && !done; {
		done, err = stream.Flush(true)
	}
	return err
}

// timeout is how long each of a greeting's two sides may take (spec 4).
const timeout = 10 * time.Second

// ErrTimeout: they took longer.
var ErrTimeout = errors.New("relay: login took too long")

// A Deadline closes a stream whose greeting takes too long.
type Deadline struct {
	timer  *time.Timer
	passed atomic.Bool
}

// NewDeadline begins to wait.
func NewDeadline(stream io.Closer) *Deadline {
	d := new(Deadline)
	d.timer = time.AfterFunc(timeout, func() {
		d.passed.Store(true)
		stream.Close()
	})
	return d
}

// Renew waits for the other side.
func (d *Deadline) Renew() { d.timer.Reset(timeout) }

// Stop ends the waiting, and explains an error of the stream.
func (d *Deadline) Stop(err error) error {
	d.timer.Stop()
	if err != nil && d.passed.Load() {
		return ErrTimeout
	}
	return err
}
