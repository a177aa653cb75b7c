package membercmd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// node is a member with a Host, which answers pings and can send some.
type node struct {
	member  *tailnet.Member
	host    *client.Host
	running sync.WaitGroup

	mu     sync.Mutex
	series map[uint64]chan<- pong        // guarded by mu: those that wait for answers
	orders map[uint64]context.CancelFunc // guarded by mu: those that were lent
}

// pong is an answer that has come in.
type pong struct {
	from key.Public
	seq  uint64
	at   time.Time
}

func startNode(m *tailnet.Member, onState func(client.HostState)) (*node, error) {
	host, err := m.Host(client.HostConfig{OnState: onState})
	if err != nil {
		return nil, err
	}
	n := &node{member: m, host: host, series: make(map[uint64]chan<- pong), orders: make(map[uint64]context.CancelFunc)}
	n.running.Go(n.listen)
	return n, nil
}

func (n *node) close() {
	n.host.Close()
	n.running.Wait()
}

// listen answers pings, and hands answers to who waits for them.
func (n *node) listen() {
	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := n.host.Recv(buf)
		if err != nil {
			return
		}
		p, ok := parsePacket(msg.Packet)
		if msg.Kind != client.MessagePacket || !ok {
			continue
		}
		if _, known := n.member.Peer(msg.Peer); !known {
			continue // a relay may let in others, too
		}
		if p.kind == kindPing {
			p.kind = kindPong
			n.host.Send(msg.Peer, p.make(len(msg.Packet)))
			continue
		}
		n.answered(p.series, pong{msg.Peer, p.seq, time.Now()})
	}
}

func (n *node) answered(series uint64, p pong) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.series[series] <- p:
	default: // nobody waits, or has not looked for long
	}
}

// pingOrder is what a ping is asked for with, also over the socket.
type pingOrder struct {
	ID       uint64        `json:"id"`    // to end it early; 0: cannot be
	Name     string        `json:"name"`  // or key
	Count    int           `json:"count"` // 0: until it is ended
	Interval time.Duration `json:"interval"`
	Timeout  time.Duration `json:"timeout"`
	Size     int           `json:"size"`
}

// pingNews is what becomes of it: first whom it goes to, then each packet; or why not.
type pingNews struct {
	Self  string     `json:"self,omitempty"`
	Peer  string     `json:"peer,omitempty"`
	Key   key.Public `json:"key,omitzero"`
	Home  int        `json:"home,omitempty"`
	Seq   uint64     `json:"seq,omitempty"`
	Took  int64      `json:"took_ns,omitempty"` // 0: it was lost
	Fails string     `json:"fails,omitempty"`
}

// readyTime is how long a member has to be connected, before a ping fails.
const readyTime = 20 * time.Second

var errNotReady = fmt.Errorf("the member has no relay after %v", readyTime)

// ping sends pings until as many as asked are answered or lost, or ctx ends.
func (n *node) ping(ctx context.Context, order pingOrder, tell func(pingNews)) error {
	peer, err := n.ready(ctx, order.Name)
	if err != nil {
		return err
	}
	tell(pingNews{Self: n.member.Self().Name, Peer: peer.Name, Key: peer.Key, Home: peer.Home})
	pongs, number := make(chan pong, 1024), rand.Uint64()
	n.setSeries(number, pongs)
	defer n.setSeries(number, nil)
	s := &pings{node: n, order: order, to: peer.Key, number: number, tell: tell, sent: make(map[uint64]time.Time)}
	return s.run(ctx, pongs)
}

func (n *node) setSeries(number uint64, to chan<- pong) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.series[number] = to; to == nil {
		delete(n.series, number)
	}
}

// ready waits until packets can be sent, and finds the peer.
func (n *node) ready(ctx context.Context, name string) (peer tailnet.Peer, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, errNotReady)
	defer cancel()
	if peer, err = n.find(ctx, name); err != nil {
		return peer, err
	}
	if _, err := n.host.AwaitHome(ctx); err != nil {
		if why := n.member.State().Err; why != nil && n.member.Map() == nil {
			err = fmt.Errorf("%w, and no map of the relays: %w", err, why)
		}
		return peer, err
	}
	n.awaitReport(ctx)
	return peer, nil
}

