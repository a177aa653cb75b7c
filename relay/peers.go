package relay

import (
	"net/netip"
	"time"

	"github.com/detour-relay/detour/key"
)

// A PeerState is one conn of a peer as it is at one moment.
type PeerState struct {
	ID        uint64         `json:"id"` // number of the conn, in the order of logins; 1 is the first
	Peer      key.Public     `json:"peer"`
	Addr      netip.AddrPort `json:"addr"` // zero if unknown
	Since     time.Time      `json:"since"`
	Used      time.Time      `json:"used"`       // when it last had packets, in either direction; Since: never
	AppName   string         `json:"app_name"`   // what the peer calls its program
	IdealNode string         `json:"ideal_node"` // the node that it would rather be on; empty: this one
	Group     string         `json:"group"`      // see Admission.Group
	Until     time.Time      `json:"until"`      // see Admission.Until
	Home      bool           `json:"home"`       // this relay is its home
	Sibling   bool           `json:"sibling"`    // it has a mesh key
	Prober    bool           `json:"prober"`     // it is a monitoring program
	Duplicate bool           `json:"duplicate"`  // its key has other conns
	Active    bool           `json:"active"`     // packets for its key go to it
	Version   int            `json:"version"`    // of the protocol, as the peer has said
	Senders   int            `json:"senders"`    // estimate: peers here that have sent to it
	Queued    int            `json:"queued"`     // packets that wait for it

	Received        uint64  `json:"received"` // bytes of packets from it
	ReceivedPackets uint64  `json:"received_packets"`
	Sent            uint64  `json:"sent"` // bytes of packets to it, with those that are being written
	SentPackets     uint64  `json:"sent_packets"`
	Dropped         Traffic `json:"dropped"` // packets for it that were given up

	RoundTrip time.Duration `json:"round_trip"` // of TCP, as the kernel has said last; 0: unknown
	Waited    time.Duration `json:"waited"`     // by the packets sent to it, all together, for their turn or its stream

	Limits    Limits `json:"limits"`     // that its key has
	Resting   bool   `json:"resting"`    // it is not read now, for it has used too much
	LimitedMS int64  `json:"limited_ms"` // how long conns of its key were not read for that
}

// Peers ranges over the conns, in no order. A key that has several appears as
// often. Of conns that come or go meanwhile some are among them.
func (s *Server) Peers(yield func(PeerState) bool) {
	for c := range s.routes.all {
		if !yield(c.state()) {
			return
		}
	}
}

// Close closes the conns that match, at most atMost of them (0: all), and returns
// how many it closed. Their Serve calls return why, which is counted under its
// reason if it is an error of this package. Each call visits every conn, so whoever
// wants to spread the closing calls it with a small number once a second.
func (s *Server) Close(match func(PeerState) bool, why error, atMost int) (closed int) {
	for c := range s.routes.all {
		if !match(c.state()) || !c.close(why) {
			continue
		}
		if closed++; closed == atMost {
			break
		}
	}
	return closed
}

func (c *conn) state() PeerState {
	o := &c.out
	o.mu.Lock()
	pushedAt, account, queued := o.pushedAt, o.account, o.box.Packets()
	o.mu.Unlock()
	limits, rested := c.limits.Key().State()
	p := PeerState{
		ID:        c.id,
		Peer:      c.key,
		Addr:      c.addr,
		Since:     c.server.timeAt(c.since),
		Used:      c.server.timeAt(max(c.since, c.usedAt.Load(), pushedAt)),
		AppName:   c.appName.Value(),
		IdealNode: c.ideal.Value(),
		Group:     c.group.Name(),
		Home:      c.home.Load(),
		Sibling:   c.sibling,
		Prober:    c.prober,
		Duplicate: c.duplicate.Load(),
		Active:    c.route.active.Load() == &c.out,
		Version:   int(c.version),
		Senders:   c.heard.Len(),
		Queued:    queued + int(o.inHand.Load()),

		Received:        c.bytes.Load(),
		ReceivedPackets: c.packets.Load(),
		Sent:            account.Sent.Bytes,
		SentPackets:     account.Sent.Packets,
		Dropped:         Traffic(account.Lost),
		RoundTrip:       c.lastRoundTrip(),
		Waited:          time.Duration(account.Waited),

		Limits:    Limits(limits),
		Resting:   c.resting.Load(),
		LimitedMS: rested.Milliseconds(),
	}
	if c.until != 0 {
		p.Until = time.UnixMilli(c.until)
	}
	return p
}
