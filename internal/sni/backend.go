package sni

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/hostname"
)

// How a backend may be written.
const (
	unixPrefix = "unix:"
	// HeaderPrefix stands before the address of a backend that gets a PROXY header.
	HeaderPrefix = "proxy-v2:"
)

// A Backend is a server to which connections are passed.
type Backend struct {
	About   string // the name that it is for, as the operator wrote it, or which connections
	Network string // "tcp" or "unix"
	Addr    string
	Header  bool // it gets a PROXY header, v2, before all else

	said atomic.Int64 // when something was said of it last, since 1970
}

func parseBackend(text, about string) (*Backend, error) {
	rest, header := strings.CutPrefix(text, HeaderPrefix)
	b := &Backend{About: about, Network: "tcp", Addr: rest, Header: header}
	if path, isUnix := strings.CutPrefix(rest, unixPrefix); isUnix {
		b.Network, b.Addr = "unix", path
		if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
			return nil, fmt.Errorf("%q: write the whole path of the socket behind unix:, such as unix:/run/web.sock", text)
		}
		return b, nil
	}
	host, port, err := net.SplitHostPort(rest)
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case strings.Contains(rest, "://"):
		return nil, fmt.Errorf("%q is a URL, and connections are passed on unopened: want host:port, or unix: and the path of a socket", text)
	case err != nil || portErr != nil || n == 0:
		return nil, fmt.Errorf("%q: want host:port, such as 127.0.0.1:8443, or unix: and the path of a socket", text)
	case host == "":
		return nil, fmt.Errorf("%q names no host: write 127.0.0.1:%s for this machine", text, port)
	}
	if _, err := hostname.Parse(host); err != nil && !isUnderscore(err) && !isZone(host) {
		return nil, fmt.Errorf("%q: the host %w", text, err)
	}
	return b, nil
}

// isUnderscore reports whether a name has an underscore, as containers' may, and is fine
// otherwise.
func isUnderscore(err error) bool {
	e, ok := errors.AsType[*hostname.Error](err)
	return ok && e.Kind == hostname.Underscore
}

func isZone(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() != ""
}

// String is where it is, as the setting is written.
func (b *Backend) String() string {
	if b.Network == "unix" {
		return unixPrefix + b.Addr
	}
	return b.Addr
}

// due reports whether something may be said of it: once a minute.
func (b *Backend) due() bool {
	now, said := time.Now().UnixNano(), b.said.Load()
	return now-said >= int64(time.Minute) && b.said.CompareAndSwap(said, now)
}
