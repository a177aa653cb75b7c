package roster

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relay is one that says what the test has it say.
type relay struct {
	key  key.Private
	mesh key.Mesh // that it knows

	flood func(self key.Public) []byte // the answer to WatchConns; nil: the end of the connection
	then  []byte                       // behind the Pong
}

func (r *relay) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
	conn.Write(derp.AppendServerKey(nil, r.key.Public()))
	_, payload, err := readFrame(rw)
	if err != nil {
		return
	}
	self, sealed, err := derp.ParseClientInfo(payload)
	if err != nil {
		return
	}
	box := r.key.Box(self)
	info, err := derp.OpenClientInfo(sealed, &box)
	if err != nil {
		return
	}
	conn.Write(derp.AppendServerInfo(nil, &box, derp.ServerInfo{}))
	r.answer(rw, conn, self, info.MeshKey == r.mesh && r.flood != nil)
}

func (r *relay) answer(in io.Reader, conn net.Conn, self key.Public, sibling bool) {
	for {
		frame, payload, err := readFrame(in)
		switch {
		case err != nil, frame == derp.FrameWatchConns && !sibling:
			return
		case frame == derp.FrameWatchConns:
			conn.Write(r.flood(self))
		case frame == derp.FramePing:
			data, _ := derp.ParsePing(payload)
			conn.Write(append(derp.AppendPong(nil, data), r.then...))
		}
	}
}

func readFrame(r io.Reader) (derp.FrameType, []byte, error) {
	header := make([]byte, derp.HeaderLen)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, nil, err
	}
	frame, n := derp.ParseHeader(header)
	payload := make([]byte, n)
	_, err := io.ReadFull(r, payload)
	return frame, payload, err
}

func start(t *testing.T, r *relay) client.Config {
	t.Helper()
	r.key = key.NewPrivate()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return client.Config{URL: server.URL + "/derp"}
}

func meshKey(t *testing.T, digit string) key.Mesh {
	t.Helper()
	k, err := key.ParseMesh(strings.Repeat(digit, 2*key.Len))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func present(peers ...derp.Presence) (b []byte) {
	for _, p := range peers {
		b = derp.AppendPeerPresent(b, p)
	}
	return b
}

func TestTheListIsCompleteAndWithoutUs(t *testing.T) {
	addr := netip.MustParseAddrPort("192.0.2.1:41641")
	first := derp.Presence{Key: key.NewPrivate().Public(), Addr: addr, Flags: derp.PresenceNotIdeal}
	second := derp.Presence{Key: key.NewPrivate().Public(), Flags: derp.PresenceMesh}
	later := derp.Presence{Key: key.NewPrivate().Public()}
	known := meshKey(t, "a")
	dial := start(t, &relay{
		mesh: known,
		flood: func(self key.Public) []byte {
			b := derp.AppendPong(nil, [derp.PingLen]byte{1}) // an answer to nothing
			return append(b, present(first, derp.Presence{Key: self}, second)...)
		},
		then: append(present(later), derp.AppendPeerGone(nil, first.Key, derp.ReasonDisconnected)...),
	})
	r, err := Open(t.Context(), Config{Dial: dial, MeshKeys: []key.Mesh{meshKey(t, "b"), known}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.MeshKey() != 1 || r.Len() != 2 || !r.Has(first.Key) || !r.Has(second.Key) {
		t.Errorf("mesh key %d, peers %v", r.MeshKey(), r.Peers())
	}
	if !slices.Contains(r.Peers(), Peer{Key: first.Key, Addr: addr, Flags: derp.PresenceNotIdeal}) {
		t.Errorf("peers %v, want %v among them", r.Peers(), first)
	}
	for _, want := range []Event{{true, Peer{Key: later.Key}}, {false, Peer{Key: first.Key}}} {
		e, err := r.Next()
		if err != nil || e.Present != want.Present || e.Peer.Key != want.Peer.Key {
			t.Errorf("%+v, %v; want %+v", e, err, want)
		}
	}
	if r.Has(first.Key) || !r.Has(later.Key) {
		t.Errorf("peers afterwards: %v", r.Peers())
	}
}

func TestOnlyWhatIsKeptIsListed(t *testing.T) {
	sibling := derp.Presence{Key: key.NewPrivate().Public(), Flags: derp.PresenceMesh}
	dial := start(t, &relay{mesh: meshKey(t, "a"), flood: func(self key.Public) []byte {
		return present(sibling, derp.Presence{Key: key.NewPrivate().Public()}, derp.Presence{Key: self})
	}})
	r, err := Open(t.Context(), Config{
		Dial: dial, MeshKeys: []key.Mesh{meshKey(t, "a")},
		Keep: func(p Peer) bool { return p.Flags&derp.PresenceMesh != 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Len() != 1 || !r.Has(sibling.Key) {
		t.Errorf("peers %v", r.Peers())
	}
}

func TestWhatKeepsAListFromComing(t *testing.T) {
	for _, test := range []struct {
		name  string
		relay *relay
		want  error
	}{
		{"another key", &relay{mesh: meshKey(t, "b"), flood: func(key.Public) []byte { return nil }}, ErrNotTold},
		{"no mesh", &relay{mesh: meshKey(t, "a")}, ErrNotTold},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(t.Context(), Config{Dial: start(t, test.relay), MeshKeys: []key.Mesh{meshKey(t, "a")}})
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
	if _, err := Open(t.Context(), Config{Dial: client.Config{URL: "http://127.0.0.1:1"}}); err == nil {
		t.Error("no mesh key is accepted")
	}
}
