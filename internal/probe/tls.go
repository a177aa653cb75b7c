package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/issuers"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/key"
)

// checkTLS has the client verify the relay, and looks at the handshake itself.
func (n *node) checkTLS(ctx context.Context) Check {
	dialled, verdict := n.dialOnce(ctx)
	if !dialled && n.explain(verdict).Cause == explain.Proxy {
		return fail("%s", n.trim(verdict)).do("%s", n.explain(verdict).Remedy)
	}
	if wrong, isNode := errors.AsType[*reach.NodeError](verdict); isNode {
		return fail("%s", wrong.What).do("%s", wrong.Remedy)
	}
	if !dialled && verdict != nil {
		return fail("%s", strings.TrimPrefix(verdict.Error(), "connect to relay: ")).do("%s", n.configRemedy())
	}
	state, err := n.handshake(ctx)
	switch {
	case err != nil && verdict != nil:
		return n.noTLS(verdict)
	case err != nil:
		return n.noTLS(err)
	}
	n.tls = &state
	n.mute = errors.Is(verdict, context.DeadlineExceeded)
	switch {
	case n.explain(verdict).Cause == explain.TLSRefused: // TLS 1.3 tells after the handshake
		return n.noTLS(verdict)
	case errors.Is(verdict, client.ErrPinMismatch):
		return n.wrongPin(state.PeerCertificates)
	case errors.Is(verdict, client.ErrCertificate):
		return n.notValid(state.PeerCertificates, verdict, time.Now())
	}
	return n.verified(state)
}

// dialOnce connects as clients do, and no further than the login. Its error is
// about trust, or about something that later checks are for; if nothing was
// dialled, about what the client was told.
func (n *node) dialOnce(ctx context.Context) (dialled bool, err error) {
	half := n.run.cfg.Timeout / 2 // a silent relay must leave time for the look
	ctx, cancel := context.WithTimeoutCause(ctx, half, slowError(half))
	defer cancel()
	cfg := n.dial
	cfg.Key = key.NewPrivate()
	cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = true
		return n.dial.DialContext(ctx, network, addr)
	}
	conn, err := client.Dial(ctx, cfg)
	if err == nil {
		conn.Close()
	}
	return dialled, err
}

func (n *node) configRemedy() string {
	if n.node != nil {
		return "correct HostName, DERPPort and CertName of the node"
	}
	return "correct the URL and " + n.run.cfg.Words.CertName
}

