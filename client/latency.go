package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/detour-relay/detour/internal/reach"
)

const latencyPath = "/derp/latency-check"

// Latency returns how long a relay takes to answer an HTTP request over a connection that is already there, without what
// connecting takes (spec section 9.4). It is for where UDP is blocked and STUN cannot tell. It needs no Key. Without a deadline of
// ctx it takes at most 10 s.
func Latency(ctx context.Context, cfg Config) (time.Duration, error) {
	t, err := newTarget(cfg)
	if err != nil {
		return 0, fmt.Errorf("measure relay: %w", err)
	}
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	if err := t.FindProxy(); err != nil {
		return 0, fmt.Errorf("measure relay: %w", err)
	}
	took, err := t.latency(ctx)
	if err != nil {
		return 0, fmt.Errorf("measure relay %s: %w", t.Location.Redacted(), err)
	}
	return took, nil
}

// latency connects as far as TLS, times a request, and closes the connection.
func (t *target) latency(ctx context.Context) (took time.Duration, err error) {
	raw, err := t.DialTCP(ctx)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	c, err := t.secure(ctx, raw)
	if err != nil {
		return 0, err
	}
	err = reach.During(ctx, raw, func() error {
		took, err = t.timeRequest(c)
		return err
	})
	return took, err
}

// timeRequest returns the time from the request to the head of the answer.
func (t *target) timeRequest(c *Conn) (time.Duration, error) {
	start := time.Now()
	if _, err := c.stream.Write(t.GetRequest(latencyPath)); err != nil {
		return 0, err
	}
	head, _, err := reach.ReadHead(c.in.Src)
	took := time.Since(start)
	if err != nil {
		return 0, reach.NoEOF(err)
	}
	answer, err := reach.ParseHead(head)
	if err != nil {
		return 0, err
	}
	return took, latencyRefusal(answer)
}

// latencyRefusal is nil for the answer of a relay.
func latencyRefusal(answer *http.Response) error {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	if to := answer.Header.Get("Location"); to != "" {
		return &StatusError{Code: answer.StatusCode, Redirect: to}
	}
	return fmt.Errorf("%w: HTTP status %d %s for %s", ErrProtocol, answer.StatusCode, http.StatusText(answer.StatusCode), latencyPath)
}
