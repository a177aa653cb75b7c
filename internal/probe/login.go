package probe

import (
	"context"
	"errors"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// checkPeers logs identities in and has packets go between them.
func (n *node) checkPeers(ctx context.Context) {
	defer func() {
		n.a.close()
		n.b.close()
	}()
	n.ask(ctx, "login", n.checkLogin, "upgrade")
	n.ask(ctx, "ping", n.checkPing, "login")
	n.ask(ctx, "packet", n.checkPacket, "login", "key")
	n.ask(ctx, "large", n.checkLarge, "packet")
}

// login logs a new identity in, with the mesh key if it does not go without.
func (n *node) login(ctx context.Context) (*peer, error) {
	cfg := n.dial
	cfg.MeshKey = n.meshKey
	return login(ctx, cfg)
}

// checkLogin wants to be admitted. That a relay takes the connection over does not
// mean that it does (spec 18, trap 9).
func (n *node) checkLogin(ctx context.Context) Check {
	started := time.Now()
	var err error
	if n.a, err = n.login(ctx); errors.Is(err, client.ErrAdmissionRefused) && n.dial.AppName != "" {
		n.a, err = n.loginNameless(ctx, err)
	}
	if errors.Is(err, client.ErrAdmissionRefused) && !n.dial.InsecureSkipVerify {
		if n.a = n.loginAsSibling(ctx); n.a != nil {
			return ok("admitted as a sibling only, with the mesh key, in %s", short(time.Since(started)))
		}
	}
	if err != nil {
		return n.notLoggedIn(err)
	}
	if relay := n.serverKey(); !relay.IsZero() && relay != n.a.conn.ServerKey() {
		return fail("this connection ends at a relay with another key than those before").
			do("take the load balancer away: give each relay a name of its own and list each as a node of the region")
	}
	took := short(time.Since(started))
	if limit := n.a.info; limit.TokenBucketBytesPerSecond > 0 {
		return n.admitted("admitted in %s; asks to send at most %d bytes per second, %d at once",
			took, limit.TokenBucketBytesPerSecond, limit.TokenBucketBytesBurst)
	}
	return n.admitted("admitted in %s", took)
}

// loginNameless tries without an application name, as a relay may refuse some, and
// goes on without it if that helps.
func (n *node) loginNameless(ctx context.Context, refused error) (*peer, error) {
	name := n.dial.AppName
	n.dial.AppName = ""
	p, err := n.login(ctx)
	if err != nil {
		n.dial.AppName = name
		return nil, refused
	}
	n.refusedName = name
	return p, nil
}

// admitted is the outcome of a login.
func (n *node) admitted(format string, args ...any) Check {
	c := ok(format, args...)
	if n.refusedName == "" {
		return c
	}
	return warn("%s; but not with the application name %q", c.Detail, n.refusedName).
		do("allow it at the relay if programs of that name are to connect: derper refuses what -disallow-app-names lists")
}

// loginAsSibling tries the mesh keys, which get us past admission. It returns nil
// if none does.
func (n *node) loginAsSibling(ctx context.Context) *peer {
	for _, n.meshKey = range n.run.cfg.MeshKeys {
		if p, err := n.login(ctx); err == nil {
			return p
		}
	}
	n.meshKey = key.Mesh{}
	return nil
}

func (n *node) notLoggedIn(err error) Check {
	var refusal *client.StatusError
	switch {
	case n.metaLies():
		return fail("closed: our login is sealed to the key in the meta certificate, which is not the relay's").
			do("see meta")
	case errors.Is(err, client.ErrAdmissionRefused):
		return fail("the relay does not admit us: it closes the connection after the login").
			do("if it admits only peers it knows, let check past with %s; if not, see its log", n.run.cfg.Words.MeshKey)
	case errors.Is(err, client.ErrServerKey):
		return fail("the relay has another key than its certificate says").do("see meta and key")
	case errors.Is(err, errNotFirst):
		return fail("the relay says something before ServerInfo, which has to be first").
			do("take a relay that keeps to the protocol; derpprobe calls this one bad")
	case errors.As(err, &refusal):
		return n.refused(refusal)
	case errors.Is(err, context.DeadlineExceeded):
		return fail("no answer to the login").do("see the relay's log: it may be overloaded, or waits for who decides about admission")
	}
	return fail("%s", n.trim(err)).do("see the relay's log")
}

// metaLies reports whether the meta certificate says another key than the relay.
func (n *node) metaLies() bool { return n.lacks["meta"] != "" }
