package front

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/hostname"
)

// An Issue opens a source of certificates that an authority issues, as the settings say,
// and that are kept in a directory. The programs that run servers bring it along
// (internal/acme), so that those which only embed one need not have it.
type Issue func(cfg config.Config, dir string, log *slog.Logger) (certs.Source, error)

// OpenSource is OpenIssued for a server that has no certificates of authorities.
func OpenSource(cfg config.Config, sub string, running bool, log *slog.Logger) (certs.Source, error) {
	return OpenIssued(cfg, sub, running, nil, log)
}

// OpenIssued opens the source of the TLS mode; nil without TLS. The state directory is
// of the kind of servers that sub says. A server that is running does not begin to show
// a certificate that is out of date.
func OpenIssued(cfg config.Config, sub string, running bool, issue Issue, log *slog.Logger) (certs.Source, error) {
	if cfg.TLS.Mode == config.TLSFiles {
		return certs.OpenFiles(certs.FilesConfig{CertFile: cfg.TLS.Cert, KeyFile: cfg.TLS.Key, Host: cfg.Hostname, Logger: log, Valid: running})
	}
	if cfg.TLS.Mode != config.TLSSelf && cfg.TLS.Mode != config.TLSACME {
		return nil, nil
	}
	dir, err := StateDir(cfg.StateDir, sub)
	if err != nil {
		return nil, err
	}
	if cfg.TLS.Mode == config.TLSSelf {
		return certs.OpenSelf(certs.SelfConfig{Host: cfg.Hostname, StateDir: dir, Logger: log})
	}
	if issue == nil {
		return nil, &config.Error{Setting: "tls.mode", What: "acme is not for a server that is a part of another program", Remedy: "choose files or self"}
	}
	return issue(cfg, storage(cfg, dir), log)
}

// Storage is the directory for what an authority issues to a server of the kind that sub
// says.
func Storage(cfg config.Config, sub string) (string, error) {
	dir, err := StateDir(cfg.StateDir, sub)
	return storage(cfg, dir), err
}

func storage(cfg config.Config, stateDir string) string {
	if cfg.ACME.Storage != "" {
		return cfg.ACME.Storage
	}
	return filepath.Join(stateDir, "acme")
}

// CheckNames looks at what peers know a server by, and at what an authority is to be
// told, and returns the settings with these as certificates have them.
func CheckNames(cfg config.Config) (config.Config, error) {
	var err error
	if cfg.Hostname != "" {
		if cfg.Hostname, err = certs.ParseHost(cfg.Hostname); err != nil {
			return cfg, &config.Error{Setting: "hostname", Err: err}
		}
	}
	cfg.PublicIP = append([]string(nil), cfg.PublicIP...)
	for i, text := range cfg.PublicIP {
		ip, err := netip.ParseAddr(text)
		if err == nil {
			cfg.PublicIP[i], err = hostname.Parse(text)
		}
		if err != nil || ip.Is4In6() {
			return cfg, &config.Error{Setting: "public-ip", What: fmt.Sprintf("%q is no IP address that peers can connect to", text), Remedy: "want addresses such as 203.0.113.7 or 2001:db8::7, with commas between"}
		}
	}
	if cfg.TLS.Mode != config.TLSACME {
		return cfg, nil
	}
	return cfg, checkAuthority(cfg)
}

// checkAuthority says what an authority would refuse at once.
func checkAuthority(cfg config.Config) error {
	if directory := cfg.ACME.Directory; directory != "" {
		if u, err := url.Parse(directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return &config.Error{Setting: "acme.directory", What: fmt.Sprintf("%q", directory), Remedy: "want the URL of an ACME directory, such as https://ca.example.com/acme/directory"}
		}
	}
	if contact := cfg.ACME.Contact; contact != "" {
		user, host, ok := strings.Cut(contact, "@")
		if _, err := hostname.Parse(host); !ok || user == "" || err != nil || strings.ContainsAny(contact, " ,<>:") {
			return &config.Error{Setting: "acme.contact", What: fmt.Sprintf("%q", contact), Remedy: "want one mail address, such as ops@example.com"}
		}
	}
	if cfg.ACME.Challenge == config.ChallengeDNS {
		for _, name := range Names(cfg) {
			if _, err := netip.ParseAddr(name); err == nil {
				return &config.Error{Setting: "acme.challenge", What: "dns is for names only, and " + name + " is an address", Remedy: "choose tls-alpn or http, or leave the address out"}
			}
		}
	}
	if server := cfg.ACME.DNSServer; server != "" {
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
			return &config.Error{Setting: "acme.dns-server", What: fmt.Sprintf("%q", server), Remedy: "want an address such as ns1.example.com:53"}
		}
	}
	if cfg.ACME.Directory != "" {
		return nil // one that knows this network may be asked for its names
	}
	for setting, names := range map[string][]string{"hostname": {cfg.Hostname}, "public-ip": cfg.PublicIP} {
		for _, name := range names {
			if err := hostname.CheckPublic(name); err != nil {
				return &config.Error{Setting: setting, Err: err}
			}
		}
	}
	return nil
}

// Names are all that peers may know a server by.
func Names(cfg config.Config) (names []string) {
	if cfg.Hostname != "" {
		names = append(names, cfg.Hostname)
	}
	return append(names, cfg.PublicIP...)
}
