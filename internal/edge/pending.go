package edge

import (
	"container/list"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// pending knows the connections whose peers have not proven a key yet, oldest
// first, and closes the oldest when there are too many or when its time is over.
// All are given the same time, so the oldest is also the one that expires first.
//
// What they may send until then is bounded for all together. Whoever would go
// beyond that gives way himself: what an honest login needs is not counted.
type pending struct {
	// Set once.
	bytes int // what all may have sent, besides modestBytes each
	life  time.Duration
	count *counters

	held atomic.Int64 // sent by those here, besides modestBytes each

	mu      sync.Mutex
	limit   int                        // guarded by mu
	byConn  map[net.Conn]*list.Element // guarded by mu
	oldest  *list.List                 // of *stranger, guarded by mu
	closed  bool                       // guarded by mu
	expirer *time.Timer                // runs expire; set while oldest is not empty
}

// modestBytes is more than an honest peer sends until it has logged in: a hello of
// 2 KB, a request of 200 bytes, a ClientInfo of 1 KB.
const modestBytes = 8 << 10

// errGreedy ends reading from a stranger that sends more than there is room for.
var errGreedy = errors.New("edge: too much has been sent by peers that have not logged in")

// A stranger is a connection that is pending.
type stranger struct {
	in        *pending
	conn      net.Conn // as net/http knows it
	transport net.Conn // the TCP connection
	until     time.Time

	sent atomic.Int64 // far below 0 once it is not here any more

	// Guarded by in.mu.
	here       bool
	introduced bool      // a proxy that is believed has said by a header whom it brings
	stream     io.Closer // what owns the transport after the upgrade; nil before
}

func (p *pending) init(limit, bytes int, life time.Duration, count *counters) {
	p.limit, p.bytes, p.life, p.count = limit, bytes, life, count
	p.byConn = make(map[net.Conn]*list.Element)
	p.oldest = list.New()
}

// bound has at most so many be pending from now on.
func (p *pending) bound(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = limit
	for p.oldest.Len() > limit {
		p.evictLocked()
	}
}

// meter returns a connection that is to be pending, and what is to be read of it.
func (p *pending) meter(transport net.Conn) (*stranger, *netio.Metered) {
	s := &stranger{in: p, transport: transport}
	return s, netio.NewMetered(transport, s)
}

// add takes a connection in, as net/http knows it, and, if there are too many
// now, closes the oldest. It reports false, and closes the connection, after
// close.
func (p *pending) add(s *stranger, conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		closeNow(s.transport)
		return false
	}
	if p.oldest.Len() >= p.limit {
		p.evictLocked()
	}
	s.conn, s.until, s.here = conn, time.Now().Add(p.life), true
	p.byConn[conn] = p.oldest.PushBack(s)
	if p.expirer == nil {
		p.expirer = time.AfterFunc(p.life, p.expire)
	}
	return true
}

// Took implements netio.Meter. It takes no lock unless it has to cut: who waits
// for one holds a chunk.
func (s *stranger) Took(n int) error {
	p, sent := s.in, s.sent.Add(int64(n))
	more := greed(sent) - greed(sent-int64(n))
	if more == 0 || p.held.Add(more) <= int64(p.bytes) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.here {
		p.count.greedy.Add(1)
		p.cutLocked(p.byConn[s.conn])
	}
	return errGreedy
}

// greed is what is sent beyond what a login needs.
func greed(sent int64) int64 { return max(0, sent-modestBytes) }

// evict closes the oldest connection and reports whether there was one.
func (p *pending) evict() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.oldest.Len() == 0 {
		return false
	}
	p.evictLocked()
	return true
}

func (p *pending) evictLocked() {
	p.count.evicted.Add(1)
	p.cutLocked(p.oldest.Front())
}

// upgraded says who owns a connection from now on. It reports false if the
// connection is not pending any more, which means that it has been closed.
func (p *pending) upgraded(conn net.Conn, stream io.Closer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byConn[conn]
	if ok {
		e.Value.(*stranger).stream = stream
	}
	return ok
}

// introduce notes that a proxy that is believed has introduced a connection.
func (p *pending) introduce(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.byConn[conn]; ok {
		e.Value.(*stranger).introduced = true
	}
}

func (p *pending) isIntroduced(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byConn[conn]
	return ok && e.Value.(*stranger).introduced
}

// remove forgets a connection without closing it. It reports false if the
// connection was not pending any more, which means that it has been closed.
func (p *pending) remove(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byConn[conn]
	if ok {
		p.forgetLocked(e)
	}
	return ok
}

// lend takes a connection out for as long as it does something else. It returns nil if
// the connection is not pending any more, which means that it has been closed.
func (p *pending) lend(conn net.Conn) *stranger {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byConn[conn]
	if !ok {
		return nil
	}
	return p.forgetLocked(e)
}

// giveBack has a connection be pending again, as if it came now.
func (p *pending) giveBack(s *stranger) bool {
	s.sent.Store(0)
	return p.add(s, s.conn)
}

func (p *pending) forgetLocked(e *list.Element) *stranger {
	s := p.oldest.Remove(e).(*stranger)
	delete(p.byConn, s.conn)
	p.held.Add(-greed(s.sent.Swap(math.MinInt64 / 2)))
	s.here = false
	return s
}

// cutLocked closes one connection. Its goroutine finds out by an error.
func (p *pending) cutLocked(e *list.Element) {
	s := p.forgetLocked(e)
	if s.stream == nil {
		closeNow(s.transport)
		return
	}
	leaveNothing(s.transport)
	s.stream.Close()
}

// close closes everything that is pending, now and later.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for p.oldest.Len() > 0 {
		p.cutLocked(p.oldest.Front())
	}
	if p.expirer != nil {
		p.expirer.Stop()
		p.expirer = nil
	}
}

// expire closes what has had its time and waits for the next one.
func (p *pending) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for front := p.oldest.Front(); front != nil; front = p.oldest.Front() {
		if left := time.Until(front.Value.(*stranger).until); left > 0 {
			p.expirer.Reset(left)
			return
		}
		p.count.expired.Add(1)
		p.cutLocked(front)
	}
	p.expirer = nil
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.oldest.Len()
}
