package probe

import (
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestPackets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		packet func(src, dst key.Public, data []byte) (key.Public, []byte)
		check  string
		what   string
		do     string
	}{
		{"swallowed", func(src, _ key.Public, _ []byte) (key.Public, []byte) { return src, nil },
			"packet", "a packet of 64 bytes is lost", "counters of drops"},
		{"changed", func(src, _ key.Public, data []byte) (key.Public, []byte) {
			data[len(data)-1] ^= 1
			return src, data
		}, "packet", "arrives with other bytes", "do not use this relay"},
		{"other source", func(_, _ key.Public, data []byte) (key.Public, []byte) {
			return key.NewPrivate().Public(), data
		}, "packet", "from a key that did not send it", "do not use this relay"},
		{"large ones swallowed", func(src, _ key.Public, data []byte) (key.Public, []byte) {
			if len(data) > 1000 {
				return src, nil
			}
			return src, data
		}, "large", "a packet of 65536 bytes is lost", "counters of drops"},
		{"large ones cut", func(src, _ key.Public, data []byte) (key.Public, []byte) { return src, data[:min(len(data), 65535)] },
			"large", "arrives with other bytes", "do not use this relay"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScript()
			s.packet = test.packet
			checks := startScript(t, s)(Config{Timeout: 2 * brief})
			want(t, checks, test.check, Fail, test.what, test.do)
			wantNoOther(t, checks, test.check, "websocket")
		})
	}
}

func TestNoPong(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.pong = func([derp.PingLen]byte) []byte { return nil }
	checks := startScript(t, s)(Config{Timeout: 2 * brief})
	want(t, checks, "ping", Fail, "no Pong", "clients close connections that do not answer")
	wantNoOther(t, checks, "ping")
}
