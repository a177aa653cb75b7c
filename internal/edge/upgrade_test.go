package edge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// upgrades lists requests of the vectors (spec 20) and what must answer them.
func upgrades(t *testing.T) map[string]struct {
	request string
	reply   []byte
} {
	v := testVectors(t).HTTP
	oldSpelling := strings.Replace(v.Classic.Request, "Upgrade: DERP", "Upgrade: WebSocket", 1)
	return map[string]struct {
		request string
		reply   []byte
	}{
		"classic":       {v.Classic.Request, v.ReplyClassic},
		"classic 1.2":   {v.Classic12.Request, v.ReplyClassic},
		"plain":         {v.Plain.Request, v.ReplyClassic},
		"fast start":    {v.FastStart.Request, v.ReplyFastStart},
		"not ideal":     {v.NotIdeal.Request, v.ReplyFastStart},
		"watcher":       {v.Watcher.Request, v.ReplyClassic},
		"old spelling":  {oldSpelling, v.ReplyWebSocket},
		"upper case":    {strings.Replace(v.Classic.Request, "DERP", "DeRp", 1), v.ReplyClassic},
		"method":        {strings.Replace(v.Classic.Request, "GET", "POST", 1), v.ReplyClassic},
		"no Connection": {strings.Replace(v.Classic.Request, "Connection: Upgrade\r\n", "", 1), v.ReplyClassic},
		"other value":   {strings.Replace(v.FastStart.Request, "Derp-Fast-Start: 1", "Derp-Fast-Start: true", 1), v.ReplyClassic},
	}
}

// transports lists how a peer can reach the servers of a test.
func transports(t *testing.T) map[string]func() io.ReadWriter {
	r := testRelay(t)
	secure := start(t, Config{Relay: r, TLS: selfTLS(t)})
	plain := start(t, Config{Relay: r})
	return map[string]func() io.ReadWriter{
		"TLS 1.3": func() io.ReadWriter { return dialTLS(t, secure, tls.VersionTLS13) },
		"TLS 1.2": func() io.ReadWriter { return dialTLS(t, secure, tls.VersionTLS12) },
		"plain":   func() io.ReadWriter { return dial(t, plain) },
	}
}

// Every request of the vectors is answered byte for byte, and the relay serves
// the stream behind it, whether the login came with the request in one segment
// (as fast start does) or after the answer.
func TestUpgrade(t *testing.T) {
	server := vectorKey(t, "server").Public()
	for transport, dial := range transports(t) {
		for name, u := range upgrades(t) {
			t.Run(transport+"/"+name, func(t *testing.T) {
				p := newPeer(server)
				c := dial()
				send(t, c, slices.Concat([]byte(u.request), p.clientInfo()))
				wantBytes(t, c, u.reply)
				p.wantServed(t, c)

				p = newPeer(server)
				c = dial()
				send(t, c, []byte(u.request))
				wantBytes(t, c, u.reply)
				send(t, c, p.clientInfo())
				p.wantServed(t, c)
			})
		}
	}
}

// A login cut anywhere, in the request or in the frame, arrives whole.
func TestUpgradeInPieces(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{TLS: selfTLS(t)})
	for _, pieces := range []int{2, 3, 7, 40} {
		p := newPeer(vectorKey(t, "server").Public())
		c := dialTLS(t, s, tls.VersionTLS13)
		all := slices.Concat([]byte(v.FastStart.Request), p.clientInfo())
		for piece := range slices.Chunk(all, len(all)/pieces) {
			send(t, c, piece)
		}
		wantBytes(t, c, v.ReplyFastStart)
		p.wantServed(t, c)
	}
}

// A request on a connection that was used for HTTP before can still upgrade.
func TestUpgradeAfterRequests(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{TLS: selfTLS(t)})
	p := newPeer(vectorKey(t, "server").Public())
	c := dialTLS(t, s, tls.VersionTLS13)
	for range 2 {
		send(t, c, []byte("GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n"))
		r := bufio.NewReaderSize(c, 4096)
		response := must(http.ReadResponse(r, nil))(t)
		if response.StatusCode != http.StatusOK || r.Buffered() != 0 {
			t.Fatalf("status %d, %d bytes behind it", response.StatusCode, r.Buffered())
		}
	}
	send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)
	p.wantServed(t, c)
}

