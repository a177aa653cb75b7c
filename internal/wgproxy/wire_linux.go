package wgproxy

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// A read takes up to readAtOnce datagrams, each of which may be up to mostJoined
	// packets that the kernel has joined.
	readAtOnce = 8
	datagram   = 1 << 16
	mostJoined = 64

	// mostPayload is the largest datagram of IPv4.
	mostPayload = 1<<16 - 1 - 20 - 8

	controlLen = 24 // of one control message with a number
)

// A wire reads and writes packets of one connected socket, several with a system call.
// While nothing comes it holds no buffer.
type wire struct {
	conn   *ipv4.PacketConn
	raw    syscall.RawConn
	joins  bool           // owned by the sender: it may hand over several packets as one
	out    []ipv4.Message // owned by the sender
	places [][controlLen]byte
}

func newWire(conn *net.UDPConn) (*wire, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{conn: ipv4.NewPacketConn(conn), raw: raw}
	raw.Control(func(fd uintptr) { // an old kernel that cannot takes and hands over one at a time
		w.joins = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	})
	return w, nil
}

// enlarge asks for large buffers, beyond what the system allows everybody if we may, and
// returns what there is.
func enlarge(conn *net.UDPConn) (room int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o[0], bufferSize) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o[1], bufferSize)
			}
		}
		room, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return room / 2 // the kernel counts its own part as well
}

// An arrival is what one system call reads, and the packets in it.
type arrival struct {
	messages [readAtOnce]ipv4.Message
	packets  [][]byte
}

var arrivals = sync.Pool{New: func() any {
	a := &arrival{packets: make([][]byte, 0, readAtOnce*mostJoined)}
	space := make([]byte, readAtOnce*(datagram+controlLen))
	for i := range a.messages {
		m := &a.messages[i]
		m.Buffers, space = [][]byte{space[:datagram:datagram]}, space[datagram:]
		m.OOB, space = space[:controlLen:controlLen], space[controlLen:]
	}
	return a
}}

// receive hands over what comes until the socket is closed.
func (w *wire) receive(forward func(packets [][]byte)) {
	for w.raw.Read(somethingWaits) == nil {
		a := arrivals.Get().(*arrival)
		for a.read(w.conn) {
			forward(a.packets)
		}
		arrivals.Put(a)
	}
}

// somethingWaits looks whether a read would find something. An error is something: that
// nobody listens at the other end, which ends nothing.
func somethingWaits(fd uintptr) bool {
	_, _, err := unix.Recvfrom(int(fd), nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return !errors.Is(err, unix.EAGAIN)
}

// read takes what has come; false: nothing any more.
func (a *arrival) read(conn *ipv4.PacketConn) bool {
	for i := range a.messages {
		a.messages[i].OOB = a.messages[i].OOB[:controlLen]
	}
	n, err := conn.ReadBatch(a.messages[:], unix.MSG_DONTWAIT)
	if err != nil || n <= 0 {
		return false
	}
	a.packets = a.packets[:0]
	for i := range a.messages[:n] {
		m := &a.messages[i]
		a.packets = split(a.packets, m.Buffers[0][:m.N], joinedSize(m.OOB[:m.NN]))
	}
	return true
}

// split appends the packets of a datagram: those that the kernel has joined have this
// size, but for the last; 0: there is one.
func split(to [][]byte, data []byte, size int) [][]byte {
	for size > 0 && len(data) > size {
		to, data = append(to, data[:size:size]), data[size:]
	}
	return append(to, data)
}

// joinedSize reads from control messages of which size the packets are; 0: there is one.
func joinedSize(control []byte) int {
	for len(control) > unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0
		}
		if header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && len(data) >= 2 {
			return int(binary.NativeEndian.Uint16(data))
		}
		control = rest
	}
	return 0
}

// send writes packets, and returns how many could not be.
func (w *wire) send(packets [][]byte) (lost int) {
	for len(packets) > 0 {
		w.join(packets)
		sent, err := w.conn.WriteBatch(w.out, 0)
		done := 0
		for _, m := range w.out[:max(sent, 0)] {
			done += len(m.Buffers)
		}
		if err != nil && sent <= 0 {
			if w.joins && len(w.out[0].Buffers) > 1 && cannotJoin(err) {
				w.joins = false
				continue
			}
			done = len(w.out[0].Buffers)
			lost += done
		}
		packets = packets[done:]
	}
	return lost
}

// cannotJoin reports whether the system does not take several packets as one.
func cannotJoin(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL)
}

// join makes messages of packets: those of one size that follow each other go as one, and
// a smaller one may end it.
func (w *wire) join(packets [][]byte) {
	if len(w.places) < len(packets) {
		w.places = make([][controlLen]byte, len(packets))
	}
	w.out = w.out[:0]
	for len(packets) > 0 {
		n := 1
		if w.joins {
			n = joinable(packets)
		}
		m := ipv4.Message{Buffers: packets[:n:n]}
		if n > 1 {
			m.OOB = sizeMessage(w.places[len(w.out)][:], len(packets[0]))
		}
		w.out, packets = append(w.out, m), packets[n:]
	}
}

// joinable is how many packets, from the first on, may go as one.
func joinable(packets [][]byte) (n int) {
	size, total := len(packets[0]), 0
	for n < len(packets) && n < mostJoined && size > 0 {
		now := len(packets[n])
		if now == 0 || now > size || total+now > mostPayload {
			break
		}
		n, total = n+1, total+now
		if now < size {
			break
		}
	}
	return max(n, 1)
}

// sizeMessage writes the control message that says of which size joined packets are.
func sizeMessage(place []byte, size int) []byte {
	length := unix.CmsgLen(2)
	place = place[:unix.CmsgSpace(2)]
	clear(place)
	if unix.SizeofPtr == 8 {
		binary.NativeEndian.PutUint64(place, uint64(length))
	} else {
		binary.NativeEndian.PutUint32(place, uint32(length))
	}
	header := place[unix.SizeofPtr:]
	binary.NativeEndian.PutUint32(header, unix.SOL_UDP)
	binary.NativeEndian.PutUint32(header[4:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(place[unix.CmsgLen(0):], uint16(size))
	return place
}
