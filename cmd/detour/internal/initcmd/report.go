package initcmd

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/setup"
	"github.com/detour-relay/detour/internal/unit"
)

// A report is what programs are told. Its JSON names are stable.
type report struct {
	OK       bool            `json:"ok"`
	Error    string          `json:"error,omitempty"`
	File     string          `json:"file"`
	Changed  bool            `json:"changed"`        // the file is, or would be, another one than before
	Diff     string          `json:"diff,omitempty"` // of a file that was there
	Settings string          `json:"settings"`       // the text of the file
	Written  []string        `json:"written"`        // files
	Notes    []string        `json:"notes"`          // what was made of what was given
	Findings []finding       `json:"findings"`
	Service  []unit.Step     `json:"service,omitempty"`
	Map      json.RawMessage `json:"map,omitempty"`       // the DERP map
	Tailnet  string          `json:"tailscale,omitempty"` // the same, as a policy file has it
	YAML     string          `json:"headscale,omitempty"` // the same, for Headscale
	Firewall []setup.Opening `json:"firewall"`
	Next     []step          `json:"next"`

	wrong     bool
	issued    bool   // the service has a certificate
	member    string // the map as it is pasted
	pin       string
	installer *unit.Installer
}

// A step is left to the operator.
type step struct {
	Text string   `json:"text"`
	Run  []string `json:"run"` // commands
}

type finding struct {
	Level   daemon.Level `json:"level"`
	Setting string       `json:"setting"` // empty: none in particular
	Text    string       `json:"text"`
}

// failed ends with an error, which programs are told, too.
func (s *session) failed(err error) error {
	if !s.json || cli.ExitStatus(err) == cli.ExitUsage {
		return err
	}
	s.Error = err.Error()
	if printed := s.printJSON(); printed != nil {
		return printed
	}
	return cli.SaidBad()
}

func (s *session) printJSON() error {
	s.File, s.Changed, s.Settings = s.file, s.changed(), string(s.after)
	s.Written, s.Notes = append([]string{}, s.Written...), append([]string{}, s.Notes...)
	s.Findings, s.Firewall, s.Next = append([]finding{}, s.Findings...), append([]setup.Opening{}, s.Firewall...), append([]step{}, s.Next...)
	return cli.WriteJSON(s.out, s.report)
}

// finish says what is to be done elsewhere.
func (s *session) finish() error {
	s.OK = true
	m := setup.Map(s.now, s.pin, s.region)
	var err error
	if s.Map, err = m.MarshalJSON(); err != nil {
		return err
	}
	policy, err := m.Encode(derpmap.HuJSON)
	if err != nil {
		return err
	}
	yaml, err := m.Encode(derpmap.YAML)
	if err != nil {
		return err
	}
	plain, err := m.Encode(derpmap.JSON)
	if err != nil {
		return err
	}
	s.member = `"derpMap": ` + strings.TrimSpace(string(plain)) + ",\n"
	s.Tailnet, s.YAML = string(policy), string(yaml)
	s.Firewall = setup.Openings(s.now)
	s.Next = s.next()
	if s.json {
		return s.printJSON()
	}
	s.sayFirewall()
	s.sayMaps()
	s.say("\nNext\n")
	for i, step := range s.Next {
		s.say("%s", cli.Fold(fmt.Sprintf("  %d. %s", i+1, step.Text), s.page.Width, 5))
		for _, line := range step.Run { // whole, to be copied
			s.say("       %s\n", line)
		}
	}
	return nil
}

func (s *session) sayFirewall() {
	if len(s.Firewall) == 0 {
		return
	}
	s.say("\nFirewall: let these through, here and in your provider's console\n")
	for _, o := range s.Firewall {
		from := ""
		if len(o.From) > 0 {
			from = " (" + strings.Join(o.From, ", ") + ")"
		}
		s.say("  %s %-5d  %s%s\n", strings.ToUpper(o.Protocol), o.Port, o.For, from)
	}
	for _, firewall := range setup.Firewalls {
		if _, err := exec.LookPath(firewall); err != nil {
			continue
		}
		for _, line := range setup.Commands(firewall, s.Firewall) {
			s.say("    %s\n", line)
		}
		break // the first is what people use; the others are beneath it
	}
}

