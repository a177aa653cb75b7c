package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/smallfile"
)

// The life of a self-signed certificate. Peers trust it by its pin alone, so the
// next one exists, and its pin is shown, long before peers meet it.
const (
	selfLife   = 365 * 24 * time.Hour // validity
	selfAhead  = 60 * 24 * time.Hour  // the next one is made this long before expiry
	selfSwitch = 14 * 24 * time.Hour  // and shown to peers this long before expiry
	selfLook   = time.Hour            // how often the dates are looked at
	selfSkew   = time.Hour            // a new one is valid since this long, for slow clocks
)

// SelfConfig says whom a self-signed certificate is for and where it is kept.
type SelfConfig struct {
	Host     string // DNS name or IP address peers use
	StateDir string // made if missing
	Logger   *slog.Logger
}

// Self is a self-signed pair, kept in the state directory so that its pin
// outlives the process.
type Self struct {
	config  SelfConfig
	failure Failure

	mu      sync.Mutex
	current *tls.Certificate // guarded by mu
	next    *tls.Certificate // guarded by mu; nil until current nears its end
}

// OpenSelf loads the pair for the host from the state directory, or makes one. A
// file that is there and cannot be used is an error: replacing it would change
// the pin unasked.
func OpenSelf(config SelfConfig) (*Self, error) {
	host, err := ParseHost(config.Host)
	if err != nil {
		return nil, err
	}
	config.Host = host
	if err := smallfile.MakeDir(config.StateDir); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Self{config: config}
	if s.current, err = s.load(s.path("")); err != nil {
		return nil, err
	}
	if s.next, err = s.load(s.path("-next")); err != nil {
		return nil, err
	}
	if err := s.advanceLocked(time.Now()); err != nil {
		return nil, err
	}
	return s, nil
}

// Certificate implements Source.
func (s *Self) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, nil
}

// Trust implements Source: the pin is enough.
func (s *Self) Trust() (pin string, roots *x509.CertPool) { return s.Describe().Pin, nil }

// Describe implements Source.
func (s *Self) Describe() Description {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Describe(s.current, "self-signed for "+s.config.Host)
	if s.next != nil {
		from := s.current.Leaf.NotAfter.Add(-selfSwitch).UTC()
		d.NextPin, d.NextFrom = pinOf(s.next), &from
	}
	s.failure.Describe(&d)
	return d
}

// Prepare implements Source. What is due is done at once: it would be done anyway, and
// there is nothing that others could have changed.
func (s *Self) Prepare(context.Context) (use func(), err error) { return func() {}, s.advance() }

func (s *Self) advance() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.advanceLocked(time.Now())
	s.failure.Note(err)
	return err
}

// Run makes the next certificate ahead of time and switches to it.
func (s *Self) Run(ctx context.Context) {
	ticker := time.NewTicker(selfLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.advance(); err != nil {
			s.config.Logger.Error("cannot renew the self-signed certificate; trying again in an hour", "reason", err)
		}
	}
}

// advanceLocked does what is due at the given time.
func (s *Self) advanceLocked(now time.Time) error {
	if s.next != nil && (s.current == nil || !now.Before(s.current.Leaf.NotAfter.Add(-selfSwitch))) {
		if err := s.switchLocked(); err != nil {
			return err
		}
	}
	if s.current == nil || !now.Before(s.current.Leaf.NotAfter) {
		return s.startOverLocked(now)
	}
	if s.next == nil && !now.Before(s.current.Leaf.NotAfter.Add(-selfAhead)) {
		return s.prepareLocked(now)
	}
	return nil
}

// switchLocked makes the next certificate the current one. Where another process
// with the same state directory was faster, its work is taken over.
func (s *Self) switchLocked() error {
	err := os.Rename(s.path("-next"), s.path(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("switching to the next self-signed certificate: %w", err)
	}
	pair, err := s.load(s.path(""))
	if err != nil {
		return err
	}
	if pair == nil {
		return fmt.Errorf("switching to the next self-signed certificate: %s vanished", s.path(""))
	}
	s.current, s.next = pair, nil
	s.config.Logger.Info("showing the next self-signed certificate", "pin", pinOf(s.current), "expires", day(s.current.Leaf.NotAfter))
	return nil
}

// startOverLocked makes a first certificate, or one after all others expired
// while nothing ran.
func (s *Self) startOverLocked(now time.Time) error {
	if s.current != nil {
		s.config.Logger.Error("the self-signed certificate expired; peers need the new pin", "expired", day(s.current.Leaf.NotAfter))
	}
	fresh, err := s.create(s.path(""), s.current != nil, now)
	if err == nil {
		s.current = fresh
	}
	return err
}

// prepareLocked makes the next certificate.
func (s *Self) prepareLocked(now time.Time) error {
	fresh, err := s.create(s.path("-next"), false, now)
	if err != nil {
		return err
	}
	s.next = fresh
	s.config.Logger.Warn("the self-signed certificate will be replaced; publish the next pin",
		"pin", pinOf(fresh), "from", day(s.current.Leaf.NotAfter.Add(-selfSwitch)))
	return nil
}

// create makes a pair and keeps it in the file. Without replace, a pair that
// another process put there in the meantime is taken instead.
func (s *Self) create(path string, replace bool, now time.Time) (*tls.Certificate, error) {
	text, err := makeSelf(s.config.Host, now)
	if err != nil {
		return nil, fmt.Errorf("making a self-signed certificate for %s: %w", s.config.Host, err)
	}
	write := smallfile.WriteNew
	if replace {
		write = smallfile.WriteOver
	}
	if err := write(path, text, smallfile.ModeSecret); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keeping the self-signed certificate: %w", err)
	}
	pair, err := s.load(path)
	if err == nil && pair == nil {
		err = fmt.Errorf("self-signed certificate %s: it vanished while it was made", path)
	}
	return pair, err
}

// load reads a pair from a file; it is nil if there is no file.
func (s *Self) load(path string) (*tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err == nil {
		err = checkName(pair.Leaf, s.config.Host)
	}
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), "tls: ")
		return nil, fmt.Errorf("self-signed certificate %s: %s: restore the file, or remove it to get a new certificate with a new pin", path, reason)
	}
	return &pair, nil
}

// path names the file of the current pair (no suffix) or the next one. An IPv6
// address keeps no colons, which not every file system takes.
func (s *Self) path(suffix string) string {
	name := strings.ReplaceAll(s.config.Host, ":", ".")
	return filepath.Join(s.config.StateDir, "self-"+name+suffix+".pem")
}

// pinOf returns the pin of a pair's certificate (spec 7.4).
func pinOf(pair *tls.Certificate) string { return pin.OfRaw(pair.Certificate[0]).String() }
