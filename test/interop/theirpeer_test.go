package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	ourkey "github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// theirConn is what derphttp.Client (TCP) and derp.Client (any stream) have in common.
type theirConn interface {
	Send(to key.NodePublic, packet []byte) error
	SendPing([8]byte) error
	Recv() (derp.ReceivedMessage, error)
}

// theirPeer is a logged-in peer that runs Tailscale's code. What it receives waits in got.
type theirPeer struct {
	theirConn
	name  string
	key   key.NodePublic
	info  derp.ReceivedMessage // the first message, which must be ServerInfo
	got   chan derp.ReceivedMessage
	close func()
	err   error // why got was closed; set before that
}

// theirDial is one way of theirs to log in to a relay.
type theirDial func(t *testing.T, relay *programs.Relay, k key.NodePrivate) (theirConn, func(), error)

// newTheirPeer logs in and begins to receive. It leaves with the test, or when its close is called.
func newTheirPeer(t *testing.T, relay *programs.Relay, dial theirDial, name string, k key.NodePrivate) *theirPeer {
	t.Helper()
	conn, hangUp, err := dial(t, relay, k)
	if err != nil {
		t.Fatalf("%s cannot log in to %s: %v", name, relay.URL, err)
	}
	p := &theirPeer{theirConn: conn, name: name, key: k.Public(), got: make(chan derp.ReceivedMessage, 1024)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.receive()
	}()
	p.close = func() {
		hangUp()
		<-done
	}
	t.Cleanup(p.close)
	p.info = p.next(t)
	if _, ok := p.info.(derp.ServerInfoMessage); !ok {
		t.Fatalf("%s first received %s, want ServerInfo", name, show(p.info))
	}
	return p
}

// receive fills got until the connection ends. A packet is copied, because it lives in the client's buffer.
func (p *theirPeer) receive() {
	defer close(p.got)
	for {
		m, err := p.Recv()
		if err != nil {
			p.err = err
			return
		}
		switch m := m.(type) {
		case derp.KeepAliveMessage:
		case derp.ReceivedPacket:
			m.Data = bytes.Clone(m.Data)
			p.got <- m
		default:
			p.got <- m
		}
	}
}

// next returns the next message, KeepAlives left out.
func (p *theirPeer) next(t *testing.T) derp.ReceivedMessage {
	t.Helper()
	select {
	case m, ok := <-p.got:
		if !ok {
			t.Fatalf("%s lost its connection: %v", p.name, p.err)
		}
		return m
	case <-time.After(patience):
		t.Fatalf("%s received nothing within %v", p.name, patience)
		return nil
	}
}

// want fails the test unless the next message is this one.
func (p *theirPeer) want(t *testing.T, want derp.ReceivedMessage) {
	t.Helper()
	got := p.next(t)
	if packet, ok := want.(derp.ReceivedPacket); ok {
		if got, ok := got.(derp.ReceivedPacket); ok && got.Source == packet.Source && bytes.Equal(got.Data, packet.Data) {
			return
		}
		t.Fatalf("%s received %s, want %s", p.name, show(got), show(want))
	}
	if got != want {
		t.Fatalf("%s received %s, want %s", p.name, show(got), show(want))
	}
}

// wantNothing fails the test if anything arrived before the answer to a ping. It makes the conn the active one of its key.
func (p *theirPeer) wantNothing(t *testing.T) {
	t.Helper()
	p.ping(t)
}

// ping sends a Ping and wants its Pong to be the next message.
func (p *theirPeer) ping(t *testing.T) {
	t.Helper()
	data := [8]byte{'i', 'n', 't', 'e', 'r', 'o', 'p', byte(len(p.name))}
	if err := p.SendPing(data); err != nil {
		t.Fatalf("%s: ping: %v", p.name, err)
	}
	p.want(t, derp.PongMessage(data))
}

// send sends a packet to another peer.
func (p *theirPeer) send(t *testing.T, to key.NodePublic, packet []byte) {
	t.Helper()
	if err := p.Send(to, packet); err != nil {
		t.Fatalf("%s: send: %v", p.name, err)
	}
}

func (p *theirPeer) address() ourkey.Public { return ourPublic(p.key) }

func (p *theirPeer) sendTo(t *testing.T, to ourkey.Public, packet []byte) {
	t.Helper()
	p.send(t, theirPublic(to), packet)
}

func (p *theirPeer) wantFrom(t *testing.T, from ourkey.Public, packet []byte) {
	t.Helper()
	p.want(t, derp.ReceivedPacket{Source: theirPublic(from), Data: packet})
}

func (p *theirPeer) wantGone(t *testing.T, peer ourkey.Public) {
	t.Helper()
	p.want(t, derp.PeerGoneMessage{Peer: theirPublic(peer), Reason: derp.PeerGoneReasonDisconnected})
}

func (p *theirPeer) within(d time.Duration) ([]byte, bool) {
	select {
	case m, ok := <-p.got:
		packet, _ := m.(derp.ReceivedPacket)
		return packet.Data, ok
	case <-time.After(d):
		return nil, false
	}
}

