package derper

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/config"
)

// alone has the environment say nothing that a relay would hear.
func alone(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, config.VariablePrefix) {
			t.Setenv(name, "")
		}
	}
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
}

// secured is a whole command line with TLS, to which each case adds.
const secured = "-hostname relay.example -certmode manual -certdir /certs -http-port -1 -c /keys/derper.key "

// issued is one with a certificate that an authority issues, as derper does by itself.
const issued = "-hostname relay.example -c /keys/derper.key "

// plain is one without.
const plain = "-a :8080 -c /keys/derper.key "

// cases say of each flag what becomes of it. A want that begins with "!" is why it is
// refused; any other has the settings that there are, "path=" those that there are not.
var cases = []struct{ flag, line, want string }{
	{"a", secured, "listen=:443 stun=:3478 tls.mode=files tls.cert=/certs/relay.example.crt tls.key=/certs/relay.example.key hostname=relay.example self-check=direct"},
	{"a", secured + "-a 203.0.113.7:8443", "listen=203.0.113.7:8443 stun=203.0.113.7:3478 tls.mode=files"},
	{"a", secured + "-a [2001:db8::1]:8443", "listen=[2001:db8::1]:8443 stun=[2001:db8::1]:3478"},
	{"a", plain, "listen=:8080 tls.mode=off hostname= tls.cert="},
	{"a", plain + "-a 8080", `!--a "8080": want host:port`},
	{"accept-connection-burst", secured + "-accept-connection-limit 100 -accept-connection-burst 200", "accept.limit=100 accept.burst=200"},
	{"accept-connection-burst", secured + "-accept-connection-limit 100 -accept-connection-burst 0", "!--accept-connection-burst 0: want 1 or more"},
	{"accept-connection-burst", secured + "-accept-connection-burst 200", "accept.burst="},
	{"accept-connection-limit", secured + "-accept-connection-limit +Inf", "accept.limit="},
	{"accept-connection-limit", secured + "-accept-connection-limit 2.5", "!--accept-connection-limit limits nothing in derper without --accept-connection-burst.*such as 5$"},
	{"accept-connection-limit", secured + "-accept-connection-limit 0 -accept-connection-burst 1", "!--accept-connection-limit 0: want more than 0"},
	{"accept-connection-limit", secured + "-accept-connection-limit NaN -accept-connection-burst 1", "!--accept-connection-limit NaN: want more than 0"},
	{"accept-connection-limit", plain + "-accept-connection-limit 100 -accept-connection-burst 200", "accept.limit="},
	{"ace", secured + "-ace", "!--ace .* leave it out"},
	{"ace", secured + "-ace=false", "tls.mode=files"},
	{"acme-email", issued + "-acme-email a@b.example", "tls.mode=acme acme.contact=a@b.example acme.directory= http=:80 hostname=relay.example"},
	{"acme-eab-kid", issued + "-acme-eab-kid k", "acme.eab-key-id="},
	{"acme-eab-kid", issued + "-certmode gcp -acme-eab-kid k -acme-email a@b.example", `!--certmode gcp needs the key of --acme-eab-kid: name its file in \$DETOUR_ACME_EAB_KEY`},
	{"acme-eab-key", issued + "-certmode gcp -acme-eab-kid k -acme-eab-key s3cret -acme-email a@b.example", `!--acme-eab-key would be seen by every user of this machine: [^3]*$`},
	{"acme-ip-certs", issued + "-acme-ip-certs", `!--acme-ip-certs does not ask sockets .* \$DETOUR_PUBLIC_IP`},
	{"acme-ip-certs", issued + "-acme-ip-certs -hostname 203.0.113.7", "tls.mode=acme hostname=203.0.113.7"},
	{"certmode", issued + "-hostname 203.0.113.7", "!--hostname 203.0.113.7 is an address: add --acme-ip-certs"},
	{"certmode", issued + "-certmode gcp", "!--certmode gcp needs --acme-eab-kid and --acme-email"},
	{"certmode", issued + "-certmode gcp -hostname 203.0.113.7", "!--certmode gcp is for names"},
	{"certdir", issued + "-certdir /certs", "tls.mode=acme acme.storage=/certs/detour-acme tls.cert="},
	{"acme-ip-certs", secured + "-acme-ip-certs", "!--acme-ip-certs is for --certmode letsencrypt"},
	{"bootstrap-dns-names", secured + "-bootstrap-dns-names a.example,b.example", "bootstrap.names=a.example,b.example"},
	{"c", secured + "-c /var/lib/derper/derper.key", "relay-key=/var/lib/derper/derper.key state-dir="},
	{"c", secured + "-c /etc/derp/derper.conf", "relay-key=/etc/derp/derper.conf state-dir=/etc/derp/detour"},
	{"certdir", secured + "-certdir=", "!--certdir is empty"},
	{"certdir", plain + "-certdir=", "tls.mode=off"},
	{"certmode", secured + "-certmode self", `!--certmode "self": choose manual, letsencrypt or gcp`},
	{"certmode", plain + "-certmode self", "tls.mode=off"},
	{"certmode", plain + "-certmode manual -hostname relay.example", "listen=:8080 tls.mode=files"},
	{"derp", secured + "-derp=false", "derp=false access.everyone="},
	{"derp", secured + "-derp", "derp="},
	{"dev", "-dev", "dev=true listen=:3340 stun=:3478 access.everyone=true tls.mode=off relay-key= state-dir="},
	{"dev", secured + "-dev", "!--certmode manual is not for --dev"},
	{"disallow-app-names", secured + "-disallow-app-names a,b", "access.deny-apps=a,b access.everyone=true"},
	{"home", secured + "-home blank", "home=blank"},
	{"home", secured + "-home=", "home="},
	{"hostname", "-certmode manual -c /k", "!--hostname is missing, and derper's default, derp.tailscale.com, is Tailscale's"},
	{"hostname", plain + "-hostname relay.example", "tls.mode=off hostname=relay.example"},
	{"hostname", secured + "-hostname 203.0.113.7", "tls.mode=self hostname=203.0.113.7 tls.cert="},
	{"http-port", secured + "-http-port -1", "tls.mode=files http="},
	{"http-port", secured + "-http-port 8080 -a 203.0.113.7:443", "http=203.0.113.7:8080"},
	{"http-port", "-hostname relay.example -certmode manual -certdir /certs -c /k", "http=:80"},
	{"http-port", plain + "-http-port 80", "tls.mode=off http="},
	{"mesh-psk-file", secured + "-mesh-psk-file /keys/mesh.key", "mesh.key-file=/keys/mesh.key"},
	{"mesh-psk-file", "-dev -mesh-psk-file /keys/mesh.key", "mesh.key-file="},
	{"mesh-with", secured + "-mesh-with a.example,b.example/10.0.0.2 -mesh-psk-file k", "mesh.with=a.example,b.example/10.0.0.2"},
	{"rate-config", secured + "-rate-config nowhere", "!--rate-config .*nowhere: no such file"},
	{"secrets-cache-dir", secured + "-secrets-cache-dir /x", "mesh.key-file="},
	{"secrets-path-prefix", secured + "-secrets-path-prefix x", "mesh.key-file="},
	{"secrets-url", secured + "-secrets-url https://setec.example", "!--secrets-url is not here: put the mesh key into a file .* --mesh-psk-file$"},
	{"socket", secured + "-socket /run/t.sock -verify-clients", "access.tailscaled=/run/t.sock access.everyone="},
	{"socket", secured + "-socket /run/t.sock", "access.tailscaled= access.everyone=true"},
	{"stun", secured + "-stun=false", "stun=off"},
	{"stun-port", secured + "-stun-port 3479", "stun=:3479"},
	{"tcp-keepalive-time", secured + "-tcp-keepalive-time 1m", "tcp.keepalive=1m0s"},
	{"tcp-keepalive-time", secured + "-tcp-keepalive-time 0", "tcp.keepalive=15s"},
	{"tcp-keepalive-time", secured + "-tcp-keepalive-time -1s", "tcp.keepalive=0s"},
	{"tcp-user-timeout", secured + "-tcp-user-timeout 5s", "tcp.user-timeout=5s"},
	{"tcp-write-timeout", secured + "-tcp-write-timeout 0", "tcp.write-timeout=0s"},
	{"unpublished-bootstrap-dns-names", secured + "-unpublished-bootstrap-dns-names a.example/_r.example", "bootstrap.unpublished=a.example/_r.example"},
	{"verify-client-url", secured + "-verify-client-url https://h.example/verify", "access.verify=https://h.example/verify access.fail-open=true access.everyone="},
	{"verify-client-url", secured + "-verify-client-url=", "access.verify= access.everyone=true"},
	{"verify-client-url", secured + "-verify-client-url https://h.example/verify?a=b,c", "access.verify=https://h.example/verify?a=b%2Cc"},
	{"verify-client-url-fail-open", secured + "-verify-client-url https://h.example/verify -verify-client-url-fail-open=false", "access.verify=https://h.example/verify access.fail-open="},
	{"verify-client-url-fail-open", secured + "-verify-client-url-fail-open", "access.fail-open= access.everyone=true"},
	{"verify-clients", secured + "-verify-clients", "access.tailscaled=auto access.everyone="},
	{"verify-clients", secured + "-verify-clients -verify-client-url https://h.example/verify", "!--verify-clients and --verify-client-url .* one yes is enough: leave one of them out"},
}

