package netio

import "golang.org/x/sys/unix"

// unsentAtMost is how many bytes the kernel keeps for a peer that it has not sent yet. By
// itself it keeps megabytes for one that is slower than those who send to it, and what
// waits there waits behind all that came before, whoever sent it: only what waits in the
// engine's queues has its turn (docs/decisions/0025). Two batches keep the kernel busy
// until the next one.
const unsentAtMost = 128 << 10

// limitUnsent has the kernel keep no more. A socket that is not TCP's has no such bound.
func limitUnsent(fd int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentAtMost)
}