// What the relay is told about a conn shows in what it tells a sibling.
func TestUpgradeOrigin(t *testing.T) {
	v := testVectors(t).HTTP
	mesh := must(key.ParseMesh(strings.Repeat("ab", 32)))(t)
	s := start(t, Config{Relay: testRelay(t, mesh)})
	server := vectorKey(t, "server").Public()

	watcher := newPeer(server)
	w := dial(t, s)
	info := derp.ClientInfo{Version: derp.ProtocolVersion, MeshKey: mesh}
	send(t, w, slices.Concat([]byte(v.Watcher.Request),
		derp.AppendClientInfo(nil, watcher.key.Public(), watcher.box, info), derp.AppendWatchConns(nil)))
	wantBytes(t, w, v.ReplyClassic)

	seen := func(p peer) derp.Presence {
		for {
			kind, payload := frame(t, w)
			if kind != derp.FramePeerPresent {
				continue
			}
			if present := must(derp.ParsePeerPresent(payload))(t); present.Key == p.key.Public() {
				return present
			}
		}
	}
	for request, want := range map[string]derp.PresenceFlags{
		v.Plain.Request:    derp.PresenceRegular,
		v.NotIdeal.Request: derp.PresenceNotIdeal,
	} {
		p := newPeer(server)
		c := dial(t, s)
		send(t, c, slices.Concat([]byte(request), p.clientInfo()))
		got := seen(p)
		addr := netip.MustParseAddrPort(c.LocalAddr().String())
		if got.Flags != want || got.Addr != addr {
			t.Errorf("flags %v address %v, want %v and %v", got.Flags, got.Addr, want, addr)
		}
	}
}

// Only what can be the name of a node is kept as such.
func TestIdealNode(t *testing.T) {
	for header, want := range map[string]string{
		"":                      "",
		"900a":                  "900a",
		strings.Repeat("n", 64): strings.Repeat("n", 64),
		strings.Repeat("n", 65): "?",
		"caf\xe9":               "?",
		"a\tb":                  "?",
	} {
		r := &http.Request{Header: http.Header{"Ideal-Node": {header}}}
		if got := idealNode(r); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

// A request that is no upgrade is told which header is missing or wrong.
func TestUpgradeRefused(t *testing.T) {
	s := start(t, Config{})
	for header, want := range map[string]string{
		"":                                 "no Upgrade header",
		"Upgrade: h2c\r\n":                 `Upgrade: "h2c"`,
		"Upgrade: derpx\r\n":               `Upgrade: "derpx"`,
		"Upgrade: derp, websocket\r\n":     `Upgrade: "derp, websocket"`,
		"Upgrade: \x80" + "\r\n":           `Upgrade: "\x80"`,
		"Derp-Fast-Start: 1\r\n":           "no Upgrade header",
		"Sec-WebSocket-Protocol: derp\r\n": "no Upgrade header",
	} {
		c := dial(t, s)
		send(t, c, []byte("GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"+header+"\r\n"))
		response := must(http.ReadResponse(bufio.NewReader(c), nil))(t)
		body := must(io.ReadAll(response.Body))(t)
		if response.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(body), want) {
			t.Errorf("%q: status %d %q, want 426 with %q", header, response.StatusCode, body, want)
		}
		if bytes.Count(body, []byte("\n")) != 1 || response.Header.Get("Upgrade") != "DERP" {
			t.Errorf("%q: body %q, Upgrade %q: want one line and the header", header, body, response.Header.Get("Upgrade"))
		}
	}
	if n := s.Snapshot().Refused; n != 7 {
		t.Errorf("%d refusals counted, want 7", n)
	}
}