// Each flag does the same as in derper, or says what to do instead; and the file that is
// printed means the same as the line.
func TestEachFlagHasItsMeaning(t *testing.T) {
	alone(t)
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			l, err := parse(strings.Fields(c.line))
			if err != nil {
				t.Fatal(err)
			}
			m, problem := l.means()
			if reason, refused := strings.CutPrefix(c.want, "!"); refused {
				if problem == nil || !regexp.MustCompile(reason).MatchString(problem.Text) {
					t.Errorf("%v, want %s", problem, reason)
				}
				return
			}
			if problem != nil {
				t.Fatal(problem)
			}
			checkSettings(t, m, c.want)
			checkFile(t, m)
		})
	}
}

func checkSettings(t *testing.T, m *meaning, want string) {
	t.Helper()
	got := make(map[string]string)
	for _, g := range m.settings {
		if _, twice := got[g.Path]; twice {
			t.Errorf("%s is given twice", g.Path)
		}
		got[g.Path] = g.Text
	}
	for _, word := range strings.Fields(want) {
		path, text, _ := strings.Cut(word, "=")
		if got[path] != text {
			t.Errorf("%s is %q, want %q", path, got[path], text)
		}
	}
}

// checkFile compares the file that is printed with the line.
func checkFile(t *testing.T, m *meaning) {
	t.Helper()
	line := config.Load(config.Sources{Flags: m.settings, Names: names})
	file := config.Load(config.Sources{File: "relay.yaml", Contents: []byte(printed(m))})
	if err := line.Err(); err != nil {
		t.Error(err)
	}
	if err := file.Err(); err != nil || !reflect.DeepEqual(line.Config, file.Config) {
		t.Errorf("the file means\n%+v\nnot\n%+v\n%v\n%s", file.Config, line.Config, err, printed(m))
	}
}

