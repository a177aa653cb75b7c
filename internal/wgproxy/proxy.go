package wgproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

// A Proxy, in the order of what happens:
//
//  1. Open takes the device, and puts right what a run before has left (ledger.go,
//     note.go).
//  2. Run connects to the relays, and looks at the device again and again (look.go): each
//     peer gets a stand-in (standin.go), to which its endpoint is set.
//  3. What the device sends to a stand-in goes to the relays, and what comes from these to
//     the device, by way of the stand-in of who sent it (traffic.go).

const (
	// lookTime is how long the device rests between two looks, or restShare times as long
	// as the last one took: thousands of peers are looked at more rarely.
	lookTime  = time.Second
	mostRest  = 5 * time.Second
	restShare = 20

	// failedLooks is how often in a row the device may refuse to be read.
	failedLooks = 10
)

// ErrInUse: another process stands before the device.
var ErrInUse = smallfile.ErrLocked

// Relays is the way to the peers, as client.Host is one.
type Relays interface {
	io.Closer
	AwaitRoom(key.Public)
	SendBatch([]client.Packet) error
	ReadPackets(bufs [][]byte, sizes []int, from []key.Public) (n int, err error)
}

// Config says what a Proxy stands before. Device, Note and SetMark are required.
type Config struct {
	Device Device // closed in the end, also if Open fails
	Note   string // file of the note; the lock stands beside it

	// SetMark has all sockets of the Relays marked, those to come included.
	SetMark func(uint32) error

	// OnEvent is told what changes, one call at a time; nil: nobody is told.
	OnEvent func(Event)
}

// EventType says what an Event is.
type EventType string

const (
	PeerAdded     EventType = "peer-added"     // Own, and Endpoint that it had before
	PeerGone      EventType = "peer-gone"      // the device does not have it any more
	EndpointMoved EventType = "endpoint-moved" // Endpoint was set by somebody else; it is Own again
	Restored      EventType = "restored"       // Count endpoints that a run before had left are as they were
	MarkChanged   EventType = "mark-changed"   // to Mark
	PortChanged   EventType = "port-changed"   // to Port
	KeyChanged    EventType = "key-changed"    // to Key: it is another peer now
	SmallBuffers  EventType = "small-buffers"  // the system allows no more than Count bytes
	Trouble       EventType = "trouble"        // Err; told when it begins
	TroubleOver   EventType = "trouble-over"
)

// Event is something that has changed.
type Event struct {
	Type          EventType
	Peer          key.Public
	Own, Endpoint netip.AddrPort
	Key           key.Public
	Mark          uint32
	Port          uint16
	Count         int
	Err           error
}

// Stats counts packets.
type Stats struct {
	Out       uint64 `json:"out"`       // that the device has sent to peers
	In        uint64 `json:"in"`        // that the device was given
	Strangers uint64 `json:"strangers"` // dropped: from keys that the device has no peer for
	Undone    uint64 `json:"undone"`    // dropped: the device does not listen, or they are too large for UDP
}

// A Proxy stands before one device.
type Proxy struct {
	// Set once, by Open.
	cfg     Config
	release func()

	// Owned by Run.
	first    State // what Open has found
	now      State
	ledger   ledger
	standIns map[key.Public]*standIn
	small    bool                // SmallBuffers was told
	met      map[key.Public]bool // peers that were told of
	trouble  string              // that was told last
	failed   int                 // looks in a row that could not read the device

	// For the link and the stand-ins.
	lanes atomic.Pointer[map[key.Public]*standIn] // standIns, which are replaced and not changed
	link  atomic.Pointer[link]                    // nil: there is none just now
	stats struct{ out, in, strangers, undone atomic.Uint64 }
}

