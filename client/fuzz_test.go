package client

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/socket"
	"github.com/detour-relay/detour/key"
)

// scriptedConn has input and forgets output.
type scriptedConn struct{ io.Reader }

func (scriptedConn) Write(p []byte) (int, error)      { return len(p), nil }
func (scriptedConn) Close() error                     { return nil }
func (scriptedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (scriptedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (scriptedConn) SetDeadline(time.Time) error      { return nil }
func (scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (scriptedConn) SetWriteDeadline(time.Time) error { return nil }

// Whatever a relay sends, Recv comes to an end, and no packet is longer than its
// buffer or the input.
func FuzzRecv(f *testing.F) {
	f.Add([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
	f.Add(derp.AppendPing(derp.AppendServerKey(nil, key.Public{1}), [derp.PingLen]byte{1}))
	f.Add(derp.AppendRecvPacket(derp.AppendPeerGone(nil, key.Public{1}, 0), key.Public{2}, []byte("packet")))
	f.Add(derp.AppendHealth(derp.AppendRestarting(nil, 1, 2), "text"))
	f.Add(derp.AppendPeerPresent(nil, derp.Presence{Key: key.Public{1}, AppName: "app"}))
	box := key.NewPrivate().Box(key.NewPrivate().Public())
	f.Fuzz(func(t *testing.T, input []byte) {
		sock := socket.New(scriptedConn{bytes.NewReader(input)}, nil)
		c := &Conn{sock: sock, stream: sock, box: box, done: make(chan struct{})}
		c.in.Src = sock
		defer c.Close()
		buf := make([]byte, 100)
		for n := 0; ; n++ {
			msg, err := c.Recv(buf)
			if err != nil {
				return // ErrBufferSize too: it would come again
			}
			if n > len(input) || len(msg.Packet) > len(input) {
				t.Fatalf("message %d, a packet of %d bytes, from %d bytes", n, len(msg.Packet), len(input))
			}
		}
	})
}
