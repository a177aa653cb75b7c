package client

import (
	"testing"
	"testing/synctest"
	"time"
)

// Two peers that know nothing of each other but the key meet in the region that is
// nearest to both.
func TestNodesMeetAtHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 5, 90)
		a, b := w.host(), w.host()
		la, lb := w.listen(a), w.listen(b)
		w.awaitHomes(a, b)
		atHome(t, a, 901)
		atHome(t, b, 901)
		if err := a.Send(b.cfg.Key.Public(), []byte("hello")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		got := lb.take()
		if len(got) != 1 || string(got[0].Packet) != "hello" || got[0].Peer != a.cfg.Key.Public() || got[0].Region != 901 {
			t.Fatalf("%+v", got)
		}
		if err := b.Send(got[0].Peer, []byte("hello yourself")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := la.take(); len(got) != 1 || string(got[0].Packet) != "hello yourself" {
			t.Errorf("%+v", got)
		}
		if s := a.Stats(); s != (HostStats{Queued: 1, Reports: 1, Moves: 1}) {
			t.Errorf("%+v", s)
		}
		a.Close()
		b.Close()
	})
}

// The home of a peer is opened when something is sent there, answers need nobody to
// tell where, and what is idle is closed.
func TestHostOpensAndClosesRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 5)
		a, b := w.host(farFrom(901, time.Second)), w.host(farFrom(900, time.Second))
		w.awaitHomes(a, b)
		atHome(t, a, 900)
		atHome(t, b, 901)
		la, lb := w.listen(a), w.listen(b)
		a.SetPeerHome(b.cfg.Key.Public(), 901)
		a.Send(b.cfg.Key.Public(), []byte("there"))
		time.Sleep(time.Second)
		if got := lb.take(); len(got) != 1 || got[0].Region != 901 {
			t.Fatalf("%+v", got)
		}
		b.Send(a.cfg.Key.Public(), []byte("and back"))
		time.Sleep(time.Second)
		if got := la.take(); len(got) != 1 || got[0].Region != 901 {
			t.Fatalf("%+v", got)
		}
		if got, want := regionsOf(a)+" / "+regionsOf(b), "900* 901* / 901*"; got != want {
			t.Errorf("open regions %s, want %s", got, want)
		}
		time.Sleep(idleTime - 5*time.Second)
		if got := regionsOf(a); got != "900* 901*" {
			t.Errorf("open regions %s", got)
		}
		time.Sleep(idleLook + 5*time.Second)
		if got, want := regionsOf(a), "900*"; got != want {
			t.Errorf("open regions %s, want %s", got, want)
		}
		a.Close()
		b.Close()
	})
}

// A peer that has moved away from relays that are dead, while nobody could tell of it, is
// answered where it is heard, even if packets for it were on their way there already.
func TestHostAnswersWhoHasMovedUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 5)
		a, b := w.host(farFrom(901, time.Second)), w.host(farFrom(900, time.Second))
		w.awaitHomes(a, b)
		atHome(t, a, 900)
		atHome(t, b, 901)
		la, _ := w.listen(a), w.listen(b)
		b.SetPeerHome(a.cfg.Key.Public(), 900)
		a.SetPeerHome(b.cfg.Key.Public(), 901)
		b.Send(a.cfg.Key.Public(), []byte("there"))
		time.Sleep(time.Second)
		if got := la.take(); len(got) != 1 || got[0].Region != 900 {
			t.Fatalf("%+v", got)
		}
		w.of(900)[0].kill()
		time.Sleep(30 * time.Second)
		a.Send(b.cfg.Key.Public(), []byte("here now"))
		time.Sleep(time.Second)
		b.Send(a.cfg.Key.Public(), []byte("and back"))
		time.Sleep(time.Second)
		if got := la.take(); len(got) != 1 || got[0].Region != 901 {
			t.Errorf("%+v; open at b: %s", got, regionsOf(b))
		}
		a.Close()
		b.Close()
	})
}
