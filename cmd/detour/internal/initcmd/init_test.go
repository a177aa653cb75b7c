package initcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/setup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A room is where a session takes place: a directory, and a machine whose addresses and
// names are made up.
type room struct {
	t    *testing.T
	dir  string
	file string
}

func newRoom(t *testing.T) *room {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", filepath.Join(dir, "state"))
	return &room{t, dir, filepath.Join(dir, "relay.yaml")}
}

// ports have a relay listen where tests may.
var ports = []string{"--listen", "127.0.0.1:0", "--stun", "127.0.0.1:0"}

// init runs one session with these arguments. The answers are lines; nil: there is no
// terminal.
func (r *room) init(answers []string, args ...string) (said string, err error) {
	r.t.Helper()
	var o options
	cmd := newCommand(&o)
	if err := cmd.ParseFlags(append([]string{"-o", r.file}, args...)); err != nil {
		r.t.Fatal(err)
	}
	if err := o.take(cmd.Flags().Args()); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	var out bytes.Buffer
	s := &session{options: &o, ctx: ctx, out: &out, page: cli.Page{Width: 80}, world: setup.World{
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "relay.example.com" || host == "host.example.net" {
				return []netip.Addr{netip.MustParseAddr("203.0.113.7")}, nil
			}
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		},
		Own:      func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.7")} },
		Hostname: func() (string, error) { return "host.example.net", nil },
	}}
	if answers != nil && !o.yes && !o.json {
		s.ask = startPrompter(ctx, strings.NewReader(strings.Join(answers, "\n")+"\n"), &out)
	}
	err = s.run()
	return out.String(), err
}

func (r *room) read() string {
	r.t.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *room) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// given are the settings of the file that are not as they are by default, without those
