package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/pin"
)

// TargetFlags say how to trust the relay that a command is pointed at.
type TargetFlags struct {
	Insecure bool
	CAFile   string
	CertName string
}

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
		return cfg, Usagef("%q is not the URL of a relay: write something like https://relay.example/derp or http://127.0.0.1:3340/derp", relay)
	}
	if f.Insecure && f.CertName != "" {
		return cfg, Usagef("--insecure and --cert-name contradict each other: leave one out")
	}
	if u.Scheme == "http" && (f.Insecure || f.CertName != "" || f.CAFile != "") {
		return cfg, Usagef("%s is without TLS: leave out --insecure, --ca and --cert-name, or write https://", relay)
	}
	if pin.Is(f.CertName) {
		if _, err := pin.Parse(f.CertName); err != nil {
			return cfg, Usagef("--cert-name %q: want %s and 64 lowercase hex digits, as the relay prints it at start", f.CertName, pin.Prefix)
		}
	}
	if f.CAFile != "" {
		cfg.RootCAs, err = ReadRoots("--ca", f.CAFile)
	}
	return cfg, err
}

// ReadRoots reads the authorities to trust from the PEM file that a flag names.
func ReadRoots(flag, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, Usagef("%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, Usagef("%s: %s holds no certificate: want a PEM file with -----BEGIN CERTIFICATE-----", flag, path)
	}
	return pool, nil
}

// reachHint says what to do about a connection that could not be made; "" if the error says it itself.
func reachHint(err error) string {
	if status, ok := errors.AsType[*client.StatusError](err); ok {
		return statusHint(status)
	}
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, noName := errors.AsType[*net.DNSError](err)
	switch {
	case noName:
		return "is the host name right?"
	case noTLS:
		return "what listens there does not speak TLS: write http://, or check the port"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: is the relay running, and is the port right?"
	case errors.Is(err, syscall.EMFILE):
		return "too many connections for one process: raise the limit with ulimit -n"
	case errors.Is(err, client.ErrPinMismatch):
		return "compare --cert-name with the pin that the relay prints at start"
	case errors.Is(err, client.ErrCertificate):
		return "give its issuer with --ca, its pin with --cert-name, or --insecure for a test"
	case errors.Is(err, client.ErrAdmissionRefused):
		return "the relay admits only peers it knows"
	case errors.Is(err, client.ErrProtocol), errors.Is(err, io.EOF):
		return "is this the URL of a relay, path included?"
	}
	return ""
}

func statusHint(status *client.StatusError) string {
	switch {
	case status.Proxy:
		return "see HTTPS_PROXY and NO_PROXY in the environment"
	case status.Redirect != "":
		return "use the relay's own URL, or leave the network that redirects"
	case status.Code == http.StatusBadRequest:
		return "is this the URL of a relay, and not a TLS port asked in plain HTTP?"
	case status.Code == http.StatusForbidden:
		return "the relay, or something before it, refuses us"
	}
	return "is this the URL of a relay, path included?"
}

// WithHint is an error with status 3, for what could not be reached, and with a hint where there is one.
func WithHint(err error) error {
	if hint := reachHint(err); hint != "" {
		return Unansweredf("%w: %s", err, hint)
	}
	return Unansweredf("%w", err)
}
