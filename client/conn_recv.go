package client

import (
	"bytes"
	"fmt"
	"io"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
)

// Recv waits for the next message. A packet is put into buf, which is the caller's
// again with the return; 64 KiB hold every packet a peer can send. After
// ErrBufferSize the same packet is returned to the next call with a larger buffer;
// any other error has closed the connection.
//
// The first message is of kind MessageServerInfo. Frames that are malformed or of
// unknown type are skipped and counted.
func (c *Conn) Recv(buf []byte) (msg Message, err error) {
	err = c.recv(&msg, buf)
	return msg, err
}

// recv is Recv into a message that is empty, and is so after an error. Messages are
// large, and the stack of one who waits for them is to be small.
func (c *Conn) recv(msg *Message, buf []byte) error {
	if err := c.ended(); err != nil {
		return err
	}
	for {
		taken, err := c.recvFrame(msg, buf)
		c.sock.RestartSilence()
		if err != nil || taken {
			return err
		}
	}
}

// recvFrame reads one frame. taken is false if it is not for the caller.
func (c *Conn) recvFrame(msg *Message, buf []byte) (taken bool, err error) {
	if err := c.in.Need(derp.HeaderLen); err != nil {
		return false, c.fail(err)
	}
	t, n := derp.ParseHeader(c.in.Buffered())
	if n > derp.MaxFrameToClient {
		return false, c.fail(c.tooLong(t, n))
	}
	c.greeted = true
	if t == derp.FrameRecvPacket && n >= derp.KeyLen {
		return c.recvPacket(msg, n-derp.KeyLen, buf)
	}
	if !known(t) {
		c.stats.skipped.Add(1)
		return false, c.failIf(c.in.Skip(derp.HeaderLen + n))
	}
	if err := c.in.Need(derp.HeaderLen + n); err != nil {
		return false, c.fail(err)
	}
	taken, err = c.recvControl(msg, t, c.in.Buffered()[derp.HeaderLen:derp.HeaderLen+n])
	c.in.Discard(derp.HeaderLen + n)
	return taken, err
}

func (c *Conn) failIf(err error) error {
	if err != nil {
		return c.fail(err)
	}
	return nil
}

// recvPacket reads a RecvPacket frame with a packet of n bytes. A packet that does
// not fit into buf is not touched.
func (c *Conn) recvPacket(msg *Message, n int, buf []byte) (taken bool, err error) {
	if n > len(buf) {
		return false, bufferError(n, len(buf))
	}
	if err := c.in.Need(packetFrameLen); err != nil {
		return false, c.fail(err)
	}
	frame := c.in.Buffered()
	msg.Kind = MessagePacket
	msg.Peer = key.Public(frame[derp.HeaderLen:])
	msg.Packet = buf[:n:n]
	have := copy(msg.Packet, frame[packetFrameLen:])
	c.in.Discard(packetFrameLen + have)
	if have < n {
		if _, err := io.ReadFull(&c.in, msg.Packet[have:]); err != nil {
			*msg = Message{}
			return false, c.fail(reach.NoEOF(err))
		}
	}
	return true, nil
}

func bufferError(packet, buf int) error {
	return fmt.Errorf("%w: packet %d bytes, buffer %d", ErrBufferSize, packet, buf)
}

// known reports whether recvControl reads frames of type t; the others need not be
// buffered.
func known(t derp.FrameType) bool {
	switch t {
	case derp.FrameServerKey, derp.FrameServerInfo, derp.FrameRecvPacket, derp.FrameKeepAlive, derp.FramePeerGone,
		derp.FramePeerPresent, derp.FramePing, derp.FramePong, derp.FrameHealth, derp.FrameRestarting:
		return true
	}
	return false
}

func (c *Conn) recvControl(msg *Message, t derp.FrameType, payload []byte) (taken bool, err error) {
	switch t {
	case derp.FrameServerKey:
		return false, c.lateServerKey(payload)
	case derp.FrameServerInfo:
		return c.serverInfo(msg, payload)
	case derp.FramePing:
		var data [derp.PingLen]byte
		if data, err = derp.ParsePing(payload); err == nil {
			c.answer(data)
			return false, nil
		}
	case derp.FrameKeepAlive:
		msg.Kind = MessageKeepAlive
	case derp.FrameHealth:
		msg.Kind, msg.Health = MessageHealth, derp.ParseHealth(payload)
	case derp.FramePeerGone:
		msg.Kind = MessagePeerGone
		msg.Peer, msg.Reason, err = derp.ParsePeerGone(payload)
	case derp.FramePeerPresent:
		err = msg.peerPresent(payload)
	case derp.FrameRestarting:
		msg.Kind = MessageRestarting
		msg.ReconnectIn, msg.TryFor, err = derp.ParseRestarting(payload)
	case derp.FramePong:
		msg.Kind = MessagePong
		if msg.Pong, err = derp.ParsePong(payload); err == nil {
			c.pongArrived(msg.Pong)
		}
	default: // a RecvPacket that is too short
		err = derp.ErrLength
	}
	if err != nil {
		c.stats.skipped.Add(1)
		*msg = Message{}
		return false, nil
	}
	return true, nil
}

func (msg *Message) peerPresent(payload []byte) error {
	p, err := derp.ParsePeerPresent(payload)
	*msg = Message{Kind: MessagePeerPresent, Peer: p.Key, Addr: p.Addr, Flags: p.Flags, AppName: p.AppName}
	return err
}

// lateServerKey skips the greeting that follows a fast start, once it confirms the
// key from the certificate.
func (c *Conn) lateServerKey(payload []byte) error {
	if c.admitted.Load() {
		return nil
	}
	relay, err := derp.ParseServerKey(payload)
	if err == nil && relay != c.serverKey {
		return c.fail(fmt.Errorf("%w: greeting says %v, certificate %v", ErrServerKey, relay, c.serverKey))
	}
	return nil
}

func (c *Conn) serverInfo(msg *Message, payload []byte) (taken bool, err error) {
	info, err := derp.OpenServerInfo(payload, &c.box)
	if err != nil {
		return false, c.fail(fmt.Errorf("%w: %w", ErrProtocol, err))
	}
	c.limit.Store(newLimit(info))
	c.admitted.Store(true)
	msg.Kind, msg.ServerInfo = MessageServerInfo, info
	return true, nil
}

func (c *Conn) answer(data [derp.PingLen]byte) {
	if !c.push(derp.AppendPong(nil, data)) {
		c.stats.unanswered.Add(1)
	}
}

// tooLong explains a header that announces more than a relay may send. After a fast
// start it can be an HTTP status.
func (c *Conn) tooLong(t derp.FrameType, n int) error {
	if !c.greeted && bytes.HasPrefix(c.in.Buffered(), []byte("HTTP/")) {
		if _, err := reach.ReadAnswer(&c.in, c.sock, 0); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: a frame of %d bytes (%v), the limit is %d", ErrProtocol, n, t, derp.MaxFrameToClient)
}
