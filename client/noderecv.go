package client

import (
	"time"

	"github.com/detour-relay/detour/key"
)

// Recv waits for the next message from any region, like Region.Recv; Message.Region says where it came in. The only errors are
// ErrBufferSize and ErrClosed. Somebody has to call it all the time: who does not, stops the reading, and is not told of peers.
func (n *Node) Recv(buf []byte) (Message, error) {
	msg, r, err := n.inbox.recv(buf)
	if err != nil {
		return msg, err
	}
	msg.Region = r.id
	switch msg.Kind {
	case MessagePacket:
		n.noteReceived()
		n.heardFrom(msg.Peer, r)
	case MessagePeerGone:
		n.lastHeard = lastHeard{}
		n.mu.Lock()
		n.peers.gone(msg.Peer, r)
		n.mu.Unlock()
	}
	return msg, nil
}

// lastHeard is where the packet before came from.
type lastHeard struct {
	peer   key.Public
	region *nodeRegion
	breaks uint64
}

// heardFrom learns where a peer can be answered. One after the other, most packets come from the same.
func (n *Node) heardFrom(k key.Public, r *nodeRegion) {
	is := lastHeard{k, r, r.breaks.Load()}
	if is == n.lastHeard {
		return
	}
	n.lastHeard = is
	n.mu.RLock()
	p, known := n.peers.all[k]
	n.mu.RUnlock()
	if known && p.heard == r && p.breaks == is.breaks {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers.heardIn(k, r)
}

// now is the time of the Node's life.
func (n *Node) now() time.Duration { return time.Since(n.born) }

// noteSent notes that the Node is in use, and returns the time.
func (n *Node) noteSent() time.Duration {
	now := n.now()
	n.sentAt.Store(int64(now))
	n.wakeIfAsleep()
	return now
}

func (n *Node) noteReceived() {
	if !n.received.Load() || n.asleep.Load() {
		n.received.Store(true)
		n.wakeIfAsleep()
	}
}

// wakeIfAsleep wakes the driver, which measures nothing while there is no traffic.
func (n *Node) wakeIfAsleep() {
	if n.asleep.Load() && n.asleep.CompareAndSwap(true, false) {
		n.wakeDriver()
	}
}

// lastTraffic returns when a packet was last sent or received. It is for the driver.
func (n *Node) lastTraffic() time.Time {
	if n.received.Swap(false) {
		n.sentAt.Store(int64(n.now()))
	}
	return n.born.Add(time.Duration(n.sentAt.Load()))
}
