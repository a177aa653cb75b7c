package initcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/dist"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/unit"
)

var unitText = dist.Unit

// write makes what is to be there. The file of settings is the last, and appears whole
// or not at all: whatever goes wrong before leaves the one that was there.
func (s *session) write() (err error) {
	if s.json && !s.yes {
		return nil
	}
	if s.ctx.Err() != nil {
		return errInterrupted
	}
	s.say("\n")
	if s.service {
		if s.installer, err = unit.Prepare(s.ctx, s.unit()); err != nil {
			return err
		}
	}
	if err := s.writeKey(); err != nil {
		return err
	}
	if err := s.writeCertificate(); err != nil {
		return err
	}
	return s.writeFile()
}

func (s *session) wrote(path string) {
	s.Written = append(s.Written, path)
	s.say("wrote  %s\n", path)
}

func (s *session) writeFile() error {
	if !s.changed() {
		s.say("%s is right as it is\n", s.file)
		return nil
	}
	if err := s.makeDir(filepath.Dir(s.path)); err != nil {
		return err
	}
	owner := ownerOf(s.path)
	var err error
	if s.isNew() {
		err = smallfile.WriteOver(s.path, s.after, 0o644) // it has no secrets, and the relay is another user
	} else {
		err = cli.ReplaceFile(s.path, s.after)
	}
	if err != nil {
		return fmt.Errorf("%w: the settings are as they were", err)
	}
	if !s.isNew() {
		owner.take(s.path)
	}
	s.wrote(s.file)
	return nil
}

// makeDir makes a directory that everybody may read, whatever the umask is.
func (s *session) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return smallfile.ExplainWrite(dir, err)
	}
	return os.Chmod(dir, 0o755)
}

// makeState makes the state directory, and returns whom it is for.
func (s *session) makeState(dir string) (owner, error) {
	_, err := os.Stat(dir)
	if err := smallfile.MakeDir(dir); err != nil {
		return owner{}, err
	}
	to := ownerOf(dir)
	if s.service {
		uid, gid, err := s.unit().Owner()
		if err != nil {
			return owner{}, err
		}
		to = owner{uid, gid, true}
	}
	if errors.Is(err, fs.ErrNotExist) {
		to.take(dir)
	}
	return to, nil
}

func (s *session) writeKey() error {
	if s.makeKey == "" {
		return nil
	}
	path := s.root + s.makeKey
	to, err := s.makeState(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := meshkey.Create(path, meshkey.New()); err != nil {
		return err
	}
	to.take(path)
	s.wrote(s.makeKey)
	return nil
}

// writeCertificate makes a certificate of the relay's own, so that the map can have its
// pin. Where this user cannot, the relay does it when it starts.
func (s *session) writeCertificate() error {
	if s.now.TLS.Mode != config.TLSSelf {
		return nil
	}
	dir, err := s.stateDir(s.now)
	if err != nil {
		return err
	}
	to, err := s.makeState(s.root + dir)
	if err != nil {
		return err
	}
	before := entries(s.root + dir)
	self, err := certs.OpenSelf(certs.SelfConfig{Host: s.now.Hostname, StateDir: s.root + dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for name := range entries(s.root + dir) {
		if !before[name] {
			to.take(filepath.Join(s.root+dir, name))
			s.wrote(filepath.Join(dir, name))
		}
	}
	s.pin = self.Describe().Pin
	return nil
}

// entries are the names in a directory.
func entries(dir string) map[string]bool {
	names := make(map[string]bool)
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		names[e.Name()] = true
	}
	return names
}

// serve installs and starts the service.
func (s *session) serve() error {
	if s.installer == nil {
		return nil
	}
	s.installer.Changed = s.changed()
	steps, err := s.installer.Install(s.ctx)
	s.Service = steps
	for _, step := range steps {
		word := "kept"
		if step.Done {
			word = "done"
		}
		s.line(word, step.What)
	}
	return err
}

// line is one of the list of what was done.
func (s *session) line(word, what string) {
	s.say("%s", cli.Fold(word+"   "+cli.OneLine(what), s.page.Width, 7))
}

// noService says what to do where the service cannot be installed.
func (s *session) noService(err error) error {
	if !errors.Is(err, unit.ErrNone) {
		return err
	}
	run := "detour relay"
	if s.file != relaycmd.DefaultFile {
		run += " --config " + s.file
	}
	return fmt.Errorf("--service: %w: leave it out, and have whatever starts programs here run %q, as a user that may bind the ports; SIGHUP has it reload", err, run)
}
