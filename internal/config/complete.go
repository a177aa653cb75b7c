package config

import (
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where a relay listens unless it is told.
const (
	DefaultListen = ":443"
	DevListen     = "127.0.0.1:3340"
	DefaultHTTP   = ":80" // where an authority asks there
)

// Defaults are the settings of a relay that is told nothing.
func Defaults() Config {
	return Config{
		DERP:       true,
		MaxPending: 3072, // one holds up to 30 KB until its peer has logged in
		KeepAlive:  Duration(40 * time.Second),

		OutboxMemory: 128e6,
		TCP: TCP{
			KeepAlive:    Duration(10 * time.Minute),
			UserTimeout:  Duration(15 * time.Second),
			WriteTimeout: Duration(2 * time.Second),
		},
		Access:    Access{VerifyTimeout: Duration(5 * time.Second), Grace: Duration(24 * time.Hour)},
		Quota:     Quota{Count: CountBoth, Day: 1, Then: QuotaDrain},
		Drain:     Duration(15 * time.Second),
		ACME:      ACME{DNSWait: Duration(10 * time.Second)},
		SelfCheck: CheckAuto,
		Log:       Log{Format: "auto", Level: "info"},
	}
}

// Complete returns the settings with what follows from others filled in, or an
// [*Error]. It looks at no file, name or address.
func (c Config) Complete() (Config, error) {
	if c.Listen == "" {
		c.Listen = DefaultListen
		if c.Dev {
			c.Listen = DevListen
		}
	}
	if c.TLS.Mode == "" && (c.TLS.Cert != "" || c.TLS.Key != "") && !c.Dev {
		c.TLS.Mode = TLSFiles
	}
	if problems := c.Problems(); len(problems) > 0 {
		return c, problems[0]
	}
	if c.Dev {
		c.TLS.Mode = TLSOff
	}
	if c.HTTP == "" && c.AsksPort80() {
		c.HTTP = DefaultHTTP
	}
	if c.Poller == "" {
		c.Poller = PollerGo
		if runtime.GOOS == "linux" {
			c.Poller = PollerLoops
		}
	}
	if c.ProxyHeader == "" && c.Proxied() {
		c.ProxyHeader = HeaderRequired
		if c.TLS.Mode == TLSOff {
			c.ProxyHeader = HeaderOptional
		}
	}
	return c, nil
}

// Problems are all that Complete finds wrong, what a person would want to hear first
// first.
func (c Config) Problems() (problems []*Error) {
	if c.TLS.Mode == "" && (c.TLS.Cert != "" || c.TLS.Key != "") && !c.Dev {
		c.TLS.Mode = TLSFiles
	}
	first := (Config).checkTLS
	if c.Dev {
		first = (Config).checkDev
	}
	for _, check := range []func(Config) *Error{first, Config.checkACME, Config.checkListen, Config.checkShared, Config.checkNumbers, Config.checkPoller, Config.checkProxies, Config.checkTimes, Config.checkMesh, Config.checkSelfCheck, Config.checkLog,
		Config.checkAccess, Config.checkLimits, Config.checkQuota, Config.checkPaths} {
		if err := check(c); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// checkPaths refuses what only a shell takes for the home directory: the relay would
// make a directory that is called so.
func (c Config) checkPaths() *Error {
	for _, s := range table() {
		if !s.File && s.Path != "state-dir" && s.Path != "acme.storage" && s.Path != "admin-socket" && s.Path != "history" {
			continue
		}
		for _, path := range strings.Split(s.Text(c), ",") {
			if path == "~" || strings.HasPrefix(path, "~/") {
				return &Error{Setting: s.Path, What: fmt.Sprintf("%q", path), Remedy: "~ is the home directory in a shell only: write the whole path"}
			}
		}
	}
	return nil
}

func (c Config) checkDev() *Error {
	leaveOut := func(setting string) *Error {
		return &Error{Setting: "dev", What: "is plain HTTP with a key that is forgotten at the end", Remedy: "leave out {" + setting + "}, or {dev}"}
	}
	switch {
	case c.TLS.Mode != "" && c.TLS.Mode != TLSOff:
		return leaveOut("tls.mode")
	case c.TLS.Cert != "":
		return leaveOut("tls.cert")
	case c.TLS.Key != "":
		return leaveOut("tls.key")
	case c.StateDir != "":
		return leaveOut("state-dir")
	case c.RelayKey != "":
		return leaveOut("relay-key")
	}
	return nil
}

func (c Config) checkTLS() *Error {
	files := c.TLS.Cert != "" || c.TLS.Key != ""
	switch c.TLS.Mode {
	case "":
		return &Error{Setting: "tls.mode", What: "is missing",
			Remedy: "choose self or acme (with {hostname}), files (with {tls.cert} and {tls.key}) or off; or try {dev}"}
	case TLSFiles:
		if c.TLS.Cert == "" || c.TLS.Key == "" {
			return &Error{Setting: "tls.mode", What: "files needs both {tls.cert} and {tls.key}"}
		}
	case TLSOff, TLSSelf, TLSACME:
		if files {
			return &Error{Setting: "tls.cert", What: "and {tls.key} mean {tls.mode} files, not {tls.mode} " + c.TLS.Mode,
				Remedy: "leave one or the other out"}
		}
		if c.TLS.Mode == TLSSelf && c.Hostname == "" {
			return &Error{Setting: "tls.mode", What: "self needs {hostname}",
				Remedy: "the DNS name or IP address by which peers reach it"}
		}
	default:
		return &Error{Setting: "tls.mode", What: fmt.Sprintf("%q", c.TLS.Mode), Remedy: "choose off, files, self or acme"}
	}
	return nil
}

func (c Config) checkACME() *Error {
	if c.TLS.Mode == TLSACME {
		switch {
		case c.Hostname == "" && len(c.PublicIP) == 0:
			return &Error{Setting: "tls.mode", What: "acme needs {hostname} or {public-ip}", Remedy: "the DNS name or IP address by which peers reach it, for which the certificate is issued"}
		case (c.ACME.EABKeyID == "") != (c.ACME.EABKey == ""):
			return &Error{Setting: "acme.eab-key-id", What: "and {acme.eab-key} belong together"}
		case !slices.Contains([]string{"", ChallengeALPN, ChallengeHTTP, ChallengeDNS}, c.ACME.Challenge):
			return &Error{Setting: "acme.challenge", What: fmt.Sprintf("%q", c.ACME.Challenge), Remedy: "choose tls-alpn, http or dns"}
		}
		return c.ACME.checkDNS()
	}
	for _, s := range table() {
		if strings.HasPrefix(s.Path, "acme.") && s.Text(c) != "" && s.Text(c) != s.Text(Defaults()) && s.Text(c) != "0s" {
			return &Error{Setting: s.Path, What: "is for {tls.mode} acme", Remedy: "choose that, or leave it out"}
		}
	}
	return nil
}

// UnixPrefix begins a value of Listen that is the path of a socket.
const UnixPrefix = "unix:"

// ListenPath is the path of the unix socket to listen at, if Listen is one.
func (c Config) ListenPath() (path string, isUnix bool) {
	return strings.CutPrefix(c.Listen, UnixPrefix)
}

// Proxied reports whether proxies stand before the relay that are believed: those that
// are named, and whatever connects to a unix socket.
func (c Config) Proxied() bool {
	_, isUnix := c.ListenPath()
	return isUnix || len(c.TrustedProxies) > 0
}

func (c Config) checkListen() *Error {
	path, isUnix := c.ListenPath()
	mode, err := strconv.ParseUint(c.ListenMode, 8, 9)
	switch {
	case strings.HasPrefix(c.Listen, "/"):
		return &Error{Setting: "listen", What: fmt.Sprintf("%q", c.Listen), Remedy: "write " + UnixPrefix + c.Listen + " for a unix socket"}
	case isUnix && (!filepath.IsAbs(path) || strings.HasSuffix(path, "/")):
		return &Error{Setting: "listen", What: fmt.Sprintf("%q", c.Listen), Remedy: "write the whole path of the socket behind " + UnixPrefix + ", such as unix:/run/detour/relay.sock"}
	case !isUnix && c.ListenMode != "":
		return useless("listen-mode", "unix sockets", "a path to {listen}")
	case !isUnix && c.ListenGroup != "":
		return useless("listen-group", "unix sockets", "a path to {listen}")
	case c.ListenMode != "" && (err != nil || mode == 0):
		return &Error{Setting: "listen-mode", What: fmt.Sprintf("%q", c.ListenMode), Remedy: "want the mode of a file in octal digits, such as 660"}
	}
	return nil
}

// checkShared looks at what is only for connections with TLS.
func (c Config) checkShared() *Error {
	for _, path := range []string{"sni", "sni-unknown", "sni-none"} {
		if s, _ := Lookup(path); s.Text(c) != "" && (c.Dev || c.TLS.Mode == TLSOff) {
			return &Error{Setting: path, What: "is for a relay that speaks TLS: without it nobody asks for a name", Remedy: "choose another {tls.mode}, or leave it out"}
		}
	}
	if c.MaxForeign < 0 {
		return &Error{Setting: "max-foreign", What: fmt.Sprint(c.MaxForeign), Remedy: "want 1 or more, or 0 for as many as there are descriptors for"}
	}
	return nil
}

func (c Config) checkProxies() *Error {
	if c.ProxyHeader == "" {
		return nil
	}
	if !slices.Contains([]string{HeaderRequired, HeaderOptional}, c.ProxyHeader) {
		return &Error{Setting: "proxy-header", What: fmt.Sprintf("%q", c.ProxyHeader), Remedy: "choose required or optional"}
	}
	if !c.Proxied() {
		return useless("proxy-header", "proxies that are believed", "{trusted-proxies}")
	}
	return nil
}

// AsksPort80 reports whether an authority asks for the relay at port 80.
func (c Config) AsksPort80() bool {
	return c.TLS.Mode == TLSACME && c.ACME.Challenge == ChallengeHTTP
}

func (a ACME) checkDNS() *Error {
	inDNS := a.Challenge == ChallengeDNS
	switch {
	case inDNS && (a.DNSHook == "") == (a.DNSServer == ""):
		return &Error{Setting: "acme.challenge", What: "dns needs one of {acme.dns-hook} and {acme.dns-server}", Remedy: "say who makes records in the DNS"}
	case !inDNS && a.DNSHook+a.DNSServer != "":
		return &Error{Setting: "acme.dns-hook", What: "and {acme.dns-server} are for {acme.challenge} dns", Remedy: "choose that, or leave them out"}
	case a.DNSServer == "" && a.DNSKey != "":
		return &Error{Setting: "acme.dns-key", What: "is for {acme.dns-server}", Remedy: "name that, or leave it out"}
	case a.DNSWait < 0 || time.Duration(a.DNSWait) > 10*time.Minute:
		return &Error{Setting: "acme.dns-wait", What: a.DNSWait.String(), Remedy: "want a time up to 10m"}
	}
	return nil
}

func (c Config) checkNumbers() *Error {
	switch {
	case !(c.Accept.Limit >= 0) || math.IsInf(c.Accept.Limit, 0):
		return &Error{Setting: "accept.limit", What: fmt.Sprint(c.Accept.Limit), Remedy: "want a number of connections, or 0 for no limit"}
	case c.Accept.Burst < 0 || c.Accept.Burst > 0 && c.Accept.Limit == 0:
		return &Error{Setting: "accept.burst", What: fmt.Sprint(c.Accept.Burst), Remedy: "want 1 or more, together with {accept.limit}"}
	case c.MaxConns < 0:
		return &Error{Setting: "max-conns", What: fmt.Sprint(c.MaxConns), Remedy: "want 1 or more, or 0 for as many as there are descriptors for"}
	case c.MaxPending < 1:
		return &Error{Setting: "max-pending", What: fmt.Sprint(c.MaxPending), Remedy: "want 1 or more"}
	case c.OutboxMemory != 0 && c.OutboxMemory < leastOutboxMemory:
		return &Error{Setting: "outbox-memory", What: c.OutboxMemory.String(), Remedy: "want " + leastOutboxMemory.String() + " or more, or 0 for no bound"}
	}
	return nil
}

// leastOutboxMemory leaves room for the largest packets to a few who are slow.
const leastOutboxMemory Size = 4e6

func (c Config) checkPoller() *Error {
	switch {
	case c.Poller == "": // whatever is best here
	case !slices.Contains([]string{PollerLoops, PollerGo}, c.Poller):
		return &Error{Setting: "poller", What: fmt.Sprintf("%q", c.Poller), Remedy: "choose loops or go"}
	case c.Poller == PollerLoops && runtime.GOOS != "linux":
		return &Error{Setting: "poller", What: "loops are of Linux alone", Remedy: "leave it out"}
	}
	return nil
}

func (c Config) checkTimes() *Error {
	if c.Drain < 0 {
		return &Error{Setting: "drain", What: c.Drain.String(), Remedy: "want a time to spread the departure of the peers over, or 0 for none"}
	}
	for _, t := range []struct {
		setting string
		d       Duration
	}{
		{"tcp.keepalive", c.TCP.KeepAlive},
		{"tcp.user-timeout", c.TCP.UserTimeout},
		{"tcp.write-timeout", c.TCP.WriteTimeout},
	} {
		if t.d < 0 || t.d > 0 && time.Duration(t.d) < time.Millisecond {
			return &Error{Setting: t.setting, What: t.d.String(), Remedy: "want 1ms or more, or 0"}
		}
	}
	if k := time.Duration(c.KeepAlive); k != 0 && (k < 5*time.Second || k > 100*time.Second) {
		return &Error{Setting: "keepalive", What: c.KeepAlive.String(), Remedy: "want 5s to 100s, or 0 for none"}
	}
	return nil
}

func (c Config) checkMesh() *Error {
	if c.Mesh.Used() && !c.DERP {
		return &Error{Setting: "derp", What: "is off, and a relay without it has no siblings", Remedy: "leave out {mesh.with}, {mesh.dns} and {mesh.srv}"}
	}
	if c.Mesh.CA != "" && !c.Mesh.Used() {
		return &Error{Setting: "mesh.ca", What: "is for siblings, and there are none", Remedy: "add {mesh.with}, {mesh.dns} or {mesh.srv}"}
	}
	if len(c.Mesh.Rebalance) > 0 && !c.Mesh.Used() {
		return &Error{Setting: "mesh.rebalance", What: "is for a relay with siblings", Remedy: "add {mesh.with}"}
	}
	return nil
}

func (c Config) checkSelfCheck() *Error {
	plain := c.Dev || c.TLS.Mode == TLSOff
	switch c.SelfCheck {
	case CheckAuto, CheckDirect, CheckOff:
		return nil
	case CheckName:
		if c.Hostname == "" || plain {
			return &Error{Setting: "self-check", What: "name is for a relay with {hostname} and TLS",
				Remedy: "give the URL by which peers reach it instead, or direct"}
		}
		return nil
	}
	u, err := url.Parse(c.SelfCheck)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return &Error{Setting: "self-check", What: fmt.Sprintf("%q", c.SelfCheck),
			Remedy: "choose auto, name, direct or off, or give the URL by which peers reach the relay, such as https://relay.example:8443/derp"}
	}
	if u.Scheme == "http" && !plain {
		return &Error{Setting: "self-check", What: fmt.Sprintf("%q", c.SelfCheck), Remedy: "this relay speaks TLS: write https://"}
	}
	return nil
}

func (c Config) checkLog() *Error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		return &Error{Setting: "log.level", What: fmt.Sprintf("%q", c.Log.Level), Remedy: "choose debug, info, warn or error"}
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.Log.Format) {
		return &Error{Setting: "log.format", What: fmt.Sprintf("%q", c.Log.Format), Remedy: "choose auto, text or json"}
	}
	return nil
}
