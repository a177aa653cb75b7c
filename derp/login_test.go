package derp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
)

func TestServerKeyRefuses(t *testing.T) {
	good := AppendServerKey(nil, key.Public{1})[HeaderLen:]
	if _, err := ParseServerKey(good); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseServerKey([]byte(strings.ToLower(string(good)))); !errors.Is(err, ErrMagic) {
		t.Errorf("wrong magic: %v", err)
	}
	if _, err := ParseServerKey(AppendServerKey(nil, key.Public{})[HeaderLen:]); !errors.Is(err, ErrZeroKey) {
		t.Errorf("zero key: %v", err)
	}
}

func TestClientInfoRefusesZeroKey(t *testing.T) {
	if _, _, err := ParseClientInfo(make([]byte, 100)); !errors.Is(err, ErrZeroKey) {
		t.Errorf("got %v", err)
	}
}

func TestOpenClientInfo(t *testing.T) {
	mesh := strings.Repeat("5e", 32)
	meshKey, err := key.ParseMesh(mesh)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		json string
		want ClientInfo
		err  error
	}{
		{`{}`, ClientInfo{}, nil},
		{`null`, ClientInfo{}, nil},
		{` {"version": 2} `, ClientInfo{Version: 2}, nil},
		{`{"VERSION":99,"canackpings":true,"ISPROBER":true,"appname":"a b","other":[{}]}`, ClientInfo{Version: 99, CanAckPings: true, IsProber: true, AppName: "a b"}, nil},
		{`{"meshKey":"` + mesh + `"}`, ClientInfo{MeshKey: meshKey}, nil},
		{`{"MESHKEY":"` + strings.ToUpper(mesh) + `"}`, ClientInfo{MeshKey: meshKey}, nil},
		{`{"meshKey":"` + strings.Repeat("0", 64) + `"}`, ClientInfo{}, nil},
		{`{"meshKey":""}`, ClientInfo{}, ErrJSON},
		{`{"meshKey":null}`, ClientInfo{}, ErrJSON},
		{`{"meshKey":"` + mesh[2:] + `"}`, ClientInfo{}, ErrJSON},
		{`{"meshKey":7}`, ClientInfo{}, ErrJSON},
		{`{"version":"2"}`, ClientInfo{}, ErrJSON},
		{`{"version":2`, ClientInfo{}, ErrJSON},
		{`{} {}`, ClientInfo{}, ErrJSON},
		{``, ClientInfo{}, ErrJSON},
		{`[]`, ClientInfo{}, ErrJSON},
		{`"x"`, ClientInfo{}, ErrJSON},
		{`{"AppName":"` + strings.Repeat("x", 32) + `"}`, ClientInfo{AppName: strings.Repeat("x", 32)}, nil},
		{`{"AppName":"` + strings.Repeat("x", 33) + `"}`, ClientInfo{}, ErrAppName},
		{`{"AppName":"na` + "\u00ef" + `ve"}`, ClientInfo{}, ErrAppName},
		{`{"AppName":"a\u0000b"}`, ClientInfo{}, ErrAppName},
		{`{"AppName":"a\tb"}`, ClientInfo{}, ErrAppName},
		{`{"AppName":"a` + "\x7f" + `b"}`, ClientInfo{}, ErrAppName},
	} {
		relay, peer := key.NewPrivate(), key.NewPrivate()
		sealing, opening := peer.Box(relay.Public()), relay.Box(peer.Public())
		got, err := OpenClientInfo(sealing.Seal([]byte(c.json)), &opening)
		if !errors.Is(err, c.err) || (c.err == nil && err != nil) {
			t.Errorf("%s: error %v, want %v", c.json, err, c.err)
		}
		if !got.MeshKey.Equal(c.want.MeshKey) {
			t.Errorf("%s: wrong mesh key", c.json)
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.json, got, c.want)
		}
	}
}

func TestOpenWithTheWrongBox(t *testing.T) {
	relay, peer, other := key.NewPrivate(), key.NewPrivate(), key.NewPrivate()
	sealing, wrong := peer.Box(relay.Public()), relay.Box(other.Public())
	_, sealed, err := ParseClientInfo(AppendClientInfo(nil, peer.Public(), &sealing, ClientInfo{})[HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenClientInfo(sealed, &wrong); !errors.Is(err, ErrBox) {
		t.Errorf("ClientInfo: %v", err)
	}
	if _, err := OpenServerInfo(AppendServerInfo(nil, &sealing, ServerInfo{})[HeaderLen:], &wrong); !errors.Is(err, ErrBox) {
		t.Errorf("ServerInfo: %v", err)
	}
	if _, err := OpenServerInfo(make([]byte, 23), &wrong); !errors.Is(err, ErrBox) {
		t.Errorf("ServerInfo without nonce: %v", err)
	}
}

func TestOpenServerInfo(t *testing.T) {
	relay, peer := key.NewPrivate(), key.NewPrivate()
	sealing, opening := relay.Box(peer.Public()), peer.Box(relay.Public())
	want := ServerInfo{Version: 2, TokenBucketBytesPerSecond: 3, TokenBucketBytesBurst: 4}
	if got, err := OpenServerInfo(AppendServerInfo(nil, &sealing, want)[HeaderLen:], &opening); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := OpenServerInfo(sealing.Seal([]byte("hello")), &opening); !errors.Is(err, ErrJSON) {
		t.Errorf("not JSON: %v", err)
	}
}

func TestReadGreeting(t *testing.T) {
	relay := key.NewPrivate().Public()
	whole := AppendServerKey(nil, relay)
	long := append(AppendHeader(nil, FrameServerKey, len(whole)-HeaderLen+3), append(whole[HeaderLen:len(whole):len(whole)], 1, 2, 3)...)
	for name, test := range map[string]struct {
		input []byte
		want  error
	}{
		"whole":          {whole, nil},
		"more behind it": {append(whole[:len(whole):len(whole)], 6, 0), nil},
		"longer":         {long, nil},
		"nothing":        {nil, io.ErrUnexpectedEOF},
		"half a header":  {whole[:3], io.ErrUnexpectedEOF},
		"half a payload": {whole[:20], io.ErrUnexpectedEOF},
		"another frame":  {AppendKeepAlive(nil), ErrMagic},
		"HTTP":           {[]byte("HTTP/1.1 403 Forbidden\r\n\r\n"), ErrMagic},
		"other magic":    {append(AppendHeader(nil, FrameServerKey, 40), make([]byte, 40)...), ErrMagic},
		"no key":         {AppendServerKey(nil, key.Public{}), ErrZeroKey},
		"short":          {AppendHeader(nil, FrameServerKey, 0), ErrLength},
		"endless":        {AppendHeader(nil, FrameServerKey, MaxGreeting+1), ErrLength},
	} {
		got, err := ReadGreeting(bytes.NewReader(test.input))
		if err != test.want || err == nil && got != relay {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
}
