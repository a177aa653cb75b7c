package vouch

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
)

const mostHeaders = 64 << 10

// ours are headers that the request has anyway.
var ours = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Upgrade": true, "Te": true, "Trailer": true, "Keep-Alive": true}

// ReadHeaders reads a file with a header a line. They may be secrets, so that no error
// repeats their values.
func ReadHeaders(path string) (http.Header, error) {
	if path == "" {
		return nil, nil
	}
	data, err := smallfile.Read(path, mostHeaders)
	if err != nil {
		return nil, err
	}
	header, err := parseHeaders(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return header, nil
}

func parseHeaders(data []byte) (http.Header, error) {
	data, err := text.Decode(data)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		said := strings.TrimSpace(string(line))
		if said == "" || said[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(said, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name):
			return nil, fmt.Errorf("line %d is no header: want Name: value, such as Authorization: Bearer TOKEN", n)
		case !httpguts.ValidHeaderFieldValue(value):
			return nil, fmt.Errorf("line %d: the value of %s has a character that no header may have", n, name)
		case ours[http.CanonicalHeaderKey(name)]:
			return nil, fmt.Errorf("line %d: %s is the connection's business: leave it out", n, name)
		}
		header.Add(name, value)
	}
	if len(header) == 0 {
		return nil, fmt.Errorf("no header in it: want lines such as Authorization: Bearer TOKEN")
	}
	return header, nil
}
