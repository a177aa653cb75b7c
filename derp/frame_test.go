package derp

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

func TestHeader(t *testing.T) {
	appended := AppendHeader([]byte("before"), FrameSendPacket, 0x010203)
	if want := []byte("before\x04\x00\x01\x02\x03"); !bytes.Equal(appended, want) {
		t.Errorf("appended %x, want %x", appended, want)
	}
	put := make([]byte, HeaderLen)
	PutHeader(put, FrameSendPacket, 0x010203)
	if !bytes.Equal(put, appended[len("before"):]) {
		t.Errorf("put %x, appended %x", put, appended)
	}
	if typ, n := ParseHeader(put); typ != FrameSendPacket || n != 0x010203 {
		t.Errorf("parsed %v, %d", typ, n)
	}
	if _, n := ParseHeader([]byte{4, 0xff, 0xff, 0xff, 0xff}); n != math.MaxInt32 {
		t.Errorf("largest announced length parsed as %d, want %d whatever the size of int", n, math.MaxInt32)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		FrameServerKey.String():     "ServerKey",
		FrameRestarting.String():    "Restarting",
		FrameType(0).String():       "frame 0x00",
		FrameType(0x0b).String():    "frame 0x0b",
		FrameType(0xff).String():    "frame 0xff",
		ReasonDisconnected.String(): "disconnected",
		ReasonNotHere.String():      "not here",
		Reason(0xf0).String():       "reason 0xf0",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The lengths that each parse function takes; everything outside is ErrLength. max is 0 where there is no upper limit.
func TestParseLengths(t *testing.T) {
	for _, frame := range []struct {
		name     string
		min, max int
		parse    func([]byte) error
	}{
		{"ServerKey", 40, 0, func(p []byte) error { copy(p, Magic); _, err := ParseServerKey(p); return err }},
		{"ClientInfo", 56, 262144, func(p []byte) error { _, _, err := ParseClientInfo(p); return err }},
		{"SendPacket", 32, 32 + 65536, func(p []byte) error { _, _, err := ParseSendPacket(p); return err }},
		{"RecvPacket", 32, 0, func(p []byte) error { _, _, err := ParseRecvPacket(p); return err }},
		{"ForwardPacket", 64, 64 + 65536, func(p []byte) error { _, _, _, err := ParseForwardPacket(p); return err }},
		{"NotePreferred", 1, 1, func(p []byte) error { _, err := ParseNotePreferred(p); return err }},
		{"PeerGone", 32, 0, func(p []byte) error { _, _, err := ParsePeerGone(p); return err }},
		{"PeerPresent", 32, 0, func(p []byte) error { _, err := ParsePeerPresent(p); return err }},
		{"ClosePeer", 32, 32, func(p []byte) error { _, err := ParseClosePeer(p); return err }},
		{"Ping", 8, 1000, func(p []byte) error { _, err := ParsePing(p); return err }},
		{"Pong", 8, 0, func(p []byte) error { _, err := ParsePong(p); return err }},
		{"Restarting", 8, 0, func(p []byte) error { _, _, err := ParseRestarting(p); return err }},
	} {
		refused := []int{0, frame.min - 1}
		taken := []int{frame.min}
		if frame.max > 0 {
			refused, taken = append(refused, frame.max+1), append(taken, frame.max)
		} else {
			taken = append(taken, frame.min+1, MaxFrameToClient)
		}
		for _, n := range refused {
			if err := frame.parse(ones(n)); !errors.Is(err, ErrLength) {
				t.Errorf("%s of %d bytes: %v, want ErrLength", frame.name, n, err)
			}
		}
		for _, n := range taken {
			if err := frame.parse(ones(n)); err != nil {
				t.Errorf("%s of %d bytes: %v", frame.name, n, err)
			}
		}
	}
	if err := ParseWatchConns(nil); err != nil {
		t.Error(err)
	}
	if err := ParseWatchConns(ones(1)); !errors.Is(err, ErrLength) {
		t.Errorf("WatchConns of 1 byte: %v", err)
	}
}

func ones(n int) []byte { return bytes.Repeat([]byte{1}, n) }

func TestPresenceVariants(t *testing.T) {
	peer := key.Public{1}
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:1")
	zoned := netip.MustParseAddrPort("[fe80::1%eth0]:2")
	for name, c := range map[string]struct{ in, out Presence }{
		"mapped address is unmapped": {Presence{Key: peer, Addr: mapped}, Presence{Key: peer, Addr: netip.MustParseAddrPort("192.0.2.7:1")}},
		"zone is left out":           {Presence{Key: peer, Addr: zoned}, Presence{Key: peer, Addr: netip.MustParseAddrPort("[fe80::1]:2")}},
		"no address":                 {Presence{Key: peer}, Presence{Key: peer, Addr: netip.MustParseAddrPort("[::]:0")}},
		"invalid name is left out": {
			Presence{Key: peer, Addr: zoned, AppName: strings.Repeat("x", 33)}, Presence{Key: peer, Addr: netip.MustParseAddrPort("[fe80::1]:2")},
		},
	} {
		_, payload, _ := takeFrame(t, AppendPeerPresent(nil, c.in))
		if got, err := ParsePeerPresent(payload); err != nil || got != c.out {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.out)
		}
	}
}

func TestPresenceAppNameIsReadLeniently(t *testing.T) {
	_, base, _ := takeFrame(t, AppendPeerPresent(nil, Presence{Key: key.Public{1}, Flags: PresenceRegular}))
	for suffix, want := range map[string]string{
		"":                                "",
		"\x00":                            "",
		"\x03abc":                         "abc",
		"\x03abcdef":                      "abc",
		"\x04abc":                         "", // cut off
		"\x03a\x7fc":                      "",
		"\xff":                            "",
		" " + strings.Repeat("x", 32):     strings.Repeat("x", 32),
		"!" + strings.Repeat("x", 33):     "",
		"\x05" + "na\u00efv" + "trailing": "",
	} {
		got, err := ParsePeerPresent(append(bytes.Clone(base), suffix...))
		if err != nil || got.AppName != want || got.Flags != PresenceRegular {
			t.Errorf("suffix %q: %+v, %v, want name %q", suffix, got, err, want)
		}
	}
}

func TestRestartingIsCut(t *testing.T) {
	_, payload, _ := takeFrame(t, AppendRestarting(nil, -time.Second, 1<<62))
	reconnectIn, tryFor, err := ParseRestarting(payload)
	if want := math.MaxUint32 * time.Millisecond; err != nil || reconnectIn != 0 || tryFor != want {
		t.Errorf("%v, %v, %v, want 0 and %v", reconnectIn, tryFor, err, want)
	}
}

func TestMetaCertNameRefuses(t *testing.T) {
	digits := strings.Repeat("ab", 32)
	if _, ok := ParseMetaCertName("derpkey" + strings.ToUpper(digits)); !ok {
		t.Error("upper case digits were refused")
	}
	for _, name := range []string{"", "derpkey", digits, "derpkey" + digits[1:], "derpkey" + digits + "0", "DERPKEY" + digits, "derpkey" + strings.Repeat("00", 32), "relay.example.com"} {
		if k, ok := ParseMetaCertName(name); ok {
			t.Errorf("%q was taken for the key %v", name, k)
		}
	}
}

// Packets cost no allocation, in neither direction, given a buffer.
func TestPacketsDoNotAllocate(t *testing.T) {
	src, dst, packet := key.Public{1}, key.Public{2}, make([]byte, 1400)
	buf := make([]byte, 0, 4096)
	bad := 0
	check := func(ok bool) {
		if !ok {
			bad++
		}
	}
	for name, run := range map[string]func(){
		"SendPacket": func() {
			b := AppendSendPacket(buf, dst, packet)
			_, n := ParseHeader(b)
			got, p, err := ParseSendPacket(b[HeaderLen:][:n])
			check(err == nil && got == dst && len(p) == len(packet))
		},
		"RecvPacket": func() {
			b := AppendRecvPacket(buf, src, packet)
			got, p, err := ParseRecvPacket(b[HeaderLen:])
			check(err == nil && got == src && len(p) == len(packet))
		},
		"ForwardPacket": func() {
			b := AppendForwardPacket(buf, src, dst, packet)
			from, to, p, err := ParseForwardPacket(b[HeaderLen:])
			check(err == nil && from == src && to == dst && len(p) == len(packet))
		},
		"refused": func() {
			_, _, err := ParseSendPacket(packet[:31])
			check(err != nil)
		},
		"PeerGone, Ping, Pong, KeepAlive": func() {
			b := AppendPeerGone(buf, src, ReasonNotHere)
			got, _, err := ParsePeerGone(b[HeaderLen:])
			check(err == nil && got == src)
			b = AppendPong(AppendPing(AppendKeepAlive(buf), [PingLen]byte{1}), [PingLen]byte{2})
			check(len(b) == 3*HeaderLen+2*PingLen && !IsDisco(b))
		},
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	if bad != 0 {
		t.Errorf("%d wrong results", bad)
	}
}
