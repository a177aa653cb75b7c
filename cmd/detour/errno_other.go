//go:build !windows

package main

import "syscall"

// addressInUse is what bind says about an address that is taken.
const addressInUse = syscall.EADDRINUSE
