package agent

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/wgbind"
)

func initiationOf(sender uint32) []byte {
	b := make([]byte, device.MessageInitiationSize)
	b[0] = device.MessageInitiationType
	binary.LittleEndian.PutUint32(b[4:], sender)
	return b
}

func answerOf(sender, asked uint32) []byte {
	b := make([]byte, device.MessageResponseSize)
	b[0] = device.MessageResponseType
	binary.LittleEndian.PutUint32(b[4:], sender)
	binary.LittleEndian.PutUint32(b[8:], asked)
	return b
}

// Numbers of handshakes, as who has begun them calls them.
const (
	our, another  = 1, 2
	their, theirs = 3, 4
)

// Whether the device is shown one of the peer depends on what it is busy with.
func TestWhatADeviceIsShown(t *testing.T) {
	begun := time.Now()
	for _, c := range []struct {
		what   string
		lesser bool
		before func(p *trip)
		age    time.Duration
		want   bool
	}{
		{"there is none of ours", true, func(*trip) {}, 0, true},
		{"ours counts", true, func(p *trip) { p.begins(initiationOf(our), nil, begun) }, crossTime - 1, false},
		{"ours was not heard", true, func(p *trip) { p.begins(initiationOf(our), nil, begun) }, crossTime, true},
		{"theirs counts", false, func(p *trip) { p.begins(initiationOf(our), nil, begun) }, 0, true},
		{"the device takes an answer", false, func(p *trip) {
			p.begins(initiationOf(our), nil, begun)
			p.isAnswered(answerOf(theirs, our), begun)
		}, takeTime - 1, false},
		{"the device has keys", true, func(p *trip) {
			p.begins(initiationOf(our), nil, begun)
			p.isAnswered(answerOf(theirs, our), begun)
			p.sends(theirs)
		}, 0, true},
		{"the device may be taking it", true, func(p *trip) { p.hears(initiationOf(their), begun) }, takeTime - 1, false},
		{"the device has not taken it", true, func(p *trip) { p.hears(initiationOf(their), begun) }, takeTime, true},
	} {
		p := &trip{lesser: c.lesser}
		c.before(p)
		if got, reply := p.hears(initiationOf(their), begun.Add(c.age)); got != c.want || reply != nil {
			t.Errorf("%s: it is shown: %v, and %x is sent", c.what, got, reply)
		}
	}
}

// To what is heard again the answer is sent again, while the peer may need it.
func TestAnAnswerIsSentAgain(t *testing.T) {
	begun := time.Now()
	p := new(trip)
	p.hears(initiationOf(their), begun)
	p.replies(answerOf(our, theirs), begun) // to another one
	if p.reply != nil {
		t.Error("an answer to another one is kept")
	}
	answer := answerOf(our, their)
	p.replies(answer, begun)
	for _, c := range []struct {
		age        time.Duration
		show, sent bool
	}{{takeTime - 1, false, false}, {takeTime, false, true}, {takeTime + 1, false, false}, {device.RekeyTimeout - 1, false, true}, {device.RekeyTimeout, true, false}} {
		if show, reply := p.hears(initiationOf(their), begun.Add(c.age)); show != c.show || bytes.Equal(reply, answer) != c.sent {
			t.Errorf("after %v: it is shown: %v, and %x is sent", c.age, show, reply)
		}
	}
}

