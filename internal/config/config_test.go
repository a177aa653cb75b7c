package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func good() Config {
	c := Defaults()
	c.TLS.Mode, c.Hostname = TLSSelf, "relay.example"
	return c
}

func TestCompleteFillsInWhatFollows(t *testing.T) {
	for name, test := range map[string]struct {
		change       func(*Config)
		listen, mode string
	}{
		"self":           {func(*Config) {}, DefaultListen, TLSSelf},
		"files by files": {func(c *Config) { c.TLS = TLS{Cert: "c", Key: "k"} }, DefaultListen, TLSFiles},
		"dev":            {func(c *Config) { c.TLS, c.Dev = TLS{}, true }, DevListen, TLSOff},
		"dev elsewhere":  {func(c *Config) { c.TLS, c.Dev, c.Listen = TLS{}, true, ":1" }, ":1", TLSOff},
	} {
		c := good()
		test.change(&c)
		got, err := c.Complete()
		if err != nil || got.Listen != test.listen || got.TLS.Mode != test.mode {
			t.Errorf("%s: %q, %q, %v", name, got.Listen, got.TLS.Mode, err)
		}
		if again, err := got.Complete(); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: what is complete changes: %v, %v", name, again, err)
		}
	}
}

// Plain HTTP is on by itself where an authority asks there, and nowhere else.
func TestPort80IsOnWhereAnAuthorityAsks(t *testing.T) {
	for _, test := range []struct{ mode, challenge, given, want string }{
		{TLSACME, ChallengeHTTP, "", DefaultHTTP},
		{TLSACME, ChallengeHTTP, ":8080", ":8080"},
		{TLSACME, ChallengeHTTP, HTTPOff, HTTPOff},
		{TLSACME, ChallengeALPN, "", ""},
		{TLSACME, "", "", ""},
		{TLSSelf, "", "", ""},
	} {
		c := good()
		c.TLS.Mode, c.ACME.Challenge, c.HTTP = test.mode, test.challenge, test.given
		got, err := c.Complete()
		if err != nil || got.HTTP != test.want {
			t.Errorf("%+v: %q, %v", test, got.HTTP, err)
		}
		if again, err := got.Complete(); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%+v: what is complete changes: %v, %v", test, again, err)
		}
	}
}

