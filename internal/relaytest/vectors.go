package relaytest

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Vectors are the test vectors that are about relays.
type Vectors struct {
	Keys []struct {
		Name      string
		PublicHex string `json:"public_hex"`
	}
	ClientInfo []struct {
		Name, From string
		Frame      Hex    `json:"frame_hex"`
		Greeting   Hex    `json:"greeting_hex"`
		Accepts    bool   `json:"server_accepts"`
		ServerInfo string `json:"server_info_json"`
	} `json:"client_info"`
	Frames []struct {
		Name  string
		Type  byte
		Frame Hex `json:"frame_hex"`
	}
	BadInput struct {
		Login []struct {
			Name     string
			Frame    Hex `json:"frame_hex"`
			Outcome  string
			LoggedIn bool `json:"logged_in"`
		}
		AfterLogin []struct {
			Name    string
			Mesh    bool `json:"mesh_client"`
			Frame   Hex  `json:"frame_hex"`
			Outcome string
			Replies []string
		} `json:"after_login"`
	} `json:"server_bad_input"`
	Scenarios []Scenario
}

// A Scenario is a scripted dialogue.
type Scenario struct {
	Name  string
	Steps []Step
}

// A Step is what somebody does, and what others receive then. It has those of
// the fields that its scenario is about.
type Step struct {
	Do, Then string

	Received    map[string][]string // by conn
	Watcher     []string            `json:"watcher_received"`
	Early       []string            `json:"early_received"`
	Self        []string            `json:"self_client_received"`
	MeshPeer    []string            `json:"mesh_peer_received"`
	Dst         []string            `json:"dst_received"`
	Receiver    []string            `json:"receiver_received"`
	AfterDisco  []string            `json:"sender_received_after_disco"`
	AfterOther  []string            `json:"sender_received_after_non_disco"`
	Via         string              `json:"delivered_via"`
	Sender      []string            `json:"sender_received"`
	PacketsLeft []int               `json:"delivered_packet_numbers"`
}

// Scenario returns the scenario of that name.
func (v *Vectors) Scenario(t testing.TB, name string) Scenario {
	t.Helper()
	for _, s := range v.Scenarios {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no scenario %q in the vectors", name)
	return Scenario{}
}

// Hex is bytes that the vectors spell in hex.
type Hex []byte

// UnmarshalText reads hex digits.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// LoadVectors reads the test vectors of the module that the test belongs to.
func LoadVectors(t testing.TB) *Vectors {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(moduleRoot(t), "derp", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	v := new(Vectors)
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) == 0 || len(v.ClientInfo) == 0 || len(v.Frames) == 0 || len(v.Scenarios) == 0 ||
		len(v.BadInput.Login) == 0 || len(v.BadInput.AfterLogin) == 0 {
		t.Fatal("vectors.json lacks a part that relays are tested with")
	}
	return v
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}
