package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/decoy"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

// A Level is what a [Finding] means.
type Level string

// The levels.
const (
	Fine  Level = "ok"    // it was looked at, and serves
	Noted Level = "note"  // a relay would start; a person may want to know
	Wrong Level = "error" // a relay would not start, or not do what it is told
)

// A Finding is what there is to say of a setting, or of what it names.
type Finding struct {
	Level Level
	Err   *config.Error // in the words of settings, also where nothing is wrong
}

// Check looks at settings as Open would, and at the machine: whether the files that they
// name can be read and used, and whether the addresses are free. It makes nothing, and
// finds all there is.
func Check(ctx context.Context, cfg config.Config) []Finding {
	c := &checker{given: cfg}
	c.settings()
	c.files()
	c.server(ctx)
	c.backends(ctx)
	c.home(ctx)
	if !c.wrongSettings {
		c.addresses(c.cfg, runningRelay(ctx, c.cfg), func(string) bool { return true })
	}
	return c.found()
}

// wrongFor is what a process that starts with settings, which are complete, would fail
// at, as far as one can see from here. Of addresses, those that have changed count: this process has the
// others.
func wrongFor(cfg config.Config, changed ...config.Change) (wrong []error) {
	c := &checker{given: cfg, cfg: cfg}
	c.files()
	names := config.Names(changed)
	c.addresses(cfg, "", func(setting string) bool { return slices.Contains(names, setting) })
	for _, f := range c.found() {
		if f.Level == Wrong {
			wrong = append(wrong, f.Err)
		}
	}
	return wrong
}

// A checker gathers findings.
type checker struct {
	given, cfg    config.Config
	all           []Finding
	wrongSettings bool
	chain         *admit.Chain // who decides who may come in; nil: nobody, or not as far as one can see
}

// files looks at those that the settings name.
func (c *checker) files() {
	for _, look := range []func(config.Config){c.certificate, c.authority, c.relayKey, c.meshKey, c.access, c.token, c.readers, c.webhook} {
		look(c.cfg)
	}
}

func (c *checker) found() []Finding {
	for _, f := range c.all {
		c.given.Hide(f.Err)
	}
	return c.all
}

func (c *checker) say(level Level, setting, format string, args ...any) {
	c.all = append(c.all, Finding{level, &config.Error{Setting: setting, What: strings.TrimSpace(fmt.Sprintf(format, args...))}})
}

// wrong notes an error, as one of the setting if it names none.
func (c *checker) wrong(setting string, err error) {
	e, ok := errors.AsType[*config.Error](err)
	if !ok {
		e = &config.Error{Setting: setting, Err: err}
	}
	c.all = append(c.all, Finding{Wrong, e})
}

// settings are checked as far as they go without the machine.
func (c *checker) settings() {
	problems := problems(c.given)
	for _, e := range problems {
		c.wrong(e.Setting, e)
	}
	c.wrongSettings = len(problems) > 0
	c.cfg, _ = complete(c.given)
	if !c.wrongSettings {
		c.say(Fine, "", "the settings fit together")
	}
}

// elsewhere reports whether a file is a credential, which only the service has.
func (c *checker) elsewhere(setting, file string) bool {
	name, ok := strings.CutPrefix(file, config.CredentialPrefix)
	if ok {
		c.say(Noted, setting, "is the credential %s, which only the service has: it was not looked at", name)
	}
	return ok
}

func (c *checker) certificate(cfg config.Config) {
	switch cfg.TLS.Mode {
	case config.TLSSelf, config.TLSACME:
		if dir, err := stateDir(cfg); err != nil {
			c.wrong("state-dir", err)
		} else if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			c.say(Wrong, "state-dir", "%s is no directory", dir)
		}
	case config.TLSFiles:
		if c.elsewhere("tls.cert", cfg.TLS.Cert) || c.elsewhere("tls.key", cfg.TLS.Key) || cfg.TLS.Cert == "" || cfg.TLS.Key == "" {
			return
		}
		source, err := front.OpenIssued(cfg, "", false, nil, slog.New(&notes{c, "tls.cert"}))
		if err != nil {
			c.wrong("tls.cert", err)
			return
		}
		if about := source.Describe(); time.Now().Before(about.Until) { // else it is told already
			c.say(Fine, "tls.cert", "%s is for %s, until %s", cfg.TLS.Cert, strings.Join(about.Names, ", "), about.Until.Format(time.DateOnly))
		}
		if cfg.Hostname == "" {
			c.say(Noted, "hostname", "is not given, so nobody has looked whether the certificate is for it")
		}
	}
}

