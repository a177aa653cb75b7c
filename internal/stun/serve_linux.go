package stun

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

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
// time of an answer while requests come singly (docs/decisions/0007). A blocking
// receive would save the poll too, but a process that takes over shares the
// socket and its mode.

// batchSize bounds what is handled between two looks at Config.Healthy, and
// the memory of a responder (1.7 KB each).
const batchSize = 32

// name has room for the socket address of either family.
type name [unix.SizeofSockaddrInet6]byte

// A batch is the datagrams between one receive and the next. It is owned by
// the goroutine that serves.
type batch struct {
	r  *Responder
	fd int

	in       [batchSize]message
	names    [batchSize]name
	controls [batchSize]control
	vectors  [batchSize]unix.Iovec
	data     [batchSize][maxRequest + 1]byte // one more, to tell what is too long
	received int

	out        [batchSize]message
	outVectors [batchSize]unix.Iovec
	toSend     []message // of out

	polled [2]unix.PollFd // the socket, and what Close wakes us by
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
	r.socket.use(func(fd int) { newBatch(r, fd, wake).run() }) // fails if it is closed already
	return nil
}

func newBatch(r *Responder, fd, wake int) *batch {
	b := &batch{r: r, fd: fd, received: batchSize}
	b.polled[0].Fd, b.polled[1] = int32(fd), unix.PollFd{Fd: int32(wake), Events: unix.POLLIN}
	for i := range b.in {
		b.vectors[i].Base = &b.data[i][0]
		b.vectors[i].SetLen(len(b.data[i]))
		h := &b.in[i].header
		h.Name = &b.names[i][0]
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if r.everywhere {
			h.Control = &b.controls[i][0]
		}
		o := &b.out[i].header
		o.Iov = &b.outVectors[i]
		o.SetIovlen(1)
	}
	return b
}

// run serves until Close.
func (b *batch) run() {
	var failures failures
	for !b.r.isClosed() {
		if b.received < batchSize {
			b.wait(unix.POLLIN)
		}
		switch errno := b.receive(); errno {
		case 0:
			failures.end()
			b.answerAll()
			b.send()
		case unix.EAGAIN, unix.EINTR:
		default:
			if !b.r.failed(errno, &failures) {
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
		h.Namelen = uint32(len(b.names[i]))
		if h.Control != nil {
			h.SetControllen(len(b.controls[i]))
		}
	}
	b.received = 0
	n, errno := receiveMessages(b.fd, b.in[:])
	if errno == 0 {
		b.received = n
	}
	return errno
}

// answerAll puts the answers to what was received into out.
func (b *batch) answerAll() {
	b.toSend = b.out[:0]
	healthy := b.r.config.Healthy()
	for i := range b.received {
		data := &b.data[i]
		if !b.r.wanted(data[:b.in[i].size], healthy) {
			continue
		}
		b.answer(i, putAnswer(data[:], b.names[i].addr()))
	}
}

// answer puts the answer to the i-th datagram, which is in its buffer, into out.
func (b *batch) answer(i, size int) {
	last := len(b.toSend)
	b.toSend = b.toSend[:last+1]
	b.outVectors[last].Base = &b.data[i][0]
	b.outVectors[last].SetLen(size)
	in, out := &b.in[i].header, &b.toSend[last].header
	out.Name, out.Namelen = in.Name, in.Namelen
	out.Control, out.Controllen = nil, 0
	if !b.r.everywhere {
		return
	}
	if n := returnControl(&b.controls[i], int(in.Controllen)); n > 0 {
		out.Control = in.Control
		out.SetControllen(n)
	} else {
		b.r.count.noLocalAddr.Add(1)
	}
}

// send sends the answers in out, and counts those that cannot be sent.
func (b *batch) send() {
	for len(b.toSend) > 0 {
		n, errno := sendMessages(b.fd, b.toSend)
		switch errno {
		case 0:
			for i := range n {
				b.r.answered(int(b.toSend[i].header.Iov.Len))
			}
			b.toSend = b.toSend[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if b.wait(unix.POLLOUT); b.r.isClosed() {
				b.r.count.sendErrors.Add(uint64(len(b.toSend)))
				return
			}
		default: // of the first; the others may do
			b.r.count.sendErrors.Add(1)
			b.toSend = b.toSend[1:]
		}
	}
}

// addr returns the address that the kernel has put into a name: the family, the
// port in network order, and for IPv6 a flow label before the address.
func (n *name) addr() netip.AddrPort {
	port := binary.BigEndian.Uint16(n[2:])
	if binary.NativeEndian.Uint16(n[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(n[4:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(n[8:])), port)
}
