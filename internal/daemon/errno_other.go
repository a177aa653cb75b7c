//go:build !windows

package daemon

import "syscall"

// addressInUse is what bind says about an address that is taken.
const addressInUse = syscall.EADDRINUSE
