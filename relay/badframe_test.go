package relay_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func TestBadFrames(t *testing.T) {
	for _, v := range relaytest.LoadVectors(t).BadInput.AfterLogin {
		t.Run(v.Name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				bystander := r.Join("bystander")
				name := "alice"
				if v.Mesh {
					// Alone, as the vectors' was: it is told of everybody.
					bystander.Close()
					bystander.Ended()
					name = "mesh-peer"
				}
				p := r.JoinAs(relaytest.Who{Name: name, Mesh: v.Mesh})
				p.Send(v.Frame)
				want := v.Replies
				if v.Outcome == "closed" {
					want = append(want, "EOF")
				}
				p.Expect(want...)
				if !v.Mesh && !bystander.IsServed() {
					t.Error("another peer was closed as well")
				}
				if v.Outcome != "closed" {
					if !p.IsServed() {
						t.Error("closed")
					}
					return
				}
				if err := p.Ended(); !errors.Is(err, relay.ErrBadFrame) && !errors.Is(err, relay.ErrNotPrivileged) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// Lengths are refused when they are announced, before the payload arrives.
func TestLengthsAtTheirLimits(t *testing.T) {
	header := func(t derp.FrameType, n int) []byte { return derp.AppendHeader(nil, t, n) }
	for name, c := range map[string]struct {
		mesh  bool
		frame []byte
		want  error // nil: the relay waits for the rest
	}{
		"SendPacket, largest":      {false, header(derp.FrameSendPacket, 65568), nil},
		"SendPacket, too long":     {false, header(derp.FrameSendPacket, 65569), relay.ErrBadFrame},
		"SendPacket, too short":    {false, header(derp.FrameSendPacket, 31), relay.ErrBadFrame},
		"SendPacket, 4 GiB":        {false, []byte{4, 255, 255, 255, 255}, relay.ErrBadFrame},
		"ForwardPacket, largest":   {true, header(derp.FrameForwardPacket, 65600), nil},
		"ForwardPacket, too long":  {true, header(derp.FrameForwardPacket, 65601), relay.ErrBadFrame},
		"ForwardPacket, no rights": {false, header(derp.FrameForwardPacket, 64), relay.ErrNotPrivileged},
		"WatchConns, no rights":    {false, header(derp.FrameWatchConns, 0), relay.ErrNotPrivileged},
		"ClosePeer, no rights":     {false, header(derp.FrameClosePeer, 32), relay.ErrNotPrivileged},
		"Ping, largest":            {false, header(derp.FramePing, 1000), nil},
		"Ping, too long":           {false, header(derp.FramePing, 1001), relay.ErrBadFrame},
		"unknown, largest":         {false, header(0x99, 65568), nil},
		"unknown, too long":        {false, header(0x99, 65569), relay.ErrBadFrame},
		"not for us, too long":     {false, header(derp.FrameRecvPacket, 65569), relay.ErrBadFrame},
		"unknown, 4 GiB":           {false, []byte{0x99, 255, 255, 255, 255}, relay.ErrBadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				p := r.JoinAs(relaytest.Who{Name: "alice", Mesh: c.mesh})
				p.Send(c.frame)
				if c.want == nil {
					if p.Expect(); !p.IsServed() {
						t.Error("closed")
					}
					return
				}
				p.Expect("EOF")
				if err := p.Ended(); !errors.Is(err, c.want) {
					t.Errorf("ended with %v, want %v", err, c.want)
				}
			})
		})
	}
}

// What came in front of a bad frame has its effect.
func TestFramesInFrontOfABadOne(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		alice.Send(derp.AppendSendPacket(nil, bob.Public(), []byte("last words")), []byte{7, 0, 0, 0, 0})
		alice.Expect("EOF")
		same(t, "bad frame", "bob", bob.Got(), []string{`RecvPacket(src=alice,"last words")`, "PeerGone(alice,reason=0)"})
	})
}

func TestUnknownFramesAreSkipped(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		// Its bytes would be bad frames if they were taken for some.
		long := append(derp.AppendHeader(nil, 0x99, 65568), bytes.Repeat([]byte{7}, 65568)...)
		alice.Send(derp.AppendHeader(nil, 0x98, 0), []byte{0x97, 0, 0, 0, 3, 1, 2, 3})
		alice.SendPacket(bob.Public(), "1")
		for len(long) > 0 {
			n := min(777, len(long))
			alice.Send(long[:n])
			long = long[n:]
		}
		alice.Send(derp.AppendRecvPacket(nil, bob.Public(), []byte("not from a peer")))
		alice.SendPacket(bob.Public(), "2")
		bob.Expect(`RecvPacket(src=alice,"1")`, `RecvPacket(src=alice,"2")`)
		if n := r.Survey().UnknownFrames; n != 4 {
			t.Errorf("%d unknown frames counted, want 4", n)
		}
	})
}