// reportWait is how long a ping waits for the others to be told where this member is: they
// would answer to where it was before.
const reportWait = 2 * time.Second

func (n *node) awaitReport(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportWait)
	defer cancel()
	look := time.NewTicker(findLook)
	defer look.Stop()
	for {
		s := n.member.State()
		if s.Home == n.host.State().Home.Region && s.ReportPending.IsZero() {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

const findLook = 50 * time.Millisecond

// find looks for a name, or a key, until all has been told or nobody tells anything.
func (n *node) find(ctx context.Context, name string) (peer tailnet.Peer, err error) {
	k, notKey := key.ParsePublic(name)
	look := time.NewTicker(findLook)
	defer look.Stop()
	for {
		known := false
		if notKey != nil {
			peer, known = n.member.PeerNamed(name)
		} else {
			peer, known = n.member.Peer(k)
		}
		s := n.member.State()
		switch {
		case known:
			return peer, nil
		case name == n.member.Self().Name:
			return peer, fmt.Errorf("%s is this member itself", name)
		case s.Phase == tailnet.Connected:
			return peer, fmt.Errorf("the tailnet has no member %q: \"detour join\" prints who there is", name)
		case s.Err != nil:
			return peer, fmt.Errorf("no member %q is known, and who else there is cannot be asked: %w", name, s.Err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return peer, context.Cause(ctx)
		}
	}
}

// pings is one series.
type pings struct {
	node   *node
	order  pingOrder
	to     key.Public
	number uint64
	tell   func(pingNews)
	seq    uint64
	sent   map[uint64]time.Time // neither answered nor told as lost
	oldest uint64               // of them, or seq+1
}

func (s *pings) run(ctx context.Context, pongs <-chan pong) error {
	next := time.NewTicker(s.order.Interval)
	late := time.NewTimer(s.order.Timeout)
	defer next.Stop()
	defer late.Stop()
	s.oldest = 1
	for err := s.send(); ; {
		if err != nil {
			return err
		}
		if s.all() && len(s.sent) == 0 {
			return nil
		}
		late.Reset(s.lose(time.Now()))
		select {
		case <-next.C:
			err = s.send()
		case p := <-pongs:
			s.take(p)
		case <-late.C:
		case <-ctx.Done():
			s.end(pongs)
			return nil
		}
	}
}

// lastWait is how long a ping that is interrupted waits for what is under way.
const lastWait = time.Second

// end waits a moment for the last answers, and tells of what has not come back.
func (s *pings) end(pongs <-chan pong) {
	over := time.NewTimer(lastWait)
	defer over.Stop()
	for len(s.sent) > 0 {
		select {
		case p := <-pongs:
			s.take(p)
		case <-over.C:
			s.lose(time.Now().Add(s.order.Timeout))
		}
	}
}

func (s *pings) all() bool { return s.order.Count > 0 && s.seq >= uint64(s.order.Count) }

func (s *pings) send() error {
	if s.all() {
		return nil
	}
	s.seq++
	s.sent[s.seq] = time.Now()
	err := s.node.host.Send(s.to, packet{kindPing, s.number, s.seq}.make(s.order.Size))
	if errors.Is(err, client.ErrNoRegion) {
		err = nil // the map may bring it
	}
	return err
}

func (s *pings) take(p pong) {
	at, waits := s.sent[p.seq]
	if !waits || p.from != s.to {
		return
	}
	delete(s.sent, p.seq)
	s.tell(pingNews{Seq: p.seq, Took: max(int64(p.at.Sub(at)), 1)})
}

// lose tells of those that have not come back in time, and returns how long the next one
// has.
func (s *pings) lose(now time.Time) time.Duration {
	for ; s.oldest <= s.seq; s.oldest++ {
		at, waits := s.sent[s.oldest]
		if !waits {
			continue
		}
		if left := s.order.Timeout - now.Sub(at); left > 0 {
			return left
		}
		delete(s.sent, s.oldest)
		s.tell(pingNews{Seq: s.oldest})
	}
	return s.order.Timeout
}
