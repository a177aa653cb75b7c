package pairing

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var begin = time.Unix(1_800_000_000, 0)

const somePin = "sha256-raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func parsed(t testing.TB, texts ...string) (relays []Relay) {
	t.Helper()
	for _, text := range texts {
		r, err := ParseRelay(text)
		if err != nil {
			t.Fatal(err)
		}
		relays = append(relays, r)
	}
	return relays
}

func TestRelays(t *testing.T) {
	for text, want := range map[string]string{
		"relay.example.com":                          "relay.example.com",
		"Relay.Example.com:443":                      "relay.example.com",
		"https://relay.example.com/derp":             "relay.example.com",
		"relay.example.com:8443=" + somePin:          "relay.example.com:8443=" + somePin,
		"203.0.113.7=" + somePin:                     "203.0.113.7=" + somePin,
		"2001:db8::7":                                "[2001:db8::7]",
		"[2001:db8::7]=" + somePin:                   "[2001:db8::7]=" + somePin,
		"[2001:db8::7]:8443":                         "[2001:db8::7]:8443",
		"https://[2001:db8::7]:8443/derp=" + somePin: "[2001:db8::7]:8443=" + somePin,
		"":                            "",
		"relay.example.com:0":         "",
		"relay.example.com:https":     "",
		"relay.example.com=sha256:00": "",
		"relay.example.com=":          "",
		"two words":                   "",
		"http://relay.example.com":    "",
		"relay.example.com/other":     "",
		"relay.example.com:8443:443":  "",
	} {
		r, err := ParseRelay(text)
		if got := r.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
		if want != "" {
			if again, err := ParseRelay(want); err != nil || again != r {
				t.Errorf("%q is read as %v (%v)", want, again, err)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	token := NewToken(key.NewPrivate().Public(), parsed(t, "a.example", "b.example:8443="+somePin, "[2001:db8::7]"), 902, begin)
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []string{text, strings.ToUpper(text), text[:20] + "\n  " + text[20:]} {
		if again, err := ParseToken(as); err != nil || !reflect.DeepEqual(again, token) {
			t.Errorf("%s is read as %+v (%v)", as, again, err)
		}
	}
	if said := fmt.Sprint(token) + fmt.Sprintf("%v", token); strings.Contains(said, fmt.Sprint(token.Secret[:])) {
		t.Errorf("the secret is told: %s", said)
	}
	for _, damaged := range []string{"", "detour1abc", text[1:], text[:len(text)-2], strings.Replace(text, "a", "b", 1), Scheme} {
		if _, err := ParseToken(damaged); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", damaged, err)
		}
	}
	for _, relays := range [][]Relay{nil, make([]Relay, 9), {{Host: "a.example"}}, {{Port: 443}}} {
		if _, err := (Token{Inviter: token.Inviter, Relays: relays}).Text(); err == nil {
			t.Errorf("a token with the relays %v", relays)
		}
	}
}

func TestMap(t *testing.T) {
	m := Map(parsed(t, "a.example", "203.0.113.7:8443="+somePin))
	one, two := m.Regions[901].Nodes[0], m.Regions[902].Nodes[0]
	if len(m.Regions) != 2 || one.HostName != "a.example" || one.DERP() != 443 || one.CertName != "" ||
		two.HostName != "203.0.113.7" || two.DERP() != 8443 || two.CertName != somePin || two.Name != "902a" || two.RegionID != 902 {
		t.Errorf("the map has %+v and %+v", one, two)
	}
}

// newPair is an invitation, and a guest who has its token.
func newPair(t *testing.T) (inviter, guest key.Private, i *Invitation, g *Guest) {
	t.Helper()
	inviter, guest = key.NewPrivate(), key.NewPrivate()
	token := NewToken(inviter.Public(), parsed(t, "a.example"), 901, begin)
	g, err := NewGuest(token, guest, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	return inviter, guest, NewInvitation(token, inviter, "server", nil), g
}

func TestTwoAreMadeKnown(t *testing.T) {
	inviter, guest, i, g := newPair(t)
	var first *Peer
	for n := range 3 { // the answer was lost twice; what was begun in time may end later
		answer, who := i.Take(guest.Public(), g.Hello(902), 901, begin.Add(Lifetime/2*time.Duration(n+1)))
		if who == nil || who.Key != guest.Public() || who.Name != "laptop" || who.Home != 902 {
			t.Fatalf("the guest is %+v", who)
		}
		peer, err := g.Take(inviter.Public(), answer)
		if err != nil || peer == nil || peer.Key != inviter.Public() || peer.Name != "server" || peer.Home != 901 {
			t.Fatalf("the inviter is %+v (%v)", peer, err)
		}
		if peer.Preshared != who.Preshared || peer.Preshared == [32]byte{} || first != nil && *first != *peer {
			t.Error("they do not share a key")
		}
		first = peer
	}
}

func TestATokenIsForOne(t *testing.T) {
	inviter, guest, i, g := newPair(t)
	if _, who := i.Take(guest.Public(), g.Hello(0), 901, begin); who == nil {
		t.Fatal("the guest is not welcome")
	}
	other := key.NewPrivate()
	second, err := NewGuest(i.token, other, "thief")
	if err != nil {
		t.Fatal(err)
	}
	answer, who := i.Take(other.Public(), second.Hello(0), 901, begin)
	if who != nil {
		t.Error("a second guest is welcome")
	}
	if _, err := second.Take(inviter.Public(), answer); !errors.Is(err, ErrUsed) {
		t.Errorf("it is told %v", err)
	}
	again := NewInvitation(i.token, inviter, "server", i.guest) // after a restart
	if _, who := again.Take(other.Public(), second.Hello(0), 901, begin); who != nil {
		t.Error("and is after a restart")
	}
}

func TestATokenExpires(t *testing.T) {
	inviter, guest, i, g := newPair(t)
	answer, who := i.Take(guest.Public(), g.Hello(0), 901, begin.Add(Lifetime+time.Second))
	if who != nil {
		t.Error("an old token is good")
	}
	if _, err := g.Take(inviter.Public(), answer); !errors.Is(err, ErrExpired) {
		t.Errorf("the guest is told %v", err)
	}
	if _, err := NewGuest(i.token, inviter, ""); err == nil {
		t.Error("the inviter is its own guest")
	}
}

// Who does not know the secret, or is somebody else, gets no answer, and cannot give one.
func TestOnlyTheTwo(t *testing.T) {
	inviter, guest, i, g := newPair(t)
	wrong := i.token
	wrong.Secret[0]++
	guesser, err := NewGuest(wrong, guest, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	hello := g.Hello(0)
	changed := bytes.Clone(hello)
	changed[len(changed)-1]++
	impostor := key.NewPrivate()
	for name, c := range map[string]struct {
		from   key.Public
		packet []byte
	}{
		"another secret": {guest.Public(), guesser.Hello(0)},
		"another sender": {impostor.Public(), hello},
		"changed":        {guest.Public(), changed},
		"cut":            {guest.Public(), hello[:len(hello)-1]},
		"only its begin": {guest.Public(), []byte(magic)},
		"WireGuard's":    {guest.Public(), make([]byte, 148)},
		"a reflection":   {inviter.Public(), hello},
		"a large one":    {guest.Public(), append([]byte(magic), make([]byte, 60000)...)},
		"nobody's":       {key.Public{}, hello},
	} {
		if answer, who := i.Take(c.from, c.packet, 901, begin); answer != nil || who != nil {
			t.Errorf("%s: it is answered", name)
		}
	}
	welcome, who := i.Take(guest.Public(), hello, 901, begin.Add(time.Minute))
	if who == nil {
		t.Fatal("the guest is not welcome")
	}
	for name, c := range map[string]struct {
		from   key.Public
		packet []byte
	}{
		"another sender": {impostor.Public(), welcome},
		"our own hello":  {inviter.Public(), hello},
		"nothing":        {inviter.Public(), nil},
	} {
		if peer, err := g.Take(c.from, c.packet); peer != nil || err != nil {
			t.Errorf("%s: %+v (%v)", name, peer, err)
		}
	}
}

// A flood of hellos costs little, and the guest gets through once it is over.
func TestHellosAreLimited(t *testing.T) {
	_, guest, i, g := newPair(t)
	answers := 0
	hello := g.Hello(0)
	for range 1000 {
		if answer, _ := i.Take(guest.Public(), hello, 901, begin); answer != nil {
			answers++
		}
	}
	if answers != int(hellos.Burst) {
		t.Errorf("%d of 1,000 at once are answered", answers)
	}
	if _, who := i.Take(guest.Public(), g.Hello(0), 901, begin.Add(time.Second)); who == nil {
		t.Error("and none after that")
	}
}

func TestAddresses(t *testing.T) {
	for range 1000 {
		a := Addresses(key.NewPrivate().Public())
		if four := a[0].As4(); four[0] != 100 || four[1]&0xc0 != 64 || four[3] == 0 || four[3] == 255 || !a[1].IsPrivate() || !a[1].Is6() {
			t.Fatalf("the addresses are %v", a)
		}
	}
	k := key.NewPrivate().Public()
	first := Addresses(k)
	if Addresses(k) != first || Addresses(key.NewPrivate().Public()) == first {
		t.Error("they do not follow from the key")
	}
}

func FuzzParseToken(f *testing.F) {
	text, err := NewToken(key.Public{1}, parsed(f, "a.example", "b.example:8443="+somePin), 1, begin).Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := token.Text()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if read, err := ParseToken(again); err != nil || !reflect.DeepEqual(read, token) {
			t.Errorf("%+v is read as %+v (%v)", token, read, err)
		}
	})
}

func FuzzTake(f *testing.F) {
	inviter, guest := key.NewPrivate(), key.NewPrivate()
	token := NewToken(inviter.Public(), parsed(f, "a.example"), 901, begin)
	c := newChannel(token.Secret, guest, inviter.Public())
	f.Add(byte(kindHello), about("name", 1))
	f.Add(byte(kindWelcome), []byte(nil))
	f.Fuzz(func(t *testing.T, k byte, body []byte) {
		answer, who := NewInvitation(token, inviter, "i", nil).Take(guest.Public(), c.seal(kind(k), body), 1, begin)
		if (answer == nil) != (who == nil) || who != nil && (kind(k) != kindHello || len(who.Name) > mostName) {
			t.Errorf("kind %d, %x: answer %x, %+v", k, body, answer, who)
		}
	})
}
