package initcmd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/amend"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/setup"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/unit"
)

// A plan is what is there, and what is to become of it.
type plan struct {
	path    string // of the file, also beneath a root
	before  []byte // nil: there is no file yet
	was     config.Config
	now     config.Config // as the relay will read it
	loaded  *config.Loaded
	after   []byte
	makeKey string // file with a mesh key that is to be made
}

// begin reads what is there, and finds out before anybody is asked what cannot be done.
func (s *session) begin() error {
	s.path = s.root + s.file
	if s.root == "" {
		s.path = s.file
	}
	before, err := smallfile.Read(s.path, config.MostFile)
	switch _, lstat := os.Lstat(s.path); {
	case err == nil:
		s.before = before
		if s.before == nil {
			s.before = []byte{}
		}
	case !errors.Is(err, fs.ErrNotExist) || lstat == nil: // or a link that leads nowhere
		return err
	}
	l := config.Load(config.Sources{File: s.file, Contents: s.before})
	if err := relaycmd.Unusable(l); err != nil && len(l.Problems) > 0 {
		return err
	}
	s.was = l.Config
	if err := relaycmd.Unusable(config.Load(config.Sources{Flags: s.given})); err != nil && !isCredential(s.given) {
		return err
	}
	if s.service {
		if err := unit.Check(s.unit()); err != nil {
			return s.noService(err)
		}
	}
	if s.json && !s.yes {
		return nil
	}
	return s.canWrite()
}

func isCredential(given []config.Given) bool {
	return slices.ContainsFunc(given, func(g config.Given) bool { return strings.Contains(g.Text, config.CredentialPrefix) })
}

