package edge

import (
	"container/list"
	"net"
	"sync"
	"time"
)

// pending knows the connections that are not upgraded yet, oldest first, and
// closes the oldest when there are too many or when its time is over. All are
// given the same time, so the oldest is also the one that expires first.
type pending struct {
	// Set once.
	limit int
	life  time.Duration
	count *counters

	mu      sync.Mutex
	byConn  map[net.Conn]*list.Element // guarded by mu
	oldest  *list.List                 // of pendingConn, guarded by mu
	closed  bool                       // guarded by mu
	expirer *time.Timer                // runs expire; set while oldest is not empty
}

type pendingConn struct {
	conn      net.Conn // as net/http knows it
	transport net.Conn // the TCP connection
	until     time.Time
}

func (p *pending) init(limit int, life time.Duration, count *counters) {
	p.limit, p.life, p.count = limit, life, count
	p.byConn = make(map[net.Conn]*list.Element)
	p.oldest = list.New()
}

// add takes a connection in and, if there are too many now, closes the oldest.
// It reports false, and closes the connection, after close.
func (p *pending) add(conn, transport net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		closeNow(transport)
		return false
	}
	if p.oldest.Len() >= p.limit {
		p.count.evicted.Add(1)
		p.cutLocked(p.oldest.Front())
	}
	p.byConn[conn] = p.oldest.PushBack(pendingConn{conn, transport, time.Now().Add(p.life)})
	if p.expirer == nil {
		p.expirer = time.AfterFunc(p.life, p.expire)
	}
	return true
}

// remove forgets a connection without closing it. It reports false if the
// connection was not pending any more, which means that it has been closed.
func (p *pending) remove(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byConn[conn]
	if ok {
		delete(p.byConn, conn)
		p.oldest.Remove(e)
	}
	return ok
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
		if left := time.Until(front.Value.(pendingConn).until); left > 0 {
			p.expirer.Reset(left)
			return
		}
		p.count.expired.Add(1)
		p.cutLocked(front)
	}
	p.expirer = nil
}

// cutLocked closes one connection. Its goroutine finds out by an error.
func (p *pending) cutLocked(e *list.Element) {
	c := p.oldest.Remove(e).(pendingConn)
	delete(p.byConn, c.conn)
	closeNow(c.transport)
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.oldest.Len()
}