// that each test has.
func (r *room) given() map[string]string {
	r.t.Helper()
	l := config.Load(config.Sources{File: r.file, Contents: []byte(r.read())})
	if err := l.Err(); err != nil {
		r.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, s := range config.Table() {
		if l.Origin(s.Path) != (config.Origin{}) && s.Path != "listen" && s.Path != "stun" {
			all[s.Path] = strings.ReplaceAll(s.Text(l.Config), r.dir, "DIR")
		}
	}
	return all
}

var prompt = regexp.MustCompile(`^(name or address|certificate|who|siblings)( \[.*?\])?: `)

func TestAnswers(t *testing.T) {
	meshKey := "DIR/state/mesh.key"
	for _, c := range []struct {
		what    string
		answers []string // nil: --yes
		args    []string
		want    map[string]string
	}{
		{"what is usual", []string{"", "", "", ""}, nil, map[string]string{"hostname": "host.example.net", "tls.mode": "self", "access.managed": "true", "mesh.key-file": meshKey}},
		{"what is usual, unasked", nil, []string{"--yes"}, map[string]string{"hostname": "host.example.net", "tls.mode": "self", "access.managed": "true", "mesh.key-file": meshKey}},
		{"an authority", []string{"https://Relay.Example.com/", "acme", "https://hs.example.com", ""}, nil,
			map[string]string{"hostname": "relay.example.com", "tls.mode": "acme", "access.verify": "https://hs.example.com/verify", "mesh.key-file": meshKey}},
		{"slips", []string{"*.example.com", "relay.example.com", "maybe", "files a", "self", "everyone", "headscale x", "everybody", "none"}, nil,
			map[string]string{"hostname": "relay.example.com", "tls.mode": "self", "access.everyone": "true"}},
		{"a region", []string{"relay.example.com", "self", "verify", "tailscale", "a b@c", "127.0.0.1:1, 127.0.0.1:2"}, nil,
			map[string]string{"hostname": "relay.example.com", "tls.mode": "self", "access.tailscaled": "auto", "mesh.key-file": meshKey, "mesh.with": "127.0.0.1:1,127.0.0.1:2"}},
		{"half of it is said", []string{"list", ""}, []string{"203.0.113.7", "--tls", "self"}, map[string]string{"hostname": "203.0.113.7", "tls.mode": "self", "access.managed": "true", "mesh.key-file": meshKey}},
		{"a bare address has a pin", nil, []string{"--yes", "203.0.113.7"}, map[string]string{"hostname": "203.0.113.7", "tls.mode": "self", "access.managed": "true", "mesh.key-file": meshKey}},
		{"an authority of one's own", nil, []string{"--yes", "10.0.0.7", "--acme-directory", "https://127.0.0.1:1/"},
			map[string]string{"hostname": "10.0.0.7", "tls.mode": "acme", "acme.directory": "https://127.0.0.1:1/", "access.managed": "true", "mesh.key-file": meshKey}},
		{"port 80", nil, []string{"--yes", "relay.example.com", "--tls", "acme", "--acme-directory", "https://127.0.0.1:1/", "--acme-challenge", "http", "--http", "127.0.0.1:0"},
			map[string]string{"hostname": "relay.example.com", "tls.mode": "acme", "acme.directory": "https://127.0.0.1:1/", "acme.challenge": "http", "http": "127.0.0.1:0", "access.managed": "true", "mesh.key-file": meshKey}},
		{"behind a proxy", nil, []string{"--yes", "relay.example.com", "--tls", "off", "--access-everyone"},
			map[string]string{"hostname": "relay.example.com", "tls.mode": "off", "trusted-proxies": "127.0.0.1,::1", "access.everyone": "true"}},
		{"other settings", nil, []string{"--yes", "relay.example.com", "--tls", "self", "--access-everyone", "--limits-in", "20Mbit/s", "--limits-labels", "a=in=1Mbit/s", "--drain", "20s", "--derp=true"},
			map[string]string{"hostname": "relay.example.com", "tls.mode": "self", "access.everyone": "true", "limits.in": "20Mbit/s", "limits.labels": "a=in=1Mbit/s out=0", "drain": "20s"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRoom(t)
			said, err := r.init(c.answers, append(c.args, ports...)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if got := r.given(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v\nwant %v\n%s", got, c.want, said)
			}
			text := r.read()
			if strings.Count(text, "#") < 8 {
				t.Errorf("it teaches nothing:\n%s", text)
			}
			for line := range strings.Lines(said) {
				if strings.HasPrefix(line, "       ") || strings.Contains(line, r.dir) || strings.Contains(line, "CertName") || strings.Contains(line, "certname") {
					continue // to be copied, as it is
				}
				line = prompt.ReplaceAllString(line, "") // behind which a person would have pressed Enter
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			again, err := r.init(c.answers, append(c.args, ports...)...)
			if err != nil || r.read() != text || !strings.Contains(again, "relay.yaml is right as it is\n") {
				t.Errorf("a second time: %v\n%s\n%s", err, r.read(), again)
			}
		})
	}
}

// What a person has written stays, and he sees what is changed.
func TestKeepsWhatIsThere(t *testing.T) {
	r := newRoom(t)
	const ours = "# our relay\nhostname: relay.example.com  # the old one\nlisten: \"127.0.0.1:0\"\nstun: \"off\"\n\naccess:\n  # the office\n  managed: true\n"
	r.write(ours)
	said, err := r.init([]string{"self", "y"})
	want := ours + "\ntls:\n  # The relay makes its certificate"
	if err != nil || !strings.HasPrefix(r.read(), want) || strings.Contains(said, "Who may come in?") || strings.Contains(said, "By which DNS name") || strings.Contains(said, "in its region?") {
		t.Fatalf("%v\n%s\n%s", err, said, r.read())
	}
	if !strings.Contains(said, "\n+  mode: self\n") || !strings.Contains(said, "\n+mesh:\n") || !strings.Contains(said, "Write this to ") {
		t.Errorf("it shows no difference:\n%s", said)
	}
	if info, err := os.Stat(r.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	before := r.read()
	if _, err := r.init([]string{"n"}, "--hostname", "203.0.113.7"); err == nil || err.Error() != "nothing was changed" || r.read() != before {
		t.Errorf("%v\n%s", err, r.read())
	}
	if _, err := r.init(nil, "--hostname", "203.0.113.7"); err == nil || !strings.Contains(err.Error(), "would change as it is shown above: --yes writes it") || r.read() != before {
		t.Errorf("%v\n%s", err, r.read())
	}
	if said, err := r.init(nil, "--yes", "--hostname", "203.0.113.7"); err != nil || !strings.Contains(r.read(), "\nhostname: \"203.0.113.7\"  # the old one\n") {
		t.Errorf("%v\n%s\n%s", err, said, r.read())
	}
	// Files of one's own instead, which this machine does not have.
	before = "hostname: relay.example.com\nlisten: \"127.0.0.1:0\"\nstun: \"off\"\ntls:\n  mode: self # for now\naccess:\n  everyone: true\n"
	r.write(before)
	if said, err := r.init(nil, "--yes", "--cert", "credential:relay.crt", "--key", "credential:relay.key"); err != nil ||
		r.read() != strings.Replace(before, "self # for now\n", "files # for now\n  # New ones are taken over when the files change.\n  cert: credential:relay.crt\n  key: credential:relay.key\n", 1) {
		t.Errorf("%v\n%s\n%s", err, said, r.read())
	}
	// Another mode of TLS takes out what meant the one before.
	r.write("hostname: relay.example.com\nlisten: \"127.0.0.1:0\"\nstun: \"off\"\ntls:\n  mode: acme\nacme:\n  # us\n  contact: a@b.example\naccess:\n  everyone: true\n")
	if said, err := r.init(nil, "--yes", "--tls", "self"); err != nil || r.read() != "hostname: relay.example.com\nlisten: \"127.0.0.1:0\"\nstun: \"off\"\ntls:\n  mode: self\naccess:\n  everyone: true\n" {
		t.Errorf("%v\n%s\n%s", err, said, r.read())
	}
}

// Where something is wrong, nothing is changed.
func TestRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	usual := append([]string{"--yes", "relay.example.com", "--tls", "self", "--access-managed"}, ports...)
	for _, c := range []struct {
		what    string
		prepare func(r *room)
		answers []string
		args    []string
		want    string // in the error
		said    string
	}{
		{"nobody there", nil, nil, ports, "there is no terminal to ask at: give these flags, or --yes", ""},
		{"no more answers", nil, []string{"relay.example.com"}, ports, "there are no more answers: nothing was changed", ""},
		{"a name twice", nil, nil, []string{"a.example", "--hostname", "b.example"}, "give one of them", ""},
		{"a wildcard", nil, nil, []string{"--yes", "*.example.com"}, `the name "*.example.com" is a wildcard`, ""},
		{"a value that means nothing", nil, nil, []string{"--yes", "a.example", "--drain", "15"}, `--drain "15": has no unit`, ""},
		{"a port that is taken", nil, nil, append(usual[:5:5], "--listen", busy.Addr().String(), "--stun", "off"), "something is wrong, so nothing was changed", "address already in use: stop what listens there"},
		{"a port that is taken, and a no", nil, []string{"n"}, append(usual[1:5:5], "--mesh-with", "127.0.0.1:1", "--listen", busy.Addr().String(), "--stun", "off"), "nothing was changed", "Write the settings all the same?"},
		{"files that are not there", nil, nil, append([]string{"--yes", "a.example", "--cert", "/nowhere/a.crt", "--key", "/nowhere/a.key", "--access-managed"}, ports...), "something is wrong", "there is no directory /nowhere"},
		{"settings that contradict each other", nil, nil, append([]string{"--tls", "acme", "--cert", "a", "--key", "b"}, usual[:2]...), "something is wrong", "tls.cert and tls.key mean tls.mode files"},
		{"a file with an error", func(r *room) { r.write("lisen: x\n") }, nil, usual, `relay.yaml:1:1: there is no setting "lisen": write listen`, ""},
		{"a file that cannot be changed", func(r *room) { r.write("tls: {mode: acme}\nhostname: a.example\naccess: {everyone: true}\n") }, nil, usual, "write into it: ", ""},
		{"a directory in its place", func(r *room) { r.file = r.dir }, nil, usual, "is a directory", ""},
		{"a link that leads nowhere", func(r *room) { os.Symlink("/nowhere/relay.yaml", r.file) }, nil, usual, "is a symbolic link to /nowhere/relay.yaml, which is not there", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRoom(t)
			if c.prepare != nil {
				c.prepare(r)
			}
			before, _ := os.ReadFile(r.file)
			said, err := r.init(c.answers, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(strings.Join(strings.Fields(said), " "), c.said) {
				t.Errorf("%v\n%s", err, said)
			}
			if after, _ := os.ReadFile(r.file); !bytes.Equal(before, after) {
				t.Errorf("it has become\n%s", after)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "state")); err == nil {
				t.Error("there is something in the state directory")
			}
		})
	}
	r := newRoom(t)
	if said, err := r.init(nil, append(usual[:5:5], "--force", "--listen", busy.Addr().String(), "--stun", "off")...); err != nil || r.given()["hostname"] != "relay.example.com" {
		t.Errorf("%v\n%s", err, said)
	}
}

// A link to the file stays one, and what it leads to is changed.
func TestLinkedFile(t *testing.T) {
	r := newRoom(t)
	r.write("hostname: relay.example.com\nlisten: \"127.0.0.1:0\"\nstun: \"off\"\naccess:\n  everyone: true\n")
	real := filepath.Join(r.dir, "real.yaml")
	if os.Rename(r.file, real) != nil || os.Symlink("real.yaml", r.file) != nil {
		t.Fatal("this system has no links")
	}
	if said, err := r.init(nil, "--yes", "--tls", "self"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	text, err := os.ReadFile(real)
	if info, linked := os.Lstat(r.file); err != nil || linked != nil || info.Mode()&os.ModeSymlink == 0 || !strings.Contains(string(text), "mode: self") {
		t.Errorf("%v, %v: %s", err, linked, text)
	}
}

// Ctrl-C ends it at a question, and while it asks others.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := startPrompter(ctx, in, &out)
	if _, err := p.line("name", ""); err != errInterrupted {
		t.Error(err)
	}
	feed.Close()
	if _, ok := <-p.lines; ok {
		t.Error("a line")
	}
	in.Close()
}

func TestJSON(t *testing.T) {
	r := newRoom(t)
	said, err := r.init(nil, append([]string{"--json", "https://relay.example.com/", "--tls", "self", "--access-verify", "http://127.0.0.1:1/verify"}, ports...)...)
	var plan report
	if err != nil || json.Unmarshal([]byte(said), &plan) != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if _, err := os.Stat(r.file); err == nil || !plan.OK || !plan.Changed || len(plan.Written) != 0 || len(plan.Notes) != 1 || len(plan.Findings) < 3 || !strings.Contains(plan.Settings, "mode: self") {
		t.Errorf("%+v", plan)
	}
	said, err = r.init(nil, append([]string{"--json", "--yes", "relay.example.com", "--tls", "self", "--access-verify", "http://127.0.0.1:1/verify"}, ports...)...)
	var done report
	if err != nil || json.Unmarshal([]byte(said), &done) != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if len(done.Written) != 3 || r.read() != done.Settings || !strings.Contains(string(done.Map), `"CertName":"sha256-raw:`) || !strings.Contains(done.YAML, "certname: sha256-raw:") || !strings.Contains(done.Tailnet, "derpMap") || len(done.Next) != 3 {
		t.Errorf("%+v", done)
	}
	r.write("hostname: relay.example.com\ntls:\n  mode: self\naccess:\n  keys: /nowhere\n")
	said, err = r.init(nil, append([]string{"--json"}, ports...)...)
	var wrong report
	if cli.ExitStatus(err) != cli.ExitBad || err.Error() != "" || json.Unmarshal([]byte(said), &wrong) != nil || wrong.OK || wrong.Error == "" {
		t.Errorf("%v\n%s", err, said)
	}
}
