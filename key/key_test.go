package key

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNewPrivateIsClampedAndFresh(t *testing.T) {
	a, b := NewPrivate(), NewPrivate()
	if a.Equal(b) || a.IsZero() {
		t.Fatal("two fresh keys are equal, or zero")
	}
	for _, k := range []Private{a, b} {
		if k.raw[0]&7 != 0 || k.raw[Len-1]&0xc0 != 0x40 {
			t.Error("a fresh key is not clamped")
		}
	}
}

func TestZeroKeys(t *testing.T) {
	var private Private
	var public Public
	var mesh Mesh
	if !private.IsZero() || !public.IsZero() || !mesh.IsZero() {
		t.Error("a zero value does not say that it is one")
	}
	if private.Public() != public {
		t.Error("no private key has a public key")
	}
	if got := public.Short(); got != "" {
		t.Errorf("short form of no key is %q, want nothing", got)
	}
	zeros := strings.Repeat("0", hexLen)
	if _, err := ParsePrivate(privatePrefix + zeros); err == nil {
		t.Error("a private key of zeros was accepted")
	}
	if m, err := ParseMesh(zeros); err != nil || !m.IsZero() {
		t.Errorf("a mesh key of zeros: %v, no key: %v, want it to parse as no key", err, m.IsZero())
	}
	notZero := mustPrivate(t, privatePrefix+strings.Repeat("0", hexLen-1)+"1")
	if notZero.IsZero() {
		t.Error("a key with one bit set says it is zero")
	}
}

