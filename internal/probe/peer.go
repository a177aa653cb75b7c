package probe

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// peer is a fresh identity of ours that a relay has admitted. It reads all the time, so that the relay never waits for it.
type peer struct {
	key     key.Public
	conn    *client.Conn
	info    derp.ServerInfo
	arrived chan packet   // what does not fit is dropped
	listed  chan struct{} // closed when the relay has told us of ourselves, after WatchConns
	ended   chan struct{} // closed when reading has ended, after err was set
	err     error

	seen [][]byte // bodies of packets that have arrived; owned by await

	mu       sync.Mutex
	siblings map[key.Public]bool // guarded by mu; peers that hold the mesh key
}

type packet struct {
	from key.Public
	data []byte
}

const (
	maxWaiting  = 64   // packets that nobody has awaited
	maxSiblings = 1024 // that are kept of what a relay says
)

// errNotFirst: a relay said something before it said that we are admitted.
var errNotFirst = errors.New("the first message is not ServerInfo")

// login connects with a new key and waits until the relay has admitted us.
func login(ctx context.Context, cfg client.Config) (*peer, error) {
	private := key.NewPrivate()
	cfg.Key = private
	conn, err := client.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	first, err := conn.Recv(nil)
	switch inTime := stop(); {
	case !inTime:
		err = context.Cause(ctx)
	case errors.Is(err, client.ErrBufferSize), err == nil && first.Kind != client.MessageServerInfo:
		err = errNotFirst
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &peer{
		key: private.Public(), conn: conn, info: first.ServerInfo, arrived: make(chan packet, maxWaiting),
		listed: make(chan struct{}), ended: make(chan struct{}), siblings: make(map[key.Public]bool),
	}
	go p.read()
	return p, nil
}

// close may be called on nil.
func (p *peer) close() {
	if p != nil {
		p.conn.Close()
		<-p.ended
	}
}

func (p *peer) read() {
	defer close(p.ended)
	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := p.conn.Recv(buf)
		if err != nil {
			p.err = err
			p.conn.Close() // after a packet that is larger than any may be, it is not closed yet
			return
		}
		p.take(msg)
	}
}

func (p *peer) take(msg client.Message) {
	switch msg.Kind {
	case client.MessagePacket:
		select {
		case p.arrived <- packet{msg.Peer, bytes.Clone(msg.Packet)}:
		default:
		}
	case client.MessagePeerPresent:
		p.notePresent(msg)
	case client.MessagePeerGone:
		p.mu.Lock()
		delete(p.siblings, msg.Peer)
		p.mu.Unlock()
	}
}

func (p *peer) notePresent(msg client.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case msg.Peer == p.key:
		select {
		case <-p.listed:
		default:
			close(p.listed)
		}
	case msg.Flags&derp.PresenceMesh != 0 && len(p.siblings) < maxSiblings:
		p.siblings[msg.Peer] = true
	}
}

// known returns the siblings that the relay has told of so far.
func (p *peer) known() map[key.Public]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.siblings)
}
