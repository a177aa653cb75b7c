package pair

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

func TestTwoMeet(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Name: "anna", Relays: threeRelays, Disco: key.Public{1}}, 902)
		ben := w.start(t, Config{StateFile: file("ben"), Name: "anna", Token: anna.token(t), Disco: key.Public{2}}, 903)
		if !ben.Waits() || !errors.Is(ben.State().Err, errWaiting) {
			t.Error("the guest does not wait")
		}
		pass(time.Second)
		anna.knows(t, ben, 903)
		ben.knows(t, anna, 902)
		if is, ok := anna.PeerNamed("anna-2"); !ok || is.Key != ben.key.Public() || !slices.Equal(is.Addresses, ben.Self().Addresses) {
			t.Errorf("a peer of our own name is called %+v", anna.Peers())
		}
		for _, m := range []*machine{anna, ben} {
			if types, refused := m.told(); !slices.Equal(types, []tailnet.EventType{tailnet.PeerAdded}) || refused != nil || m.Waits() || m.State().Err != nil {
				t.Errorf("%v %v", types, refused)
			}
		}
		before := w.packets()
		pass(time.Hour)
		if n := w.packets() - before; n != 0 {
			t.Errorf("%d packets more in an hour", n)
		}
	})
}

// The inviter may have moved before the token is used.
func TestTheHomeOfATokenIsStale(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays}, 901)
		token := anna.token(t)
		anna.move(903)
		ben := w.start(t, Config{StateFile: file("ben"), Token: token}, 901)
		pass(10 * time.Second)
		ben.knows(t, anna, 903)
		anna.knows(t, ben, 901)
	})
}

// Hellos and answers may be lost, every other one.
func TestPacketsAreLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays[:1]}, 901)
		w.lose = func(_, _ *machine) bool { return rand.N(2) > 0 }
		ben := w.start(t, Config{StateFile: file("ben"), Token: anna.token(t)}, 901)
		for end := time.Now().Add(8 * time.Minute); ben.Waits() && time.Now().Before(end); {
			pass(time.Second)
		}
		anna.knows(t, ben, 901)
		ben.knows(t, anna, 901)
	})
}

// Both go on after a restart, without a token, and tell each other what is new: also
// where both have moved meanwhile.
func TestBothAreRestarted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays}, 901)
		ben := w.start(t, Config{StateFile: file("ben"), Token: anna.token(t)}, 902)
		pass(time.Second)
		if len(anna.reached) != 0 || !slices.Equal(ben.reached, []key.Public{anna.key.Public()}) {
			t.Errorf("reached are %v and %v: want the inviter alone", anna.reached, ben.reached)
		}
		psk := anna.Preshared(ben.key.Public())
		for _, m := range []*machine{anna, ben} {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		anna = w.start(t, Config{StateFile: file("anna"), Disco: key.Public{3}}, 903)
		pass(time.Minute)
		ben = w.start(t, Config{StateFile: file("ben"), Disco: key.Public{4}}, 901)
		pass(10 * time.Second)
		ben.knows(t, anna, 903)
		anna.knows(t, ben, 901)
		if anna.Preshared(ben.key.Public()) != psk {
			t.Error("the key that they share is another one")
		}
		anna.move(902)
		pass(time.Second)
		for m, other := range map[*machine]*machine{anna: ben, ben: anna} {
			if !slices.Equal(m.reached, []key.Public{other.key.Public()}) {
				t.Errorf("reached are %v", m.reached)
			}
		}
		ben.knows(t, anna, 902)
	})
}

// Relays that have moved are named anew, on each machine, and stay so.
func TestOtherRelays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays[:1]}, 901)
		ben := w.start(t, Config{StateFile: file("ben"), Token: anna.token(t)}, 901)
		pass(time.Second)
		for _, relays := range [][]pairing.Relay{threeRelays[1:], nil} {
			anna.Close()
			ben.Close()
			anna = w.start(t, Config{StateFile: file("anna"), Relays: relays}, 902)
			ben = w.start(t, Config{StateFile: file("ben"), Relays: relays}, 902)
			pass(10 * time.Second)
			anna.knows(t, ben, 902)
			ben.knows(t, anna, 902)
			if m := ben.Map(); len(m.Regions) != 2 || m.Regions[902].Nodes[0].HostName != "c.example" || !slices.Equal(anna.Relays(), threeRelays[1:]) {
				t.Errorf("the relays are %v", anna.Relays())
			}
		}
	})
}

