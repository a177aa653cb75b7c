package edge

// turns are for what handshakes compute: fewer at a time than there are processors. If all
// that are ready computed at once, hundreds of goroutines would stand in Go's queues, and
// a loop that comes back from the kernel would wait behind them until it can relay. A
// processor that is left to others has work enough: what comes before and after.
// Who waits for a peer has no turn, so nobody is held up by who is slow (decision 31).
type turns chan struct{}

func newTurns(processors int) turns { return make(turns, max(1, processors-1)) }

// A turn is that of one handshake. It implements netio.Turn.
type turn struct {
	of   turns
	held bool // owned by the handshake's goroutine
}

// Take waits for a turn. Who has one computes and does nothing else, so it soon comes.
func (t *turn) Take() {
	if !t.held {
		t.of <- struct{}{}
		t.held = true
	}
}

// Leave gives it to the next one.
func (t *turn) Leave() {
	if t.held {
		t.held = false
		<-t.of
	}
}
