package main

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagrams is a UDP socket that is connected to one address and takes and sends many datagrams with one system call. It never
// waits, and it is not known to the runtime's poller: whoever loads a relay beside him would otherwise load the machine with
// wake-ups of his own.
type datagrams struct {
	fd      int
	in, out []mmsghdr
	vectors []unix.Iovec // of in, then of out
	got     []int        // sizes of what was received last
}

// mmsghdr is that of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
}

// dialDatagrams opens a socket that receives into the buffers and sends from the others, one datagram each.
func dialDatagrams(addr netip.AddrPort, in, out [][]byte) (*datagrams, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %v: %w", addr, err)
	}
	d := &datagrams{
		fd: fd, in: make([]mmsghdr, len(in)), out: make([]mmsghdr, len(out)),
		vectors: make([]unix.Iovec, len(in)+len(out)), got: make([]int, len(in)),
	}
	point(d.in, d.vectors[:len(in)], in)
	point(d.out, d.vectors[len(in):], out)
	return d, nil
}

// point makes the messages point to the buffers.
func point(messages []mmsghdr, vectors []unix.Iovec, buffers [][]byte) {
	for i, b := range buffers {
		vectors[i].Base = &b[0]
		vectors[i].SetLen(len(b))
		messages[i].header.Iov = &vectors[i]
		messages[i].header.SetIovlen(1)
	}
}

func (d *datagrams) local() (netip.AddrPort, error) {
	name, err := unix.Getsockname(d.fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	four, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("an address of another family: %v", name)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), uint16(four.Port)), nil
}

// receive takes what is there and returns the sizes, in the order of the buffers.
func (d *datagrams) receive() ([]int, error) {
	n, err := d.exchange(unix.SYS_RECVMMSG, d.in)
	for i := range n {
		d.got[i] = int(d.in[i].size)
	}
	return d.got[:n], err
}

// send sends the buffers with these indexes.
func (d *datagrams) send(indexes []int) error {
	vectors := d.vectors[len(d.in):]
	for i, index := range indexes {
		d.out[i].header.Iov = &vectors[index]
	}
	for left := d.out[:len(indexes)]; len(left) > 0; {
		n, err := d.exchange(unix.SYS_SENDMMSG, left)
		if err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

// exchange makes one of the two calls. That it would have to wait is no error.
func (d *datagrams) exchange(call uintptr, messages []mmsghdr) (int, error) {
	n, _, errno := unix.Syscall6(call, uintptr(d.fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), 0, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

func (d *datagrams) close() { unix.Close(d.fd) }
