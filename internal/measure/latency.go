package measure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/reach"
)

const latencyPath = "/derp/latency-check"

// Latency returns how long a relay takes to answer an HTTP request over a
// connection that is already there, without what connecting takes (spec section
// 9.4).
func Latency(ctx context.Context, t *reach.Target) (took time.Duration, err error) {
	raw, err := t.DialTCP(ctx)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	conn, err := t.Secure(ctx, raw)
	if err != nil {
		return 0, err
	}
	err = reach.During(ctx, raw, func() error {
		took, err = timeRequest(conn, t.GetRequest(latencyPath))
		return err
	})
	return took, err
}

// timeRequest returns the time from the request to the head of the answer.
func timeRequest(conn net.Conn, request []byte) (time.Duration, error) {
	start := time.Now()
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	head, _, err := reach.ReadHead(conn)
	took := time.Since(start)
	if err != nil {
		return 0, reach.NoEOF(err)
	}
	answer, err := reach.ParseHead(head)
	if err != nil {
		return 0, err
	}
	return took, refusal(answer)
}

// refusal is nil for the answer of a relay.
func refusal(answer *http.Response) error {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	if to := answer.Header.Get("Location"); to != "" {
		return &reach.StatusError{Code: answer.StatusCode, Redirect: to}
	}
	return fmt.Errorf("%w: HTTP status %d %s for %s",
		reach.ErrProtocol, answer.StatusCode, http.StatusText(answer.StatusCode), latencyPath)
}

const (
	// A region is timed at its first relay, and after this time at the next one as
	// well, so that one that hangs does not use up the region's time; sooner if
	// there are so many that their turns would take more than half of it.
	nextRelay     = time.Second
	relayTurns    = home.HTTPSLimit / 2
	maxTimedNodes = 16 // relays of a region
)

// ErrNoRelay: nobody can be connected to in a region.
var ErrNoRelay = errors.New("the region has no relay, only nodes for STUN")

// TimeRegions returns what times a region of the map, at the first of its relays
// that one answers.
func TimeRegions(m *derpmap.Map, one func(context.Context, *derpmap.Node) (time.Duration, error)) func(context.Context, int) (time.Duration, error) {
	return func(ctx context.Context, region int) (time.Duration, error) {
		var attempts []func(context.Context) (time.Duration, error)
		for _, n := range Relays(m.Regions[region]) {
			attempts = append(attempts, func(ctx context.Context) (time.Duration, error) { return one(ctx, n) })
		}
		if len(attempts) == 0 {
			return 0, ErrNoRelay
		}
		attempts = attempts[:min(len(attempts), maxTimedNodes)]
		stages := reach.Stages[time.Duration]{
			Lead: min(nextRelay, relayTurns/time.Duration(len(attempts))), Discard: func(time.Duration) {},
		}
		return reach.Race(ctx, stages, attempts...)
	}
}

// Relays returns the nodes of a region that relay.
func Relays(r *derpmap.Region) []*derpmap.Node {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Nodes), func(n *derpmap.Node) bool { return n == nil || n.STUNOnly })
}
