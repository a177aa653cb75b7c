// Package explain says what to do about an error on the way to a relay or to a DERP
// map. It goes by the cause that the error wraps and by what has been said already:
// to one who gave a pin it does not say "give its pin", and a proxy's failure is
// never told as the relay's.
package explain

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/reach"
)

// Cause is what stood in the way.
type Cause string

// The causes.
const (
	Unknown     Cause = ""
	NoName      Cause = "the DNS has no such name"
	NoDNS       Cause = "the DNS does not answer"
	NoRoute     Cause = "there is no way to the address"
	NoPort      Cause = "there is no such port"
	Refused     Cause = "nothing listens there"
	Silent      Cause = "no answer in time"
	Cut         Cause = "the connection was closed"
	Local       Cause = "this machine does not let us connect"
	Proxy       Cause = "the proxy"
	NotTLS      Cause = "no TLS"
	NotHTTP     Cause = "no HTTP"
	TLSRefused  Cause = "the other side refuses the handshake"
	Clock       Cause = "a certificate's dates and the clock"
	Certificate Cause = "the certificate"
	Status      Cause = "an HTTP status"
	Admission   Cause = "the relay does not admit us"
	NotDERP     Cause = "what answers does not speak DERP"
	Node        Cause = "what the map says of the node"
)

// MayBeOffline reports whether the cause may be that this machine has no network.
// The others prove that somebody answered, or that the fault is elsewhere.
func (c Cause) MayBeOffline() bool {
	return c == Unknown || c == NoDNS || c == NoName || c == NoRoute || c == Silent
}

// Way is what was tried, and what has been said about how to trust the other side.
type Way struct {
	Host  string // name or address that was connected to
	Map   bool   // a map is fetched there; otherwise there is a relay
	Node  bool   // the relay is a node of a map, which says all about it
	Plain bool   // without TLS

	Server string // what is there, if it is no relay

	CA       bool // authorities were given
	Pin      bool // a pin was given
	CertName bool // another name to verify was given

	Words Words
	Now   time.Time // zero: time.Now
}

// Words are how the settings are spelt where they were given. Empty fields are told
// in words.
type Words struct {
	CA       string // such as --ca
	CertName string
	Insecure string
	Proxy    string // such as HTTPS_PROXY in the environment
}

func (w Words) or(usual Words) Words {
	for _, f := range []struct{ field, usual *string }{
		{&w.CA, &usual.CA}, {&w.CertName, &usual.CertName}, {&w.Insecure, &usual.Insecure}, {&w.Proxy, &usual.Proxy},
	} {
		if *f.field == "" {
			*f.field = *f.usual
		}
	}
	return w
}

// inWords are the settings where nobody says how they are spelt.
var inWords = Words{
	CA: "the authorities to trust", CertName: "the certificate name", Insecure: "no verification at all",
	Proxy: "the proxy's setting",
}

// Finding is a cause and what to do about it, "" if the error says that itself.
type Finding struct {
	Cause  Cause
	Remedy string
}

// Parts are the remedy's two: what is the matter, and what to do about it. What is
// empty if the remedy does not say it.
func (f Finding) Parts() (what, do string) {
	if what, do, ok := strings.Cut(f.Remedy, ": "); ok {
		return what, do
	}
	return "", f.Remedy
}

// Explain finds the cause of an error and what to do.
func Explain(err error, way Way) Finding {
	if way.Now.IsZero() {
		way.Now = time.Now()
	}
	way.Words = way.Words.or(inWords)
	for _, explain := range []func(error) (Finding, bool){
		way.proxy, way.status, way.certificate, way.handshake, way.noHTTP, way.login, way.node, way.name, way.system, way.end,
	} {
		if f, known := explain(err); known {
			if way.Server != "" {
				f.Remedy = strings.ReplaceAll(f.Remedy, "the relay", "the "+way.Server)
			}
			return f
		}
	}
	return Finding{}
}

// what names the other side.
func (w *Way) what() string {
	if w.Map {
		return "the server of the map"
	}
	return "the relay"
}

// login is about what a relay says, or does not, once the way to it is open.
func (w *Way) login(err error) (Finding, bool) {
	switch {
	case errors.Is(err, client.ErrAdmissionRefused):
		return Finding{Admission, "the relay admits only peers it knows"}, true
	case errors.Is(err, client.ErrServerKey):
		return Finding{NotDERP, "another relay answers than its certificate says: restart what ends TLS before it"}, true
	case errors.Is(err, client.ErrProtocol):
		return Finding{NotDERP, "is this the URL of a relay, path included?"}, true
	}
	return Finding{}, false
}

// node is about maps that say of a node what leads nowhere.
func (w *Way) node(err error) (Finding, bool) {
	wrong, isNode := errors.AsType[*reach.NodeError](err)
	if !isNode {
		return Finding{}, false
	}
	return Finding{Node, wrong.What + ": " + wrong.Remedy}, true
}

// end is about connections that ended, or on which nothing came.
func (w *Way) end(err error) (Finding, bool) {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return Finding{}, false
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isNet && timeout.Timeout():
		return Finding{Silent, w.silent()}, true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Finding{Cut, w.cut()}, true
	}
	return Finding{}, false
}

func (w *Way) silent() string {
	if w.Map {
		return "is the address right, and does a firewall let us through?"
	}
	return "is the address right, does a firewall let TCP through, and is the relay up?"
}

func (w *Way) cut() string {
	if w.Map {
		return "is this the URL of a map, and is https:// right?"
	}
	return "is this the URL of a relay, path included?"
}