// authority looks at the files for an authority that issues the certificate. It is not
// asked: it counts that.
func (c *checker) authority(cfg config.Config) {
	if cfg.TLS.Mode != config.TLSACME {
		return
	}
	for setting, file := range map[string]string{"acme.ca": cfg.ACME.CA, "acme.eab-key": cfg.ACME.EABKey, "acme.dns-key": cfg.ACME.DNSKey, "acme.dns-hook": cfg.ACME.DNSHook} {
		if file == "" || c.elsewhere(setting, file) {
			continue
		}
		read := func() error { _, err := smallfile.Read(file, 4096); return err }
		switch setting {
		case "acme.ca":
			read = func() error { _, err := certs.ReadRoots(file); return err }
		case "acme.dns-hook":
			read = func() error { _, err := exec.LookPath(file); return err }
		}
		if err := read(); err != nil {
			c.wrong(setting, err)
		}
	}
	c.say(Fine, "tls.mode", "acme: an authority issues the certificate for %s", strings.Join(front.Names(cfg), ", "))
}

func (c *checker) relayKey(cfg config.Config) {
	if cfg.Dev || c.elsewhere("relay-key", cfg.RelayKey) {
		return
	}
	path := cfg.RelayKey
	if path == "" {
		dir, err := stateDir(cfg)
		if err != nil {
			return // told by the certificate, or at start
		}
		path = filepath.Join(dir, "relay.key")
	}
	switch identity, err := key.LoadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
		c.say(Fine, "relay-key", "%s is made at start", path)
	case errors.Is(err, fs.ErrPermission):
		c.say(Noted, "relay-key", "%s is not for this user to read: it was not looked at", path)
	case err != nil:
		c.wrong("relay-key", err)
	default:
		c.say(Fine, "relay-key", "%s is the key of %s", path, identity.Public())
		if smallfile.OpenToOthers(path) {
			c.say(Noted, "relay-key", "every user of this machine can read %s: chmod 600 it", path)
		}
	}
}

func (c *checker) meshKey(cfg config.Config) {
	if cfg.Mesh.CA != "" && !c.elsewhere("mesh.ca", cfg.Mesh.CA) {
		if _, err := certs.ReadRoots(cfg.Mesh.CA); err != nil {
			c.wrong("mesh.ca", err)
		} else {
			c.say(Fine, "mesh.ca", "%s can be used", cfg.Mesh.CA)
		}
	}
	if entries, err := meshEntries(cfg); err == nil { // else it is told already
		err := mesh.Check(mesh.Config{Entries: entries, DNS: cfg.Mesh.DNS, SRV: cfg.Mesh.SRV, Rebalance: cfg.Mesh.Rebalance})
		if err != nil {
			c.wrong("mesh.with", err)
		}
	}
	if c.elsewhere("mesh.key-file", cfg.Mesh.KeyFile) {
		return
	}
	keys, from, err := meshkey.Load(cfg.Mesh.KeyFile)
	switch {
	case err != nil:
		c.wrong("mesh.key-file", err)
	case len(keys) == 0 && cfg.Mesh.Used():
		c.wrong("mesh.with", missingMeshKey())
	case len(keys) > 0:
		c.say(Fine, "mesh.key-file", "%s has keys of the region: %d", from, len(keys))
		if meshkey.OpenToOthers(cfg.Mesh.KeyFile) {
			c.say(Noted, "mesh.key-file", "every user of this machine can read %s: chmod o= it", cfg.Mesh.KeyFile)
		}
	}
}

