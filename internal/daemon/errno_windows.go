package daemon

import "syscall"

// addressInUse is what bind says about an address that is taken: Windows has its own
// number for it (WSAEADDRINUSE).
const addressInUse = syscall.Errno(10048)