func (p *theirPeer) leave() { p.close() }

// ourPublic and theirPublic turn one's key into the other's, by way of the text that both know.
func ourPublic(k key.NodePublic) (ours ourkey.Public) {
	text, err := k.MarshalText()
	if err == nil {
		err = ours.UnmarshalText(text)
	}
	if err != nil {
		panic(err)
	}
	return ours
}

func theirPublic(k ourkey.Public) (theirs key.NodePublic) {
	if err := theirs.UnmarshalText([]byte(k.String())); err != nil {
		panic(err)
	}
	return theirs
}

// show describes a message in one line.
func show(m derp.ReceivedMessage) string {
	if packet, ok := m.(derp.ReceivedPacket); ok {
		return fmt.Sprintf("a packet of %d bytes from %s, beginning %q", len(packet.Data), packet.Source.ShortString(), packet.Data[:min(16, len(packet.Data))])
	}
	return fmt.Sprintf("%T%+v", m, m)
}

// byRegion logs in as a Tailscale node does: to a node of its DERP map, whose certificate it verifies by the pin. With TLS
// 1.3 it finds the meta certificate and starts fast.
func byRegion(max uint16) theirDial {
	return func(t *testing.T, relay *programs.Relay, k key.NodePrivate) (theirConn, func(), error) {
		node := mapnode.Of(relay)
		region := &tailcfg.DERPRegion{RegionID: node.RegionID, RegionCode: "interop", Nodes: []*tailcfg.DERPNode{node}}
		c := derphttp.NewRegionClient(k, logger.Discard, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region })
		c.TLSConfig = &tls.Config{MaxVersion: max}
		return connect(t, c, relay, max)
	}
}

// byProber logs in as derpprobe does.
func byProber(t *testing.T, relay *programs.Relay, k key.NodePrivate) (theirConn, func(), error) {
	node := mapnode.Of(relay)
	region := &tailcfg.DERPRegion{RegionID: node.RegionID, RegionCode: "interop", Nodes: []*tailcfg.DERPNode{node}}
	c := derphttp.NewRegionClient(k, logger.Discard, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region })
	c.IsProber = true
	return connect(t, c, relay, tls.VersionTLS13)
}

// byURL logs in as a sibling or a tool does: to a URL, with the relay's certificate as a root.
func byURL(t *testing.T, relay *programs.Relay, k key.NodePrivate) (theirConn, func(), error) {
	c, err := derphttp.NewClient(k, relay.URL, logger.Discard, netmon.NewStatic())
	if err != nil {
		return nil, nil, err
	}
	var version uint16
	if relay.Certificate != nil {
		version = tls.VersionTLS13
		roots := x509.NewCertPool()
		roots.AddCert(relay.Certificate)
		c.TLSConfig = &tls.Config{RootCAs: roots}
	}
	return connect(t, c, relay, version)
}

// connect connects and checks that TLS is of the version that the caller is about. Their client starts fast exactly if
// that is 1.3 and the last certificate names the relay's key.
func connect(t *testing.T, c *derphttp.Client, relay *programs.Relay, version uint16) (theirConn, func(), error) {
	c.SetCanAckPings(true)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		return nil, nil, err
	}
	hangUp := func() { c.Close() }
	state, encrypted := c.TLSConnectionState()
	if encrypted != (version != 0) || encrypted && state.Version != version {
		return c, hangUp, fmt.Errorf("TLS %v, version %s; want version %s", encrypted, tls.VersionName(state.Version), tls.VersionName(version))
	}
	if encrypted {
		chain := state.PeerCertificates
		if got, want := chain[len(chain)-1].Subject.CommonName, "derpkey"+ourPublic(c.ServerPublicKey()).Hex(); got != want {
			return c, hangUp, fmt.Errorf("the last certificate is for %q, want the meta certificate %q", got, want)
		}
	}
	return c, hangUp, nil
}

// byWebSocket logs in as a browser does.
func byWebSocket(t *testing.T, relay *programs.Relay, k key.NodePrivate) (theirConn, func(), error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the pin takes its place
		VerifyConnection:   relay.VerifyPin,
	}}
	ws, _, err := websocket.Dial(ctx, relay.URL, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{"derp"},
	})
	if err != nil {
		return nil, nil, err
	}
	if ws.Subprotocol() != "derp" {
		return nil, nil, fmt.Errorf("the relay chose subprotocol %q", ws.Subprotocol())
	}
	ws.SetReadLimit(-1)
	stream := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	return overStream(stream, k)
}

// overStream runs their protocol code over a stream that somebody else has set up.
func overStream(stream net.Conn, k key.NodePrivate) (theirConn, func(), error) {
	stream.SetDeadline(time.Now().Add(patience))
	both := bufio.NewReadWriter(bufio.NewReader(stream), bufio.NewWriter(stream))
	c, err := derp.NewClient(k, stream, both, logger.Discard, derp.CanAckPings(true))
	if err != nil {
		return nil, nil, errors.Join(err, stream.Close())
	}
	stream.SetDeadline(time.Time{})
	return c, func() { stream.Close() }, nil
}
