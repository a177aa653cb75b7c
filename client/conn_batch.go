package client

import (
	"errors"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/packetqueue"
)

type (
	recvQueue = packetqueue.Recv[Message]
	chunk     = packetqueue.Chunk[Message]
)

// awaitFrame waits for the header of a frame. While it waits it holds no buffer,
// and little stack.
func (c *Conn) awaitFrame() error {
	if err := c.ended(); err != nil {
		return err
	}
	return c.failIf(c.in.Need(derp.HeaderLen))
}

// readBatch receives the messages that are there, or whose beginning is, and puts
// those into a chunk that keep wants. msg is where it receives them.
func (c *Conn) readBatch(into *chunk, msg *Message, keep func(*Message) bool) error {
	for into.Reset(c.in.Size()); ; {
		*msg = Message{}
		err := c.recv(msg, into.Room())
		switch {
		case errors.Is(err, ErrBufferSize) && !into.Empty():
			return nil
		case errors.Is(err, ErrBufferSize):
			into.Reset(max(into.Size(), c.frameLen()))
			continue
		case err != nil:
			return err
		}
		if keep(msg) {
			addTo(into, msg)
		}
		if into.Full() || !c.hasFrame() {
			return nil
		}
	}
}

func addTo(into *chunk, msg *Message) {
	if msg.Kind == MessagePacket {
		into.AddPacket(msg.Peer, len(msg.Packet))
		return
	}
	other := *msg // only this one has to outlive the call
	into.Add(&other)
}

// restartSilence is for a receiver that did not read for a while.
func (c *Conn) restartSilence() { c.sock.RestartSilence() }

// frameLen returns the length of the frame whose header is buffered.
func (c *Conn) frameLen() int {
	_, n := derp.ParseHeader(c.in.Buffered())
	return derp.HeaderLen + n
}

// hasFrame reports whether a whole frame is buffered.
func (c *Conn) hasFrame() bool {
	have := len(c.in.Buffered())
	return have >= derp.HeaderLen && have >= c.frameLen()
}
