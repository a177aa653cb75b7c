package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	theirkey "tailscale.com/types/key"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/programs"
)

// Every way into their relay, in this process, where what we asked for can be seen.
func TestOurClientThroughTheirRelay(t *testing.T) {
	for _, test := range []struct {
		name      string
		relay     relayOptions
		webSocket client.WebSocketMode
		upgrade   string // the header that the relay must see
		fastStart string // likewise
	}{
		{"fast start", relayOptions{}, client.WebSocketNever, "derp", "1"},
		{"classic without meta certificate", relayOptions{noMeta: true}, client.WebSocketNever, "derp", ""},
		{"classic with TLS 1.2", relayOptions{maxVersion: tls.VersionTLS12}, client.WebSocketNever, "derp", ""},
		{"plain HTTP", relayOptions{plain: true}, client.WebSocketNever, "derp", ""},
		{"WebSocket", relayOptions{}, client.WebSocketAlways, "websocket", ""},
		{"plain WebSocket", relayOptions{plain: true}, client.WebSocketAlways, "websocket", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := newTheirRelay(t, test.relay)
			talk(t, client.Config{URL: relay.url, RootCAs: relay.roots, WebSocket: test.webSocket})
			header := relay.request.Load().Header
			if got := header.Get("Upgrade"); !strings.EqualFold(got, test.upgrade) {
				t.Errorf("we asked to upgrade to %q, want %q", got, test.upgrade)
			}
			if got := header.Get("Derp-Fast-Start"); got != test.fastStart {
				t.Errorf("we sent Derp-Fast-Start %q, want %q", got, test.fastStart)
			}
		})
	}
}

func TestOurClientThroughDerper(t *testing.T) {
	relay := newDerper(t)
	for name, config := range map[string]client.Config{
		"root":            {RootCAs: relay.roots, WebSocket: client.WebSocketNever},
		"pin":             {CertName: relay.pin, WebSocket: client.WebSocketNever},
		"WebSocket, root": {RootCAs: relay.roots, WebSocket: client.WebSocketAlways},
		"WebSocket, pin":  {CertName: relay.pin, WebSocket: client.WebSocketAlways},
	} {
		t.Run(name, func(t *testing.T) {
			config.URL = relay.url
			talk(t, config)
		})
	}
	t.Run("another pin", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		pin := "sha256-raw:" + strings.Repeat("0", 64)
		conn, err := client.Dial(ctx, client.Config{URL: relay.url, Key: key.NewPrivate(), CertName: pin})
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, client.ErrPinMismatch) {
			t.Errorf("Dial returned %v, want ErrPinMismatch", err)
		}
	})
}

// talk logs two of our peers in and uses all that one peer can do with a relay.
func talk(t *testing.T, config client.Config) {
	t.Helper()
	config.AppName = "interop"
	a := newOurPeer(t, config, "a")
	config.Preferred, config.RecordPerPacket = true, true
	b := newOurPeer(t, config, "b")
	exchange(t, a, b)
	exchange(t, b, a)
	exchange(t, a, a)
	batch(t, a, b)
	batch(t, b, a)
	for _, p := range []*ourPeer{a, b} {
		p.ping(t)
		for _, home := range []bool{true, false} {
			if err := p.NotePreferred(home); err != nil {
				t.Fatal(err)
			}
		}
	}
	nobody := key.NewPrivate().Public()
	a.sendTo(t, nobody, disco("call me maybe"))
	if m := a.next(t); m.Kind != client.MessagePeerGone || m.Peer != nobody || m.Reason != derp.ReasonNotHere {
		t.Errorf("after a disco packet to nobody a received %s", describe(m))
	}
}

// batch sends as many packets in one write as the reference's shortest queue holds.
func batch(t *testing.T, from, to *ourPeer) {
	t.Helper()
	packets := make([]client.Packet, 32)
	for i := range packets {
		packets[i] = client.Packet{Peer: to.key, Data: fmt.Appendf(nil, "packet %d of a batch", i)}
	}
	if err := from.SendBatch(packets); err != nil {
		t.Fatalf("%s: send a batch: %v", from.name, err)
	}
	for _, p := range packets {
		to.wantFrom(t, from.key, p.Data)
	}
}

// Our client and theirs reach each other through either relay.
func TestOursMeetTheirs(t *testing.T) {
	for _, relay := range []*programs.Relay{programs.StartDetour(t), programs.StartDerper(t)} {
		t.Run(relay.Name, func(t *testing.T) {
			ours := newOurPeer(t, client.Config{URL: relay.URL, CertName: relay.Pin}, "ours")
			theirs := newTheirPeer(t, relay, byRegion(tls.VersionTLS13), "theirs", theirkey.NewNode())
			exchange(t, ours, theirs)
			exchange(t, theirs, ours)
		})
	}
}
