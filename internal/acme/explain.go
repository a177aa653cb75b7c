package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/mholt/acmez/v3/acme"
)

// isAway reports that the authority was not reached, or had no time: nothing has been
// counted there. A storage that fails is one, too: nobody was asked.
func isAway(err error) bool {
	if _, ok := errors.AsType[*storageError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*dnsError](err); ok {
		return false // something was ordered
	}
	problem, ok := errors.AsType[acme.Problem](err)
	return !ok || problem.Type == acme.ProblemTypeBadNonce || problem.Status >= http.StatusInternalServerError
}

// explained is an error of a try in one line, with what to do.
func (s *Source) explained(w *wanted, err error) error {
	if _, ok := errors.AsType[*storageError](err); ok {
		return line(err) // says that already
	}
	if e, ok := errors.AsType[*dnsError](err); ok {
		return line(e)
	}
	problem, refused := errors.AsType[acme.Problem](err)
	if !refused {
		return line(fmt.Errorf("%s: %w: %s", s.host, err, s.awayRemedy(err)))
	}
	remedy := ""
	if _, ok := errors.AsType[*accountError](err); ok {
		remedy = s.accountRemedy(problem)
	}
	problem = gravest(problem)
	if remedy == "" {
		remedy = s.remedy(w, problem)
	}
	said := problem.Detail
	if said == "" {
		said = problem.Title
	}
	return &Refused{Type: problem.Type, text: oneLine(fmt.Sprintf("%s refuses: %s (%s): %s", s.host, strings.TrimSuffix(said, "."), kindOf(problem.Type), remedy))}
}

// An accountError is why the authority has made no account: names had no part in it.
type accountError struct{ err error }

func (e *accountError) Error() string { return "an account: " + e.err.Error() }
func (e *accountError) Unwrap() error { return e.err }

// accountRemedy is empty where the remedies of names fit as well.
func (s *Source) accountRemedy(problem acme.Problem) string {
	switch problem.Type {
	case acme.ProblemTypeUnauthorized, acme.ProblemTypeMalformed, acme.ProblemTypeIncorrectResponse:
	default:
		return ""
	}
	if s.config.Account.KeyID != "" {
		return "it does not know that account: see the key ID and the file with the key that it has given you (acme.eab-key-id, acme.eab-key)"
	}
	return "it makes no account for this relay: see what it says"
}

// A Refused is what an authority has answered instead of a certificate.
type Refused struct {
	Type string // of the problem (RFC 8555, 6.7)
	text string
}

func (e *Refused) Error() string { return e.text }

// gravest is the first of several problems, where one of names is the reason.
func gravest(problem acme.Problem) acme.Problem {
	if len(problem.Subproblems) > 0 {
		return problem.Subproblems[0].Problem
	}
	return problem
}

func kindOf(problem string) string {
	return strings.TrimPrefix(problem, "urn:ietf:params:acme:error:")
}

// awayRemedy is about an authority that was not reached, or answers nonsense.
func (s *Source) awayRemedy(err error) string {
	var network net.Error
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "this machine does not trust who has signed its certificate: name a PEM file with its authority (acme.ca)"
	case errors.As(err, new(x509.HostnameError)), errors.As(err, new(x509.CertificateInvalidError)):
		return "its own certificate is not valid: see the URL of the directory (acme.directory), and the clock of this machine"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network):
		return "it is out of reach from here, or slow: see that this machine may connect to it, and HTTPS_PROXY"
	}
	return "that is no ACME authority, or one that is ill: see the URL of the directory (acme.directory)"
}

// remedy says what to do about a problem.
func (s *Source) remedy(w *wanted, problem acme.Problem) string {
	switch problem.Type {
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS:
		return fmt.Sprintf("the authority has to get through to TCP port %s of %s from the internet, and to this relay: see firewall, port forwarding and DNS", s.port(), w)
	case acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		if s.config.Challenge == DNS {
			return fmt.Sprintf("it does not see the record that was made at _acme-challenge beneath %s: see that all servers of the zone get it in time (acme.dns-wait)", w)
		}
		return fmt.Sprintf("something else than this relay answers at TCP port %s of %s: let the name or address lead here", s.port(), w)
	case acme.ProblemTypeDNS:
		return fmt.Sprintf("make the A and AAAA records of %s lead to this relay, and no others", w)
	case acme.ProblemTypeCAA:
		return fmt.Sprintf("a CAA record of %s allows other authorities only: add this one, or name one of those (acme.directory)", w)
	case acme.ProblemTypeRateLimited:
		return "the authority counts what it is asked for: the relay waits and tries again by itself"
	case acme.ProblemTypeExternalAccountRequired:
		return "it wants an account that you have with it already: give its key ID and the file with its key (acme.eab-key-id, acme.eab-key)"
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		if _, err := netip.ParseAddr(w.names[0]); err == nil {
			return "it does not certify such an address: name another authority (acme.directory), or use a DNS name"
		}
		return "it does not certify such a name: give the whole public name that peers look up"
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		return "give a mail address that it takes (acme.contact), or none"
	case acme.ProblemTypeUserActionRequired:
		return "the authority wants something of you: open " + problem.Instance
	case "urn:ietf:params:acme:error:invalidProfile":
		return "choose one of its profiles, or none (acme.profile)"
	case acme.ProblemTypeServerInternal, acme.ProblemTypeBadNonce:
		return "the authority is ill: the relay tries again by itself"
	}
	return "see what it says"
}

// port is where the authority asks.
func (s *Source) port() string {
	if s.config.Challenge == HTTP {
		return "80"
	}
	return "443"
}

// oneLine also bounds it: an authority may answer with a page.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > mostText {
		text = strings.ToValidUTF8(text[:mostText], "") + " ..."
	}
	return text
}

const mostText = 1000

// line is an error in one line.
func line(err error) error {
	if err == nil {
		return nil
	}
	return &lineError{oneLine(err.Error()), err}
}

type lineError struct {
	text string
	err  error
}

func (e *lineError) Error() string { return e.text }
func (e *lineError) Unwrap() error { return e.err }