func TestCompleteNamesTheSetting(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"tls.mode is missing":                                    func(c *Config) { c.TLS.Mode = "" },
		`tls.mode "on": choose off, files, self or acme`:         func(c *Config) { c.TLS.Mode = "on" },
		"tls.mode acme needs hostname or public-ip":              func(c *Config) { c.TLS.Mode, c.Hostname = TLSACME, "" },
		"acme.contact is for tls.mode acme":                      func(c *Config) { c.ACME.Contact = "ops@example.com" },
		"acme.eab-key-id and acme.eab-key belong together":       func(c *Config) { c.TLS.Mode, c.ACME.EABKeyID = TLSACME, "k" },
		`acme.challenge "dance": choose tls-alpn, http`:          func(c *Config) { c.TLS.Mode, c.ACME.Challenge = TLSACME, "dance" },
		"acme.challenge dns needs one of":                        func(c *Config) { c.TLS.Mode, c.ACME.Challenge = TLSACME, ChallengeDNS },
		"acme.dns-hook and acme.dns-server are for":              func(c *Config) { c.TLS.Mode, c.ACME.DNSHook = TLSACME, "h" },
		"acme.dns-key is for acme.dns-server":                    func(c *Config) { c.TLS.Mode, c.ACME.DNSKey = TLSACME, "k" },
		"acme.dns-wait 1h: want a time up to 10m":                func(c *Config) { c.TLS.Mode, c.ACME.DNSWait = TLSACME, Duration(time.Hour) },
		`acme.storage "~/acme": ~ is the home directory`:         func(c *Config) { c.TLS.Mode, c.ACME.Storage = TLSACME, "~/acme" },
		"tls.mode files needs both tls.cert and":                 func(c *Config) { c.TLS = TLS{Cert: "c"} },
		"tls.cert and tls.key mean tls.mode files":               func(c *Config) { c.TLS.Key = "k" },
		"tls.mode self needs hostname":                           func(c *Config) { c.Hostname = "" },
		"leave out state-dir, or dev":                            func(c *Config) { c.Dev, c.TLS, c.StateDir = true, TLS{}, "x" },
		"leave out relay-key, or dev":                            func(c *Config) { c.Dev, c.TLS, c.RelayKey = true, TLS{}, "x" },
		"leave out tls.mode, or dev":                             func(c *Config) { c.Dev = true },
		"leave out tls.cert, or dev":                             func(c *Config) { c.Dev, c.TLS = true, TLS{Cert: "c"} },
		"accept.limit NaN":                                       func(c *Config) { c.Accept.Limit = math.NaN() },
		"accept.limit +Inf":                                      func(c *Config) { c.Accept.Limit = math.Inf(1) },
		"accept.burst 5: want 1 or more":                         func(c *Config) { c.Accept.Burst = 5 },
		"max-conns -1: want 1 or more, or 0 for as":              func(c *Config) { c.MaxConns = -1 },
		"max-pending 0":                                          func(c *Config) { c.MaxPending = 0 },
		"outbox-memory 3.9MB: want 4MB or more":                  func(c *Config) { c.OutboxMemory = 3.9e6 },
		"outbox-memory -1B: want 4MB or more, or 0 for no bound": func(c *Config) { c.OutboxMemory = -1 },
		"drain -1s: want a time":                                 func(c *Config) { c.Drain = Duration(-time.Second) },
		"tcp.keepalive -1s":                                      func(c *Config) { c.TCP.KeepAlive = Duration(-time.Second) },
		"tcp.user-timeout 1ns":                                   func(c *Config) { c.TCP.UserTimeout = 1 },
		"tcp.write-timeout 1µs":                                  func(c *Config) { c.TCP.WriteTimeout = Duration(time.Microsecond) },
		"keepalive 1s: want 5s to 100s":                          func(c *Config) { c.KeepAlive = Duration(time.Second) },
		"keepalive 2m":                                           func(c *Config) { c.KeepAlive = Duration(2 * time.Minute) },
		"mesh.ca is for siblings":                                func(c *Config) { c.Mesh.CA = "x" },
		"mesh.rebalance is for a relay with siblings":            func(c *Config) { c.Mesh.Rebalance = map[string]string{"a": "b"} },
		`self-check "maybe": choose auto`:                        func(c *Config) { c.SelfCheck = "maybe" },
		`self-check "http://a": this relay speaks TLS`:           func(c *Config) { c.SelfCheck = "http://a" },
		"self-check name is for a relay with hostname":           func(c *Config) { c.SelfCheck, c.TLS = CheckName, TLS{Mode: TLSOff} },
		`log.level "loud"`:                                       func(c *Config) { c.Log.Level = "loud" },
		`access.verify "ftp://a"`:                                func(c *Config) { c.Access.Verify = []string{"ftp://a"} },
		`access.verify "https://:443/"`:                          func(c *Config) { c.Access.Verify = []string{"https://:443/"} },
		"access.verify has \"http://a\" twice":                   func(c *Config) { c.Access.Verify = []string{"http://a", "http://a"} },
		"access.verify-ca is for URLs":                           func(c *Config) { c.Access.VerifyCA = "x" },
		"access.verify-headers is for URLs":                      func(c *Config) { c.Access.VerifyHeaders = "x" },
		"access.verify-timeout 1ms: want 10ms to 30s":            func(c *Config) { c.Access.VerifyTimeout = Duration(time.Millisecond) },
		"access.verify-timeout 2m: want 10ms to 30s":             func(c *Config) { c.Access.VerifyTimeout = Duration(2 * time.Minute) },
		`access.coordinator "ftp://a": want a URL`:               func(c *Config) { c.Access.Coordinator = []string{"ftp://a=sha256-raw:00"} },
		`access.coordinator has "https://a" twice`:               func(c *Config) { c.Access.Coordinator = []string{"https://a", "https://a"} },
		"access.coordinator-token is for a coordinatio":          func(c *Config) { c.Access.CoordinatorToken = "x" },
		"access.grace -1ns":                                      func(c *Config) { c.Access.Grace = -1 },
		`access.tailscaled "x.sock": choose auto`:                func(c *Config) { c.Access.Tailscaled = []string{"x.sock"} },
		`access.keys has "a" twice`:                              func(c *Config) { c.Access.Keys = []string{"a", "a"} },
		"access.keys and access.deny-apps have no":               func(c *Config) { c.Access.DenyApps = []string{""} },
		"limits.in 10B/s: want 64kbit/s or more":                 func(c *Config) { c.Limits.In = 10 },
		"limits.out -1B/s":                                       func(c *Config) { c.Limits.Out = -1 },
		"limits.total 7999B/s: want 64kbit/s":                    func(c *Config) { c.Limits.Total = 7999 },
		"limits.burst is for limits of keys, and":                func(c *Config) { c.Limits.Burst = 1e6 },
		"limits.burst 65572B: want 65573B or more":               func(c *Config) { c.Limits.Burst, c.Limits.In = 65_572, 1e6 },
		`limits.labels, "a b": want 1 to 64 letters`:             func(c *Config) { c.Limits.Labels = map[string]Limit{"a b": {}} },
		"limits.labels, a: out 5B/s: want 64kbit/s":              func(c *Config) { c.Limits.Labels = map[string]Limit{"a": {Out: 5}} },
		"limits.labels, a: burst 1B: want 65573B":                func(c *Config) { c.Limits.Labels = map[string]Limit{"a": {Burst: 1}} },
		"quota.soft 2TB is above quota.hard 1TB":                 func(c *Config) { c.Quota.Soft, c.Quota.Hard = 2e12, 1e12 },
		"quota.hard and quota.soft are sizes":                    func(c *Config) { c.Quota.Soft = -1 },
		"quota.day 29: want 1 to 28":                             func(c *Config) { c.Quota.Day = 29 },
		"quota.day 0: want 1 to 28":                              func(c *Config) { c.Quota.Day, c.Quota.Hard = 0, 1 },
		`quota.count "all": choose in, out or both`:              func(c *Config) { c.Quota.Count = "all" },
		`quota.then "stop": choose drain, or give`:               func(c *Config) { c.Quota.Then, c.Quota.Hard = "stop", 1 },
		`quota.then "0": choose drain`:                           func(c *Config) { c.Quota.Then, c.Quota.Hard = "0", 1 },
		"quota.then is for what is beyond a mark":                func(c *Config) { c.Quota.Then = "10Mbit/s" },
		"quota.webhook is for the marks of a quota":              func(c *Config) { c.Quota.Webhook = "x" },
		`quota.webhook "ftp://h/***": want a URL`:                func(c *Config) { c.Quota.Webhook, c.Quota.Hard = "ftp://h/secret", 1 },
		`log.format "xml"`:                                       func(c *Config) { c.Log.Format = "xml" },
	} {
		c := good()
		change(&c)
		_, err := c.Complete()
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %s", err, want)
			continue
		}
		if !slices.Contains(Settings(), e.Setting) {
			t.Errorf("%v: there is no setting %q", err, e.Setting)
		}
		if text := e.Text(strings.ToUpper); strings.ContainsAny(text, "{}") || !strings.HasPrefix(text, strings.ToUpper(e.Setting)) {
			t.Errorf("spelt by a front end: %s", text)
		}
	}
}

