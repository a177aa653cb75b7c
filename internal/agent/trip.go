package agent

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

const (
	// againTime is after which an initiation is sent again, and then each time after twice
	// that, up to mostAgain times: until the device itself tries again. After anewAfter of
	// these it is made anew, by then also on the longest ways; and after crossedAfter, and a
	// moment, if the peer is there, as it has sent one itself.
	againTime    = 250 * time.Millisecond
	mostAgain    = 10
	anewAfter    = 4
	crossedAfter = 2

	// takeTime is how long a device may be busy with what it is shown.
	takeTime = 200 * time.Millisecond

	// crossTime is how long an initiation of the lesser key counts more than the peer's: for
	// a moment after it was made anew, too.
	crossTime = 1500 * time.Millisecond
)

// A trip is the handshake with a peer. A device gives up its own initiation as soon as it
// takes one of the peer, takes none twice, and makes no other one for 5 s, whatever comes
// of it. So each time that two begin at the same moment, an answer is lost, or a device is
// slow at a bad moment, there would be no tunnel for so long. Therefore
//
//  1. an initiation that is not answered is sent again;
//  2. what the peer sends again is not shown to the device, to which it is a replay: the
//     answer is sent again, which has been lost;
//  3. of two that cross that of the lesser key counts, and the device that has the lesser
//     key is not shown the other one;
//  4. while a device may be taking an initiation, its own is not sent, and while it may be
//     taking an answer, it is shown no initiation;
//  5. where an answer has brought no keys, or there is none for long, the device is made
//     to make another initiation.
//
// All of this holds if the peer does not keep to it.
type trip struct {
	lesser bool // is our key; set once

	state state
	ours  initiation
	timer *time.Timer   // nil: there was none of ours
	seen  []byte        // the last answer to one of ours
	took  time.Duration // from one that was sent once to its answer; 0: not known

	// The peer's that the device was shown last.
	theirs  []byte
	shown   time.Time
	reply   []byte // nil: the device has not answered
	replied time.Time
}

type state int

const (
	over      state = iota // there is no initiation of ours, or no longer a need for it
	asked                  // there is one
	overtaken              // the device has answered one of the peer instead
	answered               // the device has been shown the answer
	vain                   // the device is to make another one
)

// An initiation is what the device has made last.
type initiation struct {
	packet   []byte
	to       conn.Endpoint
	made     time.Time
	tried    time.Time // when the first one was made in whose place this is
	instead  int       // of how many others
	times    int       // that it was sent again
	crossed  bool      // one of the peer has come, and was not shown to the device
	waited   bool      // when it was due: the device may have been busy
	talks    bool      // the device sends packets of the tunnel: it has keys
	remote   uint32    // what the peer calls the keys of the answer
	answered time.Time
}

// begins notes what the device has made, and reports whether it is to be sent at once.
func (p *trip) begins(packet []byte, to conn.Endpoint, now time.Time) bool {
	o := initiation{packet: bytes.Clone(packet), to: to, made: now, tried: now}
	if p.state == vain {
		o.tried, o.instead = p.ours.tried, p.ours.instead+1
	}
	p.ours, p.state = o, asked
	return now.Sub(p.shown) >= takeTime
}

// due returns what is to be sent when the time has come, or that the device is to make
// another one, and after which time there is something due again; 0: never.
func (p *trip) due(now time.Time) (send []byte, anew bool, after time.Duration) {
	o := &p.ours
	o.waited = !o.waited && now.Sub(p.shown) < takeTime
	switch {
	case o.waited:
		return nil, false, takeTime
	case p.isVain():
		p.state = vain
		return nil, true, 0
	case p.state == asked && o.times < mostAgain:
		o.times++
		if o.crossed && o.times == crossedAfter {
			return o.packet, false, againTime
		}
		return o.packet, false, 2 * againTime
	}
	return nil, false, 0
}

// isVain reports whether nothing comes of ours. Keys that there are stay in use.
func (p *trip) isVain() bool {
	o := &p.ours
	switch p.state {
	case asked:
		late := o.times >= anewAfter || o.crossed && o.times >= crossedAfter
		return late && o.instead == 0 && !o.talks
	case answered:
		return !o.talks
	case overtaken: // to begin anew has spoiled the keys of the answer if it was made before
		return o.instead > 0 && !o.talks
	}
	return false
}

// hears reports whether the device is to be shown an initiation of the peer; else reply is
// what is to be sent, if anything.
func (p *trip) hears(packet []byte, now time.Time) (show bool, reply []byte) {
	o, age := &p.ours, now.Sub(p.shown)
	known := bytes.Equal(packet, p.theirs)
	switch {
	case known && p.reply != nil && age < device.RekeyTimeout:
		if now.Sub(p.replied) < takeTime { // it has come both ways, or somebody plays it
			return false, nil
		}
		p.replied = now
		return false, p.reply
	case known && age < takeTime, p.state == answered && now.Sub(o.answered) < o.patience():
		return false, nil
	case p.state == asked && p.lesser && now.Sub(o.tried) < crossTime:
		o.crossed = true
		return false, nil
	}
	p.theirs, p.shown, p.reply = bytes.Clone(packet), now, nil
	return true, nil
}

// replies notes what the device answers to the peer.
func (p *trip) replies(packet []byte, now time.Time) {
	if p.theirs == nil || askedBy(packet) != senderOf(p.theirs) {
		return
	}
	p.reply, p.replied = bytes.Clone(packet), now
	if p.state == asked {
		p.state = overtaken
	}
}

// isAnswered notes what the peer answers, and reports whether the device is to be shown it:
// not twice, as two goroutines of it would make keys of both, which are the same, and number
// the packets from 0 twice. After the time that it returns there have to be keys; 0: it is
// no answer to ours. Who has the greater key waits longer, so that not both begin anew at
// the same moment.
func (p *trip) isAnswered(packet []byte, now time.Time) (show bool, after time.Duration) {
	o := &p.ours
	switch {
	case bytes.Equal(packet, p.seen):
		return false, 0
	case p.state != asked && p.state != overtaken || askedBy(packet) != senderOf(o.packet):
		return true, 0
	}
	p.seen = bytes.Clone(packet)
	if p.state == asked && o.times == 0 { // otherwise nobody knows which one it answers
		p.took = now.Sub(o.made)
	}
	p.state, o.remote, o.answered = answered, senderOf(packet), now
	if p.lesser {
		return true, o.patience()
	}
	return true, 2 * o.patience()
}

// patience is how long the device may take for an answer: longer where that was in vain.
func (o *initiation) patience() time.Duration { return takeTime << min(o.instead, 3) }

// sends notes that the device sends packets of the tunnel, by keys that the peer calls so.
func (p *trip) sends(keys uint32) {
	o := &p.ours
	o.talks = true
	byOurs := p.state == answered && o.remote == keys
	byTheirs := p.reply != nil && senderOf(p.theirs) == keys && o.made.Sub(p.shown) < takeTime
	if byOurs || byTheirs {
		p.state = over
	}
}

// senderOf is what the sender of an initiation or an answer calls its handshake, and the
// keys that come of it.
func senderOf(packet []byte) uint32 { return binary.LittleEndian.Uint32(packet[4:]) }

// askedBy is the handshake that an answer is to.
func askedBy(packet []byte) uint32 { return binary.LittleEndian.Uint32(packet[8:]) }

// keysOf are the keys of a packet of the tunnel, as its receiver calls them.
func keysOf(packet []byte) uint32 { return binary.LittleEndian.Uint32(packet[4:]) }