// handshake shakes hands with whoever is there, and believes everything.
func (n *node) handshake(ctx context.Context) (state tls.ConnectionState, err error) {
	conn, err := n.open(ctx)
	if err != nil {
		return state, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// noTLS explains why there was no handshake.
func (n *node) noTLS(err error) Check {
	text := n.trim(err)
	var refusal *client.StatusError
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case errors.As(err, &refusal) && refusal.Proxy:
		return n.refused(refusal)
	case plain:
		what, remedy := n.explain(err).Parts()
		return fail("%s", what).do("%s", remedy)
	case n.explain(err).Cause == explain.Proxy:
		return fail("%s", text).do("%s", n.explain(err).Remedy)
	case n.explain(err).Cause == explain.TLSRefused:
		what, remedy := n.explain(err).Parts()
		return fail("%s: %v", what, cause(err)).do("%s", remedy)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fail("no answer to the TLS handshake").
			do("see whether what listens on port %s is a relay, and not overloaded; and whether the path loses large packets (MTU): "+
				"a client's first message has 1.7 KB", n.port)
	case errors.Is(err, io.EOF), errors.Is(err, errno.ConnectionReset):
		return fail("the connection was closed in the TLS handshake").
			do("give the relay a certificate for %s; see its log, and what stands before it", n.host)
	}
	return fail("%s", text).do("see the relay's log, and what stands before it")
}

// wrongPin explains why a certificate is not the pinned one.
func (n *node) wrongPin(certs []*x509.Certificate) Check {
	if others := len(certs) - 1 - metaCount(certs[1:]); others > 0 {
		return fail("%d more certificates than the pinned one, which has to be alone", others).
			do("serve the pinned certificate without intermediates, or take the pin out and let authorities vouch for it")
	}
	return fail("the certificate is %s, not the pinned one", pin.Of(certs[0])).
		do("if the relay prints this pin at start, write it into %s; if not, somebody else answers for it", n.certNameField())
}

// notValid explains, by what can be seen of the certificates, why they were not
// verified.
func (n *node) notValid(certs []*x509.Certificate, err error, now time.Time) Check {
	leaf := certs[0]
	known := issuers.Of(leaf)
	switch {
	case known.StandsIn():
		return foreign(known, n.way(), leaf)
	case now.After(leaf.NotAfter):
		return fail("the certificate has expired: %s", explain.ClockText(leaf, now)).do("%s", renewRemedy)
	case now.Before(leaf.NotBefore):
		return fail("the certificate is not valid yet: %s", explain.ClockText(leaf, now)).do("%s", clockRemedy)
	case !covers(leaf, n.verifiedName()):
		return fail("the certificate is not for %s", n.verifiedName()).do("%s", n.way().NameRemedy(leaf, n.verifiedName()))
	case known != nil:
		return foreign(known, n.way(), leaf)
	case selfSigned(leaf):
		return fail("the certificate is self-signed: no authority vouches for it").
			do("pin it: write %s into %s", pin.Of(leaf), n.certNameField())
	case len(certs)-metaCount(certs) == 1:
		return fail("the certificate cannot be traced to an authority, and comes without intermediates: %s", cause(err)).
			do("serve the whole chain, often called fullchain.pem; or name its authority with %s", n.run.cfg.Words.CA)
	}
	return fail("the certificate cannot be traced to an authority: %s", cause(err)).
		do("name its authority with %s if it is your own, or get a certificate of one that clients trust", n.run.cfg.Words.CA)
}

// foreign is about a certificate of an issuer that is known for being trusted by nobody.
func foreign(known *issuers.Known, way *explain.Way, leaf *x509.Certificate) Check {
	return fail("no authority vouches for the certificate: %s", known.Why).do("%s", way.ForeignRemedy(leaf, known))
}

// verified says what there is to say about a handshake that clients are happy with.
func (n *node) verified(state tls.ConnectionState) Check {
	how := "verified"
	switch {
	case n.dial.InsecureSkipVerify:
		return warn("%s; certificates are not verified, anybody can be this relay", tls.VersionName(state.Version)).
			do("%s", n.insecureRemedy(state.PeerCertificates[0]))
	case n.pinned():
		how = "is the pinned certificate"
	case n.dial.CertName != "":
		how = "verified for the name " + n.dial.CertName
	}
	if what, remedy := weakness(state.PeerCertificates[0], n.pinned()); what != "" {
		return warn("%s, %s; but %s", tls.VersionName(state.Version), how, what).do("%s", remedy)
	}
	if state.Version < tls.VersionTLS13 {
		return warn("%s, %s", tls.VersionName(state.Version), how).
			do("allow TLS 1.3 where TLS ends: clients save a round trip with it")
	}
	return ok("%s, %s", tls.VersionName(state.Version), how)
}

func (n *node) insecureRemedy(leaf *x509.Certificate) string {
	if n.node != nil {
		return fmt.Sprintf("take InsecureForTests out of the node, and pin the certificate: CertName %s", pin.Of(leaf))
	}
	return fmt.Sprintf("leave %s out, and pin the certificate: %s %s", n.run.cfg.Words.Insecure, n.run.cfg.Words.CertName, pin.Of(leaf))
}

func (n *node) certNameField() string {
	if n.node != nil {
		return "the node's CertName"
	}
	return n.run.cfg.Words.CertName
}

// trim takes off what the client says first: the URL, which everybody knows here.
func (n *node) trim(err error) string {
	text := err.Error()
	text = strings.TrimPrefix(text, "connect to relay "+n.url.Redacted()+": ")
	return strings.TrimPrefix(strings.TrimPrefix(text, "connect to relay: "), "TLS: ")
}

// cause is the innermost error.
func cause(err error) error {
	for {
		switch inner := err.(type) {
		case interface{ Unwrap() error }:
			if inner.Unwrap() == nil {
				return err
			}
			err = inner.Unwrap()
		case interface{ Unwrap() []error }:
			all := inner.Unwrap()
			if len(all) == 0 {
				return err
			}
			err = all[len(all)-1]
		default:
			return err
		}
	}
}
