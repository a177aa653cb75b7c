package derp

import (
	"bytes"
	"testing"

	"github.com/detour-relay/detour/key"
)

// seed adds the payloads of all frames of one type in the vectors, good and bad, as far as they are complete.
func seed(f *testing.F, types ...FrameType) {
	v := loadVectors(f)
	var frames []string
	for _, frame := range v.Frames {
		frames = append(frames, frame.Frame)
	}
	for _, frame := range v.ClientBadFrames {
		frames = append(frames, frame.Frame)
	}
	for _, frame := range v.ClientInfo {
		frames = append(frames, frame.Frame)
	}
	for _, frame := range v.ServerBadInput.AfterLogin {
		frames = append(frames, frame.Frame)
	}
	added := 0
	for _, text := range frames {
		frame := unhex(f, text)
		for _, t := range types {
			if FrameType(frame[0]) == t {
				f.Add(frame[HeaderLen:])
				added++
			}
		}
	}
	if added == 0 {
		f.Fatalf("the vectors have no frame of the types %v", types)
	}
}

// body checks the header of an appended frame and returns its payload.
func body(t *testing.T, frame []byte, want FrameType) []byte {
	t.Helper()
	typ, payload, rest := takeFrame(t, frame)
	if typ != want || len(rest) != 0 {
		t.Fatalf("appended a frame of type %v with %d bytes behind it, want %v and none", typ, len(rest), want)
	}
	return payload
}

func FuzzParsePackets(f *testing.F) {
	seed(f, FrameSendPacket, FrameRecvPacket, FrameForwardPacket)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if dst, packet, err := ParseSendPacket(payload); err == nil {
			if again := body(t, AppendSendPacket(nil, dst, packet), FrameSendPacket); !bytes.Equal(again, payload) {
				t.Errorf("SendPacket: %x became %x", payload, again)
			}
		}
		if src, packet, err := ParseRecvPacket(payload); err == nil {
			if again := body(t, AppendRecvPacket(nil, src, packet), FrameRecvPacket); !bytes.Equal(again, payload) {
				t.Errorf("RecvPacket: %x became %x", payload, again)
			}
		}
		if src, dst, packet, err := ParseForwardPacket(payload); err == nil {
			if again := body(t, AppendForwardPacket(nil, src, dst, packet), FrameForwardPacket); !bytes.Equal(again, payload) {
				t.Errorf("ForwardPacket: %x became %x", payload, again)
			}
		}
		IsDisco(payload)
	})
}

func FuzzParsePeerPresent(f *testing.F) {
	seed(f, FramePeerPresent)
	f.Fuzz(func(t *testing.T, payload []byte) {
		first, err := ParsePeerPresent(payload)
		if err != nil {
			return
		}
		second, err := ParsePeerPresent(body(t, AppendPeerPresent(nil, first), FramePeerPresent))
		if err != nil {
			t.Fatal(err)
		}
		if !first.Addr.IsValid() { // an old form, which is not written any more
			first.Addr = second.Addr
			if !second.Addr.Addr().IsUnspecified() || second.Addr.Port() != 0 {
				t.Errorf("no address became %v", second.Addr)
			}
		}
		if first != second {
			t.Errorf("%+v became %+v", first, second)
		}
	})
}

func FuzzParsePeerGone(f *testing.F) {
	seed(f, FramePeerGone, FrameClosePeer, FrameNotePreferred)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if peer, reason, err := ParsePeerGone(payload); err == nil {
			gotPeer, gotReason, err := ParsePeerGone(body(t, AppendPeerGone(nil, peer, reason), FramePeerGone))
			if err != nil || gotPeer != peer || gotReason != reason {
				t.Errorf("PeerGone: %v %v became %v %v, %v", peer, reason, gotPeer, gotReason, err)
			}
		}
		if peer, err := ParseClosePeer(payload); err == nil {
			if again := body(t, AppendClosePeer(nil, peer), FrameClosePeer); !bytes.Equal(again, payload) {
				t.Errorf("ClosePeer: %x became %x", payload, again)
			}
		}
		if preferred, err := ParseNotePreferred(payload); err == nil {
			if got, err := ParseNotePreferred(body(t, AppendNotePreferred(nil, preferred), FrameNotePreferred)); err != nil || got != preferred {
				t.Errorf("NotePreferred: %v became %v, %v", preferred, got, err)
			}
		}
	})
}

