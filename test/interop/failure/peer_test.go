package failure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// A peer answers every question that another peer asks it. It is connected to one relay and stays there, or to the region.
type peer struct {
	t    *testing.T
	name string
	key  key.Public
	conn connection
	done sync.WaitGroup

	mu      sync.Mutex
	asked   uint64                     // guarded by mu: the last question
	answers map[uint64]chan struct{}   // guarded by mu: of questions that wait
	gone    map[key.Public]chan string // guarded by mu: who waits for a PeerGone
}

// A connection is a client.Conn or a client.Region.
type connection interface {
	Send(dst key.Public, packet []byte) error
	Recv(buf []byte) (client.Message, error)
	Close() error
}

// A packet is a word and the number of the question.
const (
	question = "question"
	answer   = "answered"
)

// connect has a new peer connect to a relay. It leaves with the test, if not before.
func (g *region) connect(relay int, name string) *peer {
	g.t.Helper()
	cfg := g.config(relay, key.NewPrivate())
	conn, err := client.Dial(g.t.Context(), cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.run(name, cfg.Key.Public(), conn)
}

// roam connects a new peer to the region. The relay comes first for it, then those after it.
func (g *region) roam(relay int, name string) *peer {
	g.t.Helper()
	secret := key.NewPrivate()
	var nodes []client.RelayConfig
	for i := range relays {
		nodes = append(nodes, client.RelayConfig{Config: g.config((relay+i)%relays, secret)})
	}
	conn, err := client.NewRegion(client.RegionConfig{Nodes: nodes})
	if err != nil {
		g.t.Fatal(err)
	}
	return g.run(name, secret.Public(), conn)
}

func (g *region) config(relay int, secret key.Private) client.Config {
	return client.Config{URL: g.relays[relay].URL, Key: secret, RootCAs: g.relays[relay].Roots()}
}

func (g *region) run(name string, public key.Public, conn connection) *peer {
	p := &peer{t: g.t, name: name, key: public, conn: conn, answers: map[uint64]chan struct{}{}, gone: map[key.Public]chan string{}}
	p.done.Go(p.listen)
	g.t.Cleanup(p.leave)
	return p
}

// spread connects a peer to each relay.
func (g *region) spread() (peers []*peer) {
	g.t.Helper()
	for i := range relays {
		peers = append(peers, g.connect(i, fmt.Sprintf("peer of relay %d", i)))
	}
	g.whole([]int{1, 1, 1})
	return peers
}

func (p *peer) leave() {
	p.conn.Close()
	p.done.Wait()
}

func (p *peer) listen() {
	buf := make([]byte, 64<<10)
	for {
		msg, err := p.conn.Recv(buf)
		switch {
		case err != nil:
			return
		case msg.Kind == client.MessagePeerGone:
			p.mu.Lock()
			if waits := p.gone[msg.Peer]; waits != nil {
				close(waits)
				delete(p.gone, msg.Peer)
			}
			p.mu.Unlock()
		case msg.Kind == client.MessagePacket:
			p.heard(msg.Peer, string(msg.Packet[:8]), binary.BigEndian.Uint64(msg.Packet[8:]))
		}
	}
}

func (p *peer) heard(from key.Public, word string, n uint64) {
	if word == question {
		p.conn.Send(from, packet(answer, n)) // may fail while there is no connection: whoever asks, asks again
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if waits := p.answers[n]; waits != nil {
		close(waits)
		delete(p.answers, n)
	}
}

func packet(word string, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte(word), n) }

var errNoAnswer = errors.New("no answer")

// ask sends one question and waits a little for the answer.
func (p *peer) ask(other *peer) error {
	p.mu.Lock()
	p.asked++
	n, waits := p.asked, make(chan struct{})
	p.answers[n] = waits
	p.mu.Unlock()
	defer func() { // it is asked again with another number
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.answers, n)
	}()
	if err := p.conn.Send(other.key, packet(question, n)); err != nil {
		return err
	}
	select {
	case <-waits:
		return nil
	case <-time.After(time.Second):
		return fmt.Errorf("%w of %s to %s", errNoAnswer, other.name, p.name)
	}
}

// talk waits until the peers reach each other.
func (g *region) talk(peers ...*peer) {
	g.t.Helper()
	for _, from := range peers {
		for _, to := range peers {
			g.eventually("an answer", func() error { return from.ask(to) })
		}
	}
}

// losing runs cut and waits until p is told that other has gone.
func (p *peer) losing(other *peer, cut func()) {
	p.t.Helper()
	waits := make(chan string)
	p.mu.Lock()
	p.gone[other.key] = waits
	p.mu.Unlock()
	cut()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	select {
	case <-waits:
	case <-ctx.Done():
		p.t.Fatalf("%s was not told within %v that %s is out of reach", p.name, patience, other.name)
	}
}
