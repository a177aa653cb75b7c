package wgproxy

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/key"
)

// step opens the Proxy and looks once, without Run's clock; looks are the test's then.
func (w *world) step() *Proxy {
	w.t.Helper()
	p, err := w.open()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.connect(w.connect); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { p.disconnect(); p.closeAll(); p.Close() })
	w.look(p)
	return p
}

func (w *world) look(p *Proxy) {
	w.t.Helper()
	if err := p.lookNow(w.connect); err != nil {
		w.t.Fatal(err)
	}
}

// Each peer gets a stand-in, by which its packets come and go, and what it had in the end.
func TestPeersComeAndGo(t *testing.T) {
	wireguard, one, two, three := listen(t), numbered(1), numbered(2), numbered(3)
	d := newFakeDevice(wireguard.number, one, two)
	d.state.Peers[two] = nowhere
	w := newWorld(t, d)
	p := w.step()
	wireguard.echo(t, d.endpoint(one), "to one")
	wireguard.echo(t, d.endpoint(two), "to two")
	wireguard.echo(t, d.endpoint(two), strings.Repeat("x", 60000))
	if added := w.told(PeerAdded); len(added) != 2 || added[0].Peer != one || added[0].Endpoint != at(1) || added[0].Own != d.endpoint(one) || added[1].Endpoint.IsValid() {
		t.Errorf("told %+v", added)
	}

	gone := d.endpoint(one)
	d.change(func(s *State) { delete(s.Peers, one); s.Peers[three] = at(3) })
	w.look(p)
	wireguard.echo(t, d.endpoint(three), "to three")
	if told := w.told(PeerGone); len(told) != 1 || told[0].Peer != one || len(w.told(PeerAdded)) != 3 {
		t.Errorf("told %+v", told)
	}
	relays := <-w.relays
	relays.queue <- clientPacket(one, "of nobody")
	wireguard.echo(t, d.endpoint(three), "behind it")
	want := Stats{Out: 5, In: 5, Strangers: 1}
	for end := time.Now().Add(10 * time.Second); p.Stats() != want; time.Sleep(time.Millisecond) { // what has come may not be counted yet
		if time.Now().After(end) {
			t.Fatalf("%+v", p.Stats())
		}
	}
	if gone == d.endpoint(three) {
		t.Error("a peer has the stand-in of another one")
	}

	given := d.endpoint(two)
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if d.endpoint(three) != at(3) || d.endpoint(two) != given {
		t.Errorf("in the end: %v and %v", d.endpoint(three), d.endpoint(two))
	}
	if l, err := readNote(w.note); err != nil || len(l) != 1 || l[two].Given != given { // which the next run knows for ours
		t.Errorf("the note has %v (%v)", l, err)
	}
}

// An endpoint that somebody else sets is set back, told once, and is what the peer has in
// the end.
func TestAnEndpointIsMoved(t *testing.T) {
	k := numbered(1)
	d := newFakeDevice(9, k)
	w := newWorld(t, d)
	p := w.step()
	given := d.endpoint(k)
	for range 3 {
		d.change(func(s *State) { s.Peers[k] = at(7) })
		w.look(p)
		if d.endpoint(k) != given {
			t.Errorf("it is %v, want %v", d.endpoint(k), given)
		}
	}
	if moved := w.told(EndpointMoved); len(moved) != 1 || moved[0].Endpoint != at(7) || moved[0].Own != given {
		t.Errorf("told %+v", moved)
	}
	if err := p.end(); err != nil || d.endpoint(k) != at(7) {
		t.Errorf("in the end %v (%v)", d.endpoint(k), err)
	}
	if _, err := os.Stat(w.note); err == nil {
		t.Error("the note is left")
	}
}

// What a run that was killed has left is put right by the next, also if that fails then.
func TestAfterAKill(t *testing.T) {
	k, without := numbered(1), numbered(2)
	d := newFakeDevice(9, k, without)
	d.state.Peers[without] = nowhere
	w := newWorld(t, d)
	killed := w.step()
	if d.endpoint(k) == at(1) {
		t.Fatal("nothing was set")
	}
	if _, err := w.open(); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	left := d.endpoint(without)
	killed.disconnect()
	killed.closeAll()
	killed.Close()
	w.refuse = errBroken
	if _, err := w.open(); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if told := w.told(Restored); d.endpoint(k) != at(1) || len(told) != 1 || told[0].Count != 1 {
		t.Errorf("it is at %v, told %+v", d.endpoint(k), told)
	}
	w.refuse = nil
	p := w.step()
	if err := p.end(); err != nil || d.endpoint(k) != at(1) {
		t.Errorf("in the end %v (%v)", d.endpoint(k), err)
	}
	for _, e := range w.told(PeerAdded) {
		if e.Endpoint == left {
			t.Error("what we have left is taken for somebody's endpoint")
		}
	}
}