func FuzzParseControl(f *testing.F) {
	seed(f, FramePing, FramePong, FrameHealth, FrameRestarting)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if data, err := ParsePing(payload); err == nil {
			if got, err := ParsePing(body(t, AppendPing(nil, data), FramePing)); err != nil || got != data {
				t.Errorf("Ping: %x became %x, %v", data, got, err)
			}
		}
		if data, err := ParsePong(payload); err == nil {
			if got, err := ParsePong(body(t, AppendPong(nil, data), FramePong)); err != nil || got != data {
				t.Errorf("Pong: %x became %x, %v", data, got, err)
			}
		}
		if again := body(t, AppendHealth(nil, ParseHealth(payload)), FrameHealth); !bytes.Equal(again, payload) {
			t.Errorf("Health: %x became %x", payload, again)
		}
		if reconnectIn, tryFor, err := ParseRestarting(payload); err == nil {
			if again := body(t, AppendRestarting(nil, reconnectIn, tryFor), FrameRestarting); !bytes.Equal(again, payload[:len(again)]) {
				t.Errorf("Restarting: %x became %x", payload, again)
			}
		}
	})
}

func FuzzParseServerKey(f *testing.F) {
	seed(f, FrameServerKey, FrameServerInfo)
	box := key.NewPrivate().Box(key.NewPrivate().Public())
	f.Fuzz(func(t *testing.T, payload []byte) {
		if relay, err := ParseServerKey(payload); err == nil {
			if again := body(t, AppendServerKey(nil, relay), FrameServerKey); !bytes.Equal(again, payload[:len(again)]) {
				t.Errorf("ServerKey: %x became %x", payload, again)
			}
		}
		if info, err := OpenServerInfo(payload, &box); err == nil {
			t.Errorf("a box was opened that nobody sealed: %+v", info)
		}
	})
}

func FuzzParseClientInfo(f *testing.F) {
	seed(f, FrameClientInfo)
	f.Fuzz(func(t *testing.T, payload []byte) {
		peer, sealed, err := ParseClientInfo(payload)
		if err == nil && !bytes.Equal(append(peer[:], sealed...), payload) {
			t.Errorf("%x was taken apart as %v and %x", payload, peer, sealed)
		}
	})
}

// The content of the login box: what opens can be sealed and opened again without a change.
func FuzzOpenClientInfo(f *testing.F) {
	for _, c := range loadVectors(f).ClientInfo {
		f.Add([]byte(c.JSON))
	}
	f.Add([]byte("null"))
	f.Add([]byte(`{"VERSION":99,"x":[],"AppName":"a"}`))
	relay, peer := key.NewPrivate(), key.NewPrivate()
	sealing, opening := peer.Box(relay.Public()), relay.Box(peer.Public())
	f.Fuzz(func(t *testing.T, json []byte) {
		first, err := OpenClientInfo(sealing.Seal(json), &opening)
		if err != nil {
			return
		}
		payload := body(t, AppendClientInfo(nil, peer.Public(), &sealing, first), FrameClientInfo)
		second, err := OpenClientInfo(payload[KeyLen:], &opening)
		if err != nil || second != first {
			t.Errorf("%s: %+v became %+v, %v", json, first, second, err)
		}
	})
}

func FuzzParseMetaCertName(f *testing.F) {
	for _, k := range loadVectors(f).Keys {
		f.Add(k.MetaCertCN)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if relay, ok := ParseMetaCertName(name); ok {
			if again, ok := ParseMetaCertName(MetaCertName(relay)); !ok || again != relay {
				t.Errorf("%q: %v became %v, %v", name, relay, again, ok)
			}
		}
	})
}
