package client

import (
	"fmt"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// Packet is one packet of a batch and the peer it goes to.
type Packet struct {
	Peer key.Public
	Data []byte
}

const (
	maxRecord = 16 << 10 // what fits into one TLS record
	// A batch that needs more than this on the wire is written in several pieces,
	// to bound the buffers that a connection keeps. It is more than a socket takes
	// at once.
	maxWrite = 256 << 10

	packetFrameLen = derp.HeaderLen + derp.KeyLen // besides the packet
)

// Send sends a packet to a peer. The packet is free again on return. ErrPacketSize
// leaves the connection as it is; any other error has closed it. Where the relay
// asked for a lower rate, Send drops the packet and returns nil.
func (c *Conn) Send(dst key.Public, packet []byte) error {
	if len(packet) > derp.MaxPacket {
		return sizeError(len(packet))
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if limit := c.filledLimit(); limit != nil && !c.allow(limit, len(packet)) {
		return nil
	}
	c.sendBuf = derp.AppendSendPacket(c.sendBuf[:0], dst, packet)
	return c.writeLocked(c.sendBuf)
}

// SendBatch sends packets in order with one write to the socket (one for each
// 256 KiB). It is like Send otherwise; with ErrPacketSize none of the packets was
// sent.
func (c *Conn) SendBatch(packets []Packet) error {
	for i := range packets {
		if len(packets[i].Data) > derp.MaxPacket {
			return fmt.Errorf("packet %d of %d: %w", i+1, len(packets), sizeError(len(packets[i].Data)))
		}
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if c.recordPerPacket {
		return c.sendRecordsLocked(packets)
	}
	return c.sendCoalescedLocked(packets)
}

func sizeError(n int) error {
	return fmt.Errorf("%w: %d bytes, the limit is %d", ErrPacketSize, n, derp.MaxPacket)
}

// sendCoalescedLocked puts the frames next to each other, so that TLS seals them in
// full records.
func (c *Conn) sendCoalescedLocked(packets []Packet) error {
	limit := c.filledLimit()
	b := c.sendBuf[:0]
	for i := range packets {
		p := &packets[i]
		if limit != nil && !c.allow(limit, len(p.Data)) {
			continue
		}
		if len(b) > 0 && len(b)+packetFrameLen+len(p.Data) > maxWrite {
			if err := c.writeLocked(b); err != nil {
				return err
			}
			b = b[:0]
		}
		b = derp.AppendSendPacket(b, p.Peer, p.Data)
	}
	c.sendBuf = b
	if len(b) == 0 {
		return c.ended()
	}
	return c.writeLocked(b)
}

// sendRecordsLocked writes each frame to TLS on its own, so that it becomes a
// record, and lets the records leave together.
func (c *Conn) sendRecordsLocked(packets []Packet) error {
	limit := c.filledLimit()
	c.sock.Hold()
	for i := range packets {
		p := &packets[i]
		if limit != nil && !c.allow(limit, len(p.Data)) {
			continue
		}
		c.sendBuf = derp.AppendSendPacket(c.sendBuf[:0], p.Peer, p.Data)
		if _, err := c.stream.Write(c.sendBuf); err != nil {
			return c.fail(err)
		}
		if c.sock.Pending() > maxWrite {
			if err := c.releaseLocked(); err != nil {
				return err
			}
			c.sock.Hold()
		}
	}
	return c.releaseLocked()
}

// writeLocked writes whole frames with one write to the socket.
func (c *Conn) writeLocked(frames []byte) error {
	if err := c.ended(); err != nil {
		return err
	}
	oneRecord := c.ws == nil && (c.tls == nil || len(frames) <= maxRecord)
	if !oneRecord {
		c.sock.Hold()
	}
	if _, err := c.stream.Write(frames); err != nil {
		return c.fail(err)
	}
	if oneRecord {
		return nil
	}
	return c.releaseLocked()
}

func (c *Conn) releaseLocked() error {
	if err := c.sock.Release(); err != nil {
		return c.fail(err)
	}
	return c.ended()
}

// filledLimit returns the limit to obey, with what came in since it was used last,
// or nil.
func (c *Conn) filledLimit() *rate.Meter {
	limit := c.limit.Load()
	if limit != nil {
		limit.Fill(time.Now())
	}
	return limit
}

func (c *Conn) allow(limit *rate.Meter, packetLen int) bool {
	if limit.Take(packetFrameLen + packetLen) {
		return true
	}
	c.stats.limited.Add(1)
	return false
}

// NotePreferred tells the relay whether it is our home. Config.Preferred does so
// while connecting.
func (c *Conn) NotePreferred(preferred bool) error {
	return c.sendFrame(derp.AppendNotePreferred(nil, preferred))
}

// WatchConns asks the relay to tell us about all peers from now on. A relay closes
// the connection of those who do not hold its mesh key.
func (c *Conn) WatchConns() error { return c.sendFrame(derp.AppendWatchConns(nil)) }

// ClosePeer asks the relay to close all connections of a peer. It closes ours if we
// do not hold its mesh key.
func (c *Conn) ClosePeer(peer key.Public) error { return c.sendFrame(derp.AppendClosePeer(nil, peer)) }

func (c *Conn) sendFrame(frame []byte) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	return c.writeLocked(frame)
}
