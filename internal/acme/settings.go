package acme

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/smallfile"
)

// mostKey bounds the file with the key of an external account.
const mostKey = 4096

// FromSettings opens the source that the settings of a server ask for. It is a
// [front.Issue].
func FromSettings(cfg config.Config, dir string, log *slog.Logger) (certs.Source, error) {
	c, err := fromSettings(cfg, dir, log)
	if err != nil {
		return nil, err
	}
	if err := smallfile.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("storage of certificates: %w", err)
	}
	source, err := Open(c)
	if err != nil {
		return nil, &config.Error{Setting: "tls.mode", Err: err}
	}
	return source, nil
}

// Stored tells of what is in a directory for those settings: certificates, and what has
// become of tries to get them. Nobody is asked, and nothing is made.
func Stored(cfg config.Config, dir string) (d certs.Description, err error) {
	c, err := fromSettings(cfg, dir, nil)
	if err != nil {
		return d, err
	}
	s, err := Open(c)
	if err != nil {
		return d, err
	}
	for _, w := range s.wanted {
		s.recall(context.Background(), w)
		s.note(w)
	}
	return s.Describe(), nil
}

func fromSettings(cfg config.Config, dir string, log *slog.Logger) (c Config, err error) {
	roots, err := readRoots(cfg.ACME.CA)
	if err != nil {
		return c, &config.Error{Setting: "acme.ca", Err: err}
	}
	account, err := readExternal(cfg.ACME)
	if err != nil {
		return c, &config.Error{Setting: "acme.eab-key", Err: err}
	}
	records, err := readRecords(cfg.ACME)
	if err != nil {
		return c, &config.Error{Setting: "acme.dns-key", Err: err}
	}
	return Config{
		Names: front.Names(cfg), Directory: cfg.ACME.Directory, Roots: roots, Contact: cfg.ACME.Contact, Account: account,
		Profile: cfg.ACME.Profile, Challenge: Challenge(cfg.ACME.Challenge), Records: records, Storage: NewFiles(dir), Where: dir, Logger: log,
	}, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil // those of the system
	}
	return certs.ReadRoots(path)
}

// readExternal reads the key of an account outside ACME. Authorities print it in one
// base64 or the other.
func readExternal(c config.ACME) (External, error) {
	if c.EABKey == "" {
		return External{}, nil
	}
	text, err := smallfile.Read(c.EABKey, mostKey)
	if err != nil {
		return External{}, err
	}
	key, err := decodeMAC(string(text))
	if err != nil {
		return External{}, fmt.Errorf("%s: %w", c.EABKey, err)
	}
	return External{KeyID: c.EABKeyID, Key: base64.RawURLEncoding.EncodeToString(key)}, nil
}

// readRecords reads the key of the DNS server.
func readRecords(c config.ACME) (r Records, err error) {
	r = Records{Hook: c.DNSHook, Server: c.DNSServer, Wait: time.Duration(c.DNSWait)}
	if c.DNSKey == "" {
		return r, nil
	}
	text, err := smallfile.Read(c.DNSKey, mostKey)
	if err != nil {
		return r, err
	}
	if r.key, err = parseTSIG(string(text)); err != nil {
		return r, fmt.Errorf("%s: %w", c.DNSKey, err)
	}
	return r, nil
}

var errNoMAC = errors.New("it has no key in base64: write into it what the authority has given you as the HMAC key, and nothing else")

func decodeMAC(text string) ([]byte, error) {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(strings.TrimSpace(text), "="))
	key, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(key) < 16 {
		return nil, errNoMAC // which does not repeat it
	}
	return key, nil
}
