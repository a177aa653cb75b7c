package initcmd

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/setup"
)

// A question is about settings that only the operator can know.
type question struct {
	flags string // that answer it
	text  string // what it is about
	open  func(c config.Config) bool
	usual func(s *session) string // answer; empty: there is none
	ask   func(s *session, usual string) error
	take  func(s *session, answer string) error
}

// questions are all there are, in the order in which they are asked.
var questions = []question{
	{
		"NAME or --hostname", "the DNS name or public IP address by which peers reach the relay",
		func(c config.Config) bool { return setup.Host(c) == "" }, (*session).usualName, (*session).askName, (*session).takeName,
	},
	{
		"--tls", "where the certificate comes from: acme, self, files (--cert, --key) or off",
		func(c config.Config) bool { return c.TLS.Mode == "" && c.TLS.Cert == "" && c.TLS.Key == "" }, (*session).usualTLS, (*session).askTLS, (*session).takeTLS,
	},
	{
		"--access-...", "who may come in: --access-managed, -verify, -tailscaled, -coordinator, -keys or -everyone",
		func(c config.Config) bool { return c.DERP && !c.Access.Given() }, (*session).usualAccess, (*session).askAccess, (*session).takeAccess,
	},
}

// answer has all questions answered that are still open.
func (s *session) answer() error {
	if err := s.normalize(); err != nil {
		return err
	}
	var open []question
	for _, q := range questions {
		if q.open(s.current()) {
			open = append(open, q)
		}
	}
	if len(open) > 0 && s.ask == nil && !s.yes && !s.json {
		return unasked(open)
	}
	first := len(open) > 0 && s.isNew()
	if s.ask != nil && len(open) > 0 {
		s.say("Enter takes what stands in brackets. Nothing is written before the end.\n")
	}
	for _, q := range open {
		usual := q.usual(s)
		if s.ask != nil {
			if err := q.ask(s, usual); err != nil {
				return err
			}
			continue
		}
		if usual == "" {
			return cli.Usagef("%s is missing: %s cannot be told from here", q.flags, q.text)
		}
		if err := q.take(s, usual); err != nil {
			return err
		}
	}
	if s.ask != nil && first && !s.current().Mesh.Used() {
		return s.askRegion()
	}
	return nil
}

// unasked names the flags that are missing where nobody can be asked.
func unasked(open []question) error {
	var ways []string
	width := 0
	for _, q := range open {
		width = max(width, len(q.flags))
	}
	for _, q := range open {
		ways = append(ways, q.flags+strings.Repeat(" ", width-len(q.flags))+"  "+q.text)
	}
	return &cli.Choice{Err: cli.Usagef("there is no terminal to ask at: give these flags, or --yes for what is usual:"), Ways: ways}
}

// normalize takes names as people write them on the command line.
func (s *session) normalize() error {
	for i, g := range s.given {
		if g.Path != "hostname" {
			continue
		}
		host, said, err := setup.Name(g.Text)
		if err != nil {
			return cli.Usagef("the name %w", err)
		}
		if said != "" {
			s.note(said)
		}
		s.given[i].Text = host
	}
	return nil
}

func (s *session) usualName() string { return s.world.Guess(s.ctx) }

func (s *session) askName(usual string) error {
	s.say("\nBy which DNS name, or public IP address, do peers reach this relay?\n")
	return s.untilTaken("name or address", usual, s.takeName)
}

// untilTaken asks again until an answer means something.
func (s *session) untilTaken(prompt, usual string, take func(string) error) error {
	for {
		answer, err := s.ask.line(prompt, usual)
		if err != nil {
			return err
		}
		if answer == "" {
			continue
		}
		if err = take(answer); err == nil {
			return nil
		}
		s.say("%s", cli.Fold(braces(err.Error()), s.page.Width, 0))
	}
}

func (s *session) takeName(answer string) error {
	host, said, err := setup.Name(answer)
	if err != nil {
		return err
	}
	if said != "" {
		s.note(said)
	}
	s.set("hostname", host)
	if s.ask != nil { // while he can still say another
		s.print(s.world.Host(s.ctx, config.Config{Hostname: host, PublicIP: s.current().PublicIP}))
	}
	return nil
}

// usualTLS is an authority where one would issue for the name. Tailscale's clients do not
// verify for which address a certificate is, so those get a pin.
func (s *session) usualTLS() string {
	c := s.current()
	_, port, _ := strings.Cut(c.Listen, ":")
	own := c.ACME.Directory != ""
	for _, name := range append([]string{c.Hostname}, c.PublicIP...) {
		if name != "" && !own && (setup.IsAddress(c.Hostname) || hostname.CheckPublic(name) != nil) {
			return config.TLSSelf
		}
	}
	if !own && c.Listen != "" && port != "443" && setup.AsksListener(c) {
		return config.TLSSelf // nobody would find it at port 443
	}
	return config.TLSACME
}