// Open takes the device for this process, reads it, and sets back the endpoints that a run
// before has left.
func Open(cfg Config) (*Proxy, error) {
	p := &Proxy{cfg: cfg, met: make(map[key.Public]bool)}
	if p.cfg.OnEvent == nil {
		p.cfg.OnEvent = func(Event) {}
	}
	p.setStandIns(make(map[key.Public]*standIn))
	if err := p.open(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) open() (err error) {
	if err = smallfile.MakeDir(filepath.Dir(p.cfg.Note)); err != nil {
		return err
	}
	if p.release, err = smallfile.Lock(p.cfg.Note + ".lock"); err != nil {
		return err
	}
	if p.ledger, err = readNote(p.cfg.Note); err != nil {
		return err
	}
	if p.first, err = p.cfg.Device.Read(); err != nil {
		return err
	}
	n, err := p.restore(p.first.Peers)
	if err != nil {
		return err
	}
	if n > 0 {
		p.cfg.OnEvent(Event{Type: Restored, Count: n})
		if p.first, err = p.cfg.Device.Read(); err != nil {
			return err
		}
	}
	if p.first.Key.IsZero() {
		return ErrNoKey
	}
	p.now = p.first
	return p.mark(p.first.Mark)
}

// First is what Open has found.
func (p *Proxy) First() State { return p.first }

// Close lets go of the device. It comes after Run.
func (p *Proxy) Close() {
	p.cfg.Device.Close()
	if p.release != nil {
		p.release()
		p.release = nil
	}
}

// Stats returns the counts up to now.
func (p *Proxy) Stats() Stats {
	s := &p.stats
	return Stats{Out: s.out.Load(), In: s.in.Load(), Strangers: s.strangers.Load(), Undone: s.undone.Load()}
}

// Run stands before the device until ctx ends, which is no error, or until it cannot any
// more: ErrGone, ErrNoKey, or what connect fails with. connect makes the Relays of who has
// this key; it is called again when the device gets another one.
func (p *Proxy) Run(ctx context.Context, connect func(key.Private) (Relays, error)) error {
	if err := p.connect(connect); err != nil {
		return err
	}
	defer p.disconnect()
	for {
		began := time.Now()
		if err := p.lookNow(connect); err != nil {
			return errors.Join(err, p.end())
		}
		if !retry.Rest(ctx, min(max(lookTime, restShare*time.Since(began)), mostRest), nil) {
			return p.end()
		}
	}
}

// lookNow fails if it is no use to go on. Anything else may be better at the next look.
func (p *Proxy) lookNow(connect func(key.Private) (Relays, error)) error {
	found, err := p.cfg.Device.Read()
	if err != nil {
		p.failed++
	} else {
		p.failed, err = 0, p.look(found, connect)
	}
	if isFinal(err) || p.failed >= failedLooks {
		return err
	}
	p.tellTrouble(err)
	return nil
}

func isFinal(err error) bool {
	_, final := errors.AsType[*finalError](err)
	return final || errors.Is(err, ErrGone) || errors.Is(err, ErrNoKey)
}

// A finalError is one that another look does not help against.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func (p *Proxy) tellTrouble(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == p.trouble:
		return
	case err != nil:
		p.cfg.OnEvent(Event{Type: Trouble, Err: err})
	default:
		p.cfg.OnEvent(Event{Type: TroubleOver})
	}
	p.trouble = text
}

// end sets back what was set, and closes the stand-ins.
func (p *Proxy) end() error {
	defer p.closeAll()
	found, err := p.cfg.Device.Read()
	if errors.Is(err, ErrGone) { // and all that was set with it
		clear(p.ledger)
		return p.ledger.write(p.cfg.Note)
	}
	if err == nil {
		_, err = p.restore(found.Peers)
	}
	if err != nil {
		return fmt.Errorf("endpoints are not as they were, which the next start puts right: %w", err)
	}
	return nil
}

// restore has the device have the endpoints that the ledger says it had.
func (p *Proxy) restore(found map[key.Public]netip.AddrPort) (n int, err error) {
	set, left := p.ledger.undo(found)
	if len(set) > 0 {
		if err := p.cfg.Device.SetEndpoints(set); err != nil {
			return 0, err
		}
	}
	p.ledger = left
	return len(set), left.write(p.cfg.Note)
}

// closeAll closes the stand-ins. The link finds none first.
func (p *Proxy) closeAll() {
	all := p.standIns
	p.setStandIns(make(map[key.Public]*standIn))
	for _, s := range all {
		s.close()
	}
}

func (p *Proxy) setStandIns(all map[key.Public]*standIn) {
	p.standIns = all
	p.lanes.Store(&all)
}
