// Package mapfeed gets a DERP map from a file, a URL or standard input, keeps up with
// it, and serves it over HTTP.
//
// A [Source] reads the text. A [Feed] takes what is fit to be served and keeps the
// last good map; a [Handler] answers with it, and a [Server] runs both. How a map is
// fetched over HTTP stands in derpmap; what a source adds is files, of which a look
// may find a half.
package mapfeed

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
)

// Stdin is the name that means standard input.
const Stdin = "-"

// fetchTimeout bounds the fetch of a map, all of it.
const fetchTimeout = 10 * time.Second

// A Text is a map as it was read.
type Text struct {
	Name string // of the file or URL, for messages, without passwords
	Form derpmap.Form
	Data []byte // if it is longer than derpmap.MaxSize, derpmap refuses it
}

// Load returns the map. The error says where in the text it is wrong.
func (t Text) Load() (*derpmap.Map, error) {
	m, err := derpmap.Load(t.Data, t.Form)
	if finding, ok := errors.AsType[derpmap.Finding](err); ok {
		return nil, fmt.Errorf("%s:%w", t.Name, finding)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return m, nil
}

// SourceConfig says where a map comes from. Name is required.
type SourceConfig struct {
	Name    string         // a file, an http or https URL, or Stdin
	Form    derpmap.Form   // empty: that in which the name ends or, failing that, that of the text
	Stdin   io.Reader      // nil: the process's own
	RootCAs *x509.CertPool // who may sign the certificate of an https URL; nil: the system's

	// DialContext connects to where a URL leads; nil: net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Source reads a map as often as it is asked.
type Source struct {
	cfg     SourceConfig
	name    string           // for messages
	ends    string           // what a form may stand at the end of
	fetcher *derpmap.Fetcher // of a URL
}

// NewSource returns a source that has read nothing yet.
func NewSource(cfg SourceConfig) (*Source, error) {
	s := &Source{cfg: cfg, name: cfg.Name, ends: cfg.Name}
	switch {
	case cfg.Name == "":
		return nil, errors.New("the name of the map is empty: name a file, an http or https URL, or - for standard input")
	case cfg.Name == Stdin:
		s.name, s.ends = "<stdin>", ""
	case IsURL(cfg.Name):
		u, err := ParseURL(cfg.Name)
		if err != nil {
			return nil, err
		}
		s.name, s.ends = u.Redacted(), path.Base(u.Path)
		if s.fetcher, err = derpmap.NewFetcher(derpmap.FetchConfig{URL: cfg.Name, RootCAs: cfg.RootCAs, Timeout: fetchTimeout, DialContext: cfg.DialContext}); err != nil {
			return nil, err
		}
	}
	if cfg.Stdin == nil {
		s.cfg.Stdin = os.Stdin
	}
	return s, nil
}

// Name is what messages call the source.
func (s *Source) Name() string { return s.name }

// Whole tells whether what is read is never a part of a text, as it may be of a file
// that is just being written.
func (s *Source) Whole() bool { return s.fetcher != nil }

// Read reads the text. An error says that nothing is known of the map.
func (s *Source) Read(ctx context.Context) (t Text, err error) {
	t.Name = s.name
	switch {
	case s.fetcher != nil:
		t.Data, err = s.fetcher.Text(ctx)
	case s.cfg.Name == Stdin:
		t.Data, err = interruptible(ctx, "standard input", func() ([]byte, error) { return readBounded(s.cfg.Stdin) })
	default:
		t.Data, err = interruptible(ctx, s.cfg.Name, func() ([]byte, error) { return readFile(s.cfg.Name) })
	}
	if err != nil {
		return t, err
	}
	if t.Form = s.cfg.Form; t.Form == "" {
		t.Form = formOf(s.ends, t.Data)
	}
	return t, nil
}

// formOf tells in which form a map is.
func formOf(name string, data []byte) derpmap.Form {
	if form := FormOfName(name); form != "" {
		return form
	}
	if decoded, err := text.Decode(data); err == nil && json.Valid(bytes.TrimSpace(decoded)) {
		return derpmap.JSON // which a guess takes for HuJSON, but that is written as a policy file
	}
	return derpmap.FormOf(data)
}

// FormOfName tells in which form a file of that name should be; "" if the name does
// not say.
func FormOfName(name string) derpmap.Form {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return derpmap.JSON
	case ".hujson", ".jsonc":
		return derpmap.HuJSON
	case ".yaml", ".yml":
		return derpmap.YAML
	}
	return ""
}

// readFile reads a file, which may also be a pipe: a shell makes one of what a command
// prints.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, smallfile.Explain(name, err)
	}
	defer file.Close()
	text, err := readBounded(file)
	if err != nil {
		return nil, smallfile.Explain(name, err)
	}
	return text, nil
}

// readBounded reads no more than it takes to know that a text is too long.
func readBounded(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, derpmap.MaxSize+1))
}

// interruptible reads until an interrupt. Nothing ends a read from a terminal, or the
// opening of a pipe that nobody writes to, so the reader may outlive it; it ends with
// the program.
func interruptible(ctx context.Context, name string, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("interrupted while reading %s", name)
	}
}

// IsURL tells whether a name is meant as a URL.
func IsURL(name string) bool { return strings.Contains(name, "://") }

// ParseURL parses the URL of a map. Its error does not repeat a password.
func ParseURL(name string) (*url.URL, error) {
	u, err := url.Parse(name)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q: a map is a file, an http or https URL, or - for standard input", text.RedactURL(name))
	}
	return u, nil
}
