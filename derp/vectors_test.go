package derp

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/detour-relay/detour/key"
)

// The part of the project's test vectors that is about frames.
type vectors struct {
	Keys []struct {
		Name        string
		PrivateText string `json:"private_text"`
		MetaCertCN  string `json:"metacert_cn"`
	}
	NaclBox []struct {
		Label     string
		Plaintext string
		Sealed    string `json:"sealed_hex"`
	} `json:"nacl_box"`
	ClientInfo []struct {
		Name, From, JSON string
		Frame            string `json:"frame_hex"`
		Greeting         string `json:"greeting_hex"`
		ServerInfoJSON   string `json:"server_info_json"`
	} `json:"client_info"`
	Frames          []frameVector
	ClientBadFrames []struct {
		Name   string
		Frame  string `json:"frame_hex"`
		Result string `json:"reference_client_result"`
	} `json:"client_bad_frames"`
	ServerBadInput struct {
		Login []struct {
			Name     string
			Frame    string `json:"frame_hex"`
			LoggedIn bool   `json:"logged_in"`
		}
		AfterLogin []struct {
			Name    string
			Frame   string `json:"frame_hex"`
			Mesh    bool   `json:"mesh_client"`
			Outcome string
		} `json:"after_login"`
	} `json:"server_bad_input"`
	DiscoClassifier []struct {
		Name   string
		Packet string `json:"packet_hex"`
		Disco  bool
	} `json:"disco_classifier"`
}

type frameVector struct {
	Name   string
	Type   FrameType
	Frame  string `json:"frame_hex"`
	Parsed string `json:"reference_client_parses_as"`
	Fields struct {
		Key, Dst, Src, Peer, Box string
		Payload, Problem         string
		Preferred                bool
		Reason                   *Reason
		IPPort                   string
		Flags                    *PresenceFlags
		AppName                  string `json:"app_name"`
		Data                     string `json:"data_hex"`
		Extra                    string `json:"extra_hex"`
		ReconnectIn              int64  `json:"reconnect_in_ms"`
		TryFor                   int64  `json:"try_for_ms"`
	}
}

func loadVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) == 0 || len(v.NaclBox) == 0 || len(v.ClientInfo) == 0 || len(v.Frames) == 0 || len(v.ClientBadFrames) == 0 ||
		len(v.ServerBadInput.Login) == 0 || len(v.ServerBadInput.AfterLogin) == 0 || len(v.DiscoClassifier) == 0 {
		t.Fatal("vectors.json lacks a part that these tests are about")
	}
	return v
}

// key returns a key pair by name, and the zero keys for no name.
func (v vectors) key(t testing.TB, name string) (key.Private, key.Public) {
	t.Helper()
	if name == "" {
		return key.Private{}, key.Public{}
	}
	for _, k := range v.Keys {
		if k.Name == name {
			private, err := key.ParsePrivate(k.PrivateText)
			if err != nil {
				t.Fatal(err)
			}
			return private, private.Public()
		}
	}
	t.Fatalf("no key named %q in the vectors", name)
	return key.Private{}, key.Public{}
}

func (v vectors) public(t testing.TB, name string) key.Public {
	_, public := v.key(t, name)
	return public
}

func (v vectors) box(t testing.TB, mine, theirs string) *key.Box {
	private, _ := v.key(t, mine)
	box := private.Box(v.public(t, theirs))
	return &box
}

func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// takeFrame splits a frame off b.
func takeFrame(t testing.TB, b []byte) (typ FrameType, payload, rest []byte) {
	t.Helper()
	if len(b) < HeaderLen {
		t.Fatalf("%x is too short for a header", b)
	}
	typ, n := ParseHeader(b)
	if len(b)-HeaderLen < n {
		t.Fatalf("%v announces %d bytes, and %d follow", typ, n, len(b)-HeaderLen)
	}
	return typ, b[HeaderLen:][:n], b[HeaderLen+n:]
}
