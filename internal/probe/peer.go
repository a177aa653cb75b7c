package probe

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// peer is a fresh identity of ours that a relay has admitted. It reads all the
// time, so that the relay never waits for it.
type peer struct {
	key     key.Public
	conn    *client.Conn
	info    derp.ServerInfo
	arrived chan packet   // what does not fit is dropped
	ended   chan struct{} // closed when reading has ended, after err was set
	err     error

	keepAlives atomic.Int32 // that have come

	seen [][]byte // bodies of packets that have arrived; owned by await
}

type packet struct {
	from key.Public
	data []byte
}

// maxWaiting bounds the packets that nobody has awaited.
const maxWaiting = 64

// errNotFirst: a relay said something before it said that we are admitted.
var errNotFirst = errors.New("the first message is not ServerInfo")

// login connects with a new key and waits until the relay has admitted us. Unlike
// client.Login it looks at what comes first, which has to be ServerInfo.
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
		ended: make(chan struct{}),
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
	p.noteKeepAlive(msg)
	if msg.Kind != client.MessagePacket {
		return
	}
	select {
	case p.arrived <- packet{msg.Peer, bytes.Clone(msg.Packet)}:
	default:
	}
}
