package edge

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// wsFrame is a masked frame as a peer sends it, with a mask of zeros.
func wsFrame(first byte, payload []byte) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

const (
	wsContinue, wsBinary, wsPing, wsPong = 0x00, 0x02, 0x09, 0x0a
	wsFinal                              = 0x80
)

// dialRawWebSocket logs in over a WebSocket and returns the bytes beneath it,
// after ServerInfo.
func dialRawWebSocket(t *testing.T, s *Server) net.Conn {
	t.Helper()
	var c net.Conn
	if s.config.TLS != nil {
		c = dialTLS(t, s, 0)
	} else {
		c = dial(t, s)
	}
	send(t, c, []byte("GET /derp HTTP/1.1\r\nHost: relay.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: derp\r\n\r\n"))
	send(t, c, wsFrame(wsFinal|wsBinary, newPeer(s.config.Relay.PublicKey()).clientInfo()))
	head := ""
	for b := make([]byte, 1); len(head) < 4 || head[len(head)-4:] != "\r\n\r\n"; head += string(b) {
		wantRead(t, c, b)
	}
	for range 2 { // greeting and ServerInfo, a message each
		b := make([]byte, 2)
		wantRead(t, c, b)
		wantRead(t, c, make([]byte, b[1]))
	}
	return c
}

func wantRead(t *testing.T, c io.Reader, b []byte) {
	t.Helper()
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
}

// Frames that bring nothing end the conn when they are more than twenty or so
// a second, whatever they are, and whether or not the peer reads the answers.
func TestWebSocketFloods(t *testing.T) {
	for name, s := range webSocketServers(t) {
		for what, flood := range map[string][]byte{
			"pings":           wsFrame(wsFinal|wsPing, nil),
			"long pings":      wsFrame(wsFinal|wsPing, make([]byte, 125)),
			"pongs":           wsFrame(wsFinal|wsPong, []byte("x")),
			"empty messages":  wsFrame(wsFinal|wsBinary, nil),
			"empty fragments": wsFrame(wsContinue, nil),
			"pings with data": append(wsFrame(wsFinal|wsPing, nil), wsFrame(wsFinal|wsBinary, derp.AppendSendPacket(nil, key.Public{1}, []byte("hi")))...),
		} {
			for _, reads := range []bool{true, false} {
				t.Run(name+" "+what, func(t *testing.T) {
					c := dialRawWebSocket(t, s)
					before := s.Snapshot().Floods
					if reads {
						go io.Copy(io.Discard, c)
					}
					if what == "empty fragments" {
						send(t, c, wsFrame(wsBinary, nil)) // of this message
					}
					for { // until it is closed
						if _, err := c.Write(flood); err != nil {
							break
						}
					}
					eventually(t, "the conn counted", func() bool { return s.Snapshot().Floods == before+1 })
				})
			}
		}
	}
}

// What honest libraries send is none: a message in fragments with an empty last
// one, and some pings.
func TestHonestWebSocketIsNoFlood(t *testing.T) {
	for name, s := range webSocketServers(t) {
		t.Run(name, func(t *testing.T) {
			c := dialRawWebSocket(t, s)
			go io.Copy(io.Discard, c)
			var all []byte
			for n := range 1000 {
				frame := derp.AppendSendPacket(nil, newPeer(s.config.Relay.PublicKey()).key.Public(), make([]byte, n))
				all = append(append(all, wsFrame(wsBinary, frame)...), wsFrame(wsFinal|wsContinue, nil)...)
				if n%100 == 0 {
					all = append(all, wsFrame(wsFinal|wsPing, []byte("still there?"))...)
				}
			}
			before := s.config.Relay.Counters()
			send(t, c, all)
			eventually(t, "all packets taken", func() bool {
				return s.config.Relay.Counters().Received.Other.Packets-before.Received.Other.Packets == 1000
			})
			if s.Snapshot().Floods != 0 {
				t.Error("it was ended")
			}
		})
	}
}

// Frames are counted alike in whatever pieces they come.
func TestWebSocketFramesInAnyPieces(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 4))
		var sent []byte
		var want idleFrames
		for range 100 {
			payload := make([]byte, random.IntN(2)*random.IntN(1<<random.IntN(18)))
			switch first := []byte{wsContinue, wsBinary, wsPing, wsPong}[random.IntN(4)]; {
			case first >= wsPing:
				want.control++
				sent = append(sent, wsFrame(wsFinal|first, payload)...)
				continue
			case len(payload) == 0:
				want.empty++
			default:
				want.data++
			}
			sent = append(sent, wsFrame(wsBinary, payload)...)
		}
		var f webSocketFrames
		var got idleFrames
		for len(sent) > 0 {
			n := min(len(sent), random.IntN(1<<random.IntN(18))+1)
			f.pass(sent[:n], &got)
			sent = sent[n:]
		}
		if got != want {
			t.Fatalf("seed %d: %+v, want %+v", seed, got, want)
		}
	}
}
