package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
)

// checkUpgrade takes a connection over in the classic way, without the fast start,
// and then sees whether a request that does not want that is refused.
func (n *node) checkUpgrade(ctx context.Context) Check {
	relay, err := n.greeting(ctx)
	if err != nil {
		return n.notUpgraded(ctx, err)
	}
	n.keys = append(n.keys, relay)
	answer, err := n.head(ctx, n.url.Path)
	switch {
	case err != nil:
		return warn("upgraded, but a request without upgrade fails: %s", n.webText(err)).
			do("have what stands before the relay pass its answers on")
	case answer.StatusCode != http.StatusUpgradeRequired:
		return warn("upgraded, but a request without upgrade is answered with HTTP status %d instead of 426", answer.StatusCode).
			do("have what stands before the relay pass such requests on, too; or leave it if the relay is to be discreet")
	}
	return ok("101 with an upgrade, 426 without")
}

func (n *node) notUpgraded(ctx context.Context, err error) Check {
	var refusal *client.StatusError
	switch {
	case errors.As(err, &refusal):
		return n.refused(refusal)
	case errors.Is(err, errNotDERP), errors.Is(err, errNoGreeting):
		c := fail("%v", err)
		c.derp, c.same = errors.Is(err, errNotDERP), string(explain.NotDERP)
		return c.do("see whether what listens on port %s is a relay", n.port)
	case errors.Is(err, context.DeadlineExceeded):
		return n.noAnswer(err, "no answer to the request to upgrade")
	}
	if c, found := n.onlyHTTP2(ctx, err); found {
		return c
	}
	return n.noAnswer(err, "%s", n.webText(err))
}

var (
	errNotDERP    = errors.New("what answers does not speak DERP")
	errNoGreeting = errors.New("HTTP status 101, but no greeting of a relay behind it")
)

// greeting returns the key that the relay says is its own when it is asked in the
// classic way.
func (n *node) greeting(ctx context.Context) (key.Public, error) {
	header := http.Header{"Upgrade": {"DERP"}, "Connection": {"Upgrade"}}
	answer, err := n.get(ctx, n.url.Path, header)
	if err != nil {
		return key.Public{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return key.Public{}, refusalOf(answer)
	}
	stop := context.AfterFunc(ctx, func() { answer.Body.Close() })
	relay, err := readGreeting(answer.Body)
	if !stop() {
		err = fmt.Errorf("%w: %w", errNoGreeting, context.Cause(ctx))
	}
	if err != nil && !reach.ForDERP(answer.Header) {
		return relay, fmt.Errorf("%w (it is for %.40q): %w", errNoGreeting, answer.Header.Get("Upgrade"), cause(err))
	}
	if said := answer.Header.Get("Derp-Public-Key"); err == nil && said != "" && !strings.EqualFold(said, relay.Hex()) {
		err = fmt.Errorf("%w properly: the header Derp-Public-Key says another key than the greeting", errNotDERP)
	}
	return relay, err
}

// readGreeting reads the ServerKey frame.
func readGreeting(r io.Reader) (relay key.Public, err error) {
	header := make([]byte, derp.HeaderLen)
	if _, err := io.ReadFull(r, header); err != nil {
		return relay, fmt.Errorf("%w: %w", errNoGreeting, err)
	}
	frame, n := derp.ParseHeader(header)
	if frame != derp.FrameServerKey || n > derp.MaxGreeting {
		return relay, fmt.Errorf("%w: a frame of type %v with %d bytes instead of the greeting", errNotDERP, frame, n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return relay, fmt.Errorf("%w: half a greeting: %w", errNoGreeting, err)
	}
	if relay, err = derp.ParseServerKey(payload); err != nil {
		return relay, fmt.Errorf("%w: %w", errNotDERP, err)
	}
	return relay, nil
}

// keyLooks is how many connections more are made to see whether all end at the same
// relay.
const keyLooks = 4

// checkKey looks for a load balancer: keys are known at one relay, and a peer that
// looks for another ends at the wrong one.
func (n *node) checkKey(ctx context.Context) Check {
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for range keyLooks {
		all.Go(func() {
			relay, err := n.greeting(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			n.keys = append(n.keys, relay)
		})
	}
	all.Wait()
	return n.judgeKeys(failed)
}

func (n *node) judgeKeys(failed error) Check {
	var distinct []string
	seen := make(map[key.Public]bool)
	for _, k := range n.keys {
		if !seen[k] {
			seen[k] = true
			distinct = append(distinct, k.String())
		}
	}
	switch {
	case len(distinct) > 1:
		return fail("%d keys on %d connections: %s", len(distinct), len(n.keys), strings.Join(distinct, ", ")).
			do("take the load balancer away: give each relay a name of its own and list each as a node of the region")
	case failed != nil:
		return warn("%d of %d connections failed: %v", keyLooks+1-len(n.keys), keyLooks+1, failed).
			do("see whether the relay limits how fast connections may come, or is overloaded")
	}
	return ok("%s on %d connections", distinct[0], len(n.keys))
}