// An inviter may be the middle of a star, and is so after a restart, with tokens that are
// outstanding.
func TestMoreThanTwo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays}, 901)
		first, second := anna.token(t), anna.token(t)
		ben := w.start(t, Config{StateFile: file("ben"), Token: first}, 901)
		pass(time.Second)
		anna.Close()
		anna = w.start(t, Config{StateFile: file("anna")}, 901)
		cleo := w.start(t, Config{StateFile: file("cleo"), Token: second}, 902)
		dora := w.start(t, Config{StateFile: file("dora"), Token: first}, 902)
		pass(10 * time.Second)
		for _, m := range []*machine{ben, cleo} {
			anna.knows(t, m, m.at)
			m.knows(t, anna, 901)
		}
		if anna.Preshared(ben.key.Public()) == anna.Preshared(cleo.key.Public()) || len(anna.Peers()) != 2 {
			t.Errorf("%+v", anna.Peers())
		}
		if _, refused := dora.told(); len(refused) != 1 || !errors.Is(refused[0], pairing.ErrUsed) {
			t.Errorf("a second guest is told %v", refused)
		}
		dora.Close()
		if _, err := os.Stat(file("dora")); err == nil {
			t.Error("who is nobody's peer leaves a state file")
		}
		// Once more with the same token: it has been used by this very machine.
		ben.Close()
		ben = w.start(t, Config{StateFile: file("ben"), Token: first}, 901)
		pass(time.Second)
		ben.knows(t, anna, 901)
	})
}

// A guest learns why nothing comes of its token.
func TestTokensThatAreNoGood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays}, 901)
		late := anna.token(t)
		foreign, err := pairing.ParseToken(late)
		if err != nil {
			t.Fatal(err)
		}
		foreign.Secret[0]++
		unknown, _ := foreign.Text()
		foreign.Inviter = key.NewPrivate().Public()
		nobody, _ := foreign.Text()
		pass(pairing.Lifetime + time.Second)
		for name, c := range map[string]struct {
			token string
			want  error
		}{"late": {late, pairing.ErrExpired}, "unknown": {unknown, pairing.ErrUnknown}, "nobody": {nobody, ErrNoAnswer}} {
			guest := w.start(t, Config{StateFile: file(name), Token: c.token}, 901)
			before := w.packets()
			pass(pairing.Lifetime + time.Second)
			if _, refused := guest.told(); len(refused) != 1 || !errors.Is(refused[0], c.want) || guest.Waits() {
				t.Errorf("%s: %v", name, refused)
			}
			if n := w.packets() - before; n > 300 {
				t.Errorf("%s: %d packets", name, n)
			}
			guest.Close()
		}
		if len(anna.Peers()) != 0 {
			t.Errorf("%+v", anna.Peers())
		}
	})
}

// While the use of a token cannot be saved, nobody is told that it is welcome, and no
// other one may use it.
func TestTheDiskIsFull(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays[:1]}, 901)
		token := anna.token(t)
		pass(time.Minute)
		makeRoom := fill(t, file("anna"))
		if _, err := anna.Invite(); err == nil {
			t.Error("a token is made that would be forgotten")
		}
		ben := w.start(t, Config{StateFile: file("ben"), Token: token}, 901)
		pass(time.Minute)
		cleo := w.start(t, Config{StateFile: file("cleo"), Token: token}, 901)
		pass(time.Minute)
		if !ben.Waits() || len(anna.Peers()) != 0 {
			t.Error("a guest is welcome who is forgotten by a restart")
		}
		if types, _ := anna.told(); !slices.Equal(types, []tailnet.EventType{tailnet.NotSaved}) {
			t.Errorf("told: %v", types)
		}
		if _, refused := cleo.told(); len(refused) != 1 || !errors.Is(refused[0], pairing.ErrUsed) {
			t.Errorf("a second guest is told %v", refused)
		}
		makeRoom()
		pass(time.Minute)
		anna.knows(t, ben, 901)
		ben.knows(t, anna, 901)
		anna.Close()
		anna = w.start(t, Config{StateFile: file("anna")}, 901)
		anna.knows(t, ben, 901)
	})
}

// Where a guest cannot save it, it goes on, and says so.
func TestTheDiskOfAGuestIsFull(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays[:1]}, 901)
		w.lose = func(*machine, *machine) bool { return true }
		ben := w.start(t, Config{StateFile: file("ben"), Token: anna.token(t)}, 901)
		makeRoom := fill(t, file("ben"))
		w.mu.Lock()
		w.lose = nil
		w.mu.Unlock()
		pass(time.Minute)
		ben.knows(t, anna, 901)
		if types, _ := ben.told(); !slices.Contains(types, tailnet.NotSaved) || ben.State().SaveErr == nil {
			t.Errorf("told: %v", types)
		}
		makeRoom()
		pass(time.Minute)
		if err := ben.Close(); err != nil {
			t.Error(err)
		}
		ben = w.start(t, Config{StateFile: file("ben")}, 901)
		ben.knows(t, anna, 901)
	})
}