func TestParseMeshTakesNoWhiteSpace(t *testing.T) {
	digits := strings.Repeat("ab", Len)
	if _, err := ParseMesh(digits); err != nil {
		t.Error(err)
	}
	for _, text := range []string{" " + digits, digits + "\n", ""} {
		if _, err := ParseMesh(text); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

func TestPublicTextRoundTrip(t *testing.T) {
	want := NewPrivate().Public()
	text, err := want.MarshalText()
	if err != nil || string(text) != want.String() {
		t.Fatalf("MarshalText: %s, %v, want %s", text, err, want)
	}
	appended, err := want.AppendText([]byte("to "))
	if err != nil || string(appended) != "to "+want.String() {
		t.Errorf("AppendText: %s, %v", appended, err)
	}
	var got Public
	if err := got.UnmarshalText(text); err != nil || got != want {
		t.Errorf("UnmarshalText: %v, %v, want %v", got, err, want)
	}
	if err := got.UnmarshalText([]byte("nodekey:00")); err == nil || got != want {
		t.Errorf("a text refused (%v) has changed the key", err)
	}
}

func TestPublicCompare(t *testing.T) {
	low, high := Public{0: 1}, Public{0: 2}
	if low.Compare(high) >= 0 || high.Compare(low) <= 0 || low.Compare(low) != 0 {
		t.Error("keys are not ordered by their bytes")
	}
}

func TestBoxAppends(t *testing.T) {
	alice, bob := NewPrivate(), NewPrivate()
	toBob, toAlice := alice.Box(bob.Public()), bob.Box(alice.Public())
	sealed := toBob.AppendSeal([]byte("front"), []byte("hello"))
	if string(sealed[:5]) != "front" || len(sealed) != 5+BoxOverhead+5 {
		t.Fatalf("%d bytes, %q in front", len(sealed), sealed[:5])
	}
	if msg, ok := toAlice.Open(sealed[5:]); !ok || string(msg) != "hello" {
		t.Errorf("opened %q, %v", msg, ok)
	}
	if msg, ok := toAlice.AppendOpen([]byte("front"), sealed[5:]); !ok || string(msg) != "fronthello" {
		t.Errorf("opened %q, %v", msg, ok)
	}
	sealed[5]++
	for _, bad := range [][]byte{sealed[5:], sealed[:BoxOverhead-1], nil} {
		if msg, ok := toAlice.AppendOpen([]byte("front"), bad); ok || string(msg) != "front" {
			t.Errorf("of a box that is none: %q, %v", msg, ok)
		}
	}
	if again := toBob.AppendSeal(nil, []byte("hello")); string(again[:nonceLen]) == string(sealed[5:5+nonceLen]) {
		t.Error("a nonce is used twice")
	}
}

func TestBoxRoundTrip(t *testing.T) {
	alice, bob, eve := NewPrivate(), NewPrivate(), NewPrivate()
	toBob, toAlice, toEve := alice.Box(bob.Public()), bob.Box(alice.Public()), eve.Box(bob.Public())
	sealed := toBob.Seal([]byte("hello"))
	if len(sealed) != BoxOverhead+5 {
		t.Errorf("sealed %d bytes, want %d", len(sealed), BoxOverhead+5)
	}
	if bytes.Equal(sealed, toBob.Seal([]byte("hello"))) {
		t.Error("the nonce is not random")
	}
	if msg, ok := toAlice.Open(sealed); !ok || string(msg) != "hello" {
		t.Errorf("opened %q, %v", msg, ok)
	}
	if _, ok := toEve.Open(sealed); ok {
		t.Error("a box between others opened it")
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, ok := toAlice.Open(changed); ok {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, ok := toAlice.Open(sealed[:i]); ok {
			t.Errorf("opened when cut off at %d", i)
		}
	}
	if msg, ok := toAlice.Open(toBob.Seal(nil)); !ok || len(msg) != 0 {
		t.Errorf("empty message: %q, %v", msg, ok)
	}
}

// Everything that prints a secret by accident must show the redacted form instead.
func TestSecretsDoNotPrint(t *testing.T) {
	private := NewPrivate()
	mesh := Mesh{NewPrivate().raw}
	box := private.Box(NewPrivate().Public())
	for _, secret := range []struct {
		name  string
		value any
		raw   [Len]byte
	}{
		{"private", private, private.raw},
		{"private pointer", &private, private.raw},
		{"mesh", mesh, mesh.raw},
		{"mesh pointer", &mesh, mesh.raw},
		{"box", box, box.shared},
		{"box pointer", &box, box.shared},
		{"in a struct", struct{ K any }{private}, private.raw},
	} {
		for form, text := range printed(t, secret.value) {
			for _, leak := range []string{hex.EncodeToString(secret.raw[:4]), fmt.Sprint(secret.raw[:4])[1:], strings.ToUpper(hex.EncodeToString(secret.raw[:4]))} {
				if strings.Contains(text, leak) {
					t.Errorf("%s printed with %s gives itself away", secret.name, form)
				}
			}
		}
	}
}

func printed(t *testing.T, value any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "% x"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "key", value)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "key", value)
	texts["slog"] = log.String()
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	texts["json"] = string(asJSON)
	return texts
}

func TestRedactedForms(t *testing.T) {
	private, mesh, box := NewPrivate(), Mesh{}, Box{}
	for got, want := range map[string]string{
		private.String(): redactedPrivate, private.GoString(): redactedPrivate,
		mesh.String(): redactedMesh, mesh.GoString(): redactedMesh,
		box.String(): redactedBox,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Wrong secrets are close to right ones, so errors must not repeat them.
func TestErrorsDoNotRepeatTheText(t *testing.T) {
	secret := strings.Repeat("5ec7e7", 10) // too short by four digits
	_, errPrivate := ParsePrivate(privatePrefix + secret)
	_, errPrefix := ParsePrivate(secret + "0000")
	_, errMesh := ParseMesh(secret)
	_, errDigits := ParseMesh(secret + "zzzz")
	errJSON := json.Unmarshal([]byte(`"`+secret+`"`), new(Mesh))
	for _, err := range []error{errPrivate, errPrefix, errMesh, errDigits, errJSON} {
		if err == nil {
			t.Error("a wrong text was accepted")
		} else if strings.Contains(err.Error(), "5ec7e7") {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}
