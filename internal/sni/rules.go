package sni

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/hostname"
)

// What a [Choice] may be besides a backend.
const (
	Answer = "answer" // as a connection of the relay
	Close  = "close"
)

// A Choice is what becomes of connections. The zero value answers them.
type Choice struct {
	close   bool
	backend *Backend
}

// ParseChoice reads answer, close, or where a backend is. Empty is answer. About says
// which connections these are, in counters and logs.
func ParseChoice(text, about string) (c Choice, err error) {
	switch text {
	case "", Answer:
	case Close:
		c.close = true
	default:
		if c.backend, err = parseBackend(text, about); err != nil {
			return c, fmt.Errorf("%w; or answer or close", err)
		}
	}
	return c, nil
}

// Answers reports whether the relay answers.
func (c Choice) Answers() bool { return !c.close && c.backend == nil }

// Backend is where they are passed to; nil: nowhere.
func (c Choice) Backend() *Backend { return c.backend }

// Names are those that have backends. The zero value has none.
type Names struct {
	exact, beneath map[string]*Backend // beneath: *.name, by name
}

// ParseNames reads names, perhaps with *. in front for all that are beneath one, and
// where their backends are.
func ParseNames(backends map[string]string) (n Names, err error) {
	n.exact, n.beneath = make(map[string]*Backend), make(map[string]*Backend)
	for text, at := range backends {
		rest, wild := strings.CutPrefix(text, "*.")
		name, err := hostname.Parse(rest)
		if err != nil && !isUnderscore(err) {
			return n, fmt.Errorf("the name %w", err)
		} else if err != nil {
			name = strings.ToLower(strings.TrimSuffix(rest, "."))
		}
		if _, err := netip.ParseAddr(name); err == nil {
			return n, fmt.Errorf("%q is an address, and who connects to one asks for no name", text)
		}
		into := n.exact
		if wild {
			into = n.beneath
		}
		if into[name] != nil {
			return n, fmt.Errorf("%q stands there twice, in different letters", name)
		}
		if into[name], err = parseBackend(at, text); err != nil {
			return n, fmt.Errorf("%s: %w", text, err)
		}
	}
	return n, nil
}

// Config is what [Rules] are made from.
type Config struct {
	Names   Names
	Unknown Choice // for names that nobody has
	None    Choice // for hellos without a name

	// Own are the names and addresses by which peers reach the relay. Certified returns
	// those of its certificate, which may begin with *. as well; nil: none.
	Own       []string
	Certified func() []string
}

// Rules say whose a connection is.
type Rules struct {
	config Config
	own    map[string]bool
}

// New makes rules. A name cannot be both the relay's and a backend's.
func New(config Config) (*Rules, error) {
	r := &Rules{config: config, own: make(map[string]bool)}
	for _, name := range config.Own {
		if config.Names.exact[name] != nil {
			return nil, fmt.Errorf("%q is what peers reach the relay by, and cannot lead elsewhere", name)
		}
		r.own[name] = true
	}
	return r, nil
}

// Backends are all that there are, one for each name, in the order of these.
func (r *Rules) Backends() (all []*Backend) {
	for _, b := range r.config.Names.exact {
		all = append(all, b)
	}
	for _, b := range r.config.Names.beneath {
		all = append(all, b)
	}
	for _, c := range []Choice{r.config.Unknown, r.config.None} {
		if c.backend != nil {
			all = append(all, c.backend)
		}
	}
	slices.SortStableFunc(all, func(a, b *Backend) int { return strings.Compare(a.About, b.About) })
	return all
}

// A Verdict is what becomes of a connection.
type Verdict struct {
	Choice
	Named bool // it asks for a name
}

// challengeProto is what an authority asks for that finds out whether a name leads here
// (RFC 8737).
const challengeProto = "acme-tls/1"

// Judge says what becomes of a connection that asks for a name and for protocols. What
// is said most precisely counts: a name before all that are beneath one, and of these the
// longest; and what the operator has said before what a certificate has.
func (r *Rules) Judge(name string, protos []string) Verdict {
	if name == "" {
		return Verdict{Choice: r.config.None}
	}
	name = strings.ToLower(name)
	if r.own[name] {
		return Verdict{Named: true}
	}
	if b := r.config.Names.exact[name]; b != nil {
		return Verdict{Choice{backend: b}, true}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return Verdict{Choice: r.config.None} // no name: some clients say where they connect to
	}
	if isReverse(name) && slices.Contains(protos, challengeProto) {
		return Verdict{Named: true} // how an authority asks for an address (RFC 8738)
	}
	return Verdict{r.unlisted(name), true}
}

// unlisted is for a name that nobody has named as it is.
func (r *Rules) unlisted(name string) Choice {
	if len(r.config.Names.beneath) == 0 && r.config.Unknown.Answers() {
		return Choice{} // whoever's it is
	}
	exact, beneath := r.certified(name)
	if exact {
		return Choice{}
	}
	for above := parent(name); above != ""; above = parent(above) {
		if b := r.config.Names.beneath[above]; b != nil {
			return Choice{backend: b}
		}
	}
	if beneath {
		return Choice{}
	}
	return r.config.Unknown
}

// certified reports whether the certificate has the name itself, or all of its kind.
func (r *Rules) certified(name string) (exact, beneath bool) {
	if r.config.Certified == nil {
		return false, false
	}
	for _, has := range r.config.Certified() {
		rest, wild := strings.CutPrefix(strings.ToLower(has), "*.")
		exact = exact || !wild && rest == name
		beneath = beneath || wild && rest == parent(name)
	}
	return exact, beneath
}

// parent is a name without its first part.
func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

func isReverse(name string) bool {
	return strings.HasSuffix(name, ".in-addr.arpa") || strings.HasSuffix(name, ".ip6.arpa")
}
