package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// mischief decides what becomes of the n-th packet of one source: the frames to
// deliver in its place. A nil mischief delivers every packet.
type mischief func(n int, src key.Public, packet []byte) []frame

// frame is a packet with the source the relay claims for it.
type frame struct {
	src    key.Public
	packet []byte
}

// scripted is a relay that forwards packets the way a test wants them spoilt. It
// holds whatever its peers do not read, so it must not be flooded.
type scripted struct {
	tb       testing.TB
	listener net.Listener
	secret   key.Private
	spoil    mischief
	work     sync.WaitGroup

	mu      sync.Mutex
	peers   map[key.Public]*scriptedPeer // guarded by mu
	open    map[net.Conn]bool            // guarded by mu
	sibling *scripted                    // guarded by mu; whose peers it reaches too, if any
}

type scriptedPeer struct {
	conn net.Conn
	mu   sync.Mutex // held to write
}

// newScripted starts the relay and returns it with its URL; it ends with the test.
func newScripted(tb testing.TB, spoil mischief) (s *scripted, url string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s = &scripted{
		tb: tb, listener: listener, secret: key.NewPrivate(), spoil: spoil,
		peers: map[key.Public]*scriptedPeer{}, open: map[net.Conn]bool{},
	}
	s.work.Go(s.accept)
	tb.Cleanup(s.close)
	return s, "http://" + listener.Addr().String() + "/derp"
}

// deaf is newScripted for a relay that passes nothing on, and says when it has
// got a few packets.
func deaf(tb testing.TB, enough func()) (url string) {
	tb.Helper()
	var got atomic.Int64
	_, url = newScripted(tb, func(int, key.Public, []byte) []frame {
		if got.Add(1) == 5 {
			enough()
		}
		return nil
	})
	return url
}

func (s *scripted) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		s.mu.Unlock()
		s.work.Go(func() {
			defer conn.Close()
			s.serve(conn)
		})
	}
}

func (s *scripted) close() {
	s.listener.Close()
	s.mu.Lock()
	for conn := range s.open {
		conn.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// serve logs one peer in and forwards what it sends.
func (s *scripted) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	if _, err := http.ReadRequest(in); err != nil {
		return
	}
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
	conn.Write(derp.AppendServerKey(nil, s.secret.Public()))
	kind, payload, err := readFrame(in)
	if err != nil || kind != derp.FrameClientInfo {
		return
	}
	self, _, err := derp.ParseClientInfo(payload)
	if err != nil {
		s.tb.Errorf("login: %v", err)
		return
	}
	box := s.secret.Box(self)
	me := &scriptedPeer{conn: conn}
	s.mu.Lock()
	s.peers[self] = me
	s.mu.Unlock()
	me.send(derp.AppendServerInfo(nil, &box, derp.ServerInfo{Version: derp.ProtocolVersion}))
	s.forward(in, self, me)
}

func (s *scripted) forward(in io.Reader, self key.Public, me *scriptedPeer) {
	for n := 0; ; n++ {
		kind, payload, err := readFrame(in)
		if err != nil {
			return
		}
		if kind == derp.FramePing {
			data, _ := derp.ParsePing(payload)
			me.send(derp.AppendPong(nil, data))
		}
		if kind != derp.FrameSendPacket {
			continue
		}
		to, packet, err := derp.ParseSendPacket(payload)
		if err != nil {
			return
		}
		frames := []frame{{self, packet}}
		if s.spoil != nil {
			frames = s.spoil(n, self, packet)
		}
		peer := s.lookup(to)
		if peer == nil {
			continue
		}
		var out []byte
		for _, f := range frames {
			out = derp.AppendRecvPacket(out, f.src, f.packet)
		}
		peer.send(out)
	}
}

// lookup finds a peer of this relay or of its sibling.
func (s *scripted) lookup(to key.Public) *scriptedPeer {
	s.mu.Lock()
	peer, sibling := s.peers[to], s.sibling
	s.mu.Unlock()
	if peer == nil && sibling != nil {
		sibling.mu.Lock()
		defer sibling.mu.Unlock()
		peer = sibling.peers[to]
	}
	return peer
}

// count is how many peers have logged in.
func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}

func (p *scriptedPeer) send(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.Write(b)
}

func readFrame(in io.Reader) (derp.FrameType, []byte, error) {
	var header [derp.HeaderLen]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return 0, nil, err
	}
	kind, n := derp.ParseHeader(header[:])
	payload := make([]byte, n)
	_, err := io.ReadFull(in, payload)
	return kind, payload, err
}

// The ways to spoil a stream. Each lets the first packets pass, with which a run
// begins.
const spared = 20

func drops(n int, src key.Public, packet []byte) []frame {
	if n > spared && n%10 == 0 {
		return nil
	}
	return []frame{{src, packet}}
}

func repeats(n int, src key.Public, packet []byte) []frame {
	if n > spared && n%10 == 0 {
		return []frame{{src, packet}, {src, packet}}
	}
	return []frame{{src, packet}}
}

func corrupts(n int, src key.Public, packet []byte) []frame {
	if n > spared && n%10 == 0 {
		packet = slices.Clone(packet)
		packet[n%len(packet)] ^= 0x10
	}
	return []frame{{src, packet}}
}

func shortens(n int, src key.Public, packet []byte) []frame {
	if n > spared && n%10 == 0 {
		packet = packet[:len(packet)-1]
	}
	return []frame{{src, packet}}
}

func mislabels(n int, src key.Public, packet []byte) []frame {
	if n > spared && n%10 == 0 {
		src[5]++
	}
	return []frame{{src, packet}}
}

// swaps returns a mischief that delivers some packets after their successors.
func swaps() mischief {
	var mu sync.Mutex
	held := map[key.Public][]byte{}
	return func(n int, src key.Public, packet []byte) []frame {
		mu.Lock()
		defer mu.Unlock()
		if n > spared && n%10 == 0 {
			held[src] = slices.Clone(packet)
			return nil
		}
		frames := []frame{{src, packet}}
		if late := held[src]; late != nil {
			frames = append(frames, frame{src, late})
			delete(held, src)
		}
		return frames
	}
}
