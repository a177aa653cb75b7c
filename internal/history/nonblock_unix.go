//go:build unix

package history

import "syscall"

// nonBlocking keeps the open of a pipe from waiting for its other end.
const nonBlocking = syscall.O_NONBLOCK
