//go:build !linux

package tailnet

import (
	"fmt"
	"runtime"
)

func enterNamespace([]string) (int, error) {
	return 0, fmt.Errorf("network namespaces exist on Linux only, this is %s; run `sudo make interop` on Linux", runtime.GOOS)
}

func prepareNetwork() error { return nil }
