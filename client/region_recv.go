package client

// What comes in takes this way: the reader of each connection puts what has arrived
// with one read of the socket into a chunk, chunks go through a queue, and Recv
// takes messages out of them. A reader that has no free chunk waits, so the relay
// is slowed down by TCP as if Recv were called on the connection itself.

const chunksPerSession = 2

// Recv waits for the next message from any relay of the region, like Conn.Recv: a
// packet is put into buf, and after ErrBufferSize the same packet is returned to
// the next call with a larger buffer. The only other error is ErrClosed. Each
// connection begins with MessageServerInfo; later ones say that limits have
// changed. KeepAlives and Pongs are not passed on. While one relay hands over to
// another, packets of both come in any order.
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

// read receives until the connection ends. ServerInfo, which has arrived already, is
// passed on before anything else.
func (r *Region) read(s *session) {
	defer s.conn.Close()
	if !r.announce(s) {
		return
	}
	for s.conn.awaitFrame() == nil {
		s.hear()
		if !r.pass(s) {
			return
		}
	}
}

// announce puts ServerInfo into the queue. It returns false if the connection has ended.
func (r *Region) announce(s *session) bool {
	c := s.takeFree()
	if c == nil {
		return false
	}
	c.Reset(0)
	addTo(c, &s.msg)
	r.push(c)
	return true
}

// pass puts what has arrived into the queue. It returns false if the connection has
// ended.
func (r *Region) pass(s *session) bool {
	c := s.takeFree()
	if c == nil {
		return false
	}
	err := s.conn.readBatch(c, &s.msg, s.keep)
	r.push(c)
	return err == nil
}

// push passes a chunk on to Recv.
func (r *Region) push(c *chunk) {
	if dropped := r.recvQueue.Push(c); dropped > 0 {
		r.stats.unread.Add(uint64(dropped))
	}
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
