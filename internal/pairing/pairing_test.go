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
	if len(m.Regions) != 2 || one.HostName != "a.example" || one.IPv4 != "" || two.IPv4 != "203.0.113.7" || one.DERP() != 443 || one.CertName != "" ||
		two.HostName != "203.0.113.7" || two.DERP() != 8443 || two.CertName != somePin || two.Name != "902a" || two.RegionID != 902 {
		t.Errorf("the map has %+v and %+v", one, two)
	}
}

// newPair is a door with one invitation, and a guest who has its token.
func newPair(t *testing.T) (inviter, guest key.Private, d *Door, g *Guest) {
	t.Helper()
	inviter, guest = key.NewPrivate(), key.NewPrivate()
	d = NewDoor(inviter, nil)
	return inviter, guest, d, invite(t, d, guest)
}

// invite makes one more token, for a guest.
func invite(t *testing.T, d *Door, guest key.Private) *Guest {
	t.Helper()
	token := NewToken(d.own.Public(), parsed(t, "a.example"), 901, begin)
	d.Invite(token, begin)
	g, err := NewGuest(token, guest)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var (
	server = About{Name: "server", Home: 901, Disco: key.Public{1}}
	laptop = About{Name: "laptop", Home: 902, Disco: key.Public{2}}
)

func TestTwoAreMadeKnown(t *testing.T) {
	inviter, guest, d, g := newPair(t)
	var first *Peer
	for n := range 3 { // the answer was lost twice; what was begun in time may end later
		answer, who := d.Take(guest.Public(), g.Hello(laptop), server, begin.Add(Lifetime/2*time.Duration(n+1)))
		if who == nil || who.Key != guest.Public() || who.About != laptop {
			t.Fatalf("the guest is %+v", who)
		}
		peer, err := g.Take(inviter.Public(), answer)
		if err != nil || peer == nil || peer.Key != inviter.Public() || peer.About != server {
			t.Fatalf("the inviter is %+v (%v)", peer, err)
		}
		if peer.Preshared != who.Preshared || peer.Preshared != g.Preshared() || peer.Preshared == [32]byte{} || first != nil && *first != *peer {
			t.Error("they do not share a key")
		}
		first = peer
	}
}

// Each of several tokens is for one, and they do not share a key.
func TestSeveralTokens(t *testing.T) {
	inviter, guest, d, g := newPair(t)
	other := key.NewPrivate()
	h := invite(t, d, other)
	_, one := d.Take(guest.Public(), g.Hello(laptop), server, begin)
	answer, two := d.Take(other.Public(), h.Hello(laptop), server, begin)
	if one == nil || two == nil || one.Preshared == two.Preshared {
		t.Errorf("%+v, %+v", one, two)
	}
	if p, err := h.Take(inviter.Public(), answer); p == nil || err != nil {
		t.Error(err)
	}
	for range mostInvitations {
		invite(t, d, other)
	}
	if answer, _ = d.Take(guest.Public(), g.Hello(laptop), server, begin); len(d.Invitations) != mostInvitations {
		t.Errorf("%d invitations are kept", len(d.Invitations))
	}
	if _, err := g.Take(inviter.Public(), answer); !errors.Is(err, ErrUnknown) {
		t.Errorf("the one before them is told %v", err)
	}
	d.Invite(NewToken(inviter.Public(), nil, 0, begin.Add(2*keptTime)), begin.Add(2*keptTime))
	if len(d.Invitations) != 1 {
		t.Errorf("%d invitations are kept for long", len(d.Invitations))
	}
}

func TestATokenIsForOne(t *testing.T) {
	inviter, guest, d, g := newPair(t)
	if _, who := d.Take(guest.Public(), g.Hello(laptop), server, begin); who == nil {
		t.Fatal("the guest is not welcome")
	}
	other := key.NewPrivate()
	second := &Guest{newChannel(other, inviter.Public()), g.secret}
	answer, who := d.Take(other.Public(), second.Hello(laptop), server, begin)
	if who != nil {
		t.Error("a second guest is welcome")
	}
	if _, err := second.Take(inviter.Public(), answer); !errors.Is(err, ErrUsed) {
		t.Errorf("it is told %v", err)
	}
	again := NewDoor(inviter, d.Invitations) // after a restart
	if _, who := again.Take(other.Public(), second.Hello(laptop), server, begin); who != nil {
		t.Error("and is after a restart")
	}
}

func TestATokenExpires(t *testing.T) {
	inviter, guest, d, g := newPair(t)
	answer, who := d.Take(guest.Public(), g.Hello(laptop), server, begin.Add(Lifetime+time.Second))
	if who != nil {
		t.Error("an old token is good")
	}
	if _, err := g.Take(inviter.Public(), answer); !errors.Is(err, ErrExpired) {
		t.Errorf("the guest is told %v", err)
	}
	if _, err := NewGuest(Token{Inviter: inviter.Public()}, inviter); !errors.Is(err, ErrOwn) {
		t.Errorf("the inviter is its own guest: %v", err)
	}
}

// Who does not know the secret is told so if it is the inviter's own packet that says it;
// who is somebody else gets no answer, and cannot give one.
func TestOnlyTheTwo(t *testing.T) {
	inviter, guest, d, g := newPair(t)
	guesser := &Guest{g.channel, g.secret}
	guesser.secret[0]++
	hello := g.Hello(laptop)
	changed := bytes.Clone(hello)
	changed[len(changed)-1]++
	impostor := key.NewPrivate()
	for name, c := range map[string]struct {
		from   key.Public
		packet []byte
	}{
		"another sender": {impostor.Public(), hello},
		"changed":        {guest.Public(), changed},
		"cut":            {guest.Public(), hello[:len(hello)-1]},
		"only its begin": {guest.Public(), []byte(magic)},
		"WireGuard's":    {guest.Public(), make([]byte, 148)},
		"a reflection":   {inviter.Public(), hello},
		"a large one":    {guest.Public(), append([]byte(magic), make([]byte, 60000)...)},
		"nobody's":       {key.Public{}, hello},
	} {
		if answer, who := d.Take(c.from, c.packet, server, begin); answer != nil || who != nil {
			t.Errorf("%s: it is answered", name)
		}
	}
	unknown, who := d.Take(guest.Public(), guesser.Hello(laptop), server, begin.Add(time.Minute))
	if _, err := guesser.Take(inviter.Public(), unknown); who != nil || !errors.Is(err, ErrUnknown) {
		t.Errorf("another secret: %+v, %v", who, err)
	}
	welcome, who := d.Take(guest.Public(), hello, server, begin.Add(time.Minute))
	if who == nil {
		t.Fatal("the guest is not welcome")
	}
	forged := newChannel(inviter, guest.Public())
	for name, c := range map[string]struct {
		from   key.Public
		packet []byte
	}{
		"another sender":           {impostor.Public(), welcome},
		"our own hello":            {inviter.Public(), hello},
		"nothing":                  {inviter.Public(), nil},
		"a welcome of no secret":   {inviter.Public(), forged.seal(noSecret[:], kindWelcome, server.append(nil))},
		"a refusal of no secret":   {inviter.Public(), forged.seal(noSecret[:], kindRefused, []byte{becauseUsed})},
		"a refusal for no reason":  {inviter.Public(), forged.seal(g.secret[:], kindRefused, []byte{99})},
		"a welcome that is broken": {inviter.Public(), forged.seal(g.secret[:], kindWelcome, []byte{1})},
	} {
		if peer, err := g.Take(c.from, c.packet); peer != nil || err != nil {
			t.Errorf("%s: %+v (%v)", name, peer, err)
		}
	}
}

// A flood of hellos costs little, and others get through meanwhile.
func TestHellosAreLimited(t *testing.T) {
	_, guest, d, g := newPair(t)
	flooder, answers := key.NewPrivate(), 0
	flood := (&Guest{newChannel(flooder, d.own.Public()), g.secret}).Hello(laptop)
	d.Invitations[0].Guest = guest.Public()
	for range 1000 {
		if answer, _ := d.Take(flooder.Public(), flood, server, begin); answer != nil {
			answers++
		}
	}
	if answers != int(hellosOfOne.Burst) {
		t.Errorf("%d of 1,000 at once are answered", answers)
	}
	if _, who := d.Take(guest.Public(), g.Hello(laptop), server, begin); who == nil {
		t.Error("and none of the guest's")
	}
	for range 1000 {
		d.Take(key.NewPrivate().Public(), flood, server, begin)
	}
	if len(d.senders) > mostSenders {
		t.Errorf("%d senders are counted", len(d.senders))
	}
	if answer, _ := d.Take(guest.Public(), g.Hello(laptop), server, begin); answer != nil {
		t.Error("more than all may are answered")
	}
	if _, who := d.Take(guest.Public(), g.Hello(laptop), server, begin.Add(time.Second)); who == nil {
		t.Error("and none after that")
	}
}

// The two tell each other where they are; what is older than another does not count.
func TestLinks(t *testing.T) {
	one, two := key.NewPrivate(), key.NewPrivate()
	secret := [32]byte{7}
	a := NewLink(one, Peer{Key: two.Public(), Preshared: secret}, 0)
	b := NewLink(two, Peer{Key: one.Public(), Preshared: secret}, 5)
	stranger := NewLink(one, Peer{Key: two.Public()}, 0)
	want := Here{About: laptop, Number: 7, Answers: 3}
	newest := a.Tell(want)
	for name, c := range map[string]struct {
		packet []byte
		ok     bool
	}{
		"older than the restart": {a.Tell(Here{Number: 4}), false},
		"the newest":             {newest, true},
		"again":                  {newest, true},
		"an older one":           {a.Tell(Here{Number: 6}), false},
		"without the secret":     {stranger.Tell(Here{Number: 9}), false},
		"a hello":                {(&Guest{channel: a.channel}).Hello(laptop), false},
		"a reflection":           {b.Tell(Here{Number: 9}), false},
		"broken":                 {a.seal(secret[:], kindHere, []byte{1, 2}), false},
		"nothing":                {nil, false},
	} {
		is := NewLink(two, Peer{Key: one.Public(), Preshared: secret}, 5)
		if name == "an older one" || name == "again" {
			is.Take(newest, 0)
		}
		got, ok := is.Take(c.packet, 0)
		if ok != c.ok || ok && got != want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
	for range 1000 {
		b.Take(newest, time.Second)
	}
	if _, ok := b.Take(newest, time.Second); ok {
		t.Error("a flood is looked at")
	}
	if _, ok := b.Take(newest, 2*time.Second); !ok {
		t.Error("and nothing after it")
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
	c := newChannel(guest, inviter.Public())
	f.Add(byte(kindHello), laptop.append(nil))
	f.Add(byte(kindWelcome), []byte(nil))
	f.Add(byte(kindHere), append(make([]byte, 16), laptop.append(nil)...))
	f.Fuzz(func(t *testing.T, k byte, body []byte) {
		d := NewDoor(inviter, nil)
		d.Invite(token, begin)
		answer, who := d.Take(guest.Public(), c.seal(token.Secret[:], kind(k), body), server, begin)
		if (answer == nil) != (who == nil) || who != nil && (kind(k) != kindHello || len(who.Name) > mostName) {
			t.Errorf("kind %d, %x: answer %x, %+v", k, body, answer, who)
		}
		secret := [32]byte{1}
		l := NewLink(inviter, Peer{Key: guest.Public(), Preshared: secret}, 0)
		if h, ok := l.Take(c.seal(secret[:], kind(k), body), 0); ok && (kind(k) != kindHere || len(h.Name) > mostName) {
			t.Errorf("kind %d, %x: %+v", k, body, h)
		}
	})
}