func TestMarkPortAndKeyAreFollowed(t *testing.T) {
	first, second, k := listen(t), listen(t), numbered(1)
	d := newFakeDevice(first.number, k)
	d.state.Mark = 51820
	w := newWorld(t, d)
	p := w.step()
	d.change(func(s *State) { s.Mark = 7 })
	w.look(p)
	w.look(p)
	if len(w.marks) != 2 || w.marks[0] != 51820 || w.marks[1] != 7 || len(w.told(MarkChanged)) != 1 {
		t.Errorf("the marks were %v", w.marks)
	}
	w.refuse = errBroken
	d.change(func(s *State) { s.Mark = 0 })
	w.look(p)
	w.look(p)
	if told := w.told(Trouble); len(told) != 1 || !errors.Is(told[0].Err, errBroken) {
		t.Errorf("told %+v", told)
	}
	w.refuse = nil
	w.look(p)
	if len(w.told(TroubleOver)) != 1 || len(w.told(MarkChanged)) != 2 {
		t.Error("it is not told that the mark is set at last")
	}

	d.change(func(s *State) { s.Port = 0 })
	w.look(p)
	if told := w.told(Trouble); len(told) != 2 || !strings.Contains(told[1].Err.Error(), "is the interface up?") {
		t.Errorf("told %+v", told)
	}
	d.change(func(s *State) { s.Port = second.number })
	w.look(p)
	second.echo(t, d.endpoint(k), "at another port")
	if len(w.told(PortChanged)) != 2 || len(w.told(PeerAdded)) != 1 || len(w.told(EndpointMoved)) != 0 {
		t.Errorf("told %+v", w.events)
	}

	before, next := <-w.relays, key.NewPrivate()
	d.change(func(s *State) { s.Key = next })
	w.look(p)
	<-before.closed
	if now := <-w.relays; !now.who.Equal(next) || w.told(KeyChanged)[0].Key != next.Public() {
		t.Error("it is still who it was")
	}
	second.echo(t, d.endpoint(k), "as somebody else")
	d.change(func(s *State) { s.Key = key.NewPrivate() })
	if err := p.lookNow(func(key.Private) (Relays, error) { return nil, errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("who cannot be somebody else goes on: %v", err)
	}
	if err := p.end(); err != nil || d.endpoint(k) != at(1) {
		t.Errorf("in the end %v (%v)", d.endpoint(k), err)
	}
}

func TestWhatEndsIt(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(d *fakeDevice)
		want error
	}{
		"the interface is gone": {func(d *fakeDevice) { d.fail(ErrGone) }, ErrGone},
		"it has no key":         {func(d *fakeDevice) { d.change(func(s *State) { s.Key = key.Private{} }) }, ErrNoKey},
		"it does not answer":    {func(d *fakeDevice) { d.fail(errBroken) }, errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // without peers there are no sockets
				d := newFakeDevice(9)
				w := newWorld(t, d)
				p, err := w.open()
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				ended := make(chan error, 1)
				go func() { ended <- p.Run(t.Context(), w.connect) }()
				time.Sleep(time.Minute)
				synctest.Wait()
				select {
				case err := <-ended:
					t.Fatalf("it ends with %v", err)
				default:
				}
				if d.reads < 55 || d.reads > 65 {
					t.Errorf("%d looks in a minute", d.reads)
				}
				c.do(d)
				if err := <-ended; !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				select {
				case <-(<-w.relays).closed:
				default:
					t.Error("the way to the relays is open")
				}
			})
		})
	}
}

// A device that cannot be read for a moment is no end, and the trouble is told once.
func TestAMomentOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDevice(9)
		w := newWorld(t, d)
		p, err := w.open()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx, w.connect) }()
		for range 3 {
			d.fail(errBroken)
			time.Sleep(5 * time.Second)
			d.fail(nil)
			time.Sleep(5 * time.Second)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(w.told(Trouble)) != 3 || len(w.told(TroubleOver)) != 3 {
			t.Errorf("told %+v", w.events)
		}
	})
}

func TestOpenFails(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *world)
		want error
	}{
		"no interface": {func(w *world) { w.fail(ErrNoInterface) }, ErrNoInterface},
		"no key":       {func(w *world) { w.state.Key = key.Private{} }, ErrNoKey},
		"no marks":     {func(w *world) { w.refuse = errBroken }, errBroken},
	} {
		w := newWorld(t, newFakeDevice(9))
		c.do(w)
		if p, err := w.open(); !errors.Is(err, c.want) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.fail(nil)
		w.refuse = nil
		w.state.Key = key.NewPrivate()
		p, err := w.open() // the lock is let go
		if err != nil {
			t.Fatalf("%s: and then %v", name, err)
		}
		p.Close()
	}
}
