package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/proxyhint"
	"github.com/detour-relay/detour/key"
)

// order is that of the checks of a node in its report.
var order = []string{
	"dns", "proxy", "tcp4", "tcp6", "tls", "expiry", "names", "meta", "probe", "upgrade", "key", "login", "packet", "large", "ping",
	"websocket", "hold", "meshkey", "stun4", "stun6", "port80",
}

// node is a relay under check. What one check finds for later ones is written
// before those begin: by proxy and dns, before all others, and then by the checks
// of the connection, which follow each other in one goroutine.
type node struct {
	*target
	run  *run
	done chan struct{} // closed once all checks are made

	// From dns and proxy.
	ways  [2]addresses // by family
	proxy *url.URL     // nil: none

	// From the checks of the connection.
	lacks   map[string]string // checks that failed or were left out: which one it was that failed
	tls     *tls.ConnectionState
	keys    []key.Public                    // what the relay said its key is, on each connection
	meshKey key.Mesh                        // logs us in where admission does not; zero: not needed
	server  string                          // who answered HTTP requests, as he says himself
	front   atomic.Pointer[proxyhint.Proxy] // what it is, if known
	answers bool                            // a probe was answered as it has to be
	mute    bool                            // takes connections, and has said nothing for as long as a client waits

	refusedName string              // application name that the relay does not admit
	a, b        *peer               // two identities of ours at the relay, while there are checks for them
	siblings    map[key.Public]bool // that the relay told us of; nil: not asked

	mu     sync.Mutex
	checks []Check // guarded by mu
}

func newNode(t *target) *node {
	return &node{target: t, done: make(chan struct{}), lacks: make(map[string]string)}
}

// report returns what was found, once the node is done.
func (n *node) report() *Node {
	slices.SortStableFunc(n.checks, func(a, b Check) int {
		return cmp.Compare(slices.Index(order, a.Name), slices.Index(order, b.Name))
	})
	r := &Node{Name: line("%s", n.name()), URL: n.url.String(), Checks: n.checks}
	if k := n.serverKey(); !k.IsZero() {
		r.ServerKey = k.String()
	}
	return r
}

// serverKey is the relay's key, zero if it is not known, or not one.
func (n *node) serverKey() key.Public {
	if len(n.keys) == 0 || n.lacks["key"] != "" {
		return key.Public{}
	}
	return n.keys[0]
}

// check makes all checks of the node.
func (n *node) check(ctx context.Context) {
	if n.relays() {
		n.ask(ctx, "proxy", n.checkProxy)
	}
	n.ask(ctx, "dns", n.checkDNS)
	var beside sync.WaitGroup
	defer beside.Wait()
	for f := range families {
		beside.Go(func() { n.askBeside(ctx, "stun"+families[f].digit, n.checkSTUN(f)) })
	}
	if !n.relays() {
		return
	}
	beside.Go(func() { n.askBeside(ctx, "port80", n.checkPort80) })
	n.checkConnection(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.weigh()
}

// checkConnection goes the way of a connection, step by step.
func (n *node) checkConnection(ctx context.Context) {
	n.checkTCP(ctx)
	if n.useTLS {
		n.ask(ctx, "tls", n.checkTLS, "tcp")
		n.ask(ctx, "expiry", n.checkExpiry)
		n.ask(ctx, "names", n.checkNames)
	} else {
		for _, name := range []string{"tls", "expiry", "names", "meta"} {
			n.put(Check{Name: name, Status: Skip, Detail: "the URL is without TLS"})
		}
	}
	n.ask(ctx, "probe", n.checkProbe, "tcp", "tls")
	n.ask(ctx, "upgrade", n.checkUpgrade, "tcp", "tls")
	n.ask(ctx, "key", n.checkKey, "upgrade")
	if n.useTLS {
		n.ask(ctx, "meta", n.checkMeta)
	}
	n.checkPeers(ctx)
	n.ask(ctx, "websocket", n.checkWebSocket, "tcp", "tls")
	if n.run.cfg.Hold > 0 {
		n.askLong(ctx, "hold", n.checkHold, n.run.cfg.Hold, "login")
	}
	if len(n.run.cfg.MeshKeys) > 0 {
		n.ask(ctx, "meshkey", n.checkMeshKey, "upgrade")
	}
}

// ask makes a check, unless one that it needs is missing.
func (n *node) ask(ctx context.Context, name string, question func(context.Context) Check, needs ...string) {
	n.askLong(ctx, name, question, 0, needs...)
}

// askLong makes a check that may take so much longer than others.
func (n *node) askLong(ctx context.Context, name string, question func(context.Context) Check, longer time.Duration, needs ...string) {
	for _, needed := range needs {
		if failed := n.lacks[needed]; failed != "" {
			n.lacks[name] = failed
			n.put(Check{Name: name, Status: Skip, Detail: "needs " + failed})
			return
		}
	}
	if n.mute && slices.Contains(web, name) {
		longer -= n.run.cfg.Timeout - n.run.cfg.Timeout/time.Duration(len(web)) // they share the time of one
	}
	c := n.run.ask(ctx, name, question, longer)
	if c.Status == Fail {
		n.lacks[name] = name
		n.mute = n.mute || c.same == saidNothing
	}
	n.put(c)
}

// askBeside makes a check that goes on beside those of the connection, and of which
// they know nothing.
func (n *node) askBeside(ctx context.Context, name string, question func(context.Context) Check) {
	n.put(n.run.ask(ctx, name, question, 0))
}

func (n *node) put(c Check) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.checks = append(n.checks, c)
}
