package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The table and the fields have the same settings, and each row says all that people
// are told.
func TestEachSettingHasItsRow(t *testing.T) {
	var paths []string
	flags, variables := make(map[string]bool), make(map[string]bool)
	for _, s := range Table() {
		paths = append(paths, s.Path)
		if s.Kind == "" || s.Group == "" || s.Help == "" || flags[s.Flag] || variables[s.Variable()] {
			t.Errorf("the row is not complete, or another has its names: %+v", s)
		}
		flags[s.Flag], variables[s.Variable()] = true, true
		if strings.Contains(s.Help+s.Follows, "--") {
			t.Errorf("%s: a text names a flag: write {setting}", s.Path)
		}
		if text := s.Usage(strings.ToUpper) + s.Default(strings.ToUpper); strings.ContainsAny(text, "{}") {
			t.Errorf("%s: braces that are no setting: %s", s.Path, text)
		}
	}
	want := Settings()
	if !slices.Equal(slices.Sorted(slices.Values(paths)), slices.Sorted(slices.Values(want))) {
		t.Errorf("the table has %q, the fields are %q", paths, want)
	}
	if !slices.IsSortedFunc(Table(), func(a, b Setting) int { return groupOf(paths, a) - groupOf(paths, b) }) {
		t.Error("a group stands in two places")
	}
}

// groupOf is where the group of a setting begins.
func groupOf(paths []string, s Setting) int {
	return slices.IndexFunc(paths, func(path string) bool { other, _ := Lookup(path); return other.Group == s.Group })
}

// Examples, words and defaults mean something, and are written as they are read.
func TestWhatTheTableShowsCanBeSet(t *testing.T) {
	for _, s := range Table() {
		texts := slices.Clone(s.Choices)
		for _, text := range []string{s.Example, s.Text(Defaults()), s.Otherwise} {
			if text != "" {
				texts = append(texts, text)
			}
		}
		if len(texts) == 0 {
			t.Errorf("%s: neither example nor default", s.Path)
		}
		for _, text := range texts {
			var c, again Config
			if err := Set(&c, s.Path, text); err != nil {
				t.Errorf("%q: %v", text, err)
			}
			if err := Set(&again, s.Path, s.Text(c)); err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%s: %q is written as %q, which is %+v: %v", s.Path, text, s.Text(c), again, err)
			}
		}
	}
}

