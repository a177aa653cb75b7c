package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

const (
	// stdinArg is the MAP that means standard input.
	stdinArg = "-"

	// mapPatience bounds the fetch of a map, all of it.
	mapPatience = 10 * time.Second
)

// A mapText is a map as it was read.
type mapText struct {
	name string // of the file or URL, for messages
	form derpmap.Form
	text []byte // if it is longer than derpmap.MaxSize, derpmap refuses it
}

// readMap reads what a MAP names: a file, an http or https URL, or standard input. Without a form, it is the one that the name
// ends in or, failing that, that the text looks like. An error says that nothing is known of the map.
func readMap(ctx context.Context, stdin io.Reader, name string, form derpmap.Form) (source mapText, err error) {
	source.name = name
	at := name // what a form may stand at the end of
	switch {
	case name == stdinArg:
		source.name, at = "<stdin>", ""
		source.text, err = readStdin(ctx, stdin)
	case isURL(name):
		var u *url.URL
		if u, err = parseMapURL(name); err == nil {
			source.name, at = u.Redacted(), path.Base(u.Path)
			source.text, err = fetchText(ctx, u)
		}
	default:
		source.text, err = readFile(name)
	}
	if err != nil {
		return source, unreadMap(err)
	}
	if source.form = form; form == "" {
		source.form = formOf(at, source.text)
	}
	return source, nil
}

// loadMap is readMap and load.
func loadMap(ctx context.Context, stdin io.Reader, name string, form derpmap.Form) (*derpmap.Map, mapText, error) {
	source, err := readMap(ctx, stdin, name, form)
	if err != nil {
		return nil, source, err
	}
	m, err := source.load()
	return m, source, err
}

// load returns the map. The error says where in the text it is wrong.
func (s mapText) load() (*derpmap.Map, error) {
	m, err := derpmap.Load(s.text, s.form)
	if finding, ok := errors.AsType[derpmap.Finding](err); ok {
		return nil, fmt.Errorf("%s:%w", s.name, finding)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return m, nil
}

// formOf tells in which form a map is.
func formOf(name string, text []byte) derpmap.Form {
	if form := formOfName(name); form != "" {
		return form
	}
	if json.Valid(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		return derpmap.JSON // which a guess takes for HuJSON, but that is written as a policy file
	}
	return derpmap.FormOf(text)
}

// formOfName tells in which form a file of that name should be; "" if the name does not say.
func formOfName(name string) derpmap.Form {
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

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file)
}

// readBounded reads no more than it takes to know that a text is too long.
func readBounded(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, derpmap.MaxSize+1))
}

// readStdin reads standard input, until an interrupt. Nothing ends a read from a terminal, so the reader may outlive it; it
// ends with the program.
func readStdin(ctx context.Context, stdin io.Reader) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := readBounded(stdin)
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, errors.New("interrupted while reading standard input")
	}
}

// isURL tells whether a MAP is meant as a URL.
func isURL(name string) bool { return strings.Contains(name, "://") }

func parseMapURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("%q: a map is a file, an http or https URL, or - for standard input", text)
	}
	return u, nil
}

func fetchText(ctx context.Context, u *url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, mapPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: is this the URL of a map?", response.Request.URL.Redacted(), response.Status)
	}
	text, err := readBounded(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	return text, nil
}

// unreadMap is an error with status 3, unless it has another, and with a hint where there is one.
func unreadMap(err error) error {
	_, noName := errors.AsType[*net.DNSError](err)
	switch {
	case exitStatus(err) == exitUsage:
		return err
	case noName:
		return unansweredf("%w: is the host name right?", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return unansweredf("%w: nothing listens there: is the port right?", err)
	case errors.Is(err, fs.ErrNotExist):
		return unansweredf("%w: name a file, a URL, or - for standard input", err)
	}
	return unansweredf("%w", err)
}