// access opens what says who may come in, without asking anybody.
func (c *checker) access(cfg config.Config) {
	a := cfg.Access
	var here []string
	for _, file := range a.Keys {
		if !c.elsewhere("access.keys", file) {
			here = append(here, file)
		}
	}
	a.Keys = here
	if c.elsewhere("access.verify-ca", a.VerifyCA) {
		a.VerifyCA = ""
	}
	if c.elsewhere("access.verify-headers", a.VerifyHeaders) {
		a.VerifyHeaders = ""
	}
	if c.elsewhere("access.coordinator-token", a.CoordinatorToken) {
		a.Coordinator, a.CoordinatorToken = nil, "" // it would be asked without
	}
	if !a.Given() {
		return
	}
	chain, err := admit.New(admit.Config{Access: a, Logger: slog.New(&notes{c, "access.keys"})})
	if err != nil {
		c.wrong("access.keys", err)
		return
	}
	if len(a.Keys) > 0 {
		n := 0
		chain.Entries(func(admit.Entry) bool { n++; return true })
		c.say(Fine, "access.keys", "%s: keys that may come in: %d", strings.Join(a.Keys, ", "), n)
	}
	c.chain = chain
	if a.Everyone {
		c.say(Noted, "access.everyone", "lets in whoever finds the relay")
	}
}

const serverTime = 5 * time.Second // that a coordination server has to answer

// server asks the coordination server, if one is named. A relay would start without.
func (c *checker) server(ctx context.Context) {
	urls := strings.Join(c.cfg.Access.Coordinator, ", ")
	if c.chain == nil || !c.chain.HasServer() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, serverTime, fmt.Errorf("no answer within %v", serverTime))
	defer cancel()
	level, says := Fine, "answers"
	if err := c.chain.CheckServer(ctx); err != nil {
		level, says = Noted, "cannot say who may come in: "+err.Error()
		if errors.Is(err, admit.ErrToken) {
			level = Wrong
		}
	}
	c.say(level, "access.coordinator", "%s %s", urls, says)
}

// token looks at the secrets of those who may change the relay, and read its metrics.
func (c *checker) token(cfg config.Config) {
	if cfg.AdminHTTPS != "" {
		c.tokenFile("admin-token", cfg.AdminToken)
	}
	c.tokenFile("metrics-token", cfg.MetricsToken)
}

func (c *checker) tokenFile(setting, path string) {
	if path == "" || c.elsewhere(setting, path) {
		return
	}
	if _, err := control.ReadToken(path); err != nil {
		c.wrong(setting, err)
		return
	}
	c.say(Fine, setting, "%s has a token", path)
}

// readers looks at the authorities of those who may read the metrics.
func (c *checker) readers(cfg config.Config) {
	path := cfg.MetricsCA
	if path == "" || c.elsewhere("metrics-ca", path) {
		return
	}
	if _, err := certs.ReadRoots(path); err != nil {
		c.wrong("metrics-ca", err)
		return
	}
	c.say(Fine, "metrics-ca", "%s has authorities", path)
}

func (c *checker) webhook(cfg config.Config) {
	file := cfg.Quota.WebhookFile()
	if file == "" || c.elsewhere("quota.webhook", file) {
		return
	}
	if _, err := webhookURL(file); err != nil {
		c.wrong("quota.webhook", err)
		return
	}
	c.say(Fine, "quota.webhook", "%s has a URL", file)
}

// notes makes notes of what a part of the relay would log as a warning.
type notes struct {
	checker *checker
	setting string
}

func (*notes) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (n *notes) WithAttrs([]slog.Attr) slog.Handler             { return n }
func (n *notes) WithGroup(string) slog.Handler                  { return n }

// Handle implements slog.Handler.
func (n *notes) Handle(_ context.Context, r slog.Record) error {
	said := r.Message
	r.Attrs(func(a slog.Attr) bool {
		said += fmt.Sprintf(", %s %v", a.Key, a.Value)
		return true
	})
	level := Noted
	if r.Level >= slog.LevelError {
		level = Wrong
	}
	n.checker.all = append(n.checker.all, Finding{level, &config.Error{Setting: n.setting, Err: errors.New(said)}})
	return nil
}

// home looks whether there is something to show. A relay would start without.
func (c *checker) home(ctx context.Context) {
	home := c.cfg.Home
	if decoy.Check(home) != nil || !decoy.IsSite(home) {
		return // told already, or nothing to look at
	}
	ctx, cancel := context.WithTimeoutCause(ctx, backendTime, fmt.Errorf("no answer within %v", backendTime))
	defer cancel()
	if err := decoy.Look(ctx, home); err != nil {
		c.say(Noted, "home", "%s has nothing to show: %s", home, err)
		return
	}
	c.say(Fine, "home", "%s is there", home)
}
