package client

import (
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// The part of the project's test vectors that is about what a client does.
type vectors struct {
	Keys []struct {
		Name        string
		PrivateText string `json:"private_text"`
	}
	HTTP   map[string]json.RawMessage
	Frames []struct {
		Name, Direction string
		Frame           string `json:"frame_hex"`
		Parsed          string `json:"reference_client_parses_as"`
		Fields          struct {
			AppName string `json:"app_name"`
		}
	}
	ClientBadFrames []struct {
		Name   string
		Frame  string `json:"frame_hex"`
		Result string `json:"reference_client_result"`
	} `json:"client_bad_frames"`
}

func loadVectors(t *testing.T) vectors {
	t.Helper()
	data, err := os.ReadFile("../derp/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) == 0 || len(v.HTTP) == 0 || len(v.Frames) == 0 || len(v.ClientBadFrames) == 0 {
		t.Fatal("vectors.json lacks a part that these tests are about")
	}
	return v
}

func (v vectors) key(t *testing.T, name string) key.Private {
	t.Helper()
	for _, k := range v.Keys {
		if k.Name == name {
			private, err := key.ParsePrivate(k.PrivateText)
			if err != nil {
				t.Fatal(err)
			}
			return private
		}
	}
	t.Fatalf("no key named %q in the vectors", name)
	return key.Private{}
}

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The requests are the same byte by byte; of the frames behind them, the login says
// that we answer Pings, always.
func TestVectorRequests(t *testing.T) {
	v := loadVectors(t)
	relayKey, a := v.key(t, "server"), newAuthority(t)
	leaf := a.issue("derp.example.com", "mesh.example.com")
	meta := with(leaf, metaCert(t, relayKey.Public(), 2))
	mesh, err := key.ParseMesh("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	old := serverTLS(meta)
	old.MaxVersion = tls.VersionTLS12

	for name, c := range map[string]struct {
		url    string
		server *tls.Config
		change func(*Config)
	}{
		"plain_http_upgrade":        {"http://derp.example.com:3340/derp", nil, func(cfg *Config) {}},
		"tls13_meta_cert_faststart": {"https://derp.example.com:44443/derp", serverTLS(meta), func(cfg *Config) { cfg.Preferred = true }},
		"tls13_no_meta_cert":        {"https://derp.example.com:44443/derp", serverTLS(leaf), func(cfg *Config) {}},
		"tls12_with_meta_cert":      {"https://derp.example.com:44443/derp", old, func(cfg *Config) {}},
		"second_node_not_ideal":     {"https://derp.example.com:44443/derp", serverTLS(meta), func(cfg *Config) { cfg.IdealNode = "900z" }},
		"mesh_watch":                {"http://mesh.example.com/derp", nil, func(cfg *Config) { cfg.MeshKey = mesh }},
	} {
		t.Run(name, func(t *testing.T) {
			var want struct {
				Request string
				Frames  []string `json:"frames_after_request"`
			}
			if err := json.Unmarshal(v.HTTP[name], &want); err != nil {
				t.Fatal(err)
			}
			requests, frames := make(chan string, 1), make(chan []string, 1)
			relay := startRelay(t, relayKey, c.server, func(s *side) { s.record(requests, frames, len(want.Frames)) })
			cfg := relay.config(t, c.url)
			cfg.RootCAs = a.pool()
			c.change(&cfg)
			conn := dial(t, cfg)
			if name == "mesh_watch" {
				if err := conn.WatchConns(); err != nil {
					t.Fatal(err)
				}
			}
			if got := <-requests; got != want.Request {
				t.Errorf("request\n%q, want\n%q", got, want.Request)
			}
			for i := range want.Frames {
				want.Frames[i] = strings.Replace(want.Frames[i], `"CanAckPings":false`, `"CanAckPings":true`, 1)
			}
			if got := <-frames; !reflect.DeepEqual(got, want.Frames) {
				t.Errorf("frames\n%q, want\n%q", got, want.Frames)
			}
			if conn.ServerKey() != relayKey.Public() {
				t.Errorf("the relay's key is %v, want %v", conn.ServerKey(), relayKey.Public())
			}
		})
	}
}

// record plays a relay up to the n-th frame, and passes on the request and the
// frames in the words of the vectors.
func (s *side) record(requests chan<- string, frames chan<- []string, n int) {
	head, _ := s.request()
	requests <- head
	if !strings.Contains(head, "Derp-Fast-Start") {
		s.write([]byte(switchingProtocols))
	}
	s.write(derp.AppendServerKey(nil, s.key.Public()))
	var got []string
	for range n {
		frame, payload, ok := s.read()
		if !ok {
			break
		}
		text := fmt.Sprintf("type=0x%02x payload=%x", byte(frame), payload)
		if peer, sealed, err := derp.ParseClientInfo(payload); frame == derp.FrameClientInfo && err == nil {
			box := s.key.Box(peer)
			msg, _ := box.Open(sealed)
			text = fmt.Sprintf("type=0x%02x ClientInfo json=%s", byte(frame), msg)
		}
		got = append(got, text)
	}
	frames <- got
}

// Real relays answer in one segment: nothing behind the 101 may be lost.
func TestVectorServerReplies(t *testing.T) {
	v := loadVectors(t)
	relayKey := v.key(t, "server")
	for _, name := range []string{"server_reply_upgrade_derp_hex", "server_reply_upgrade_websocket_no_subprotocol_hex"} {
		var reply string
		if err := json.Unmarshal(v.HTTP[name], &reply); err != nil {
			t.Fatal(err)
		}
		relay := startRelay(t, relayKey, nil, func(s *side) {
			s.request()
			s.write(unhex(t, reply))
			if _, ok := s.readLogin(); ok {
				s.write(s.serverInfo(derp.ServerInfo{}))
				s.drain()
			}
		})
		c := admitted(t, relay.config(t, "http://relay.example.com"))
		if c.ServerKey() != relayKey.Public() {
			t.Errorf("%s: the relay's key is %v", name, c.ServerKey())
		}
	}
}

func TestVectorServerReplyFastStart(t *testing.T) {
	v := loadVectors(t)
	relayKey, a := v.key(t, "server"), newAuthority(t)
	var reply string
	if err := json.Unmarshal(v.HTTP["server_reply_faststart_hex"], &reply); err != nil {
		t.Fatal(err)
	}
	server := serverTLS(with(a.issue("relay.example.com"), metaCert(t, relayKey.Public(), 2)))
	relay := startRelay(t, relayKey, server, func(s *side) {
		s.request()
		s.write(unhex(t, reply))
		if _, ok := s.readLogin(); ok {
			s.write(s.serverInfo(derp.ServerInfo{}))
			s.drain()
		}
	})
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	c := admitted(t, cfg)
	if got := c.Stats(); got != (Stats{}) {
		t.Errorf("the late greeting was counted: %+v", got)
	}
}

// What Recv makes of every frame that the vectors have for a client.
func TestVectorFrames(t *testing.T) {
	v := loadVectors(t)
	server, alice := v.key(t, "server"), v.key(t, "alice")
	for _, f := range v.Frames {
		if f.Parsed == "" || strings.HasPrefix(f.Parsed, "Ping") {
			continue // sent by clients, or not delivered: TestPingIsAnswered
		}
		c := dialScripted(t, server, alice, unhex(t, f.Frame))
		msg, err := c.Recv(make([]byte, derp.MaxPacket))
		if got := describe(msg); err != nil || got != f.Parsed {
			t.Errorf("%s: received\n  %s, %v, want\n  %s", f.Name, got, err, f.Parsed)
		}
		if msg.AppName != f.Fields.AppName {
			t.Errorf("%s: application name %q, want %q", f.Name, msg.AppName, f.Fields.AppName)
		}
	}
}

func TestVectorBadFrames(t *testing.T) {
	v := loadVectors(t)
	server, alice := v.key(t, "server"), v.key(t, "alice")
	for _, bad := range v.ClientBadFrames {
		c := dialScripted(t, server, alice, derp.AppendKeepAlive(unhex(t, bad.Frame)))
		msg, err := c.Recv(make([]byte, derp.MaxPacket))
		switch bad.Result {
		case "skipped":
			if err != nil || msg.Kind != MessageKeepAlive || c.Stats().SkippedFrames != 1 {
				t.Errorf("%s: received %v, %v, counted %d, want only what is behind it", bad.Name, msg.Kind, err, c.Stats().SkippedFrames)
			}
		case "fatal":
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("%s: %v, want ErrProtocol", bad.Name, err)
			}
			if again := c.Send(key.Public{1}, nil); again != err {
				t.Errorf("%s: afterwards Send says %v, want %v", bad.Name, again, err)
			}
		default:
			t.Fatalf("unknown result %q", bad.Result)
		}
	}
}

// dialScripted connects to a relay that sends frames right after the login, without
// ServerInfo.
func dialScripted(t *testing.T, server, client key.Private, frames []byte) *Conn {
	t.Helper()
	relay := startRelay(t, server, nil, func(s *side) {
		if _, ok := s.takeOver(); ok {
			s.write(frames)
			s.drain()
		}
	})
	cfg := relay.config(t, "http://relay.example.com")
	cfg.Key = client
	return dial(t, cfg)
}

// describe puts a message into the words of the vectors.
func describe(m Message) string {
	switch m.Kind {
	case MessagePacket:
		return fmt.Sprintf("RecvPacket src=%s data=%x", m.Peer.Hex(), m.Packet)
	case MessageServerInfo:
		return fmt.Sprintf("ServerInfo bytes_per_sec=%d burst=%d", m.ServerInfo.TokenBucketBytesPerSecond, m.ServerInfo.TokenBucketBytesBurst)
	case MessagePeerGone:
		return fmt.Sprintf("PeerGone key=%s reason=%d", m.Peer.Hex(), byte(m.Reason))
	case MessagePeerPresent:
		return fmt.Sprintf("PeerPresent key=%s ipport=%v flags=%d", m.Peer.Hex(), m.Addr, byte(m.Flags))
	case MessageHealth:
		return fmt.Sprintf("Health problem=%q", m.Health)
	case MessageRestarting:
		return fmt.Sprintf("Restarting reconnect_in_ms=%d try_for_ms=%d", m.ReconnectIn.Milliseconds(), m.TryFor.Milliseconds())
	case MessageKeepAlive:
		return "KeepAlive"
	case MessagePong:
		return fmt.Sprintf("Pong %x", m.Pong)
	}
	return m.Kind.String()
}
