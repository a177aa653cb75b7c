package stun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How a batch goes:
//
//  1. wait: poll, unless the last batch was full.
//  2. receive: recvmmsg takes up to batchSize datagrams, each with the
//     address of its sender and, if the socket is bound to all addresses, a
//     control message with the local address.
//  3. answerAll: each request becomes its answer in the buffer that it came
//     in, and goes back with its own address and control message.
//  4. send: sendmmsg.
//
// The memory is laid out once; the kernel and we write into it in turn.
//
// The responder keeps a thread, which waits in poll, instead of a goroutine
// that the runtime's poller wakes: that saves a receive that finds nothing and
// the way through the scheduler, and with it a quarter to a third of the CPU
// time of an answer while requests come singly. A blocking receive would save
// the poll too, but a process that takes over shares the socket and its mode.
//
// The other two calls never wait, so the runtime is not told of them: it would
// take the processor from a thread that is in a call for 20 µs and more, which
// sending a full batch is (some 100 µs), and give it back just after.

// batchSize bounds what is handled between two looks at Config.Healthy, and
// the memory of a responder (1.7 KB each).
const batchSize = 32

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	header unix.Msghdr
	size   uint32 // of what was received
}

// control has room for one control message with an in_pktinfo or in6_pktinfo,
// aligned as the kernel wants it.
type control [8]uint64

// A batch is the datagrams between one receive and the next. It is owned by
// the goroutine that serves.
type batch struct {
	r  *Responder
	fd int

	in       [batchSize]message
	names    [batchSize]unix.RawSockaddrInet6 // has room for RawSockaddrInet4 too
	controls [batchSize]control
	vectors  [batchSize]unix.Iovec
	data     [batchSize][maxRequest + 1]byte // one more, to tell what is too long

	out        [batchSize]message
	outVectors [batchSize]unix.Iovec
	outFirst   int // not sent yet
	outEnd     int

	received int
	polled   [2]unix.PollFd // the socket, and what Close wakes us by
}

func (r *Responder) serve() error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("STUN: making an eventfd: %w", err)
	}
	defer unix.Close(wake)
	woken, done := make(chan struct{}), make(chan struct{})
	defer func() { <-woken }()
	defer close(done)
	go func() {
		defer close(woken)
		select {
		case <-r.closed:
			unix.Write(wake, binary.NativeEndian.AppendUint64(nil, 1))
		case <-done:
		}
	}()
	r.socket.use(func(fd int) { newBatch(r, fd, wake).run() })
	return nil
}

func newBatch(r *Responder, fd, wake int) *batch {
	b := &batch{r: r, fd: fd, received: batchSize}
	b.polled[0].Fd, b.polled[1] = int32(fd), unix.PollFd{Fd: int32(wake), Events: unix.POLLIN}
	for i := range b.in {
		b.vectors[i].Base = &b.data[i][0]
		b.vectors[i].SetLen(len(b.data[i]))
		h := &b.in[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if r.everywhere {
			h.Control = (*byte)(unsafe.Pointer(&b.controls[i]))
		}
		o := &b.out[i].header
		o.Iov = &b.outVectors[i]
		o.SetIovlen(1)
	}
	return b
}

// run serves until Close.
func (b *batch) run() {
	for failures := 0; !b.r.isClosed(); {
		if b.received < batchSize {
			b.wait(unix.POLLIN)
		}
		switch errno := b.receive(); errno {
		case 0:
			failures = 0
			b.answerAll()
			b.send()
		case unix.EAGAIN, unix.EINTR:
		default:
			failures++
			if !b.r.failed(errno, failures) {
				return
			}
		}
	}
}

// wait returns when the socket can do what the event says, on Close, or when
// a signal came: whoever calls it tries again.
func (b *batch) wait(event int16) {
	b.polled[0].Events = event
	unix.Poll(b.polled[:], -1)
}

// receive takes the datagrams that are there.
func (b *batch) receive() syscall.Errno {
	for i := range b.received { // the kernel has written over these
		h := &b.in[i].header
		h.Namelen = uint32(unsafe.Sizeof(b.names[i]))
		if h.Control != nil {
			h.SetControllen(int(unsafe.Sizeof(b.controls[i])))
		}
	}
	b.received = 0
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.in[0])), batchSize,
		unix.MSG_DONTWAIT, 0, 0)
	if errno == 0 {
		b.received = int(n)
	}
	return errno
}

// answerAll puts the answers to what was received into out.
func (b *batch) answerAll() {
	b.outFirst, b.outEnd = 0, 0
	healthy := b.r.config.Healthy()
	for i := range b.received {
		in := &b.in[i]
		data := &b.data[i]
		if !b.r.wanted(data[:in.size], healthy) {
			continue
		}
		size := putAnswer(data[:], sender(&b.names[i]))
		out := &b.out[b.outEnd].header
		b.outVectors[b.outEnd].Base = &data[0]
		b.outVectors[b.outEnd].SetLen(size)
		out.Name, out.Namelen = in.header.Name, in.header.Namelen
		out.Control, out.Controllen = nil, 0
		if b.r.everywhere {
			if n := returnControl(&b.controls[i], int(in.header.Controllen)); n > 0 {
				out.Control = in.header.Control
				out.SetControllen(n)
			} else {
				b.r.count.noLocalAddr.Add(1)
			}
		}
		b.outEnd++
	}
}

// send sends the answers in out, and counts those that cannot be sent.
func (b *batch) send() {
	for b.outFirst < b.outEnd {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.out[b.outFirst])),
			uintptr(b.outEnd-b.outFirst), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			for range int(n) {
				b.r.answered(int(b.outVectors[b.outFirst].Len))
				b.outFirst++
			}
		case unix.EINTR:
		case unix.EAGAIN:
			if b.wait(unix.POLLOUT); b.r.isClosed() {
				b.r.count.sendErrors.Add(uint64(b.outEnd - b.outFirst))
				return
			}
		default: // of the first; the others may do
			b.r.count.sendErrors.Add(1)
			b.outFirst++
		}
	}
}

// sender returns the address that the kernel has put into name.
func sender(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), networkOrder(four.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), networkOrder(name.Port))
}

func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}

// askForLocalAddr makes the kernel tell with each datagram which local
// address it was sent to.
func askForLocalAddr(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("STUN: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		switch {
		case err != nil:
			failed = err
		case domain == unix.AF_INET6: // also for IPv4, if the socket takes both
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		default:
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("STUN: asking for the local address of requests: %w", err)
	}
	return nil
}

// returnControl makes of the control message that came with a request, in the
// first n bytes of c, the one that sends the answer from the address that was
// asked, and returns its size; 0 if there is none.
//
// The same structure serves both ways, also on a dual-stack socket, where
// IPv4 addresses stand in it in their IPv6-mapped form. Only the interface is
// taken out, so that the answer takes the route that the system would choose;
// addresses of one link need it.
func returnControl(c *control, n int) int {
	if n < unix.CmsgLen(0) || n > int(unsafe.Sizeof(*c)) {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	data := unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && n >= unix.CmsgLen(unix.SizeofInet4Pktinfo):
		(*unix.Inet4Pktinfo)(data).Ifindex = 0
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && n >= unix.CmsgLen(unix.SizeofInet6Pktinfo):
		info := (*unix.Inet6Pktinfo)(data)
		if info.Addr[0] != 0xfe || info.Addr[1]&0xc0 != 0x80 {
			info.Ifindex = 0
		}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	return 0
}