func (s *session) askTLS(usual string) error {
	s.say(`
Where does its certificate come from?
  acme    an authority, Let's Encrypt, issues and renews it: TCP port 443 has to
          get through from the internet, and you accept its terms
  self    the relay makes its own; peers trust it by a hash in the map
  files   you have one, and its key: files CERT KEY
  off     a proxy before the relay ends TLS
`)
	return s.untilTaken("certificate", usual, s.takeTLS)
}

func (s *session) takeTLS(answer string) error {
	words := strings.Fields(answer)
	switch mode := strings.ToLower(words[0]); {
	case mode == config.TLSFiles && len(words) == 3:
		for i, setting := range []string{"tls.cert", "tls.key"} {
			path, err := filepath.Abs(words[i+1])
			if err != nil {
				return err
			}
			s.set(setting, path)
		}
	case mode == config.TLSFiles:
		return errors.New("write files, the file with the certificate and its intermediates, and the file with the key: files relay.crt relay.key")
	case len(words) == 1 && slices.Contains([]string{config.TLSACME, config.TLSSelf, config.TLSOff}, mode):
		s.set("tls.mode", mode)
	default:
		return errors.New("write acme, self, files CERT KEY, or off")
	}
	return nil
}

// tailscaled is where the Tailscale daemon usually has its socket.
const tailscaled = "/var/run/tailscale/tailscaled.sock"

// usualAccess lets in the tailnet of this machine, else nobody before the operator names
// them.
func (s *session) usualAccess() string {
	if info, err := os.Stat(s.root + tailscaled); err == nil && info.Mode()&os.ModeSocket != 0 {
		return "tailscale"
	}
	return "list"
}

func (s *session) askAccess(usual string) error {
	s.say(`
Who may come in?
  list                   whom "detour access allow" names; nobody before that
  headscale URL          members of your Headscale: headscale https://hs.example
  tailscale              the tailnet of this machine's tailscaled
  coordinator URL TOKEN  members of Detour's own server; TOKEN is a file
                         with what "detour net relay add" has printed
  keys FILE              a file with one nodekey:... a line
  everybody              whoever finds it; the traffic is yours to pay
`)
	return s.untilTaken("who", usual, s.takeAccess)
}

func (s *session) takeAccess(answer string) error {
	words := strings.Fields(answer)
	word := strings.ToLower(words[0])
	switch {
	case len(words) == 1 && strings.Contains(word, "://"):
		word, words = "headscale", []string{"headscale", words[0]}
	case len(words) == 1 && strings.HasPrefix(words[0], "/"):
		word, words = "keys", []string{"keys", words[0]}
	}
	switch {
	case word == "list" && len(words) == 1:
		s.set("access.managed", "true")
	case word == "everybody" && len(words) == 1:
		s.set("access.everyone", "true")
	case word == "tailscale" && len(words) == 1:
		s.set("access.tailscaled", config.TailscaledAuto)
	case word == "headscale" && len(words) == 2:
		verify, err := verifyURL(words[1])
		if err != nil {
			return err
		}
		s.set("access.verify", verify)
	case word == "coordinator" && len(words) == 3:
		s.set("access.coordinator", words[1])
		s.set("access.coordinator-token", words[2])
	case word == "keys" && len(words) == 2:
		path, err := filepath.Abs(words[1])
		if err != nil {
			return err
		}
		s.set("access.keys", path)
	default:
		return errors.New("write list, headscale URL, tailscale, coordinator URL TOKEN, keys FILE, or everybody")
	}
	return nil
}

// verifyURL is where a Headscale answers about members.
func verifyURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("write the URL of your Headscale, as its server_url has it: https://hs.example.com")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/verify"
	}
	return u.String(), nil
}

func (s *session) askRegion() error {
	s.say("\nWhich other relays are in its region? Names with commas; Enter: none.\n")
	for {
		answer, err := s.ask.line("siblings", "")
		if err != nil || answer == "" || strings.EqualFold(answer, "none") {
			return err
		}
		var hosts []string
		for part := range strings.FieldsFuncSeq(answer, func(r rune) bool { return r == ',' || r == ' ' }) {
			hosts = append(hosts, part)
		}
		c := s.current()
		if err := config.Set(&c, "mesh.with", strings.Join(hosts, ",")); err == nil {
			if err = checkSiblings(c); err == nil {
				s.set("mesh.with", strings.Join(hosts, ","))
				return nil
			}
			s.say("%s", cli.Fold(err.Error(), s.page.Width, 0))
		}
	}
}
