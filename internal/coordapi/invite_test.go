package coordapi

import (
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
)

func example() Invite {
	i := Invite{Tailnet: "t1", Contacts: []Contact{{URL: "https://coord.example.com"}, {URL: "https://192.0.2.1:8443"}}}
	rand.Read(i.ID[:])
	rand.Read(i.Secret[:])
	rand.Read(i.Contacts[1].Pin[:])
	return i
}

func TestAnInviteComesBack(t *testing.T) {
	i := example()
	text, err := i.Text()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is": text, "upper case": strings.ToUpper(text), "wrapped": " " + text[:30] + "\r\n  " + text[30:] + "\n",
	} {
		if got, err := ParseInvite(text); err != nil || !reflect.DeepEqual(got, i) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Every invite with one character less, or another one, is refused.
func TestADamagedInviteIsRefused(t *testing.T) {
	text, err := example().Text()
	if err != nil {
		t.Fatal(err)
	}
	for at := range text {
		other := "q"
		if text[at] == 'q' {
			other = "z"
		}
		for _, damaged := range []string{text[:at] + text[at+1:], text[:at] + other + text[at+1:]} {
			if _, err := ParseInvite(damaged); !errors.Is(err, ErrInvite) {
				t.Fatalf("%s at %d: %v", damaged, at, err)
			}
		}
	}
}

func TestInvitesThatCannotBe(t *testing.T) {
	if text, err := (Invite{Tailnet: strings.Repeat("t", 64), Contacts: example().Contacts}).Text(); err == nil {
		t.Errorf("a long tailnet: %s", text)
	}
	for name, contacts := range map[string][]Contact{
		"nobody": nil, "no URL": {{URL: "coord.example.com"}}, "a path": {{URL: "https://a.example/x"}},
		"long": {{URL: "https://" + strings.Repeat("a", 250)}}, "too many": make([]Contact, 9),
	} {
		if text, err := (Invite{Contacts: contacts}).Text(); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func FuzzParseInvite(f *testing.F) {
	text, _ := example().Text()
	f.Add(text)
	f.Add(Scheme)
	f.Fuzz(func(t *testing.T, text string) {
		i, err := ParseInvite(text)
		if err != nil {
			return
		}
		again, err := i.Text()
		if err != nil {
			t.Fatalf("%+v was read, and cannot be written: %v", i, err)
		}
		if back, err := ParseInvite(again); err != nil || !reflect.DeepEqual(back, i) {
			t.Fatalf("%+v, %v, want %+v", back, err, i)
		}
	})
}

func TestProofs(t *testing.T) {
	server, member, other := key.NewPrivate(), key.NewPrivate(), key.NewPrivate()
	c := Challenge{Key: server.Public(), Challenge: "123"}
	proof := Prove(member, c, ForLogin, "t1")
	if !Proven(server, member.Public(), "123", ForLogin, "t1", proof) {
		t.Error("the proof of the member does not count")
	}
	for name, counts := range map[string]bool{
		"another key":       Proven(server, other.Public(), "123", ForLogin, "t1", proof),
		"another server":    Proven(other, member.Public(), "123", ForLogin, "t1", proof),
		"another challenge": Proven(server, member.Public(), "124", ForLogin, "t1", proof),
		"another kind":      Proven(server, member.Public(), "123", ForJoin, "t1", proof),
		"another tailnet":   Proven(server, member.Public(), "123", ForLogin, "t2", proof),
		"nothing":           Proven(server, member.Public(), "123", ForLogin, "t1", nil),
	} {
		if counts {
			t.Errorf("%s: the proof counts", name)
		}
	}
}
