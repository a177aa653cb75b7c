package whereabouts

import (
	"time"

	"github.com/detour-relay/detour/key"
)

// MaxLearned bounds how many peers are remembered only because packets came from
// them: a relay can make up any number.
const MaxLearned = 1 << 14

// A Region is a connection to one, or several in a row.
type Region interface {
	comparable
	ID() int
	Breaks() uint64 // how often it has lost its connection
	Ended() bool    // it is connected no more, and never will be
}

// Table is where peers are (spec section 10.2). Its caller locks it.
type Table[R Region] struct {
	all     map[key.Public]Place[R]
	learned int // of all, those whose home nobody has told
}

// Place is what is known of one peer.
type Place[R Region] struct {
	Home     int           // 0: nobody has told
	Last     int           // region where a packet of it came in last; 0: not known
	AskAgain time.Duration // when its owner may be told again that nobody has told its home

	heard  R      // where that was; its zero value: not there any more
	breaks uint64 // of heard at that time
}

// New returns an empty table.
func New[R Region]() *Table[R] { return &Table[R]{all: make(map[key.Public]Place[R])} }

// Of returns what is known of a peer, which may be nothing.
func (t *Table[R]) Of(k key.Public) Place[R] { return t.all[k] }

// SetHome notes what the peer's home is; 0: not known any more. Who has left a home that
// was known need not be where a packet of it came in last.
func (t *Table[R]) SetHome(k key.Public, home int) {
	p, known := t.all[k]
	switch {
	case home == 0 && !known || p.Home == home && known:
		return
	case home == 0:
		t.learned++
	case known && p.Home == 0:
		t.learned--
	}
	if p.Home != 0 {
		var nowhere R
		p.heard = nowhere
	}
	p.Home = home
	t.all[k] = p
	if _, ok := p.Heard(); home == 0 && !ok {
		t.forget(k)
	}
}

// HeardIn notes where a packet of the peer came in.
func (t *Table[R]) HeardIn(k key.Public, r R) {
	p, known := t.all[k]
	p.heard, p.breaks, p.Last = r, r.Breaks(), r.ID()
	if !known {
		t.makeRoom()
		t.learned++
	}
	t.all[k] = p
}

// Asked notes until when its owner need not be told again that the home of a peer
// is not known.
func (t *Table[R]) Asked(k key.Public, again time.Duration) {
	if p, known := t.all[k]; known {
		p.AskAgain = again
		t.all[k] = p
	}
}

// makeRoom forgets one of the learned if there are too many of them.
func (t *Table[R]) makeRoom() {
	if t.learned < MaxLearned {
		return
	}
	for k, p := range t.all {
		if p.Home == 0 {
			t.forget(k)
			return
		}
	}
}

// Gone notes that the peer is not in the region it was heard in.
func (t *Table[R]) Gone(k key.Public, r R) {
	if p, known := t.all[k]; known && (p.heard == r || p.Last == r.ID()) {
		p.Last = 0
		t.lose(k, p)
	}
}

// ForgetRegion drops what points to a region that is closed. Of peers with a home it
// is still known that they were there.
func (t *Table[R]) ForgetRegion(r R) {
	for k, p := range t.all {
		if p.heard == r {
			t.lose(k, p)
		}
	}
}

// lose notes that a peer cannot be heard where it was.
func (t *Table[R]) lose(k key.Public, p Place[R]) {
	var nowhere R
	p.heard = nowhere
	t.all[k] = p
	if p.Home == 0 {
		t.forget(k)
	}
}

func (t *Table[R]) forget(k key.Public) {
	if t.all[k].Home == 0 {
		t.learned--
	}
	delete(t.all, k)
}

// Heard returns the region that a packet of the peer came in on last, if that
// connection is still there.
func (p *Place[R]) Heard() (r R, ok bool) {
	var nowhere R
	if p.heard == nowhere || p.breaks != p.heard.Breaks() || p.heard.Ended() {
		return nowhere, false
	}
	return p.heard, true
}

// HeardOn reports whether a packet of the peer came in on this region since it broke
// so often.
func (p *Place[R]) HeardOn(r R, breaks uint64) bool { return p.heard == r && p.breaks == breaks }