// All flags that derper's help has are known here, with the same defaults, and no
// others; and each stands in a case.
func TestAllFlagsAreKnown(t *testing.T) {
	alone(t)
	listed, err := os.ReadFile(filepath.Join("testdata", "flags-1.104.4"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := help(&out); err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]string)
	for _, flag := range regexp.MustCompile(`(?m)^  -([a-z0-9-]+).*\n.*?(?:\(default (.*)\))?$`).FindAllStringSubmatch(out.String(), -1) {
		ours[flag[1]] = flag[2]
	}
	delete(ours, "print-config")
	tried := map[string]bool{"version": true}
	for _, c := range cases {
		tried[c.flag] = true
	}
	for text := range strings.Lines(string(listed)) {
		name, value, _ := strings.Cut(strings.TrimSpace(text), " ")
		got, known := ours[name]
		if !known || value != "*" && got != value { // * depends on the machine
			t.Errorf("-%s is known: %v, with default %s, want %s", name, known, got, value)
		}
		if !tried[name] {
			t.Errorf("no case has -%s", name)
		}
		if _, told := Flags[name]; !told {
			t.Errorf("\"detour relay\" does not say what -%s is", name)
		}
		delete(ours, name)
	}
	if len(ours) > 0 {
		t.Errorf("derper has no flags %v", ours)
	}
}

