package decoy

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Look says why a site has nothing to show: a directory that cannot be read, or a server
// that does not answer. It asks for no page.
func Look(ctx context.Context, home string) error {
	switch {
	case filepath.IsAbs(home):
		root, err := os.OpenRoot(home)
		if err != nil {
			return err
		}
		defer root.Close()
		f, _, err := open(root, index)
		if err != nil {
			return &os.PathError{Op: "open", Path: filepath.Join(home, index), Err: err}
		}
		return f.Close()
	case strings.HasPrefix(home, ProxyPrefix):
		at, err := parseUpstream(home)
		if err != nil {
			return err
		}
		network, to := at.dial()
		c, err := new(net.Dialer).DialContext(ctx, network, to)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return nil
}

// dial is where to connect to.
func (a address) dial() (network, to string) {
	if a.socket != "" {
		return "unix", a.socket
	}
	port := a.url.Port()
	if port == "" {
		port = a.url.Scheme // http and https are names of ports as well
	}
	return "tcp", net.JoinHostPort(a.url.Hostname(), port)
}
