package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
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
	ctx, cancel := withConnectBudget(ctx)
	defer cancel()
	if err := t.findProxy(); err != nil {
		return 0, fmt.Errorf("measure relay: %w", err)
	}
	took, err := t.latency(ctx)
	if err != nil {
		return 0, fmt.Errorf("measure relay %s: %w", t.url.Redacted(), err)
	}
	return took, nil
}

func (t *target) latency(ctx context.Context) (took time.Duration, err error) {
	err = t.over(ctx, func(c *Conn) (err error) {
		took, err = t.timeRequest(c)
		return err
	})
	return took, err
}

// over connects as far as TLS, and closes what remains after use.
func (t *target) over(ctx context.Context, use func(*Conn) error) error {
	raw, err := t.dialTCP(ctx)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	c, err := t.secure(ctx, raw)
	if err == nil {
		err = use(c)
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// timeRequest returns the time from the request to the head of the answer.
func (t *target) timeRequest(c *Conn) (time.Duration, error) {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n", latencyPath, t.hostPort, userAgent)
	start := time.Now()
	if _, err := io.WriteString(c.stream, request); err != nil {
		return 0, err
	}
	_, err := readHead(&c.in)
	took := time.Since(start)
	if err != nil {
		return 0, noEOF(err)
	}
	// The body stays where it is, since Close would read to its end.
	answer, err := http.ReadResponse(bufio.NewReader(&c.in), nil)
	if err != nil {
		return 0, fmt.Errorf("%w: the HTTP answer cannot be read: %w", ErrProtocol, err)
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
