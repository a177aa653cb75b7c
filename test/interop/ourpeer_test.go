package interop

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// ourPeer is a logged-in peer that runs our client. What it receives waits in got.
type ourPeer struct {
	*client.Conn
	name string
	key  key.Public
	got  chan client.Message
	err  error // why got was closed; set before that
}

// newOurPeer logs in with a fresh key and begins to receive. It leaves with the test.
func newOurPeer(t *testing.T, config client.Config, name string) *ourPeer {
	t.Helper()
	config.Key = key.NewPrivate()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := client.Dial(ctx, config)
	if err != nil {
		t.Fatalf("%s cannot log in to %s: %v", name, config.URL, err)
	}
	p := &ourPeer{Conn: conn, name: name, key: config.Key.Public(), got: make(chan client.Message, 1024)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.receive()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	if m := p.next(t); m.Kind != client.MessageServerInfo {
		t.Fatalf("%s first received %s, want ServerInfo", name, describe(m))
	}
	return p
}

// receive fills got until the connection ends. A packet is copied, because it lives in the buffer.
func (p *ourPeer) receive() {
	defer close(p.got)
	buffer := make([]byte, derp.MaxPacket)
	for {
		m, err := p.Recv(buffer)
		if err != nil {
			p.err = err
			return
		}
		if m.Kind == client.MessageKeepAlive || m.Kind == client.MessagePong {
			continue
		}
		m.Packet = bytes.Clone(m.Packet)
		p.got <- m
	}
}

// next returns the next message, KeepAlives and Pongs left out.
func (p *ourPeer) next(t *testing.T) client.Message {
	t.Helper()
	select {
	case m, ok := <-p.got:
		if !ok {
			t.Fatalf("%s lost its connection: %v", p.name, p.err)
		}
		return m
	case <-time.After(patience):
		t.Fatalf("%s received nothing within %v", p.name, patience)
		return client.Message{}
	}
}

// ping sends a Ping and waits for its Pong.
func (p *ourPeer) ping(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if took, err := p.Ping(ctx); err != nil || took <= 0 {
		t.Fatalf("%s: ping: %v, %v", p.name, took, err)
	}
}

func (p *ourPeer) address() key.Public { return p.key }

func (p *ourPeer) sendTo(t *testing.T, to key.Public, packet []byte) {
	t.Helper()
	if err := p.Send(to, packet); err != nil {
		t.Fatalf("%s: send: %v", p.name, err)
	}
}

func (p *ourPeer) wantFrom(t *testing.T, from key.Public, packet []byte) {
	t.Helper()
	m := p.next(t)
	if m.Kind != client.MessagePacket || m.Peer != from || !bytes.Equal(m.Packet, packet) {
		t.Fatalf("%s received %s, want a packet of %d bytes from %s", p.name, describe(m), len(packet), from.Short())
	}
}

func (p *ourPeer) wantGone(t *testing.T, peer key.Public) {
	t.Helper()
	m := p.next(t)
	if m.Kind != client.MessagePeerGone || m.Peer != peer || m.Reason != derp.ReasonDisconnected {
		t.Fatalf("%s received %s, want that %s is gone", p.name, describe(m), peer.Short())
	}
}

func (p *ourPeer) within(d time.Duration) ([]byte, bool) {
	select {
	case m, ok := <-p.got:
		return m.Packet, ok
	case <-time.After(d):
		return nil, false
	}
}

func (p *ourPeer) leave() { p.Close() }

// describe a message in one line.
func describe(m client.Message) string {
	if m.Kind == client.MessagePacket {
		return fmt.Sprintf("a packet of %d bytes from %s, beginning %q", len(m.Packet), m.Peer.Short(), m.Packet[:min(16, len(m.Packet))])
	}
	return fmt.Sprintf("%v %+v", m.Kind, m)
}
