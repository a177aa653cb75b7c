package derp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

func TestVectorMetaCertName(t *testing.T) {
	v := loadVectors(t)
	for _, k := range v.Keys {
		public := v.public(t, k.Name)
		if got := MetaCertName(public); got != k.MetaCertCN {
			t.Errorf("%s: %s, want %s", k.Name, got, k.MetaCertCN)
		}
		if got, ok := ParseMetaCertName(k.MetaCertCN); !ok || got != public {
			t.Errorf("%s: parsed %v, %v", k.Name, got, ok)
		}
	}
}

func TestVectorFramesAppend(t *testing.T) {
	v := loadVectors(t)
	for _, f := range v.Frames {
		want := unhex(t, f.Frame)
		if strings.Contains(f.Name, "legacy") || f.Fields.Extra != "" {
			continue // the forms of other versions, which are read but never written; TestVectorFramesParse has them
		}
		got := v.appendFrame(t, f)
		if f.Type == FrameServerInfo { // sealed with a random nonce
			got = append(got[:HeaderLen:HeaderLen], want[HeaderLen:]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", f.Name, got, want)
		}
		if again := v.appendFrame(t, f); len(again) != len(want) {
			t.Errorf("%s: length changes from one time to the next", f.Name)
		}
	}
}

func (v vectors) appendFrame(t *testing.T, f frameVector) []byte {
	t.Helper()
	var b []byte
	peer, payload := v.public(t, f.Fields.Peer), []byte(f.Fields.Payload)
	switch f.Type {
	case FrameServerKey:
		return AppendServerKey(b, v.public(t, f.Fields.Key))
	case FrameServerInfo:
		return AppendServerInfo(b, v.box(t, "server", "alice"), v.serverInfo(t, f.Fields.Box))
	case FrameSendPacket:
		return AppendSendPacket(b, v.public(t, f.Fields.Dst), payload)
	case FrameRecvPacket:
		return AppendRecvPacket(b, v.public(t, f.Fields.Src), payload)
	case FrameForwardPacket:
		return AppendForwardPacket(b, v.public(t, f.Fields.Src), v.public(t, f.Fields.Dst), payload)
	case FrameKeepAlive:
		return AppendKeepAlive(b)
	case FrameNotePreferred:
		return AppendNotePreferred(b, f.Fields.Preferred)
	case FramePeerGone:
		return AppendPeerGone(b, peer, *f.Fields.Reason)
	case FramePeerPresent:
		addr, _ := netip.ParseAddrPort(f.Fields.IPPort) // "zero" stays invalid
		return AppendPeerPresent(b, Presence{Key: peer, Addr: addr, Flags: *f.Fields.Flags, AppName: f.Fields.AppName})
	case FrameWatchConns:
		return AppendWatchConns(b)
	case FrameClosePeer:
		return AppendClosePeer(b, peer)
	case FramePing:
		return AppendPing(b, [PingLen]byte(unhex(t, f.Fields.Data)))
	case FramePong:
		return AppendPong(b, [PingLen]byte(unhex(t, f.Fields.Data)))
	case FrameHealth:
		return AppendHealth(b, f.Fields.Problem)
	case FrameRestarting:
		return AppendRestarting(b, millis(f.Fields.ReconnectIn), millis(f.Fields.TryFor))
	}
	t.Fatalf("%s: the vectors know a frame that this test does not", f.Name)
	return nil
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (v vectors) serverInfo(t *testing.T, label string) (info ServerInfo) {
	t.Helper()
	for _, box := range v.NaclBox {
		if box.Label == label {
			if err := json.Unmarshal([]byte(box.Plaintext), &info); err != nil {
				t.Fatal(err)
			}
			if got := string(mustMarshal(info)); got != box.Plaintext {
				t.Errorf("%s: JSON %s, want %s", label, got, box.Plaintext)
			}
			return info
		}
	}
	t.Fatalf("no box labelled %q in the vectors", label)
	return info
}

func TestVectorFramesParse(t *testing.T) {
	v := loadVectors(t)
	for _, f := range v.Frames {
		typ, payload, rest := takeFrame(t, unhex(t, f.Frame))
		if typ != f.Type || len(rest) != 0 {
			t.Errorf("%s: type %v and %d bytes left, want %v and none", f.Name, typ, len(rest), f.Type)
		}
		want := f.Parsed
		if want == "" {
			want = v.describeFields(t, f)
		}
		if got := v.describe(t, typ, payload); got != want {
			t.Errorf("%s: parsed as\n  %s, want\n  %s", f.Name, got, want)
		}
		if f.Type == FramePeerPresent {
			if p, err := ParsePeerPresent(payload); err != nil || p.AppName != f.Fields.AppName {
				t.Errorf("%s: application name %q, %v, want %q", f.Name, p.AppName, err, f.Fields.AppName)
			}
		}
	}
}

// describe puts what a parse function returns into the words of the vectors.
func (v vectors) describe(t *testing.T, typ FrameType, payload []byte) string {
	t.Helper()
	var text string
	var err error
	switch typ {
	case FrameServerKey:
		var k key.Public
		k, err = ParseServerKey(payload)
		text = fmt.Sprintf("key=%s", k.Hex())
	case FrameServerInfo:
		var info ServerInfo
		info, err = OpenServerInfo(payload, v.box(t, "alice", "server"))
		text = fmt.Sprintf("bytes_per_sec=%d burst=%d", info.TokenBucketBytesPerSecond, info.TokenBucketBytesBurst)
	case FrameSendPacket:
		var k key.Public
		var packet []byte
		k, packet, err = ParseSendPacket(payload)
		text = fmt.Sprintf("dst=%s data=%x", k.Hex(), packet)
	case FrameRecvPacket:
		var k key.Public
		var packet []byte
		k, packet, err = ParseRecvPacket(payload)
		text = fmt.Sprintf("src=%s data=%x", k.Hex(), packet)
	case FrameForwardPacket:
		var src, dst key.Public
		var packet []byte
		src, dst, packet, err = ParseForwardPacket(payload)
		text = fmt.Sprintf("src=%s dst=%s data=%x", src.Hex(), dst.Hex(), packet)
	case FrameNotePreferred:
		var preferred bool
		preferred, err = ParseNotePreferred(payload)
		text = fmt.Sprintf("preferred=%v", preferred)
	case FramePeerGone:
		var k key.Public
		var reason Reason
		k, reason, err = ParsePeerGone(payload)
		text = fmt.Sprintf("key=%s reason=%d", k.Hex(), byte(reason))
	case FramePeerPresent:
		var p Presence
		p, err = ParsePeerPresent(payload)
		text = fmt.Sprintf("key=%s ipport=%v flags=%d", p.Key.Hex(), p.Addr, byte(p.Flags))
	case FrameKeepAlive:
	case FrameWatchConns:
		err = ParseWatchConns(payload)
	case FrameClosePeer:
		var k key.Public
		k, err = ParseClosePeer(payload)
		text = fmt.Sprintf("key=%s", k.Hex())
	case FramePing, FramePong:
		parse := map[FrameType]func([]byte) ([PingLen]byte, error){FramePing: ParsePing, FramePong: ParsePong}[typ]
		var data [PingLen]byte
		data, err = parse(payload)
		text = hex.EncodeToString(data[:])
	case FrameHealth:
		text = "problem=" + strconv.Quote(ParseHealth(payload))
	case FrameRestarting:
		var reconnectIn, tryFor time.Duration
		reconnectIn, tryFor, err = ParseRestarting(payload)
		text = fmt.Sprintf("reconnect_in_ms=%d try_for_ms=%d", reconnectIn.Milliseconds(), tryFor.Milliseconds())
	default:
		t.Fatalf("the vectors know a frame that this test does not: %v", typ)
	}
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(typ.String() + " " + text)
}

// describeFields is what describe should return for frames whose parsing the vectors do not tell: those a relay reads.
func (v vectors) describeFields(t *testing.T, f frameVector) string {
	t.Helper()
	hexOf := func(name string) string { return v.public(t, name).Hex() }
	data := hex.EncodeToString([]byte(f.Fields.Payload))
	text := ""
	switch f.Type {
	case FrameServerKey:
		text = "key=" + hexOf(f.Fields.Key)
	case FrameSendPacket:
		text = fmt.Sprintf("dst=%s data=%s", hexOf(f.Fields.Dst), data)
	case FrameForwardPacket:
		text = fmt.Sprintf("src=%s dst=%s data=%s", hexOf(f.Fields.Src), hexOf(f.Fields.Dst), data)
	case FrameNotePreferred:
		text = fmt.Sprintf("preferred=%v", f.Fields.Preferred)
	case FrameClosePeer:
		text = "key=" + hexOf(f.Fields.Peer)
	}
	return strings.TrimSpace(f.Type.String() + " " + text)
}