// A flood of hellos takes nobody's place for long.
func TestAFlood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays[:1]}, 901)
		flooder := key.NewPrivate()
		noise := append([]byte("detour-pair1"), make([]byte, 300)...)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5000 {
				anna.Take(flooder.Public(), noise)
				time.Sleep(time.Millisecond)
			}
		}()
		ben := w.start(t, Config{StateFile: file("ben"), Token: anna.token(t)}, 901)
		pass(4 * time.Second)
		ben.knows(t, anna, 901)
		<-done
	})
}

func TestOpenFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world, file func(string) string) {
		anna := w.start(t, Config{StateFile: file("anna"), Relays: threeRelays}, 901)
		token := anna.token(t)
		ben := w.start(t, Config{StateFile: file("ben"), Token: token}, 901)
		pass(time.Second)
		other := w.start(t, Config{StateFile: file("other"), Relays: threeRelays[:1]}, 901)
		elsewhere := other.token(t)
		for _, m := range []*machine{anna, ben} {
			m.Close()
		}
		text, err := os.ReadFile(file("anna"))
		if err != nil {
			t.Fatal(err)
		}
		write := func(name, from, to string) string {
			changed := strings.Replace(string(text), from, to, 1)
			if changed == string(text) {
				t.Fatalf("%s: nothing is changed", name)
			}
			if err := os.WriteFile(file(name), []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			return file(name)
		}
		for name, c := range map[string]struct {
			cfg  Config
			want error
		}{
			"nothing":      {Config{StateFile: file("nothing")}, ErrNotPaired},
			"in use":       {Config{StateFile: file("other")}, ErrInUse},
			"own token":    {Config{StateFile: file("anna"), Token: token}, pairing.ErrOwn},
			"damaged":      {Config{StateFile: file("new"), Token: token[:len(token)-1]}, pairing.ErrToken},
			"name":         {Config{StateFile: file("new"), Token: token, Name: "a b"}, ErrName},
			"other relays": {Config{StateFile: file("ben"), Token: elsewhere}, ErrOtherRelays},
			"cut":          {Config{StateFile: write("cut", "}", "")}, ErrDamaged},
			"newer":        {Config{StateFile: write("newer", `"detour_pair": 1`, `"detour_pair": 2`)}, ErrNewer},
			"no pair":      {Config{StateFile: write("none", "detour_pair", "detour_member")}, ErrDamaged},
			"no key":       {Config{StateFile: write("nokey", "privkey:", "")}, ErrDamaged},
			"another key":  {Config{StateFile: write("other key", `"node": "nodekey:`, `"node": "nodekey:`+strings.Repeat("0", 64)+`", "was": "`)}, ErrDamaged},
			"no relay":     {Config{StateFile: write("norelay", `"relays": [`, `"relays": [], "were": [`)}, ErrDamaged},
			"a bad relay":  {Config{StateFile: write("badrelay", "a.example", "a example")}, ErrDamaged},
			"no preshared": {Config{StateFile: write("nopsk", `"preshared": "`, `"preshared": "zz`)}, ErrDamaged},
			"no secret":    {Config{StateFile: write("nosecret", `"secret": "`, `"secret": "zz`)}, ErrDamaged},
		} {
			if p, err := Open(c.cfg); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
				if err == nil {
					p.Close()
				}
			}
		}
		if _, err := os.Stat(file("new")); err == nil {
			t.Error("a state file is made for nothing")
		}
		if !IsStateFile(file("newer")) || IsStateFile(file("none")) || IsStateFile(file("new")) {
			t.Error("state files are not known")
		}
	})
}

func FuzzParseState(f *testing.F) {
	k := key.NewPrivate()
	f.Add([]byte(`{"detour_pair":1,"key":"` + k.Text() + `","node":"` + k.Public().String() + `","relays":["a.example"],"peers":[{"key":"` + k.Public().String() + `","preshared":"00"}],"invites":[{"secret":"00"}]}`))
	f.Add([]byte(`{"detour_pair":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err == nil && (s.private.Public() != s.Node || len(s.relays) == 0) {
			t.Errorf("it is taken as %+v", s)
		}
	})
}
