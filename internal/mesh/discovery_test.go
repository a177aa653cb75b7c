package mesh

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const at3 = "192.0.2.3:443"

// A service that scales up and down: new addresses are linked to, and those that
// have gone are forgotten.
func TestDiscoveryFollowsTheDNS(t *testing.T) {
	inWorld(t, Config{DNS: []string{"relays"}}, func(t *testing.T, w *world) {
		w.setDNS("relays", "192.0.2.1", "192.0.2.2")
		w.set(at1, fails(relay.ErrSelf))
		w.set(at2, good)
		defer w.run()()
		pass(time.Second)
		w.wantStatus(at1, Self)
		if s := w.stateOf(at2); s.Status != Linked || s.Name != "relays" || s.From != "relays" {
			t.Errorf("state %+v", s)
		}
		w.set(at3, good)
		w.setDNS("relays", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
		pass(time.Minute)
		w.wantStatus(at3, Linked)
		w.wantStatus("192.0.2.4:443", Waiting)

		w.setDNS("relays", "192.0.2.1", "192.0.2.2") // .3 is linked, .4 is not
		for missed := 1; missed <= maxMissing; missed++ {
			for before := w.lookedUp(); w.lookedUp() == before; {
				pass(time.Second)
			}
			want := []string{at1, at2, at3}
			if missed == maxMissing {
				want = []string{at1, at2}
			}
			if got := w.addrs(); !slices.Equal(got, want) {
				t.Errorf("siblings %v after %d look-ups, want %v", got, missed, want)
			}
		}
		if open, _ := w.links(); open != 1 {
			t.Errorf("%d links", open)
		}
		if n := w.dialsOf(at1); n != 1 {
			t.Errorf("this relay itself was dialled %d times", n)
		}
		w.log.wantCount(t, `level=INFO msg="a sibling is not listed any more" name=relays sibling=relays addr=192.0.2.3:443`, 1)
	})
}

func (w *world) addrs() (addrs []string) {
	for _, s := range w.mesh.Siblings() {
		addrs = append(addrs, s.Addr.String())
	}
	return addrs
}

// Neither a DNS that is down nor one that has lost the name ends a good link.
func TestLinksSurviveTheDNS(t *testing.T) {
	for name, dnsErr := range map[string]error{
		"fails":   &net.DNSError{Err: "server misbehaving", IsTemporary: true},
		"nothing": nil,
		"other":   errors.New("no network"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{DNS: []string{"relays"}}, func(t *testing.T, w *world) {
				w.setDNS("relays", "192.0.2.1", "192.0.2.2")
				w.set(at1, good)
				defer w.run()()
				pass(time.Minute)
				w.mu.Lock()
				w.dns["relays"], w.dnsErr = nil, dnsErr
				w.mu.Unlock()
				pass(time.Hour)
				w.wantStatus(at1, Linked)
				want := []string{at1, at2}
				if dnsErr == nil {
					want = want[:1] // the name has gone, and so has what is not linked
				}
				if got := w.addrs(); !slices.Equal(got, want) || w.dialsOf(at1) != 1 {
					t.Errorf("siblings %v, %d dials", got, w.dialsOf(at1))
				}
				w.log.wantCount(t, `msg="looking up siblings fails`, 1)
				w.setDNS("relays", "192.0.2.1", "192.0.2.3")
				pass(time.Minute)
				w.log.wantCount(t, `msg="looking up siblings works again"`, 1)
				w.wantStatus(at3, Waiting)
			})
		})
	}
}

// A lost link makes us look for where the sibling is now.
func TestLookUpSoonerAfterALoss(t *testing.T) {
	inWorld(t, Config{DNS: []string{"relays:8443"}, Refresh: time.Hour}, func(t *testing.T, w *world) {
		w.setDNS("relays", "192.0.2.1")
		w.set("192.0.2.1:8443", lives(10*time.Minute))
		defer w.run()()
		pass(9 * time.Minute)
		if n := w.lookedUp(); n != 1 {
			t.Fatalf("%d look-ups", n)
		}
		w.setDNS("relays", "192.0.2.2")
		w.set("192.0.2.1:8443", nil)
		w.set("192.0.2.2:8443", good)
		pass(2 * time.Minute)
		if got := w.addrs(); !slices.Equal(got, []string{"192.0.2.2:8443"}) || w.lookedUp() != 2 {
			t.Errorf("siblings %v after %d look-ups", got, w.lookedUp())
		}
	})
}