// What is due of an initiation in the end, and how often it is sent until then.
func TestWhatIsDue(t *testing.T) {
	answered := func(p *trip, now time.Time) { p.isAnswered(answerOf(theirs, our), now) }
	overtake := func(p *trip, now time.Time) {
		p.hears(initiationOf(their), now)
		p.replies(answerOf(another, their), now)
	}
	for _, c := range []struct {
		what   string
		before func(p *trip, now time.Time)
		sent   int
		anew   bool
	}{
		{"no answer", func(*trip, time.Time) {}, anewAfter, true},
		{"no answer to the second either", func(p *trip, _ time.Time) { p.ours.instead = 1 }, mostAgain, false},
		{"no answer, but keys", func(p *trip, _ time.Time) { p.sends(another) }, mostAgain, false},
		{"keys by the answer", func(p *trip, now time.Time) { answered(p, now); p.sends(theirs) }, 0, false},
		{"no keys by the answer", answered, 0, true},
		{"theirs instead", overtake, 0, false},
		{"theirs instead, and an answer too late", func(p *trip, now time.Time) { overtake(p, now); answered(p, now) }, 0, true},
		{"keys by theirs", func(p *trip, now time.Time) { overtake(p, now); p.sends(their); answered(p, now) }, 0, false},
		{"theirs instead of the second", func(p *trip, now time.Time) { p.ours.instead = 1; overtake(p, now) }, 0, true},
		{"no answer, but one of theirs", func(p *trip, now time.Time) {
			p.lesser = true
			p.hears(initiationOf(their), now)
		}, crossedAfter, true},
		{"theirs may be taken", func(p *trip, now time.Time) { p.hears(initiationOf(their), now) }, anewAfter, true},
	} {
		p, now := new(trip), time.Now()
		p.begins(initiationOf(our), nil, now)
		c.before(p, now)
		sent, anew := 0, false
		for after := againTime / 2; after > 0; {
			var packet []byte
			now = now.Add(after)
			if packet, anew, after = p.due(now); packet != nil {
				sent++
			}
		}
		if sent != c.sent || anew != c.anew {
			t.Errorf("%s: it is sent again %d times, and made anew: %v", c.what, sent, anew)
		}
	}
}

// Who has the lesser key begins anew first, and both have more and more patience.
func TestPatience(t *testing.T) {
	for lesser, want := range map[bool]time.Duration{true: takeTime, false: 2 * takeTime} {
		p, now := &trip{lesser: lesser}, time.Now()
		for i := range 3 {
			p.begins(initiationOf(our), nil, now)
			answer := answerOf(theirs+uint32(i), our)
			if show, got := p.isAnswered(answer, now); !show || got != want<<i {
				t.Errorf("lesser: %v, the %d. time: %v, want %v; shown: %v", lesser, i+1, got, want<<i, show)
			}
			if show, again := p.isAnswered(answer, now); show || again != 0 {
				t.Error("the device is shown an answer twice")
			}
			if _, anew, _ := p.due(now); !anew {
				t.Error("there is none made anew")
			}
		}
	}
}

// Who sends by keys that this run has not agreed on is told of once.
func TestPacketsOfARunBefore(t *testing.T) {
	met, other := key.NewPrivate().Public(), key.NewPrivate().Public()
	handshakes := newTrips(nil, key.NewPrivate().Public(), nil)
	handshakes.hears(met, initiationOf(their), nil)
	for range 3 {
		handshakes.receives(met)
		handshakes.receives(other)
	}
	if got := <-handshakes.foreign; got != other || len(handshakes.foreign) != 0 {
		t.Errorf("told of %v, and of %d more", got, len(handshakes.foreign))
	}
	for range 2 * cap(handshakes.foreign) { // nobody waits where nobody listens
		handshakes.receives(key.NewPrivate().Public())
	}
}

// One that the device has been shown but may not have taken yet is crossed by none.
func TestAHandshakeThatWasHeardIsLetComeToAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := new(wgbind.Endpoint)
		for heard, want := range map[time.Duration]bool{takeTime: true, takeTime - 1: false} {
			handshakes := newTrips(nil, key.NewPrivate().Public(), nil)
			handshakes.hears(peer.Key(), initiationOf(their), peer)
			time.Sleep(heard)
			if got := handshakes.begins(peer.Key(), initiationOf(our), peer); got != want {
				t.Errorf("heard of one %v ago: ours is sent: %v", heard, got)
			}
			if !handshakes.peers[peer.Key()].timer.Stop() {
				t.Error("ours is not sent again later")
			}
		}
	})
}
