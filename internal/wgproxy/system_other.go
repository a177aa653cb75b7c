//go:build freebsd && !cgo

package wgproxy

import (
	"errors"
	"fmt"
)

// Find fails: FreeBSD's WireGuard is reached by a C library.
func Find(name string) (Device, error) {
	return nil, fmt.Errorf("%s: %w", name, errors.New("this program was built without cgo, which it takes to reach WireGuard on FreeBSD: build it with CGO_ENABLED=1"))
}

// Names are none that could be found.
func Names() []string { return nil }
