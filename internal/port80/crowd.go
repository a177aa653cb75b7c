package port80

import (
	"container/list"
	"net"
	"sync"
)

// A crowd is a listener whose connections are bounded in number: the oldest gives way.
type crowd struct {
	net.Listener
	most int

	mu     sync.Mutex
	oldest *list.List // of *guest, guarded by mu
}

// A guest is one of a crowd.
type guest struct {
	net.Conn
	in *crowd
	at *list.Element // guarded by in.mu; nil: it has left
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, oldest: list.New()}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, in: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	g.at = c.oldest.PushBack(g)
	if c.oldest.Len() > c.most {
		first := c.oldest.Front().Value.(*guest)
		first.leaveLocked()
		first.Conn.Close() // its goroutine finds out by an error
	}
	return g, nil
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.in.mu.Lock()
	g.leaveLocked()
	g.in.mu.Unlock()
	return g.Conn.Close()
}

func (g *guest) leaveLocked() {
	if g.at != nil {
		g.in.oldest.Remove(g.at)
		g.at = nil
	}
}

// CloseWrite lets net/http say its last word to who still sends.
func (g *guest) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
