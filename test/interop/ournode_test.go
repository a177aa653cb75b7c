package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// ourNode is a peer that runs our client.Host. What it receives waits in got, besides the news of relays.
type ourNode struct {
	*client.Host
	key   key.Public
	got   chan client.Message
	homes chan client.Home // that it reported
}

// newOurNode starts a node with a map. It leaves with the test.
func newOurNode(t *testing.T, dm *tailcfg.DERPMap) *ourNode {
	t.Helper()
	text, err := json.Marshal(dm)
	if err != nil {
		t.Fatal(err)
	}
	m, err := derpmap.Load(text, derpmap.JSON)
	if err != nil {
		t.Fatal(err)
	}
	secret := key.NewPrivate()
	n := &ourNode{key: secret.Public(), got: make(chan client.Message, 1024), homes: make(chan client.Home, 16)}
	n.Host, err = client.NewHost(client.HostConfig{
		Key: secret, Map: m, Base: client.Config{AppName: "interop"},
		ReportHome: func(_ context.Context, home client.Home) error {
			n.homes <- home
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.receive()
	}()
	t.Cleanup(func() {
		n.Close()
		<-done
	})
	return n
}

func (n *ourNode) receive() {
	buffer := make([]byte, derp.MaxPacket)
	for {
		m, err := n.Recv(buffer)
		if err != nil {
			return
		}
		if m.Kind == client.MessagePacket || m.Kind == client.MessagePeerGone {
			m.Packet = bytes.Clone(m.Packet)
			n.got <- m
		}
	}
}

func (n *ourNode) next(t *testing.T) client.Message {
	t.Helper()
	select {
	case m := <-n.got:
		return m
	case <-time.After(patience):
		t.Fatalf("our node received nothing within %v", patience)
		return client.Message{}
	}
}

func (n *ourNode) address() key.Public { return n.key }

func (n *ourNode) sendTo(t *testing.T, to key.Public, packet []byte) {
	t.Helper()
	if err := n.Send(to, packet); err != nil {
		t.Fatalf("our node: send: %v", err)
	}
}

func (n *ourNode) wantFrom(t *testing.T, from key.Public, packet []byte) {
	t.Helper()
	if m := n.next(t); m.Kind != client.MessagePacket || m.Peer != from || !bytes.Equal(m.Packet, packet) {
		t.Fatalf("our node received %s, want a packet of %d bytes from %s", describe(m), len(packet), from.Short())
	}
}

func (n *ourNode) wantGone(t *testing.T, peer key.Public) {
	t.Helper()
	if m := n.next(t); m.Kind != client.MessagePeerGone || m.Peer != peer || m.Reason != derp.ReasonDisconnected {
		t.Fatalf("our node received %s, want that %s is gone", describe(m), peer.Short())
	}
}

func (n *ourNode) within(d time.Duration) ([]byte, bool) {
	select {
	case m := <-n.got:
		return m.Packet, true
	case <-time.After(d):
		return nil, false
	}
}

func (n *ourNode) leave() { n.Close() }

// awaitHome waits until the node reports a home in the region.
func (n *ourNode) awaitHome(t *testing.T, region int) client.Home {
	t.Helper()
	late := time.After(3 * patience)
	for {
		select {
		case home := <-n.homes:
			if home.Region == region {
				return home
			}
		case <-late:
			t.Fatalf("our node did not report region %d as its home: %+v", region, n.State())
		}
	}
}
