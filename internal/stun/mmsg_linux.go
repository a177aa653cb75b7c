package stun

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	header unix.Msghdr
	size   uint32 // of what was received
}

// receiveMessages and sendMessages return how many messages there were. There has
// to be room for one at least. They never wait. Their conversions are all that is
// unsafe in the responder (docs/decisions/0007).

func receiveMessages(fd int, messages []message) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])),
		uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sendMessages(fd int, messages []message) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])),
		uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