func TestSetReplacesWhatWasThere(t *testing.T) {
	c := Defaults()
	for path, text := range map[string]string{
		"dev": "1", "max-conns": "12", "accept.limit": "0.5", "drain": "1m30s", "keepalive": "0", "limits.in": "8kbit/s", "quota.hard": "1TB",
		"mesh.with": " a , b:1=pin", "mesh.rebalance": "n=a=b,m=c", "limits.labels": "x=in=1,out=2,y=burst=9 in=3,in=in=4",
	} {
		if err := Set(&c, path, text); err != nil {
			t.Error(err)
		}
	}
	want := Defaults()
	want.Dev, want.MaxConns, want.Accept.Limit, want.Drain, want.KeepAlive = true, 12, 0.5, 90e9, 0
	want.Limits.In, want.Quota.Hard = 1000, 1e12
	want.Mesh.With, want.Mesh.Rebalance = []string{"a", "b:1=pin"}, map[string]string{"n": "a=b", "m": "c"}
	want.Limits.Labels = map[string]Limit{"x": {In: 1, Out: 2}, "y": {In: 3, Burst: 9}, "in": {In: 4}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if err := Set(&c, "mesh.with", ""); err != nil || c.Mesh.With != nil {
		t.Errorf("nothing is %q, %v", c.Mesh.With, err)
	}
}

func TestSetSaysWhatItWants(t *testing.T) {
	for given, want := range map[Given]string{
		{"dev", "yes"}:                        `dev "yes": choose true or false`,
		{"max-conns", "010"}:                  `max-conns "010": want a whole number, in plain digits`,
		{"max-conns", "0x10"}:                 `max-conns "0x10": want a whole number`,
		{"max-conns", "1e3"}:                  `max-conns "1e3"`,
		{"accept.limit", "many"}:              `accept.limit "many": want a number`,
		{"drain", "15"}:                       `drain "15": has no unit: write 15s, 15m or 15h`,
		{"drain", "soon"}:                     `drain "soon": want a time with its unit, such as 500ms`,
		{"limits.in", "fast"}:                 `limits.in: "fast" is no rate`,
		{"quota.soft", "1Mbit"}:               `quota.soft: "1Mbit" is no size`,
		{"mesh.rebalance", "a"}:               `mesh.rebalance "a": want node=entry`,
		{"mesh.rebalance", "a=b,a=c"}:         `mesh.rebalance, a is both "b" and "c": remove one of them`,
		{"limits.labels", "a"}:                `limits.labels "a": want label=limits, such as `,
		{"limits.labels", "a=fast"}:           `limits.labels, a: "fast": want in=RATE`,
		{"mesh.rebalance", "http://u:pw@h/x"}: `mesh.rebalance "http://u:***@h/x"`,
		{"meshh", "a"}:                        `meshh is no setting`,
	} {
		var c Config
		if err := Set(&c, given.Path, given.Text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v, want %s", given, err, want)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	for given, want := range map[Given]string{
		{"quota.webhook", "https://hooks.example/services/T0/secret"}: "https://hooks.example/***",
		{"quota.webhook", "https://u:pw@hooks.example"}:               "https://u:***@hooks.example/***",
		{"quota.webhook", "/etc/hook"}:                                "/etc/hook",
		{"access.verify", "https://u:pw@a/verify,https://b/verify"}:   "https://u:***@a/verify,https://b/verify",
		{"drain", "1m"}: "1m",
	} {
		var c Config
		s, _ := Lookup(given.Path)
		if err := Set(&c, given.Path, given.Text); err != nil || s.Shown(c) != want {
			t.Errorf("%v is shown as %q, %v", given, s.Shown(c), err)
		}
	}
}

func TestLoadPrecedence(t *testing.T) {
	l := Load(Sources{
		Environment: []string{
			"DETOUR_HOSTNAME=env.example", "DETOUR_MESH_WITH=a,b", "DETOUR_MESH_DNS=c", "DETOUR_DRAIN=1m", "DETOUR_LISTEN=",
			"DETOUR_MESH_KEY=secret", "DETOUR_PORT=tcp://10.0.0.1:443", "DETOUR_PORT_443_TCP_ADDR=10.0.0.1", "DETOUR_WEST_SERVICE_HOST=10.0.0.1", "HOME=/",
		},
		Flags: []Given{{"drain", "2m"}, {"drain", "3m"}, {"mesh.dns", "d"}, {"mesh.dns", "e,f"}, {"tls.mode", "self"}},
	})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Hostname, want.Mesh.With, want.Mesh.DNS, want.Drain, want.TLS.Mode = "env.example", []string{"a", "b"}, []string{"d", "e", "f"}, 180e9, "self"
	if !reflect.DeepEqual(l.Config, want) {
		t.Errorf("got  %+v\nwant %+v", l.Config, want)
	}
	origins := make(map[string]string)
	for path := range l.origins {
		origins[path] = l.Origin(path).String()
	}
	if want := (map[string]string{
		"hostname": "$DETOUR_HOSTNAME", "mesh.with": "$DETOUR_MESH_WITH", "mesh.dns": "--mesh-dns", "drain": "--drain", "tls.mode": "--tls",
	}); !maps.Equal(origins, want) {
		t.Errorf("from %v", origins)
	}
	if got := l.Origin("listen").String(); got != "default" {
		t.Errorf("listen is from %s", got)
	}
}

// What is wrong is called as whoever gave it has.
func TestProblemsAreSpeltByOrigin(t *testing.T) {
	for variable, want := range map[string]string{
		"DETOUR_DRAIN=15":               `$DETOUR_DRAIN "15": has no unit`,
		"DETOUR_HOST_NAME=a":            "$DETOUR_HOST_NAME is no setting: write DETOUR_HOSTNAME",
		"DETOUR_MESH_PSK_FILE=a":        "$DETOUR_MESH_PSK_FILE is no setting: write DETOUR_MESH_KEY_FILE",
		"DETOUR_TLS=self":               "$DETOUR_TLS is no setting: write DETOUR_TLS_MODE",
		"DETOUR_NONSENSE=hunter2":       `$DETOUR_NONSENSE is no setting: take it out; "detour config reference"`,
		"DETOUR_MESH_CA=credential:a/b": `$DETOUR_MESH_CA "credential:a/b": want the name of a credential`,
	} {
		err := Load(Sources{Environment: []string{variable}}).Err()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", variable, err, want)
		}
	}
	l := Load(Sources{Environment: []string{"DETOUR_TLS_CERT=c"}, Flags: []Given{{"tls.mode", "self"}}})
	_, err := l.Config.Complete()
	if got, want := l.Problem(err.(*Error)).Error(), "$DETOUR_TLS_CERT and --key mean --tls files, not --tls self: "; !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCredentialsAreFiles(t *testing.T) {
	flags := []Given{{"tls.key", "credential:relay.key"}, {"access.keys", "a,credential:keys"}, {"hostname", "credential:x"}}
	l := Load(Sources{Flags: flags, Environment: []string{"CREDENTIALS_DIRECTORY=/run/credentials/detour"}})
	if c := l.Config; l.Err() != nil || len(l.Credentials) > 0 || c.TLS.Key != "/run/credentials/detour/relay.key" ||
		!slices.Equal(c.Access.Keys, []string{"a", "/run/credentials/detour/keys"}) || c.Hostname != "credential:x" {
		t.Errorf("%+v, %v", c, l.Err())
	}
	l = Load(Sources{Flags: flags})
	if want := []Given{{"tls.key", "relay.key"}, {"access.keys", "keys"}}; !slices.Equal(l.Credentials, want) {
		t.Errorf("nobody has them: %v", l.Credentials)
	}
	if err := l.Usable(); err == nil || !strings.HasPrefix(err.Error(), "--key names the credential relay.key, and there is no $CREDENTIALS_DIRECTORY: ") {
		t.Errorf("used without its credential: %v", err)
	}
}
