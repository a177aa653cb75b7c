//go:build !linux

package programs

import (
	"fmt"
	"runtime"
)

// EnterNamespace says that there is none.
func EnterNamespace([]string) (int, error) {
	return 0, fmt.Errorf("network namespaces exist on Linux only, this is %s; run `sudo make interop` on Linux", runtime.GOOS)
}

// PrepareNetwork has nothing to prepare.
func PrepareNetwork() error { return nil }