func TestParseSaysWhatToWrite(t *testing.T) {
	alone(t)
	for line, want := range map[string]string{
		"-verify-clients true -a :8443":    `^"true" belongs to no flag, .* write -flag=true`,
		"-stun=maybe":                      `^invalid boolean value "maybe" for -stun`,
		"-hostnam relay.example":           `^derper has no flag --hostnam: did you mean --hostname\?$`,
		"--access-verify https://h/verify": `^--access-verify is a flag of "detour relay", not of derper: give it as \$DETOUR_ACCESS_VERIFY, or`,
		"-per-client-rate 5":               `^derper 1\.104 has no flag --per-client-rate: leave it out$`,
		"-http-port":                       `^flag needs an argument: -http-port$`,
	} {
		if _, err := parse(strings.Fields(line)); err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// What tutorials and images have people write is taken as it is.
func TestCommandLinesOfTutorials(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	for _, line := range []string{
		"-hostname derp.example.com -c DIR/derper.key",
		"-hostname=derp.example.com -a=:443 -c=DIR/derper.key -certdir=DIR -verify-clients -acme-email=a@b.example",
		"-a :8443 -hostname derp.example.com -certmode manual -certdir DIR -http-port -1 -c DIR/derper.key",
		"--hostname=derp.example.com --certmode=manual --certdir=DIR --a=:443 --stun=true --stun-port=3478 --http-port=-1 --verify-clients=false --verify-client-url= -c DIR/derper.key",
		"-hostname=127.0.0.1 -a=:12345 -stun-port=3479 -certmode=manual -certdir=DIR -http-port=33446 -c=DIR/derper.key -verify-clients",
		"-a=:3340 -stun -c=DIR/derper.key -verify-client-url=https://headscale.example.com/verify -verify-client-url-fail-open=false",
		"-a :8080 -http-port -1 -c DIR/derper.key -mesh-psk-file DIR/mesh.key -mesh-with derp1.example.com,derp2.example.com",
		"-dev",
	} {
		l, err := parse(strings.Fields(strings.ReplaceAll(line, "DIR", dir)))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		as := relaycmd.Line{Names: names, Settings: func() ([]config.Given, *config.Problem) {
			m, problem := l.means()
			if problem != nil {
				return nil, problem
			}
			return m.settings, nil
		}}
		if err := as.Check(); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// A certificate that derper has made for an address is gone on with; half of one is told.
func TestCertificatesOfAddresses(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	base := filepath.Join(dir, "2001db81")
	for _, step := range []struct{ make, want string }{
		{"", "tls.mode=self tls.cert="},
		{".crt", "tls.mode=files tls.cert=" + base + ".crt tls.key=" + base + ".key"},
		{".key", "tls.mode=files"},
	} {
		if step.make != "" {
			if err := os.WriteFile(base+step.make, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := parse([]string{"-certmode", "manual", "-certdir", dir, "-hostname", "2001:db8::1", "-c", "/k", "-http-port", "-1"})
		if err != nil {
			t.Fatal(err)
		}
		m, problem := l.means()
		if problem != nil {
			t.Fatal(problem)
		}
		checkSettings(t, m, step.want)
	}
}

func TestRateFile(t *testing.T) {
	alone(t)
	file := filepath.Join(t.TempDir(), "rate.json")
	for text, want := range map[string]string{
		`{"PerClientRateLimitBytesPerSec": 1250000, "PerClientRateBurstBytes": 4000000}`: "limits.in=1250000B/s limits.burst=4000000B",
		`{"perclientratelimitbytespersec": 1250000}`:                                     "limits.in=1250000B/s limits.burst=65573B",
		`{"PerClientRateBurstBytes": 1, "More": 2}`:                                      "limits.in= limits.burst=",
		`{`:                                     "!--rate-config .*rate.json: unexpected end of JSON input: want ..PerClient",
		`{"PerClientRateLimitBytesPerSec": -1}`: "!--rate-config .*rate.json: json: cannot unmarshal",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := parse(strings.Fields(plain + "-rate-config " + file))
		if err != nil {
			t.Fatal(err)
		}
		m, problem := l.means()
		if reason, refused := strings.CutPrefix(want, "!"); refused {
			if problem == nil || !regexp.MustCompile(reason).MatchString(problem.Text) {
				t.Errorf("%s: %v, want %s", text, problem, reason)
			}
			continue
		}
		if problem != nil {
			t.Fatal(problem)
		}
		checkSettings(t, m, want)
		checkFile(t, m)
	}
}

// What the environment says of who may come in, and of what derper has no flag for,
// counts.
func TestTheEnvironmentAddsWhatDerperHasNot(t *testing.T) {
	alone(t)
	t.Setenv("DETOUR_ACCESS_KEYS", "/keys")
	t.Setenv("DETOUR_SELF_CHECK", "off")
	t.Setenv("DETOUR_STATE_DIR", "/state")
	l, err := parse(strings.Fields(secured))
	if err != nil {
		t.Fatal(err)
	}
	m, problem := l.means()
	if problem != nil {
		t.Fatal(problem)
	}
	checkSettings(t, m, "access.everyone= self-check= state-dir= tls.mode=files")
}

func TestThePlaceIsTakenByName(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"/usr/local/bin/derper -dev", "derper -dev"},
		{"derper", "derper"},
		{"derper.exe -stun", "derper -stun"},
		{"/usr/bin/detour relay --dev", "relay --dev"},
		{"/opt/derper/detour derper", "derper"},
		{"", ""},
	} {
		if got := strings.Join(Arguments(strings.Fields(c.args)), " "); got != c.want {
			t.Errorf("%q is %q, want %q", c.args, got, c.want)
		}
	}
}
