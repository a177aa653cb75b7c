package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
)

// pollEvery is how often the files are read. Reading two small files is cheap,
// and comparing what they hold is the one way that also sees a swapped symbolic
// link and a file rewritten within the clock's grain.
const pollEvery = 5 * time.Second

// FilesConfig says where the pair is.
type FilesConfig struct {
	CertFile string // PEM: the leaf, then the intermediates
	KeyFile  string // PEM: the private key of the leaf
	Host     string // name or address the leaf must be valid for; empty: any
	Valid    bool   // it must not be out of date
	Logger   *slog.Logger
}

// Files is a pair that is read from two files, and read again when they change.
type Files struct {
	config  FilesConfig
	current atomic.Pointer[tls.Certificate]
	failure Failure

	mu      sync.Mutex // held over a reload; guards the rest
	served  pairFiles  // what current was made from
	refused pairFiles  // what the last failed reload saw
	looks   int        // how often in a row it saw that; 0: the last one did not fail

	reminder reminder
}

// OpenFiles loads the pair. A pair that cannot be used is an error; one that is
// out of date is served with a warning, because a relay with it is still of use
// to peers that do not verify.
func OpenFiles(config FilesConfig) (*Files, error) {
	f := &Files{config: config}
	read, err := f.read()
	if err != nil {
		return nil, err
	}
	pair, order, err := read.parse()
	if err != nil {
		return nil, err
	}
	if err := config.check(pair.Leaf); err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", config.CertFile, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.useLocked(read, pair, order)
	if now := time.Now(); now.Before(pair.Leaf.NotBefore) {
		config.Logger.Warn("peers will refuse the certificate", "file", config.CertFile, "reason", checkDates(pair.Leaf, now))
	}
	if smallfile.OpenToOthers(config.KeyFile) {
		config.Logger.Warn("every user of this machine can read the certificate's private key: chmod o= the file", "file", config.KeyFile)
	}
	f.remindLocked(time.Now())
	return f, nil
}

// check says what is wrong with a leaf at first.
func (c FilesConfig) check(leaf *x509.Certificate) error {
	switch {
	case c.Valid:
		return CheckLeaf(leaf, c.Host, time.Now())
	case c.Host != "":
		return checkName(leaf, c.Host)
	}
	return nil
}

// Certificate implements Source.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.current.Load(), nil
}

// Trust implements Source.
func (f *Files) Trust() (pin string, roots *x509.CertPool) {
	return "", RootsWith(f.current.Load().Leaf)
}

// Describe implements Source.
func (f *Files) Describe() Description {
	d := Describe(f.current.Load(), f.config.CertFile)
	f.failure.Describe(&d)
	return d
}

// Run reads the files every few seconds and takes over a new pair.
func (f *Files) Run(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.poll()
		}
	}
}

// reportAt is the look at the same unusable pair that is reported. Two files
// cannot change in one instant, so the first look proves nothing.
const reportAt = 2

// Prepare implements Source: it reads the files now. The error says which file is to
// blame.
func (f *Files) Prepare(context.Context) (use func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, take, err := f.lookLocked()
	f.failure.Note(err)
	if err != nil {
		f.refused, f.looks = seen, reportAt
		return nil, err
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		take()
	}, nil
}

// poll reloads, and reports an unusable pair once.
func (f *Files) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, use, err := f.lookLocked()
	defer func() { f.remindLocked(time.Now()) }()
	if err == nil {
		use()
		f.refused, f.looks = pairFiles{}, 0
		f.failure.Note(nil)
		return
	}
	if !seen.equal(f.refused) {
		f.refused, f.looks = seen, 0
	}
	f.looks++
	if f.looks == reportAt {
		f.failure.Note(err)
		f.config.Logger.Error("the new certificate cannot be used; the old one stays", "reason", err)
	}
}

// lookLocked returns what it saw in the files, and what has it used, to be called
// with the lock held.
func (f *Files) lookLocked() (seen pairFiles, use func(), err error) {
	seen, err = f.read()
	if err != nil || seen.equal(f.served) {
		return seen, func() {}, err
	}
	pair, order, err := seen.parse()
	if err != nil {
		return seen, nil, err
	}
	if err := CheckLeaf(pair.Leaf, f.config.Host, time.Now()); err != nil {
		return seen, nil, fmt.Errorf("certificate file %s: %w", f.config.CertFile, err)
	}
	return seen, func() {
		f.useLocked(seen, pair, order)
		f.config.Logger.Info("certificate reloaded", "file", f.config.CertFile, "expires", day(pair.Leaf.NotAfter))
	}, nil
}

// useLocked shows the pair from now on, and says what peers may not like about it.
func (f *Files) useLocked(read pairFiles, pair *tls.Certificate, order string) {
	f.served = read
	f.current.Store(pair)
	if order != "" {
		f.config.Logger.Warn("the certificate file is not in the order of a chain", "file", f.config.CertFile, "served", order)
	}
	for _, reason := range advice(pair) {
		f.config.Logger.Warn("peers may refuse the certificate", "file", f.config.CertFile, "reason", reason)
	}
}

// read reads both files.
func (f *Files) read() (pairFiles, error) {
	cert, certErr := smallfile.Read(f.config.CertFile, mostPair)
	key, keyErr := smallfile.Read(f.config.KeyFile, mostPair)
	read := pairFiles{f.config.CertFile, f.config.KeyFile, cert, key}
	switch {
	case certErr != nil:
		return read, fmt.Errorf("certificate file: %w", certErr)
	case keyErr != nil:
		return read, fmt.Errorf("key file: %w", keyErr)
	}
	return read, nil
}

// equal compares what the files held; their names are always the same.
func (f pairFiles) equal(g pairFiles) bool {
	return bytes.Equal(f.cert, g.cert) && bytes.Equal(f.key, g.key)
}