// What a person gave stays as it is, whatever it looks like.
func TestErrorSpelling(t *testing.T) {
	flag := func(setting string) string { return "--" + strings.ReplaceAll(setting, ".", "-") }
	for want, e := range map[string]*Error{
		"--listen: no: choose another --mesh-with":  {Setting: "listen", Err: errors.New("no"), Remedy: "choose another {mesh.with}"},
		"--listen is bad: no":                       {Setting: "listen", What: "is bad", Err: errors.New("no")},
		`--home "{x}"`:                              {Setting: "home", What: `"{x}"`},
		"{listen}":                                  {Err: errors.New("{listen}")},
		"--tls-mode self needs --hostname: write a": {Setting: "tls.mode", What: "self needs {hostname}", Remedy: "write a"},
	} {
		if got := e.Text(flag); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A value is refused by whoever knows it, in words that may have all of it or a part.
func TestErrorsRepeatNoPassword(t *testing.T) {
	c := good()
	c.Home, c.SelfCheck, c.Mesh.With = "ftp://u:hunter2@h", "http://v:hunter%zz3@h", []string{"w:hunter4@h"}
	for want, err := range map[string]error{
		`home "ftp://u:***@h"`:              &Error{Setting: "home", What: `"ftp://u:hunter2@h"`},
		`self-check: no port "***@h"`:       &Error{Setting: "self-check", Err: errors.New(`no port "hunter%zz3@h"`)},
		`mesh.with: w:***@h: leave it`:      &Error{Setting: "mesh.with", Err: errors.New("w:hunter4@h"), Remedy: "leave it"},
		`opening: mesh.with w:***@h is bad`: fmt.Errorf("opening: %w", &Error{Setting: "mesh.with", What: "w:hunter4@h is bad"}),
		`no setting`:                        errors.New("no setting"),
	} {
		_ = err.Error() // before it is hidden, nobody knows what is one
		if got := Text(c.Hide(err), func(setting string) string { return setting }); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if err := c.Hide(nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
}

func TestDiffTellsLiveFromRestart(t *testing.T) {
	from := good()
	to := good()
	to.Log.Level, to.Mesh.KeyFile, to.TLS.Cert, to.TLS.Key = "debug", "other.key", "c", "k"
	to.Mesh.With, to.Listen, to.Drain, to.Accept.Burst = []string{"b"}, ":1", 0, 3
	to.Mesh.DNS = []string{} // as good as none
	got := Diff(from, to)
	if want := []string{"tls.cert", "tls.key", "accept.burst", "mesh.key-file", "mesh.with", "drain", "log.level"}; !slices.Equal(Names(got.Changed), want) {
		t.Errorf("live: %q", got.Changed)
	}
	if want := []string{"listen"}; !slices.Equal(Names(got.Restart), want) {
		t.Errorf("restart: %q", got.Restart)
	}
	if got := Diff(from, from); got.Changed != nil || got.Restart != nil {
		t.Errorf("nothing changed: %+v", got)
	}
	if now := to.Live(from); now.Listen != from.Listen || now.Drain != to.Drain || len(Diff(now, to).Changed) > 0 || len(Diff(from, now).Restart) > 0 {
		t.Errorf("without a restart: %+v", now)
	}
	for _, setting := range restart {
		if !slices.Contains(Settings(), setting) {
			t.Errorf("there is no setting %s", setting)
		}
	}
}

// Each setting has one name for all forms.
func TestSettingsAreTagged(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			if name := f.Tag.Get("json"); name == "" || name != f.Tag.Get("yaml") || name != strings.ToLower(name) {
				t.Errorf("%s.%s: json %q, yaml %q", of, f.Name, name, f.Tag.Get("yaml"))
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeOf(Config{}))
}

func TestDecode(t *testing.T) {
	c := good()
	c.Mesh = Mesh{With: []string{"a", "b=sha256-raw:00"}, DNS: []string{"c"}, Rebalance: map[string]string{"n": "a"}}
	c.Drain, c.Accept.Limit = Duration(90*time.Second), 2.5
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil || len(Diff(c, got).Changed)+len(Diff(c, got).Restart) > 0 {
		t.Errorf("%s: %+v, %v", text, got, err)
	}
	if got, err := Decode([]byte(`{"listen": ":1", "tcp": {"keepalive": "0s"}}`)); err != nil ||
		got.Listen != ":1" || got.TCP.KeepAlive != 0 || got.TCP.UserTimeout != Defaults().TCP.UserTimeout {
		t.Errorf("what is left out is not the default: %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{"lisen": ":1"}`:                       `unknown field "lisen"`,
		`{"mesh": {"with": "a"}}`:               "mesh.with is a string: want a []string",
		`{"drain": "soon"}`:                     "soon",
		`{"listen": ":1"} x`:                    "more after the last brace",
		`{"tcp": {"keepalive": 5}}`:             "tcp.keepalive is a number",
		`{`:                                     "settings: ",
		``:                                      "settings: ",
		`{"mesh": {"rebalance": {"a": ["b"]}}}`: "mesh.rebalance",
	} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
