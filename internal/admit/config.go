package admit

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// Config is what a [Chain] is made from.
type Config struct {
	// Access says who may come in. If it says nothing, everybody may.
	// Access is complete: config.Config.Complete has looked at it.
	Access config.Access

	// StateDir keeps the book, and who is known; empty: they are forgotten at the end.
	StateDir string

	// Peers are who is connected, for revocation; nil: nobody. They are asked for only
	// while Run runs, and by who changes the book.
	Peers Peers

	// Exempt are keys that come in whatever the chain says: those of the relay's own
	// self-check. Nil: none.
	Exempt func(key.Public) bool

	Logger *slog.Logger // nil discards
}

// Peers are the conns of a relay.
type Peers interface {
	Peers(yield func(relay.PeerState) bool)
	Close(match func(relay.PeerState) bool, why error, atMost int) (closed int)
}

// nobody is connected.
type nobody struct{}

func (nobody) Peers(func(relay.PeerState) bool)                 {}
func (nobody) Close(func(relay.PeerState) bool, error, int) int { return 0 }

// rules are what decides, at one moment. They are not changed: each change makes
// others.
type rules struct {
	access   config.Access
	files    []*keyFile
	book     *book
	deny     map[string]bool // names of applications
	sources  []*source
	everyone bool
	grace    time.Duration
	timeout  time.Duration // of a question

	changed change // zero: they are of a configuration
}

// A change is what made rules others than those before them, and when.
type change struct {
	source string
	at     time.Time
}

const defaultTimeout = 5 * time.Second // the reference's

// AdmitTimeout is longer than a chain takes for an answer; relay.Config.AdmitTimeout
// has to be.
const AdmitTimeout = config.MostVerifyTimeout + 5*time.Second

// AdmitPending is how many logins a relay lets wait for a chain. It is no bound: the
// chain keeps strangers to 1,024 itself, and those beyond, who are known, must not be
// sent away because strangers wait.
const AdmitPending = 1 << 20

// open makes the rules of an Access. Files and sources that an earlier one has are
// taken from there.
func open(a config.Access, before *rules, log *slog.Logger) (*rules, error) {
	r := &rules{access: a, deny: map[string]bool{}, everyone: a.Everyone || !a.Given(), grace: time.Duration(a.Grace), timeout: time.Duration(a.VerifyTimeout)}
	if r.timeout == 0 {
		r.timeout = defaultTimeout
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	for _, name := range a.DenyApps {
		r.deny[name] = true
	}
	if err := r.openFiles(before, log); err != nil {
		return nil, err
	}
	if err := r.openSources(); err != nil {
		return nil, err
	}
	return r, nil
}

// check looks at what package config does not know.
func (r *rules) check() error {
	for _, name := range r.access.DenyApps {
		if err := checkApp(name); err != nil {
			return &config.Error{Setting: "access.deny-apps", Err: err}
		}
	}
	return nil
}

// checkApp makes sure that a name can be one (spec 19).
func checkApp(name string) error {
	if name == "" || len(name) > 32 {
		return fmt.Errorf("%.40q: want the name of an application, 1 to 32 characters", name)
	}
	for _, b := range []byte(name) {
		if b < 0x20 || b > 0x7e {
			return fmt.Errorf("%q: names of applications are plain ASCII", name)
		}
	}
	return nil
}

func (r *rules) openFiles(before *rules, log *slog.Logger) error {
	for i, path := range r.access.Keys {
		if slices.Contains(r.access.Keys[:i], path) {
			continue
		}
		f, err := before.file(path), error(nil)
		if f == nil {
			f, err = openAnew(path, before.had(path), log)
		}
		if err != nil {
			return &config.Error{Setting: "access.keys", Err: err, Failed: true}
		}
		if len(f.set.entries) == 0 {
			log.Warn("a list of keys has none", "file", path)
		}
		r.files = append(r.files, f)
	}
	return nil
}

// had returns what was read of a file before; nil: it is a new one.
func (r *rules) had(path string) *keyFile {
	if r != nil {
		for _, f := range r.files {
			if f.path == path {
				return f
			}
		}
	}
	return nil
}

// file returns what has been read of a file that has not changed since; else nil.
func (r *rules) file(path string) *keyFile {
	f := r.had(path)
	if f == nil {
		return nil
	}
	if now, err := stampOf(path); err != nil || !now.same(f.read) {
		return nil
	}
	return f
}

func (r *rules) openSources() error {
	var made []*source
	done := false
	defer func() {
		if !done {
			closeSources(made)
		}
	}()
	header, err := vouch.ReadHeaders(r.access.VerifyHeaders)
	if err != nil {
		return &config.Error{Setting: "access.verify-headers", Err: err, Failed: true}
	}
	var trust *tls.Config
	if r.access.VerifyCA != "" {
		roots, err := certs.ReadRoots(r.access.VerifyCA)
		if err != nil {
			return &config.Error{Setting: "access.verify-ca", Err: err, Failed: true}
		}
		trust = &tls.Config{RootCAs: roots}
	}
	for _, url := range r.access.Verify {
		v, err := vouch.NewURL(url, header, trust)
		if err != nil {
			return &config.Error{Setting: "access.verify", Err: err}
		}
		made = append(made, newSource(SourceVerify, url, v.Target(), v))
	}
	if len(r.access.Coordinator) > 0 {
		server, err := openServer(r.access)
		if err != nil {
			return err
		}
		made = append(made, server)
	}
	for _, socket := range r.access.Tailscaled {
		d, err := vouch.NewDaemon(socket)
		if err != nil {
			return &config.Error{Setting: "access.tailscaled", Err: err}
		}
		made = append(made, newSource(SourceTailscaled, d.Target(), d.Target(), d))
	}
	r.sources, done = unique(made), true
	return nil
}

// unique leaves out sources that are named twice.
func unique(all []*source) (kept []*source) {
	for _, s := range all {
		if slices.ContainsFunc(kept, func(k *source) bool { return k.id == s.id }) {
			s.Close()
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// inherit takes over what is known of sources that stay.
func (r *rules) inherit(before *rules) {
	for _, s := range r.sources {
		for _, old := range before.sources {
			if old.id == s.id {
				s.continueFrom(old)
			}
		}
	}
}

func closeSources(all []*source) {
	for _, s := range all {
		s.Close()
	}
}
