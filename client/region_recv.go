package client

// What comes in takes this way: the reader of each connection puts what has arrived
// with one read of the socket into a chunk, chunks go through a queue, and Recv
// takes messages out of them. A reader that has no free chunk waits, so the relay
// is slowed down by TCP as if Recv were called on the connection itself.

const chunksPerSession = 2

// Recv waits for the next message from any relay of the region, like Conn.Recv: a
// packet is put into buf, and after ErrBufferSize the same packet is returned to
// the next call with a larger buffer. The only other error is ErrClosed. Each
// connection begins with MessageServerInfo. KeepAlives and Pongs are not passed on.
// While one relay hands over to another, packets of both come in any order.
func (r *Region) Recv(buf []byte) (Message, error) {
	msg, _, err := recvFrom(r.recvQueue, buf)
	return msg, err
}

// recvFrom returns the next message and the tag of the Region where it came in.
func recvFrom(q *recvQueue, buf []byte) (msg Message, tag any, err error) {
	item, ok := q.Peek()
	if !ok {
		return msg, nil, ErrClosed
	}
	if item.Other != nil {
		msg = *item.Other
	} else {
		n := len(item.Packet)
		if n > len(buf) {
			return msg, item.From, bufferError(n, len(buf))
		}
		msg.Kind, msg.Peer, msg.Packet = MessagePacket, item.Peer, buf[:n:n]
		copy(msg.Packet, item.Packet)
	}
	q.Next()
	return msg, item.From, nil
}

// read receives until the connection ends.
func (r *Region) read(s *session) {
	defer s.conn.Close()
	for more := r.pass(s, true); more; {
		if s.conn.awaitFrame() != nil {
			return
		}
		s.hear()
		more = r.pass(s, false)
	}
}

// pass puts what has arrived into the queue; before anything else ServerInfo, which
// has arrived already. It returns false if the connection has ended.
func (r *Region) pass(s *session, first bool) bool {
	c := s.takeFree()
	if c == nil {
		return false
	}
	var err error
	if first {
		c.Reset(0)
		addTo(c, &s.msg)
	} else {
		err = s.conn.readBatch(c, &s.msg, s.keep)
	}
	if dropped := r.recvQueue.Push(c); dropped > 0 {
		r.stats.unread.Add(uint64(dropped))
	}
	return err == nil
}

// takeFree waits for a free chunk, and returns nil if the connection ended before.
func (s *session) takeFree() *chunk {
	select {
	case c := <-s.free:
		return c
	default:
	}
	s.held.Store(true)
	defer s.held.Store(false)
	select {
	case c := <-s.free:
		s.hear() // before held is unset: the time of silence begins now
		s.conn.restartSilence()
		return c
	case <-s.conn.done:
		return nil
	}
}

// note takes in what a message says of the connection, and reports whether the
// caller of Recv wants to know it.
func (s *session) note(msg *Message) (keep bool) {
	switch msg.Kind {
	case MessagePacket:
		s.noteReceived()
	case MessageKeepAlive, MessagePong:
		s.hear()
		return false
	case MessageRestarting:
		select {
		case s.restarting <- restart{msg.ReconnectIn, msg.TryFor}:
		default:
		}
	}
	return true
}
