package key

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// The part of the project's test vectors that is about keys.
type vectors struct {
	Keys []struct {
		Name        string
		PrivateHex  string `json:"private_hex"`
		PrivateText string `json:"private_text"`
		PublicHex   string `json:"public_hex"`
		PublicJSON  string `json:"public_json"`
		PublicShort string `json:"public_short"`
		PublicText  string `json:"public_text"`
	}
	TextParse []struct {
		Kind  string
		In    string
		OK    bool
		Value string `json:"value_hex"`
	} `json:"text_parse"`
	NaclBox []struct {
		Label, From, To string
		Nonce           string `json:"nonce_hex"`
		BoxKey          string `json:"beforenm_key_hex"`
		Plaintext       string `json:"plaintext_hex"`
		Sealed          string `json:"sealed_hex"`
	} `json:"nacl_box"`
	ConfigFile struct {
		Text       string `json:"file_text"`
		Mode       string `json:"mode_octal"`
		PrivateHex string `json:"private_hex"`
	} `json:"config_file"`
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
	if len(v.Keys) == 0 || len(v.TextParse) == 0 || len(v.NaclBox) == 0 || v.ConfigFile.Text == "" {
		t.Fatal("vectors.json lacks a part that these tests are about")
	}
	return v
}

func (v vectors) private(t *testing.T, name string) Private {
	t.Helper()
	for _, k := range v.Keys {
		if k.Name == name {
			return mustPrivate(t, k.PrivateText)
		}
	}
	t.Fatalf("no key named %q in the vectors", name)
	return Private{}
}

func mustPrivate(t *testing.T, text string) Private {
	t.Helper()
	k, err := ParsePrivate(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVectorKeys(t *testing.T) {
	for _, v := range loadVectors(t).Keys {
		private := mustPrivate(t, v.PrivateText)
		if got := hex.EncodeToString(private.raw[:]); got != v.PrivateHex {
			t.Errorf("%s: private %s, want %s", v.Name, got, v.PrivateHex)
		}
		if got := private.Text(); got != v.PrivateText {
			t.Errorf("%s: private text %s, want %s", v.Name, got, v.PrivateText)
		}
		public := private.Public()
		for _, form := range []struct{ name, got, want string }{
			{"hex", public.Hex(), v.PublicHex},
			{"text", public.String(), v.PublicText},
			{"short", public.Short(), v.PublicShort},
		} {
			if form.got != form.want {
				t.Errorf("%s: public %s %s, want %s", v.Name, form.name, form.got, form.want)
			}
		}
		if asJSON, err := json.Marshal(public); err != nil || string(asJSON) != v.PublicJSON {
			t.Errorf("%s: public JSON %s, %v, want %s", v.Name, asJSON, err, v.PublicJSON)
		}
		var back Public
		if err := json.Unmarshal([]byte(v.PublicJSON), &back); err != nil || back != public {
			t.Errorf("%s: public from JSON %v, %v, want %v", v.Name, back, err, public)
		}
	}
}

func TestVectorTextParse(t *testing.T) {
	for _, v := range loadVectors(t).TextParse {
		got, err := parseKind(v.Kind, v.In)
		if (err == nil) != v.OK {
			t.Errorf("%s %q: error %v, want ok=%v", v.Kind, v.In, err, v.OK)
		}
		if v.OK && hex.EncodeToString(got[:]) != v.Value {
			t.Errorf("%s %q: %x, want %s", v.Kind, v.In, got, v.Value)
		}
		if !v.OK && got != [Len]byte{} {
			t.Errorf("%s %q: a refused text left a value behind: %x", v.Kind, v.In, got)
		}
	}
}

func parseKind(kind, text string) ([Len]byte, error) {
	switch kind {
	case "public":
		p, err := ParsePublic(text)
		return p, err
	case "public_untyped":
		p, err := ParsePublicHex(text)
		return p, err
	case "private":
		k, err := ParsePrivate(text)
		return k.raw, err
	case "mesh":
		m, err := ParseMesh(strings.TrimSpace(text))
		return m.raw, err
	case "mesh_json":
		var m Mesh
		err := json.Unmarshal([]byte(text), &m)
		return m.raw, err
	}
	panic("the vectors know a kind of key that this test does not: " + kind)
}

func TestVectorBox(t *testing.T) {
	vectors := loadVectors(t)
	for _, v := range vectors.NaclBox {
		from, to := vectors.private(t, v.From), vectors.private(t, v.To)
		sender, receiver := from.Box(to.Public()), to.Box(from.Public())
		if !bytes.Equal(sender.shared[:], unhex(t, v.BoxKey)) || sender.shared != receiver.shared {
			t.Errorf("%s: the two ends computed %x and %x, want %s", v.Label, sender.shared, receiver.shared, v.BoxKey)
		}
		plaintext, sealed := unhex(t, v.Plaintext), unhex(t, v.Sealed)
		if got := sender.seal([nonceLen]byte(unhex(t, v.Nonce)), plaintext); !bytes.Equal(got, sealed) {
			t.Errorf("%s: sealed %x, want %x", v.Label, got, sealed)
		}
		if got, ok := receiver.Open(sealed); !ok || !bytes.Equal(got, plaintext) {
			t.Errorf("%s: opened %q, %v, want %q", v.Label, got, ok, plaintext)
		}
	}
}

func TestVectorConfigFile(t *testing.T) {
	v := loadVectors(t).ConfigFile
	want := mustPrivate(t, privatePrefix+v.PrivateHex)

	path := filepath.Join(t.TempDir(), "relay.key")
	if err := os.WriteFile(path, []byte(v.Text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadFile(path); err != nil || !got.Equal(want) {
		t.Errorf("reading the file: right key %v, error %v", got.Equal(want), err)
	}

	path = filepath.Join(t.TempDir(), "some", "where", "relay.key")
	if err := CreateFile(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != v.Text {
		t.Errorf("wrote %q, %v, want %q", got, err, v.Text)
	}
	checkMode(t, path, v.Mode)
}

func checkMode(t *testing.T, path, octal string) {
	t.Helper()
	if runtime.GOOS == "windows" { // has no such modes
		return
	}
	want, err := strconv.ParseUint(octal, 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != os.FileMode(want) {
		t.Errorf("file mode %v, want %v", got, os.FileMode(want))
	}
}