func TestFlappingLinkDoesNotFloodTheDNS(t *testing.T) {
	inWorld(t, Config{DNS: []string{"relays"}}, func(t *testing.T, w *world) {
		for _, addr := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			w.set(addr+":443", lives(100*time.Millisecond))
		}
		w.setDNS("relays", "192.0.2.1", "192.0.2.2", "192.0.2.3")
		defer w.run()()
		pass(time.Minute)
		if n := w.lookedUp(); n > 31 {
			t.Errorf("%d look-ups in a minute", n)
		}
	})
}

func TestDiscoveryBySRV(t *testing.T) {
	inWorld(t, Config{SRV: []string{"_derp._tcp.example.com"}}, func(t *testing.T, w *world) {
		w.srv["_derp._tcp.example.com"] = []*net.SRV{
			{Target: "A.example.com.", Port: 443}, {Target: "a.example.com.", Port: 443, Priority: 1},
			{Target: "b.example.com.", Port: 8443}, {Target: ".", Port: 443}, {Target: "c.example.com.", Port: 0},
		}
		w.setDNS("a.example.com", "192.0.2.1")
		w.setDNS("b.example.com", "2001:db8::2")
		w.set(at1, good)
		w.set("[2001:db8::2]:8443", good)
		defer w.run()()
		pass(time.Second)
		for _, name := range []string{"a.example.com:443", "b.example.com:8443"} {
			if s := w.stateOf(name); s.Status != Linked || s.From != "_derp._tcp.example.com" {
				t.Errorf("state %+v", s)
			}
		}
		if n := len(w.addrs()); n != 2 {
			t.Errorf("%d siblings", n)
		}
	})
}

// A name that is not there yet is asked for soon again.
func TestNameThatAppearsLate(t *testing.T) {
	inWorld(t, Config{DNS: []string{"relays"}}, func(t *testing.T, w *world) {
		defer w.run()()
		w.set(at1, good)
		pass(3 * time.Second)
		w.setDNS("relays", "192.0.2.1")
		pass(10 * time.Second)
		w.wantStatus(at1, Linked)
	})
}

func TestTargetsOfANameAreBounded(t *testing.T) {
	inWorld(t, Config{DNS: []string{"relays"}}, func(t *testing.T, w *world) {
		var addrs []string
		for i := range 1000 {
			addrs = append(addrs, netAddr(i))
		}
		w.setDNS("relays", addrs...)
		defer w.run()()
		pass(time.Second)
		if n := len(w.addrs()); n != maxTargets {
			t.Errorf("%d siblings", n)
		}
	})
}

func netAddr(i int) string { return net.IPv4(198, 18, byte(i>>8), byte(i)).String() }

func TestNewRefuses(t *testing.T) {
	r, err := relay.New(relay.Config{Key: key.NewPrivate()})
	if err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]Config{
		"mesh: Config.Relay is missing":                                                 {},
		`mesh: DNS name 1, "192.0.2.1": it is an address`:                               {Relay: r, DNS: []string{"192.0.2.1"}},
		`mesh: DNS name 2, "a/b": want name or name:port`:                               {Relay: r, DNS: []string{"a", "a/b"}},
		`mesh: DNS name 1, "a=sha256-raw:00": want name or name:port`:                   {Relay: r, DNS: []string{"a=sha256-raw:00"}},
		`mesh: DNS name 1, "a:0": port "0": want`:                                       {Relay: r, DNS: []string{"a:0"}},
		`mesh: DNS name 1, "ftp://a": scheme`:                                           {Relay: r, DNS: []string{"ftp://a"}},
		`mesh: SRV name 1, "a:443": want a name that has SRV records, without port`:     {Relay: r, SRV: []string{"a:443"}},
		`mesh: SRV name 1, "192.0.2.1": want`:                                           {Relay: r, SRV: []string{"192.0.2.1"}},
		`mesh: entry 2, "a": it is the same sibling as entry 1`:                         {Relay: r, Entries: append(mustParse(t, "a"), mustParse(t, "a")...)},
		"mesh: Config.Refresh -1s":                                                      {Relay: r, Refresh: -time.Second},
		`mesh: rebalancing to node 1b: "b" is not a sibling: write the entry as in the`: {Relay: r, Entries: mustParse(t, "a"), Rebalance: map[string]string{"1b": "b"}},
		`mesh: rebalancing to "a": want the name of a node`:                             {Relay: r, Entries: mustParse(t, "a"), Rebalance: map[string]string{"": "a"}},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(Config{
		Relay: r, Entries: mustParse(t, "a"), DNS: []string{"relays:1", "http://relays:2"},
		Rebalance: map[string]string{"1a": "a", "1b": "relays:1"},
	}); err != nil {
		t.Error(err)
	}
}