func (s *session) sayMaps() {
	tailscale := func() {
		s.say("\nDERP map for Tailscale: a member of the policy file (Access controls)\n\n%s", indented(s.member))
	}
	headscale := func() { s.say("\nDERP map for Headscale: a file that derp.paths names\n\n%s", indented(s.YAML)) }
	if len(s.now.Access.Verify) > 0 {
		headscale()
		tailscale()
		return
	}
	tailscale()
	headscale()
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// sudo begins commands that ask the service, or read what only it and root may.
func (s *session) sudo() string {
	if s.service || s.file == relaycmd.DefaultFile {
		return "sudo "
	}
	return ""
}

// next are the steps that are left.
func (s *session) next() (steps []step) {
	for _, of := range []func() (string, []string){s.nextProxy, s.nextStart, s.nextAllow, s.nextSiblings, s.nextCheck, s.nextMap} {
		if text, commands := of(); text != "" {
			steps = append(steps, step{text, append([]string{}, commands...)})
		}
	}
	return steps
}

func (s *session) nextProxy() (string, []string) {
	if s.now.TLS.Mode != config.TLSOff {
		return "", nil
	}
	return fmt.Sprintf("Have your proxy pass https://%s on to %s, with its upgrades: docs/proxies.md has nginx, HAProxy, Caddy and others.", s.host(), s.now.Listen), nil
}

func (s *session) nextStart() (string, []string) {
	switch {
	case s.service:
		return "", nil
	case s.file == relaycmd.DefaultFile:
		return "Start the relay:", []string{"sudo detour init --service"}
	}
	return "Start the relay:", []string{"detour relay --config " + s.file}
}

func (s *session) nextAllow() (string, []string) {
	a := s.now.Access
	if !a.Managed || len(a.Verify)+len(a.Keys)+len(a.Coordinator)+len(a.Tailscaled) > 0 {
		return "", nil
	}
	return "Let peers in, one by one or all that a machine of your tailnet sees (it pushes them by ssh, docs/access.md):", []string{
		s.sudo() + "detour access allow nodekey:...", "tailscale status --json | " + s.sudo() + "detour access import --set tailnet -",
	}
}

func (s *session) nextSiblings() (string, []string) {
	if !s.now.Mesh.Used() {
		return "", nil
	}
	if slices.Contains(s.now.Mesh.With, s.entry()) {
		return "Give the other relays of the region the same list, and the same mesh key, " + s.now.Mesh.KeyFile + ".", nil
	}
	text := "All relays of the region have the same mesh key: copy " + s.now.Mesh.KeyFile + " to the others"
	if s.makeKey != "" {
		text = s.makeKey + " was made just now, and all relays of the region have the same mesh key: if the others have one, put it in its place, else copy this one to them"
	}
	return text + ". And name this relay there:", []string{s.sudo() + "detour init --mesh-with " + strings.Join(append(slices.Clone(s.now.Mesh.With), s.entry()), ","), s.sudo() + "detour reload"}
}

// entry is what siblings call this relay.
func (s *session) entry() string {
	entry := s.host()
	if strings.Contains(entry, ":") {
		entry = "[" + entry + "]"
	}
	if port := setup.PublicPort(s.now); port != derpmap.DefaultDERPPort {
		entry = fmt.Sprintf("%s:%d", entry, port)
	}
	if s.pin != "" {
		entry += "=" + s.pin
	}
	return entry
}

// nextCheck is a command that looks at the relay from the outside.
func (s *session) nextCheck() (string, []string) {
	command := s.sudo() + "detour check"
	if file := s.now.Mesh.KeyFile; file != "" && !strings.HasPrefix(file, config.CredentialPrefix) {
		command += " --mesh-psk-file " + file
	}
	if s.pin != "" {
		command += " --cert-name " + s.pin
	}
	target, _, _ := strings.Cut(s.entry(), "=")
	if strings.HasPrefix(target, "[") {
		target = "'" + target + "'" // or some shells look for files
	}
	when := "Look at it as peers do:"
	if s.now.TLS.Mode == config.TLSACME && !s.issued {
		when = "Within a minute it has its certificate; if not, the log says why. Look at it as peers do:"
	}
	return when, []string{command + " " + target}
}

func (s *session) nextMap() (string, []string) {
	then := []string{"tailscale netcheck"}
	switch {
	case len(s.now.Access.Coordinator) > 0:
		return "Give peers the map: save the second one as derp.yaml, and tell the coordinators:", []string{"detour net map set derp.yaml"}
	case len(s.now.Access.Verify) > 0:
		return "Give peers the map: save it as /etc/headscale/derp.yaml, name that file under derp.paths in Headscale's config.yaml, and restart Headscale. Then this lists the region:", then
	}
	return "Give peers the map: paste the first one into the policy file at https://login.tailscale.com/admin/acls/file (or the second into Headscale's). Then this lists the region:", then
}
