//go:build !linux

package programs

import (
	"errors"
	"os/exec"
)

// endWithParent does nothing here: only Linux can tie a process to the life of its parent.
func endWithParent(*exec.Cmd) {}

// Usage is known on Linux only.
func (r *Relay) Usage() (Usage, error) {
	return Usage{}, errors.New("what a process has used is known on Linux only")
}
