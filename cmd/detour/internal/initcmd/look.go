package initcmd

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/setup"
	"github.com/detour-relay/detour/internal/unit"
)

// look compares the answers with the machine, and with those whom they name.
func (s *session) look() error {
	s.say("\n")
	found := s.sift(daemon.Check(s.ctx, s.loaded.Config))
	if s.ctx.Err() != nil {
		return errInterrupted
	}
	if s.ask == nil || !s.isNew() { // else he has seen it
		found = append(s.world.Host(s.ctx, s.now), found...)
	}
	found = append(found, s.world.Others(s.ctx, s.now)...)
	found = append(found, setup.Secrets(s.now)...)
	found = append(found, s.forService()...)
	if s.host() != "" {
		pin := ""
		if s.now.TLS.Mode == config.TLSSelf {
			pin = "sha256-raw:" + strings.Repeat("0", 64) // it will have one
		}
		found = append(found, setup.CheckMap(setup.Map(s.now, pin, s.region))...)
	}
	s.print(found)
	if s.ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// sift leaves out what nobody wants to know, and what is about to be put right.
func (s *session) sift(all []daemon.Finding) (found []daemon.Finding) {
	for _, f := range all {
		switch f.Err.Setting {
		case "", "relay-key":
			if f.Level == daemon.Fine {
				continue
			}
		case "mesh.key-file":
			if s.makeKey != "" {
				f = daemon.Finding{Level: daemon.Fine, Err: &config.Error{Setting: f.Err.Setting, What: s.makeKey + " is made"}}
			}
		}
		found = append(found, f)
	}
	return found
}

// forService looks whether the user of the service can read what the settings name.
func (s *session) forService() (found []daemon.Finding) {
	if !s.service && (s.file != relaycmd.DefaultFile || os.Geteuid() != 0) {
		return nil
	}
	for _, setting := range config.Table() {
		if !setting.File {
			continue
		}
		for path := range strings.SplitSeq(setting.Text(s.now), ",") {
			if err := s.readable(path); err != nil {
				level := daemon.Noted
				if s.service {
					level = daemon.Wrong
				}
				found = append(found, daemon.Finding{Level: level, Err: &config.Error{Setting: setting.Path, Err: err}})
			}
		}
	}
	return found
}

// readable is why the service cannot read a file that a setting names, or its credential.
func (s *session) readable(path string) error {
	if name, ok := strings.CutPrefix(path, config.CredentialPrefix); ok {
		if s.unit().HasCredential(name) {
			return nil
		}
		return fmt.Errorf("the unit hands over no credential %s: systemctl edit detour, and beneath [Service] LoadCredential=%[1]s:FILE", name)
	}
	if path == "" || path == s.makeKey || strings.Contains(path, "://") {
		return nil
	}
	return s.unit().Reads(path)
}

// print notes findings, and shows them to people.
func (s *session) print(found []daemon.Finding) {
	for _, f := range found {
		text, ways := f.Err.Lines(plain)
		s.Findings = append(s.Findings, finding{f.Level, f.Err.Setting, text})
		s.wrong = s.wrong || f.Level == daemon.Wrong
		s.say("%s", cli.Fold(fmt.Sprintf("%-5s  %s", f.Level, cli.OneLine(text)), s.page.Width, 7))
		for _, way := range ways {
			s.say("         %s\n", way)
		}
	}
}

// plain spells settings as the file has them.
func plain(path string) string { return path }

// braces spells settings in braces as flags.
func braces(text string) string {
	return strings.TrimSpace((&config.Error{What: text}).Text(relaycmd.FlagName))
}

var errWrong = errors.New("something is wrong, so nothing was changed: put it right, or --force writes the settings all the same")

// agree has the operator say yes to what he may not want.
func (s *session) agree() error {
	if s.wrong && !s.force {
		if s.ask == nil {
			return errWrong
		}
		if yes, err := s.ask.agreed("Something is wrong. Write the settings all the same?", false); err != nil {
			return err
		} else if !yes {
			return errors.New("nothing was changed")
		}
	}
	if s.isNew() || !s.changed() {
		return nil
	}
	s.Diff = differences(s.file, s.before, s.after)
	s.say("\n%s", s.Diff)
	switch {
	case s.yes, s.json:
		return nil
	case s.ask == nil:
		return cli.Usagef("%s would change as it is shown above: --yes writes it", s.file)
	}
	yes, err := s.ask.agreed("Write this to "+s.file+"?", true)
	if err == nil && !yes {
		err = errors.New("nothing was changed")
	}
	return err
}

// differences are those of two texts, as diff -u has them.
func differences(name string, before, after []byte) string {
	text := string(diff.Diff(name, before, name+" (new)", after))
	if _, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(text, "diff ") {
		text = rest
	}
	return text
}

// checkSiblings says what is wrong with the list of siblings.
func checkSiblings(c config.Config) error {
	_, err := mesh.ParseEntries(strings.Join(c.Mesh.With, ","))
	return err
}

// unit is what the service is made of.
func (s *session) unit() unit.Config {
	program, _ := os.Executable()
	return unit.Config{
		Root: s.root, Name: unit.Relay, Unit: unitText, Program: program, Args: []string{"relay", "--config", s.file},
		Files: []string{s.file}, Replace: s.force,
	}
}
