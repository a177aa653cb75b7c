package cli

import (
	"crypto/x509"
	"net/url"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/text"
)

// TargetFlags say how to trust the relay that a command is pointed at.
type TargetFlags struct {
	Insecure bool
	CAFile   string
	CertName string

	// Prefix stands before the names of the flags: "admin-" for --admin-ca.
	Prefix string

	// Server is what the target is, if it is no relay. There is no flag that accepts every
	// certificate of it.
	Server string
}

// flag is how one of the flags is called.
func (f *TargetFlags) flag(name string) string { return "--" + f.Prefix + name }

// Add defines the flags.
func (f *TargetFlags) Add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.Insecure, "insecure", false, "accept every certificate")
	flags.StringVar(&f.CAFile, "ca", "", "trust the certificates of this PEM `file` instead of the system's")
	flags.StringVar(&f.CertName, "cert-name", "", "certificate to accept: sha256-raw: and its `pin`, or the name to verify instead of the host")
}

// Args are the flags again, for another process that is pointed at the same relay.
func (f *TargetFlags) Args() (args []string) {
	if f.Insecure {
		args = append(args, "--insecure")
	}
	if f.CAFile != "" {
		args = append(args, "--ca", f.CAFile)
	}
	if f.CertName != "" {
		args = append(args, "--cert-name", f.CertName)
	}
	return args
}

// Config makes the part of a dial that all peers share.
func (f *TargetFlags) Config(relay string) (client.Config, error) {
	cfg := client.Config{URL: relay, CertName: f.CertName, InsecureSkipVerify: f.Insecure}
	u, err := url.Parse(relay)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return cfg, Usagef("%q is not the URL of a relay: write something like https://relay.example/derp or http://127.0.0.1:3340/derp", text.RedactURL(relay))
	}
	if f.Insecure && f.CertName != "" {
		return cfg, Usagef("--insecure and --cert-name contradict each other: leave one out")
	}
	if f.Insecure && f.CAFile != "" {
		return cfg, Usagef("--ca has no effect with --insecure: leave one out")
	}
	if u.Scheme == "http" && (f.Insecure || f.CertName != "" || f.CAFile != "") {
		return cfg, Usagef("%s is without TLS: leave out --insecure, --ca and --cert-name, or write https://", relay)
	}
	if pin.Is(f.CertName) {
		if _, err := pin.Parse(f.CertName); err != nil {
			return cfg, Usagef("%s %q: want %s and 64 lowercase hex digits, as the relay prints it at start", f.flag("cert-name"), f.CertName, pin.Prefix)
		}
	}
	if f.CAFile != "" {
		cfg.RootCAs, err = ReadRoots(f.flag("ca"), f.CAFile)
	}
	return cfg, err
}

// ReadRoots reads the authorities to trust from the PEM file that a flag names.
func ReadRoots(flag, path string) (*x509.CertPool, error) {
	roots, err := certs.ReadRoots(path)
	if err != nil {
		return nil, Usagef("%s: %w", flag, err)
	}
	return roots, nil
}

// Words are how commands spell the settings that decide about trust.
var Words = explain.Words{CA: "--ca", CertName: "--cert-name", Insecure: "--insecure", Proxy: "HTTPS_PROXY in the environment"}

// Explain is an error with status 3, for a relay that could not be reached, with what to do about it where
// the error does not say that itself.
func (f *TargetFlags) Explain(relay string, err error) error {
	way := explain.Way{
		CA: f.CAFile != "", Pin: pin.Is(f.CertName), CertName: f.CertName != "" && !pin.Is(f.CertName), Words: Words,
	}
	way.Words.CA, way.Words.CertName = f.flag("ca"), f.flag("cert-name")
	if f.Prefix != "" || f.Server != "" {
		way.Words.Insecure = ""
	}
	way.Server = f.Server
	if u, parsed := url.Parse(relay); parsed == nil {
		way.Host, way.Plain = u.Hostname(), u.Scheme == "http"
	}
	return explained(err, way)
}

// ExplainMap is the same for a map that could not be fetched. Without a flag for authorities the
// environment says whom to trust.
func ExplainMap(from string, caGiven bool, err error) error {
	way := explain.Way{Map: true, CA: caGiven, Words: Words}
	if u, parsed := url.Parse(from); parsed == nil {
		way.Host, way.Plain = u.Hostname(), u.Scheme == "http"
	}
	return explained(err, way)
}

func explained(err error, way explain.Way) error {
	if do := explain.Explain(err, way).Remedy; do != "" {
		return Unansweredf("%w: %s", err, do)
	}
	return Unansweredf("%w", err)
}
