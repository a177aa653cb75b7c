package relaytest

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// A Peer is one conn to a relay, seen from the other side.
type Peer struct {
	Conn net.Conn // for what Send cannot say
	Key  key.Private

	public key.Public // of Key
	who    Who
	relay  *Relay
	reader sync.Once
	mute   atomic.Bool

	served    chan struct{} // closed when Serve has returned
	servedErr error         // set before served is closed

	mu     sync.Mutex
	frames []Frame // guarded by mu: arrived since the last call of Frames
	eof    bool    // guarded by mu: the end has arrived since
}

// Public returns the peer's public key.
func (p *Peer) Public() key.Public { return p.public }

// Login waits for the greeting, says who the peer is and waits for the relay's
// answer. Then the peer begins to read, unless it is deaf.
func (p *Peer) Login() {
	p.relay.t.Helper()
	p.ExpectGreeting()
	p.Send(p.ClientInfo(derp.ClientInfo{Version: derp.ProtocolVersion, CanAckPings: true}))
	p.ExpectServerInfo()
	if !p.who.Deaf {
		p.Listen()
	}
}

// ClientInfo returns the peer's login frame, with its rights added to info.
func (p *Peer) ClientInfo(info derp.ClientInfo) []byte {
	info.IsProber = info.IsProber || p.who.Prober
	info.AppName = cmp.Or(info.AppName, p.who.AppName)
	if p.who.Mesh {
		info.MeshKey = MeshKey()
	}
	box := p.Key.Box(p.relay.PublicKey())
	return derp.AppendClientInfo(nil, p.Public(), &box, info)
}

// ExpectGreeting reads the relay's first frame.
func (p *Peer) ExpectGreeting() {
	p.relay.t.Helper()
	f := p.Read()
	got, err := derp.ParseServerKey(f.Payload)
	if f.Type != derp.FrameServerKey || err != nil || got != p.relay.PublicKey() {
		p.relay.t.Fatalf("%s: greeting is %v of key %v (%v)", p.who.Name, f.Type, got, err)
	}
}

// ExpectServerInfo reads the relay's answer to the login, whatever limits it tells of.
func (p *Peer) ExpectServerInfo() {
	p.relay.t.Helper()
	f := p.Read()
	box := p.Key.Box(p.relay.PublicKey())
	info, err := derp.OpenServerInfo(f.Payload, &box)
	if f.Type != derp.FrameServerInfo || err != nil || info.Version != derp.ProtocolVersion {
		p.relay.t.Fatalf("%s: answer to the login is %v, %+v (%v)", p.who.Name, f.Type, info, err)
	}
}

// Send writes frames, or any bytes, in one piece.
func (p *Peer) Send(frames ...[]byte) {
	p.relay.t.Helper()
	if _, err := p.Conn.Write(slices.Concat(frames...)); err != nil {
		p.relay.t.Errorf("%s cannot send: %v", p.who.Name, err)
	}
}

// SendPacket sends one packet.
func (p *Peer) SendPacket(dst key.Public, packet string) {
	p.relay.t.Helper()
	p.Send(derp.AppendSendPacket(nil, dst, []byte(packet)))
}

// Read waits for one frame, as long as the peer does not listen.
func (p *Peer) Read() Frame {
	p.relay.t.Helper()
	f, err := readFrame(p.Conn)
	if err != nil {
		p.relay.t.Fatalf("%s cannot read a frame: %v", p.who.Name, err)
	}
	return f
}

// Skip waits for n bytes and forgets them, as long as the peer does not listen.
func (p *Peer) Skip(n int) {
	p.relay.t.Helper()
	if _, err := io.CopyN(io.Discard, p.Conn, int64(n)); err != nil {
		p.relay.t.Fatalf("%s cannot read %d bytes: %v", p.who.Name, n, err)
	}
}

// Listen begins to collect frames.
func (p *Peer) Listen() {
	p.reader.Do(func() { go p.collect() })
}

func (p *Peer) collect() {
	r := bufio.NewReader(p.Conn)
	for {
		f, err := readFrame(r)
		switch {
		case errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
			return // the peer itself hung up
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // a frame may be cut off by the end
			p.note(func() { p.eof = true })
			return
		case err != nil:
			p.relay.t.Errorf("%s: broken stream: %v", p.who.Name, err)
			return
		}
		if f.Type == derp.FramePing && len(f.Payload) >= derp.PingLen { // of a link
			p.answer([derp.PingLen]byte(f.Payload))
			continue
		}
		p.note(func() { p.frames = append(p.frames, f) })
	}
}

// answer sends a Pong, unless the peer has been told to be mute.
func (p *Peer) answer(data [derp.PingLen]byte) {
	if !p.mute.Load() {
		p.Conn.Write(derp.AppendPong(nil, data)) // fails only when the conn ends, which the reader will see
	}
}

// Mute stops the answers to Pings.
func (p *Peer) Mute() { p.mute.Store(true) }

func (p *Peer) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Frames returns what has arrived since the last call, once nothing moves any
// more, and whether the end came behind it.
func (p *Peer) Frames() (frames []Frame, eof bool) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	frames, eof = p.frames, p.eof
	p.frames, p.eof = nil, false
	return frames, eof
}

// Got is Frames in notation, with an end as "EOF".
func (p *Peer) Got() []string {
	frames, eof := p.Frames()
	got := []string{}
	for _, f := range frames {
		got = append(got, p.relay.text(f))
	}
	if eof {
		got = append(got, "EOF")
	}
	return got
}

// Expect compares Got with what should have arrived.
func (p *Peer) Expect(want ...string) {
	p.relay.t.Helper()
	if got := p.Got(); !slices.Equal(got, want) {
		p.relay.t.Errorf("%s got %q, want %q", p.who.Name, got, want)
	}
}

// Close hangs up.
func (p *Peer) Close() { p.Conn.Close() }

// Ended waits until the relay has let go of the conn and returns why.
func (p *Peer) Ended() error {
	p.relay.t.Helper()
	select {
	case <-p.served:
		return p.servedErr
	case <-time.After(timeout):
		p.relay.t.Fatalf("%s is still served after %v", p.who.Name, timeout)
		return nil
	}
}

// timeout is longer than anything in a relay takes. Without a bound a test that
// waits in vain would not end: in a bubble the relay's pulse lets time pass.
const timeout = 10 * time.Minute

// IsServed reports whether the relay still holds the conn, once nothing moves
// any more.
func (p *Peer) IsServed() bool {
	synctest.Wait()
	select {
	case <-p.served:
		return false
	default:
		return true
	}
}

func readFrame(r io.Reader) (Frame, error) {
	var header [derp.HeaderLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Frame{}, err
	}
	t, n := derp.ParseHeader(header[:])
	if n > derp.MaxFrameToClient {
		return Frame{}, fmt.Errorf("%v of %d bytes, which no peer accepts", t, n)
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(r, payload)
	return Frame{Type: t, Payload: payload, At: time.Now()}, err
}