// canWrite makes sure that the file can be written, before anybody is asked.
func (s *session) canWrite() error {
	dir := filepath.Dir(s.path)
	if target, err := filepath.EvalSymlinks(s.path); err == nil {
		dir = filepath.Dir(target)
	}
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	probe, err := os.CreateTemp(dir, ".detour")
	if err != nil {
		err = smallfile.ExplainWrite(filepath.Join(dir, "x"), &fs.PathError{Op: "write", Path: s.path, Err: cause(err)})
		if s.file == relaycmd.DefaultFile && errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s cannot be written by this user: begin the command with sudo, or name a file of your own: -o relay.yaml", s.path)
		}
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// cause is what the system said.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// isNew reports whether there is no file yet.
func (s *session) isNew() bool { return s.before == nil }

// changed reports whether there is anything to be written.
func (s *session) changed() bool { return s.isNew() || string(s.before) != string(s.after) }

// current is what the file and the answers mean together, as far as they go.
func (s *session) current() config.Config {
	c := s.was
	for _, g := range s.gathered() {
		_ = config.Set(&c, g.Path, g.Text) // what is wrong with it was said in the beginning
	}
	return c
}

// gathered are the answers, each setting once.
func (s *session) gathered() (all []config.Given) {
	l := config.Load(config.Sources{Flags: s.given})
	for _, setting := range config.Table() {
		if l.Origin(setting.Path) != (config.Origin{}) {
			all = append(all, config.Given{Path: setting.Path, Text: textOf(setting, l.Config, s.given)})
		}
	}
	return all
}

// textOf is a value as it was given: lists have been put together.
func textOf(s config.Setting, c config.Config, given []config.Given) string {
	if s.Kind.Many() {
		return s.Text(c)
	}
	text := ""
	for _, g := range given {
		if g.Path == s.Path {
			text = g.Text
		}
	}
	return text
}

// gave reports whether the operator has said something of a setting.
func (s *session) gave(path string) bool {
	return slices.ContainsFunc(s.given, func(g config.Given) bool { return g.Path == path })
}

// set answers for the operator, where neither he nor the file has said anything.
func (s *session) set(path, text string) {
	setting, _ := config.Lookup(path)
	if s.gave(path) || setting.Text(s.was) != setting.Text(config.Defaults()) {
		return
	}
	s.given = append(s.given, config.Given{Path: path, Text: text})
}

// derive adds what follows from the answers.
func (s *session) derive() error {
	if gave := s.gave; gave("tls.cert") && gave("tls.key") && !gave("tls.mode") && s.was.TLS.Mode != "" {
		s.given = append(s.given, config.Given{Path: "tls.mode", Text: config.TLSFiles})
	}
	if s.current().TLS.Mode == config.TLSOff {
		s.set("trusted-proxies", "127.0.0.1,::1")
		s.set("listen", behindProxy(s.current().TrustedProxies))
		s.set("stun", ":3478") // which would be where the proxy is looked for
	}
	c := s.current()
	if c.Mesh.KeyFile != "" || c.Access.Everyone && !c.Mesh.Used() || !c.DERP {
		return nil
	}
	dir, err := s.stateDir(c)
	if err != nil {
		return err
	}
	key, err := filepath.Abs(filepath.Join(dir, "mesh.key"))
	if err != nil {
		return err
	}
	s.set("mesh.key-file", key)
	return nil
}

// behindProxy is where a relay listens for proxies: on loopback, if all of them are here.
func behindProxy(proxies []string) string {
	for _, p := range proxies {
		if p != "127.0.0.1" && p != "::1" && !strings.HasPrefix(p, "127.") {
			return ":3340"
		}
	}
	return config.DevListen
}

// stateDir is where the relay will keep its state.
func (s *session) stateDir(c config.Config) (string, error) {
	if c.StateDir == "" && (s.service || s.root != "") {
		return unit.StateDir, nil
	}
	return front.StateDir(c.StateDir, "")
}

// compose makes the text of the file, and reads it as the relay will.
func (s *session) compose() error {
	if err := s.derive(); err != nil {
		return err
	}
	var edits []amend.Edit
	was := s.was
	want := s.current()
	for _, g := range s.gathered() {
		setting, _ := config.Lookup(g.Path)
		if setting.Text(was) != setting.Text(want) || s.isNew() && setting.Text(want) != setting.Text(config.Defaults()) {
			edits = append(edits, amend.Edit{Path: g.Path, Text: g.Text, Remark: remark(g.Path, want)})
		}
	}
	edits = append(edits, superfluous(was, want)...)
	base := s.before
	if s.isNew() {
		base = []byte(fileHead)
	}
	after, err := amend.File(s.file, base, edits)
	if err != nil {
		return cli.Misconfigured(err)
	}
	if len(edits) == 0 && !s.isNew() {
		after = s.before
	}
	s.after = after
	s.loaded = config.Load(config.Sources{File: s.file, Contents: after})
	s.now, err = daemon.Complete(s.loaded.Config, nil)
	if err != nil {
		s.now = s.loaded.Config // what is wrong is among the findings
	}
	if file := s.now.Mesh.KeyFile; file != "" {
		if _, err := os.Stat(s.root + file); errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(file, config.CredentialPrefix) {
			s.makeKey = file
		}
	}
	return nil
}

// superfluous are settings that mean nothing any more with another mode of TLS.
func superfluous(was, want config.Config) (edits []amend.Edit) {
	if was.TLS.Mode == want.TLS.Mode && was.TLS.Cert == want.TLS.Cert {
		return nil
	}
	usual := config.Defaults()
	for _, setting := range config.Table() {
		mode := ""
		switch {
		case setting.Path == "tls.cert" || setting.Path == "tls.key":
			mode = config.TLSFiles
		case strings.HasPrefix(setting.Path, "acme."):
			mode = config.TLSACME
		}
		if mode != "" && cmp.Or(want.TLS.Mode, config.TLSFiles) != mode && setting.Text(was) != setting.Text(usual) {
			edits = append(edits, amend.Edit{Path: setting.Path, Remove: true})
		}
	}
	return edits
}

const fileHead = `# The settings of this relay, begun by "detour init", which keeps what stands here when it
# runs again: change it as you like.
#
#   detour config check             looks at this file, before anything happens
#   systemctl reload detour         takes it over, without a restart ("detour reload", too)
#   detour config reference         prints a file with all settings there are
`

// remark teaches what a setting is about.
func remark(path string, c config.Config) string {
	switch path {
	case "hostname":
		return "The name or address by which peers reach the relay; its certificate is for it."
	case "public-ip":
		return "More addresses by which peers reach it."
	case "listen":
		if c.TLS.Mode == config.TLSOff {
			return "For the proxy, which ends TLS and passes everything of this name on: docs/proxies.md."
		}
	case "stun":
		if c.TLS.Mode == config.TLSOff {
			return "STUN does not come through proxies, and tells peers where they come from."
		}
	case "trusted-proxies":
		return "Who is believed about the addresses of peers."
	case "http":
		return "Plain HTTP beside TLS."
	case "tls.mode":
		return map[string]string{
			config.TLSACME:  "An authority (Let's Encrypt, unless acme.directory names another) issues the certificate, and the relay renews it.",
			config.TLSSelf:  "The relay makes its certificate, and peers trust it by the pin in the DERP map (certname). The next one is made two months ahead: \"detour map pin\" prints the nodes for both.",
			config.TLSOff:   "A proxy before the relay ends TLS.",
			config.TLSFiles: "A new certificate is taken over when the files change.",
		}[c.TLS.Mode]
	case "tls.cert":
		return "New ones are taken over when the files change."
	case "access.managed":
		return "Whom \"detour access allow\" and \"detour access import\" name. docs/access.md has what else there is."
	case "access.keys":
		return "A nodekey:... a line; read again when it changes."
	case "access.verify":
		return "Asked about each peer, as derper asks; Headscale answers at /verify."
	case "access.tailscaled":
		return "The tailnet of the Tailscale daemon of this machine."
	case "access.coordinator":
		return "Members of Detour's own coordination server."
	case "access.everyone":
		return "Whoever finds the relay can use it, and its traffic is yours to pay."
	case "mesh.key-file":
		return "As secret as a private key. It links the relays of a region, and lets \"detour check\" and \"detour peers\" in."
	case "mesh.with":
		return "The other relays of the region; our own name may be in the list."
	}
	return ""
}

// host is what peers know the relay by.
func (s *session) host() string { return setup.Host(s.now) }
